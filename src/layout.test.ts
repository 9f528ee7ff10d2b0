import test from 'ava';
import fc from 'fast-check';
import {
  backend,
  type Codec,
  cidrKey,
  config,
  counterKey,
  flow,
  flowKey,
  frontend,
  frontendKey,
  hook,
  hookName,
  maps,
  reason,
  reasonName,
  segment,
  servicePortName,
  socketKey,
  socketPeer,
  switches,
} from './layout.gen.ts';

const ipv4 = '00000000000000000000ffff0a600001';
const ipv6 = 'fd000000000000000000000000000001';

/** Every codec that a row goes through, by name. */
const codecs = new Map<string, Codec<unknown>>([['config', config as Codec<unknown>]]);
for (const [name, { key, value }] of Object.entries(maps)) {
  if (key.size > 0) codecs.set(`${name} key`, key as Codec<unknown>); // a ring has none
  codecs.set(`${name} value`, value as Codec<unknown>);
}

/** A field inside a value: where it is, and what is there. */
function* fields(value: unknown, path: string[] = []): Generator<{ path: string[]; value: unknown }> {
  if (typeof value !== 'object' || value === null) yield { path, value };
  else for (const [name, inner] of Object.entries(value)) yield* fields(inner, [...path, name]);
}

/** `value` with another thing at `path`. */
function changed(value: unknown, [first, ...rest]: string[], other: unknown): unknown {
  if (first === undefined) return other;
  return { ...(value as object), [first]: changed((value as Record<string, unknown>)[first], rest, other) };
}

const zeroOf = (codec: Codec<unknown>): unknown => codec.decode('00'.repeat(codec.size));
/** An empty string can only be text: hex has a fixed length. */
const hasText = (codec: Codec<unknown>): boolean => [...fields(zeroOf(codec))].some(({ value }) => value === '');

/** Rows of random bytes; with text among them, bytes that are ASCII. */
const rowOf = (codec: Codec<unknown>): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: codec.size, maxLength: codec.size, max: hasText(codec) ? 127 : 255 })
    .map((bytes) => Buffer.from(bytes).toString('hex'));

for (const [name, codec] of codecs) {
  test(`decode() and encode() of ${name} are each other's inverse`, (t) => {
    t.notThrows(() =>
      fc.assert(
        fc.property(rowOf(codec), (row) => {
          const value = codec.decode(row);
          const again = codec.encode(value);
          if (!new RegExp(`^[0-9a-f]{${2 * codec.size}}$`).test(again)) return false;
          return fc.stringify(codec.decode(again)) === fc.stringify(value);
        }),
      ),
    );
  });

  if (!hasText(codec))
    test(`decode() of ${name} loses no bit but those of padding, which encode() clears`, (t) => {
      const padding = codec.encode(codec.decode('ff'.repeat(codec.size)));
      t.regex(padding, /^(ff|00)+$/);
      t.notThrows(() =>
        fc.assert(
          fc.property(rowOf(codec), (row) => {
            const mask = BigInt(`0x${padding}`);
            return BigInt(`0x${codec.encode(codec.decode(row))}`) === (BigInt(`0x${row}`) & mask);
          }),
        ),
      );
    });

  test(`encode() of ${name} refuses, naming the field, what does not fit`, (t) => {
    const zero = zeroOf(codec);
    const wrong: Record<string, unknown[]> = {
      number: [-1, 0.5, Number.NaN, 2 ** 32, undefined],
      bigint: [-1n, 2n ** 64n],
      string: ['0'.repeat(2 * codec.size + 2), 'zz', 'Z'.repeat(12), 'f'.repeat(31)],
      text: ['x'.repeat(65), 'é'.repeat(33), 'a\0', '\ud800'],
    };
    for (const { path, value } of fields(zero)) {
      const field =
        path.at(-1)?.replace(/[A-Z]|\d+$/g, (part) => (/\d/.test(part) ? part : `_${part.toLowerCase()}`)) ?? '';
      for (const other of wrong[value === '' ? 'text' : typeof value] ?? []) {
        const error = t.throws(
          () => codec.encode(changed(zero, path, other)),
          { instanceOf: RangeError },
          String(other),
        );
        t.true(error?.message.includes(`${field}: `), `${field}: ${error?.message}`);
      }
    }
  });

  test(`decode() of ${name} refuses another length and what is no hex`, (t) => {
    const row = '00'.repeat(codec.size);
    for (const wrong of ['', row.slice(2), `${row}00`, row.slice(1), `zz${row.slice(2)}`])
      t.throws(() => codec.decode(wrong), { instanceOf: RangeError });
  });
}

