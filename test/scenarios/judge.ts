/** Holds what was seen against what a story says. */
import { cellsOf, pick } from './dump.ts';
import type { Expectation, Line, Story } from './story.ts';

/** What becomes of a flow, as stories say it, and why. */
export interface SeenFlow {
  readonly outcome: string;
  readonly reason: string;
}

/** What one replay saw at the end of one step. */
export interface Seen {
  /** By the line of the flow. */
  readonly flows: ReadonlyMap<number, SeenFlow>;
  readonly dumps: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
}

/** What each replay saw, by its name, step by step. */
export type Replays = ReadonlyMap<string, readonly Seen[]>;

/** What must be the same in all of them, whether the story speaks of it or not. */
const common = ['services', 'frontends', 'backends'] as const;

/** 'FILE:LINE (which replays): …' for each thing that is not as the story says, or not the same in all replays. */
export function complaintsOf(story: Story, replays: Replays): string[] {
  const complaints = new Map<string, string[]>();
  for (const [name, seen] of replays) {
    for (const complaint of story.steps.flatMap((step, i) => judgeStep(step.expectations, seen[i] as Seen))) {
      complaints.set(complaint, [...(complaints.get(complaint) ?? []), name]);
    }
  }
  const wrong = [...complaints].map(([complaint, names]) => {
    const [, line = '', words = ''] = /^(\d+) (.*)$/s.exec(complaint) ?? [];
    return `${story.file}:${line} (${names.length === replays.size ? 'in every replay' : names.join(', ')}): ${words}`;
  });
  return [...wrong, ...disagreements(story, replays)];
}

function judgeStep(expectations: readonly Expectation[], seen: Seen): string[] {
  return expectations.flatMap((expectation) => {
    if (expectation.text === 'flows') return judgeFlows(expectation, seen);
    if (expectation.text === 'problems')
      return judgeLines(expectation, 'problems', trimmed(expectation.lines), seen.problems);
    const [head] = expectation.lines;
    const text = seen.dumps[expectation.text] ?? '';
    if (head === undefined) return judgeLines(expectation, expectation.text, [], text.trimEnd().split('\n').slice(1));
    const wanted = expectation.lines.map(({ line, text: row }) => ({
      line,
      text: cellsOf(head.text, row).join('   '),
    }));
    return judgeLines(expectation, `dump ${expectation.text}`, wanted, pick(text, cellsOf(head.text, head.text)));
  });
}

function trimmed(lines: readonly Line[]): Line[] {
  return lines.map(({ line, text }) => ({ line, text: text.trim() }));
}

/** The flow and what is to become of it; backends in the order in which answers have them. */
export function splitFlow({ text }: Line): { flow: string; outcome: string } {
  const [, flow = text.trim(), outcome = ''] = /^\s*(.*?):\s+(.*)$/.exec(text) ?? [];
  const [backends = '', ...rest] = outcome.split(/\s*;\s*/);
  const chosen = backends.split(/\s*,\s*/).sort();
  return { flow: flow.replace(/\s+/g, ' '), outcome: [chosen.join(', '), ...rest].join('; ') };
}

function judgeFlows({ lines }: Expectation, { flows }: Seen): string[] {
  return lines.flatMap((line) => {
    const { flow, outcome } = splitFlow(line);
    const got = flows.get(line.line);
    if (got?.outcome === outcome) return [];
    return [`${line.line} flow ${flow}\n    - ${outcome}\n    + ${got?.outcome}\n      ${got?.reason}`];
  });
}

/** All lines of a block, in a form that shows which are too many and which are missing. */
function judgeLines(block: Expectation, what: string, wanted: readonly Line[], got: readonly string[]): string[] {
  if (wanted.map(({ text }) => text).join('\n') === got.join('\n')) return [];
  const first = wanted.find(({ text }, i) => text !== got[i]) ?? block;
  const left = [...got];
  const diff: string[] = [];
  for (const { text } of wanted) {
    const at = left.indexOf(text);
    if (at < 0) diff.push(`    - ${text}`);
    else diff.push(...left.splice(0, at + 1).map((line, i) => `    ${i === at ? ' ' : '+'} ${line}`));
  }
  return [`${first.line} ${what}\n${[...diff, ...left.map((line) => `    + ${line}`)].join('\n')}`];
}

/** Replays that saw something else than the first one, step by step. */
function disagreements(story: Story, replays: Replays): string[] {
  const [first, ...others] = [...replays];
  if (first === undefined) return [];
  return story.steps.flatMap((step, i) =>
    others.flatMap(([name, seen]) => {
      const [a, b] = [linesOf(first[1][i] as Seen), linesOf(seen[i] as Seen)];
      if (a.join('\n') === b.join('\n')) return [];
      const lost = a.filter((line) => !b.includes(line)).map((line) => `    - ${line}`);
      const more = b.filter((line) => !a.includes(line)).map((line) => `    + ${line}`);
      const where = `${story.file}:${step.line} (${name}): the kernel holds something else than when replayed ${first[0]}`;
      return [[where, ...lost, ...more].join('\n')];
    }),
  );
}

function linesOf({ dumps, problems }: Seen): string[] {
  const dumped = common.flatMap((kind) => `${dumps[kind]}`.trimEnd().split('\n'));
  return [...dumped.map((line) => line.replace(/ {2,}/g, '   ')), ...problems];
}
