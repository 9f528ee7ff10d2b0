/** What was typed makes no sense. The message is the beginning of a sentence for a person. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError';
}

/** Node's timers end at 24 days. */
const LONGEST_SECONDS = 7 * 24 * 3600;

/** '5m' → 300; plain numbers are seconds. Throws a UsageError. */
export function parseSeconds(flag: string, text: string): number {
  const [, digits, unit = 's'] = /^(\d+)(s|m|h)?$/.exec(text) ?? [];
  const seconds = Number(digits) * { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h'];
  if (!(seconds > 0)) throw new UsageError(`${flag} ${text} is not a time such as 30s, 5m or 1h`);
  if (seconds > LONGEST_SECONDS) throw new UsageError(`${flag} ${text} is longer than a week`);
  return seconds;
}

/** 'a=1,b=2' or several of it → pairs. Throws a UsageError. */
export function parsePairs(flag: string, texts: readonly string[]): [name: string, value: string][] {
  return texts
    .flatMap((text) => text.split(','))
    .map((pair) => {
      const [name, value, ...more] = pair.split('=');
      if (!name || !value || more.length > 0) throw new UsageError(`${flag} ${pair} is not NAME=VALUE`);
      return [name, value];
    });
}