test('encode() after a refused value leaves nothing of it behind', (t) => {
  const good = { address: ipv6, port: 80, protocol: 6 };
  const row = frontendKey.encode(good);
  t.throws(() => frontendKey.encode({ ...good, address: 'f'.repeat(32), protocol: 256 }));
  t.is(frontendKey.encode(good), row);
  const name = { namespace: 'a'.repeat(64), service: 'b', port: '', number: 1, protocol: 6 };
  servicePortName.encode(name);
  t.deepEqual(servicePortName.decode(servicePortName.encode({ ...name, namespace: 'a' })).namespace, 'a');
});

// Written by hand from types.h: offsets, then host order as little-endian, __be16 and __be32 as big-endian.
const vectors: { name: string; encoded: string; bytes: string }[] = [
  {
    name: 'frontend_key',
    encoded: frontendKey.encode({ address: ipv4, port: 0x1234, protocol: 6 }),
    bytes: `${ipv4} 1234 06 00`,
  },
  {
    name: 'frontend',
    encoded: frontend.encode({
      any: { start: 1, count: 2 },
      local: { start: 0x01020304, count: 4 },
      servicePort: 5,
      affinitySeconds: 10800,
      flags: 6,
      scheduler: 7,
      check: 0xfffefdfc,
    }),
    bytes: '01000000 02000000 04030201 04000000 05000000 302a0000 0600 07 00 fcfdfeff',
  },
  { name: 'segment', encoded: segment.encode({ start: 0xffffffff, count: 256 }), bytes: 'ffffffff 00010000' },
  { name: 'backend', encoded: backend.encode({ address: ipv6, port: 8080, flags: 1 }), bytes: `${ipv6} 1f90 01 00` },
  {
    name: 'service_port_name',
    encoded: servicePortName.encode({ namespace: 'a', service: 'bé', port: '', number: 53, protocol: 17 }),
    bytes: `61${'00'.repeat(63)} 62c3a9${'00'.repeat(61)} ${'00'.repeat(64)} 0035 11 00`,
  },
  { name: 'cidr_key', encoded: cidrKey.encode({ prefixLength: 108, address: ipv4 }), bytes: `6c000000 ${ipv4}` },
  {
    name: 'switches',
    encoded: switches.encode({ nodeIpv4: ipv4, nodeIpv6: ipv6, podsAtTc: 1, hasRemovedBackends: 2 }),
    bytes: `${ipv4} ${ipv6} 01 02 0000`,
  },
  {
    name: 'flow_key',
    encoded: flowKey.encode({
      source: ipv4,
      destination: ipv6,
      sourcePort: 40000,
      destinationPort: 443,
      protocol: 6,
      hook: 2,
      device: 0x1234,
    }),
    bytes: `${ipv4} ${ipv6} 9c40 01bb 06 02 3412`,
  },
  {
    name: 'flow',
    encoded: flow.encode({
      source: ipv4,
      destination: ipv6,
      sourcePort: 1,
      destinationPort: 2,
      servicePort: 3,
      state: 4,
      flags: 5,
      nextHop: '020000000001',
      check: 6,
      seen: 7,
    }),
    bytes: `${ipv4} ${ipv6} 0001 0002 03000000 04 05 020000000001 06000000 07000000`,
  },
  {
    name: 'socket_key',
    encoded: socketKey.encode({ cookie: 0x0102030405060708n, address: ipv4, port: 53, protocol: 17 }),
    bytes: `0807060504030201 ${ipv4} 0035 11 00 00000000`,
  },
  {
    name: 'socket_peer',
    encoded: socketPeer.encode({ address: ipv4, port: 53, servicePort: 1, seen: 2, check: 3 }),
    bytes: `${ipv4} 0035 0000 01000000 02000000 03000000`,
  },
  { name: 'counter_key', encoded: counterKey.encode({ servicePort: 1, reason: 16 }), bytes: '01000000 10000000' },
];

for (const { name, encoded, bytes } of vectors)
  test(`encode() of ${name} gives the bytes that C has there`, (t) => {
    t.is(encoded, bytes.replaceAll(' ', ''));
  });

test('maps: sizes are those of the codecs', (t) => {
  for (const [name, map] of Object.entries(maps)) {
    t.is(map.keySize, map.key.size, name);
    t.is(map.valueSize, map.value.size, name);
    t.regex(map.layout, /^[0-9a-f]{8}$/);
  }
  t.is(maps.flows.layout, maps.half_open.layout, 'rows move from one to the other');
});

test('reasonName() and hookName() name each number once, and those of another version as unknown', (t) => {
  for (const [name, value] of Object.entries(reason)) t.is(reasonName(value), name);
  for (const [name, value] of Object.entries(hook)) t.is(hookName(value), name);
  t.is(reasonName(0), 'unknown_0');
  t.is(reasonName(9999), 'unknown_9999');
});
