import type { Change, FactChange } from '../difference.ts';

const signs = { added: '+', removed: '-', changed: '~' } as const;

/** A line a place, and below it what differs there. */
export function differenceText(changes: readonly Change[]): string {
  if (changes.length === 0) return 'no difference\n';
  return `${changes.map(changeText).join('\n')}\n`;
}

function changeText({ change, service, place, facts }: Change): string {
  const line = `${signs[change]} ${service === '' ? 'node' : service}  ${place}`;
  return [line, ...facts.map((fact) => `    ${factText(change, fact)}`)].join('\n');
}

/** 'backends -10.0.0.1:80 +10.0.0.2:80' */
export function factText(change: Change['change'], { fact, added, removed }: FactChange): string {
  if (change !== 'changed') return `${fact} ${[...added, ...removed].join(', ')}`;
  return `${fact} ${[...removed.map((one) => `-${one}`), ...added.map((one) => `+${one}`)].join(' ')}`;
}
