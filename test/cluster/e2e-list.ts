/** Which of upstream's tests run, and why others do not: e2e-tests.txt. Pure. */

export interface TestList {
  readonly parts: readonly TestPart[];
  readonly skips: readonly SkipRule[];
}

export interface TestPart {
  readonly name: string;
  readonly about: string;
  /** Whole names, without the `[sig-network]` before them. */
  readonly tests: readonly string[];
}

export interface SkipRule {
  readonly reason: string;
  readonly tests: RegExp;
}

/** Throws for a line that is no part of a list, and for a test that stands in two parts. */
export function parseTestList(text: string): TestList {
  const parts: { name: string; about: string; tests: string[] }[] = [];
  const skips: SkipRule[] = [];
  let areSkips = false;
  for (const line of text.split('\n').filter((candidate) => candidate !== '' && !candidate.startsWith('# '))) {
    const [, name, about] = /^## (\w+)(?:: (.*))?$/.exec(line) ?? [];
    if (name !== undefined) {
      areSkips = name === 'skipped';
      if (!areSkips) parts.push({ name, about: about ?? '', tests: [] });
    } else if (areSkips) {
      const [, reason, pattern] = /^(.*?): (.*)$/.exec(line) ?? [];
      if (reason === undefined || pattern === undefined) throw new SyntaxError(`no REASON: PATTERN: ${line}`);
      skips.push({ reason, tests: new RegExp(pattern) });
    } else {
      const part = parts.at(-1);
      if (part === undefined) throw new SyntaxError(`before the first part: ${line}`);
      if (parts.some(({ tests }) => tests.includes(line))) throw new SyntaxError(`twice: ${line}`);
      part.tests.push(line);
    }
  }
  return { parts, skips };
}

/** For ginkgo's --focus: these tests and no other. */
export function focusOn(tests: readonly string[]): string {
  const escaped = tests.map((test) => test.replace(/[\][().*+?^${}|\\]/g, '\\$&'));
  return `\\[sig-network\\] (${escaped.join('|')})$`;
}

export interface Outcome {
  readonly test: string;
  readonly result: 'passed' | 'failed' | 'skipped';
  readonly seconds: number;
  /** Of what did not pass. */
  readonly reason: string;
}

/** Reads ginkgo's JUnit report: one for each test of ours that was chosen. */
export function parseReport(xml: string): Outcome[] {
  const outcomes: Outcome[] = [];
  for (const [, attributes = '', body = ''] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    const value = (name: string): string => plain(new RegExp(`(?:^| )${name}="([^"]*)"`).exec(attributes)?.[1] ?? '');
    const [, test] = /^\[It\] \[sig-network\] (.*)$/.exec(value('name')) ?? [];
    const [, message] = /<(?:failure|error|skipped)[^>]* message="([^"]*)"/.exec(body) ?? [];
    const reason = plain(message ?? '').replace(/^skipped - /, '');
    // what was not chosen is 'skipped' without a word, what skipped itself says why
    const isSkipped = /<skipped/.test(body);
    if (test === undefined || (isSkipped && /^(skipped)?$/.test(reason))) continue;
    const result = isSkipped ? 'skipped' : /<(failure|error)/.test(body) ? 'failed' : 'passed';
    outcomes.push({ test: test.trim(), result, seconds: Number(value('time')), reason: reason.split('\n')[0] ?? '' });
  }
  return outcomes;
}

/** Every test of upstream's `[sig-network]`, chosen or not. */
export function testsOf(xml: string): string[] {
  return [...xml.matchAll(/<testcase name="\[It\] \[sig-network\] ([^"]*)"/g)].map(([, name]) =>
    plain(name ?? '').trim(),
  );
}

function plain(text: string): string {
  const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
  return text.replace(/&(?:#(\d+)|#x([0-9A-Fa-f]+)|(\w+));/g, (whole, decimal, hex, name) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return hex === undefined ? (named[name] ?? whole) : String.fromCodePoint(Number.parseInt(hex, 16));
  });
}
