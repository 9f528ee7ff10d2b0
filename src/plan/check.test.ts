import test from 'ava';
import fc from 'fast-check';
import { checkOf } from './check.ts';

const ipv4Key = '00000000000000000000ffff0a60000100500600';
const ipv6AddressKey = `fd${'00'.repeat(14)}0100000000`;

/** Computed by bpf/check.h, compiled for this machine. */
const vectors: readonly [key: string, value: string, check: number][] = [
  [ipv4Key, '00000000030000000000000000000000efbeadde302a000004000000', 0xb5c5bb9b],
  [ipv6AddressKey, '07000000000000000900000001000000010000000000000001000000', 0x75eea638],
  ['ff'.repeat(20), 'ff'.repeat(28), 0x14b50dc2],
  ['00'.repeat(20), '00'.repeat(28), 0],
  ['01000000', '', 1],
  ['00000000', '01000000', 0x01000393],
];

for (const [key, value, check] of vectors) {
  test(`checkOf() of ${key} ${value} is 0x${check.toString(16)}`, (t) => {
    t.is(checkOf(key, value), check);
  });
}

test('checkOf() refuses what is not whole words of hex', (t) => {
  t.throws(() => checkOf('00', ''), { instanceOf: RangeError });
  t.throws(() => checkOf('0000000', ''), { instanceOf: RangeError });
  t.throws(() => checkOf('zz000000', ''), { instanceOf: RangeError });
  t.throws(() => checkOf('00'.repeat(260), ''), { instanceOf: RangeError });
});

test('checkOf() changes with any one byte of a row', (t) => {
  const row = fc.uint8Array({ minLength: 48, maxLength: 48 });
  fc.assert(
    fc.property(row, fc.nat(47), fc.integer({ min: 1, max: 255 }), (bytes, at, flip) => {
      const before = Buffer.from(bytes).toString('hex');
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ flip;
      t.not(checkOf(before, ''), checkOf(changed.toString('hex'), ''));
    }),
  );
});
