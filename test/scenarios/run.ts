/**
 * Replays stories, four ways each, and tells what is not as they say; exit code 1 if anything is not.
 *
 *   node test/scenarios/run.ts [--json] [FILE...]
 *
 * Without files, all that stand beside this one. A process of its own, because asking sockets takes it into another cgroup.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { makeSandbox, type Sandbox } from '../sandbox.ts';
import { type Asker, layNetwork, openAsker } from './asker.ts';
import { complaintsOf, type Seen } from './judge.ts';
import { type Lane, makeLane } from './lane.ts';
import { replay, ways } from './replay.ts';
import { parseStory, type Story, StoryError } from './story.ts';

/** What became of one story; with --json one of these a line. */
export interface Result {
  readonly file: string;
  readonly title: string;
  readonly complaints: readonly string[];
  /** How many writes were refused. */
  readonly refused: number;
}

/** So many stories are replayed at a time: most of it is waiting. */
const AT_A_TIME = 2;

async function tell(file: string, lanes: readonly Lane[], asker: Asker): Promise<Result> {
  let story: Story | undefined;
  try {
    story = parseStory(file, readFileSync(file, 'utf8'));
    const told = story;
    const runs = ways.map(async (way, i) => ({ way, ...(await replay(told, way, lanes[i] as Lane, asker)) }));
    const done = (await Promise.allSettled(runs)).map((run) => {
      if (run.status === 'rejected') throw run.reason;
      return run.value;
    });
    const replays = new Map<string, readonly Seen[]>(done.map(({ way, seen }) => [way.name, seen]));
    const refused = done.reduce((sum, one) => sum + one.refused, 0);
    return { file, title: story.title, complaints: complaintsOf(story, replays), refused };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isTold = error instanceof StoryError;
    const complaint = isTold ? error.message : `${file}: ${error.stack}`;
    return { file, title: story?.title ?? file, complaints: [complaint], refused: 0 };
  }
}

/** The lanes' programs are loaded before any story is told: it takes longer than all of a story. */
async function prepare(box: Sandbox, name: string): Promise<Lane[]> {
  const lanes = ways.map((_, i) => makeLane(box, `${name}-${i}`));
  for (const lane of lanes) {
    lane.give([]);
    lane.start();
    await lane.settled();
    await lane.stop();
  }
  return lanes;
}

async function runAll(files: readonly string[], onResult: (result: Result) => void): Promise<void> {
  const box = makeSandbox();
  try {
    layNetwork(box);
    const queue = [...files];
    const first = await prepare(box, 'a');
    const generation = (first[0] as Lane).open();
    await using asker = await openAsker(box, generation);
    const work = async (lanes: readonly Lane[]) => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) onResult(await tell(file, lanes, asker));
    };
    const more = Array.from({ length: Math.min(AT_A_TIME, files.length) - 1 }, (_, i) => `more${i}`);
    await Promise.all([work(first), ...more.map(async (name) => await work(await prepare(box, name)))]);
  } finally {
    box.close();
  }
}

function show({ file, title, complaints }: Result): void {
  console.log(`${complaints.length === 0 ? '✔' : '✘'} ${file}: ${title}`);
  for (const complaint of complaints) console.log(`  ${complaint.replaceAll('\n', '\n  ')}`);
}

const folder = import.meta.dirname;
const own = () => readdirSync(folder).filter((name) => name.endsWith('.txt'));
const words = process.argv.slice(2).filter((word) => word !== '--json');
const files = words.length > 0 ? words : own().map((name) => join(relative(process.cwd(), folder), name));
const isJson = process.argv.includes('--json');
await runAll(files, (result) => {
  if (isJson) console.log(JSON.stringify(result));
  else show(result);
  if (result.complaints.length > 0) process.exitCode = 1;
});
