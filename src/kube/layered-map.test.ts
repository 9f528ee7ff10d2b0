import test from 'ava';
import fc from 'fast-check';
import { LayeredMap } from './layered-map.ts';

const key = fc.integer({ min: 0, max: 400 }).map(String);
const changes = fc.array(fc.tuple(key, fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined })), {
  maxLength: 300,
});

function changed(map: ReadonlyMap<string, number>, entries: readonly (readonly [string, number | undefined])[]) {
  const next = new Map(map);
  for (const [name, value] of entries) {
    if (value === undefined) next.delete(name);
    else next.set(name, value);
  }
  return next;
}

test('over() is the map with its changes, however many stand on each other', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.nat())), fc.array(changes, { maxLength: 5 }), (first, rounds) => {
      let plain: ReadonlyMap<string, number> = new Map(first);
      let layered = plain;
      for (const round of rounds) {
        const before = { layered, plain };
        plain = changed(plain, round);
        layered = LayeredMap.over(layered, new Map(round));
        t.deepEqual([...layered].sort(), [...plain].sort());
        t.deepEqual([...layered.keys()].sort(), [...plain.keys()].sort());
        t.deepEqual([...layered.values()].sort(), [...plain.values()].sort());
        t.is(layered.size, plain.size);
        const all = new Set([...plain.keys(), ...before.plain.keys()]);
        const differing = [...all].filter((name) => plain.get(name) !== before.plain.get(name)).sort();
        t.deepEqual([...LayeredMap.differing(before.layered, layered)].sort(), differing);
        t.deepEqual([...LayeredMap.differing(layered, before.layered)].sort(), differing);
        t.deepEqual([...before.layered].sort(), [...before.plain].sort(), 'what there was stays');
      }
    }),
  );
});

test('a LayeredMap keeps the order of the map below, and new entries follow', (t) => {
  const below = new Map([...'abc'].map((name, i) => [name, i]));
  const map = LayeredMap.over(
    below,
    new Map([
      ['x', 7],
      ['b', undefined],
      ['a', 5],
    ]),
  );
  t.deepEqual(
    [...map],
    [
      ['a', 5],
      ['c', 2],
      ['x', 7],
    ],
  );
  t.false(map.has('b'));
  const seen: string[] = [];
  map.forEach((value, name) => void seen.push(`${name}${value}`));
  t.deepEqual(seen, ['a5', 'c2', 'x7']);
});
