import test from 'ava';
import fc from 'fast-check';
import { sameValue } from './equality.ts';

for (const [name, a, b, same] of [
  ['equal objects', { a: [1, { b: null }] }, { a: [1, { b: null }] }, true],
  ['fields in another order', { a: 1, b: 2 }, { b: 2, a: 1 }, true],
  ['lists in another order', [1, 2], [2, 1], false],
  ['a longer list', [1], [1, 2], false],
  ['a list and a map', [], {}, false],
  ['a map and a list', {}, [], false],
  ['a field more', { a: 1 }, { a: 1, b: 2 }, false],
  ['another field', { a: undefined }, { b: undefined }, false],
  ['null and a map', null, {}, false],
  [
    'Maps in another order',
    new Map([
      ['a', [1]],
      ['b', [2]],
    ]),
    new Map([
      ['b', [2]],
      ['a', [1]],
    ]),
    true,
  ],
  ['Maps of other values', new Map([['a', [1]]]), new Map([['a', [2]]]), false],
  ['Maps of other keys', new Map([['a', [1]]]), new Map([['b', [1]]]), false],
  ['a Map and an object', new Map(), {}, false],
  ['an object and a Map', {}, new Map(), false],
] as const) {
  test(`sameValue() ${name}: ${same}`, (t) => t.is(sameValue(a, b), same));
}

test('sameValue() of JSON agrees with its text', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      t.true(sameValue(a, structuredClone(a)));
      if (sameValue(a, b)) t.deepEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
    }),
  );
});
