import pino, { type Logger } from 'pino';

export type LogFormat = 'text' | 'json';

export interface LogOptions {
  readonly format: LogFormat;
  /** Also what is of interest only to somebody who looks for a fault. */
  readonly verbose: boolean;
  readonly colours: boolean;
}

/** A logger that writes to standard error, a line each. */
export function makeLog({ format, verbose, colours }: LogOptions): Logger {
  const level = verbose ? 'debug' : 'info';
  const base = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const sink = pino.destination({ dest: 2, sync: true });
  if (format === 'json') return pino({ ...base, formatters: { level: (label) => ({ level: label }) } }, sink);
  return pino(base, { write: (line: string) => sink.write(toText(line, colours)) });
}

interface Line {
  readonly level: number;
  readonly time: string;
  readonly msg?: string;
  readonly err?: { readonly message: string; readonly stack?: string };
}

const levels: Record<number, { name: string; colour: string }> = {
  20: { name: 'debug', colour: '\x1b[2m' },
  30: { name: 'info ', colour: '\x1b[32m' },
  40: { name: 'warn ', colour: '\x1b[33m' },
  50: { name: 'error', colour: '\x1b[31m' },
  60: { name: 'fatal', colour: '\x1b[31m' },
};

function toText(json: string, colours: boolean): string {
  const line = JSON.parse(json) as Line;
  const { name, colour } = levels[line.level] ?? { name: String(line.level), colour: '' };
  const label = colours ? `${colour}${name}\x1b[0m` : name;
  const cause = line.err === undefined ? '' : `: ${line.level >= 60 ? line.err.stack : line.err.message}`;
  return `${line.time.slice(11, 23)} ${label} ${line.msg ?? ''}${cause}\n`;
}
