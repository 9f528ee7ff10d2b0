import type { Finding } from './finding.ts';

/** What became of one kernel, gathered from the lines of its guest. A program that loads is a test that passed. */
export class Report {
  readonly series: string;
  release = '';
  passed = 0;
  failed = 0;
  /** Verifier steps of each program that loaded. */
  readonly instructions: Map<string, number> = new Map<string, number>();
  readonly missing: string[] = [];
  /** For people: each failure with its detail. */
  readonly troubles: string[] = [];
  /** How long each call of ava took in there. */
  readonly suites: string[] = [];
  seconds = 0;
  readonly #started = performance.now();
  #ended = false;
  #inFailure = false;
  #inSuite = 0;

  constructor(series: string) {
    this.series = series;
  }

  /** One line of the guest: a finding, a line of TAP, or something that went wrong before there were any. */
  take(line: string): void {
    if (line.startsWith('{"kind":')) {
      this.#inFailure = false;
      this.#takeFinding(JSON.parse(line) as Finding);
      return;
    }
    const result = /^(not )?ok \d+(?!.*# SKIP)/.exec(line);
    if (result !== null) {
      this.#inSuite += 1;
      this.#inFailure = result[1] !== undefined;
      if (this.#inFailure) this.failed += 1;
      else this.passed += 1;
    }
    const plain = /^(ok |TAP version|# |1\.\.\d|\s*$)/.test(line);
    if (this.#inFailure || (this.#inSuite === 0 && !plain)) this.troubles.push(line);
  }

  fail(reason: string): void {
    this.failed += 1;
    this.troubles.push(...reason.split('\n'));
    this.#stop();
  }

  /** To be called when the guest is gone. */
  end(): void {
    if (!this.#ended) this.fail('the guest stopped before its end');
    this.#stop();
  }

  #stop(): void {
    this.seconds = Math.round((performance.now() - this.#started) / 1000);
  }

  #takeFinding(finding: Finding): void {
    switch (finding.kind) {
      case 'kernel':
        this.release = finding.release;
        break;
      case 'missing':
        this.missing.push(finding.name);
        break;
      case 'program':
        this.passed += 1;
        this.instructions.set(finding.name, finding.instructions);
        break;
      case 'refused':
        this.fail(`${finding.name} does not load: ${finding.reason}`);
        break;
      case 'suite':
        if (this.#inSuite === 0) this.fail(`no test ran in ${finding.name}`);
        else if (finding.code !== 0 && this.failed === 0)
          this.fail(`ava ended with ${finding.code} in ${finding.name}`);
        this.suites.push(`${finding.name}: ${this.#inSuite} in ${finding.seconds} s`);
        this.#inSuite = 0;
        break;
      case 'end':
        this.#ended = true;
        break;
    }
  }
}
