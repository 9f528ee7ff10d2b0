/** The four ways in which a story is told to an agent. */
import type { AgentOptions } from '../../src/agent-options.ts';
import { unreliable } from '../unreliable.ts';
import type { Asker } from './asker.ts';
import { dumpsOf } from './dump.ts';
import { type Seen, type SeenFlow, splitFlow } from './judge.ts';
import type { Lane } from './lane.ts';
import { changed, type Objects, reversed } from './objects.ts';
import type { Fields, Step, Story } from './story.ts';

export interface Way {
  readonly name: string;
  readonly order: (objects: readonly Fields[]) => readonly Fields[];
  /** Every tenth row that is written is refused. */
  readonly refuses?: boolean;
  /** The agent is stopped before each change, and started after it. */
  readonly restarts?: boolean;
}

const asTheyAre = (objects: readonly Fields[]) => objects;

export const ways: readonly Way[] = [
  { name: 'as written', order: asTheyAre },
  { name: 'objects in reverse', order: reversed },
  { name: 'one write in ten failing', order: asTheyAre, refuses: true },
  { name: 'a restart between steps', order: asTheyAre, restarts: true },
];

/** What was seen at the end of each step, and how many writes were refused. */
export async function replay(
  story: Story,
  way: Way,
  lane: Lane,
  asker: Asker,
): Promise<{ seen: Seen[]; refused: number }> {
  const { writer, refused } = unreliable();
  const start = () => lane.start(way.refuses ? (writer as AgentOptions['writer']) : undefined);
  let objects: Objects = new Map();
  const seen: Seen[] = [];
  await lane.forget();
  try {
    for (const [i, step] of story.steps.entries()) {
      objects = changed(objects, step.changes, story);
      if (way.restarts && i > 0) await lane.stop();
      lane.give(way.order([...objects.values()]));
      if (way.restarts || i === 0) start();
      const problems = await lane.settled();
      seen.push({ problems, ...(await look(step, lane, asker)) });
    }
  } finally {
    await lane.stop();
  }
  return { seen, refused: refused() };
}

async function look(step: Step, lane: Lane, asker: Asker): Promise<Pick<Seen, 'flows' | 'dumps'>> {
  using generation = lane.open();
  const lines = step.expectations.flatMap(({ text, lines: wanted }) => (text === 'flows' ? wanted : []));
  const asked = lines.map((line) => {
    const { flow, outcome } = splitFlow(line);
    return { text: flow, keeps: outcome.includes('; keeps ') };
  });
  const answers = await asker.ask(generation, asked);
  const flows = new Map(lines.map(({ line }, i) => [line, answers[i] as SeenFlow]));
  return { flows, dumps: await dumpsOf(generation) };
}
