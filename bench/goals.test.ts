import test from 'ava';
import { goals, judge } from './goals.ts';
import { quantile, type Rounds, ratio } from './statistics.ts';

const names = [...new Set(goals.flatMap(({ variant, base }) => [variant, base]))];
/** Every variant takes 100, but those that are given otherwise. */
function rounds(slower: Readonly<Record<string, readonly number[]>> = {}): Rounds {
  return new Map(
    names.map((name) => [name, { rr: slower[name] ?? [100, 100, 100], connect: slower[name] ?? [100, 100, 100] }]),
  );
}

test('quantile() lies between neighbours, whatever the order', (t) => {
  t.is(quantile([3, 1, 2], 0.5), 2);
  t.is(quantile([4, 1, 3, 2], 0.5), 2.5);
  t.is(quantile([10, 20], 0.25), 12.5);
  t.is(quantile([], 0.5), Number.NaN);
});

test('ratio() compares within a round, so that a slow round for all changes nothing', (t) => {
  const one = rounds({ direct: [100, 1000, 100], 'tc@10k': [200, 2000, 200] });
  t.deepEqual(ratio(one, 'rr', 'tc@10k', 'direct'), { median: 0.5, quartiles: [0.5, 0.5] });
  t.throws(() => ratio(one, 'rr', 'nothing', 'direct'), { message: 'no variant nothing' });
});

test('judge() tells reached, above the floor and below it, to three digits', (t) => {
  const verdict = (slow: number): string | undefined =>
    judge(rounds({ 'tc@10k': [slow, slow, slow] })).find(({ what }) => what === 'RR, tc to direct')?.verdict;
  t.is(verdict(100 / 0.9596), 'reached');
  t.is(verdict(100 / 0.9594), 'above the floor');
  t.is(verdict(100 / 0.9297), 'above the floor');
  t.is(verdict(100 / 0.9294), 'below the floor');
});
