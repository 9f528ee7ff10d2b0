import test from 'ava';
import fc from 'fast-check';
import { checkOf } from './check.ts';

const ipv4Key = '00000000000000000000ffff0a60000100500600';
const ipv6AddressKey = `fd${'00'.repeat(14)}0100000000`;

/** Computed with whole numbers of any size, as bpf/check.h does with 64 bits. */
const vectors: readonly [key: string, value: string, check: number][] = [
  [ipv4Key, '00000000030000000000000000000000efbeadde302a000004000000', 0xc975c11b],
  [ipv6AddressKey, '07000000000000000900000001000000010000000000000001000000', 0x7afcb78d],
  ['ff'.repeat(20), 'ff'.repeat(28), 0x6534ef7f],
  ['00'.repeat(20), '00'.repeat(28), 0],
  ['01000000', '', 0x9e3779b9],
  ['00000000', '01000000', 0xdf442d22],
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

test('checkOf() tells the ports and protocols of a network of addresses apart', (t) => {
  const value = '00'.repeat(28);
  const seen = new Set<number>();
  for (let host = 0; host < 20_000; host++) {
    const address = `${'0'.repeat(20)}ffff0a60${host.toString(16).padStart(4, '0')}`;
    for (const port of ['00350600', '00351100', '00500600', '00501100']) seen.add(checkOf(address + port, value));
  }
  // 80,000 random numbers of 32 bits have one collision on the average
  t.true(seen.size > 80_000 - 8, `${seen.size}`);
});
