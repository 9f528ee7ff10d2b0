/** What a person sees of the demo. Colours only on a terminal. */
import process from 'node:process';

const colourful = process.stdout.isTTY === true && !process.env.NO_COLOR;

function paint(code: string): (text: string) => string {
  return (text) => (colourful ? `\x1b[${code}m${text}\x1b[0m` : text);
}

const [bold, dim, green, red, cyan] = [paint('1'), paint('2'), paint('32'), paint('31'), paint('36')] as const;

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

let acts = 0;

export function act(title: string): void {
  acts += 1;
  print(`\n${bold(`${acts}  ${title}`)}`);
}

/** A sentence of the story. */
export function tell(text: string): void {
  print(`   ${text}`);
}

/** A command, as one would type it, and lines of what it prints. */
export function show(command: string, output = ''): void {
  print(`   ${dim('$')} ${cyan(command)}`);
  for (const line of output.trimEnd().split('\n')) if (output !== '') print(`     ${line.trimEnd()}`);
}

export function quote(text: string): void {
  for (const line of text.trimEnd().split('\n')) print(`     ${dim('│')} ${line}`);
}

/** A bar for each who answered. */
export function tally(answers: Readonly<Record<string, number>>): void {
  const most = Math.max(...Object.values(answers));
  for (const [who, times] of Object.entries(answers).sort(([a], [b]) => a.localeCompare(b))) {
    print(`     ${who.padEnd(8)}${green('█'.repeat(Math.max(1, Math.round((times / most) * 32))))} ${times}`);
  }
}

/** Something that the demo promised did not happen. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise';
}

/** Says that it is so; throws if it is not. `found` is what was seen instead, for whoever looks for the cause. */
export function promise(what: string, isSo: boolean, found: unknown): void {
  if (!isSo) throw new BrokenPromise(`${what}: no, but ${JSON.stringify(found)}`);
  print(`   ${green('✓')} ${what}`);
}

export function lament(error: unknown): void {
  const text = error instanceof BrokenPromise ? error.message : ((error as Error).stack ?? String(error));
  process.stderr.write(`\n   ${red('✗')} ${text}\n`);
}
