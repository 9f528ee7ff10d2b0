/** Whatever options, extension headers, lengths and damage: what is translated is right, what is not is as it came. */
import anyTest from 'ava';
import fc from 'fast-check';
import { build } from '../test/netns/build.ts';
import { faults, transportChecksum } from '../test/netns/checksum.ts';
import { craft, type Wanted } from '../test/netns/craft.ts';
import { addressBytes, type Extension, type Packet } from '../test/netns/header.ts';
import { parse } from '../test/netns/packet.ts';
import { cut, join } from '../test/netns/pieces.ts';
import { type Cast, casts } from './cast.ts';
import { loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { back, packet, type Way } from './way.ts';

const test = anyTest.serial;
const ETHERNET = 14;
const MOST_EXTENSIONS = 6;
let programs: Programs;

test.before(async () => {
  programs = await loadPrograms('tc', { flows: 65_536, half_open: 65_536, backends: 64, fragments: 1024 });
  for (const { vip, backend, other } of casts) {
    for (const protocol of [TCP, UDP]) {
      programs.serve({ address: vip, port: 80, protocol, servicePort: protocol, any: [backend] });
      programs.serve({ address: other, port: 80, protocol, servicePort: 99, any: [] });
    }
  }
});
test.after.always(() => programs?.[Symbol.dispose]());

function run(program: string, frame: Buffer): { retval: number; bytes: Buffer } {
  const { retval, data } = programs.run(program, frame);
  return { retval, bytes: Buffer.from(data) };
}

const bytes = (most: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: most }).map((one) => Buffer.from(one));

/** Header bodies: the length byte, and then anything. */
const extension: fc.Arbitrary<Extension> = fc
  .record({
    type: fc.constantFrom(0, 43, 60, 60, 44, 51, 135),
    units: fc.integer({ min: 0, max: 4 }),
    fill: fc.nat(255),
  })
  .map(({ type, units, fill }) => {
    if (type === 44) return { type, next: 0, data: '00'.concat('0000', '12345678') };
    const body = Buffer.alloc(8 * (units + 1) - 1, fill);
    body[0] = units;
    if (type === 43) body[2] = fill & 1;
    return { type, next: 0, data: body.subarray(0, type === 51 ? 4 * (units + 2) - 1 : undefined).toString('hex') };
  });

interface World {
  readonly cast: Cast;
  readonly protocol: number;
  readonly sport: number;
  readonly payload: Buffer;
  readonly options: string;
  readonly extensions: readonly Extension[];
}

const worlds: fc.Arbitrary<World> = fc.record({
  cast: fc.constantFrom(...casts),
  protocol: fc.constantFrom(TCP, UDP),
  sport: fc.integer({ min: 1, max: 65_535 }),
  payload: bytes(1400),
  options: fc
    .nat(10)
    .chain((words) => fc.uint8Array({ minLength: 4 * words, maxLength: 4 * words }))
    .map((one) => Buffer.from(one).toString('hex')),
  extensions: fc.array(extension, { maxLength: 8 }),
});

function wayOf({ cast, sport }: World): Way {
  return { source: cast.client, sport, destination: cast.vip, dport: 80 };
}

function frameOf(world: World, way: Way, flags = 'S'): Buffer {
  const { cast, options, extensions, payload, protocol } = world;
  const ip = (cast.family === 'IPv4' ? { options } : { extensions }) as unknown as Wanted['ip'];
  const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;
  const [source, destination] = way.source === cast.client ? macs : [macs[1], macs[0]];
  return packet(protocol, way, { ip, payload, flags, ethernet: { source, destination } });
}

/** By the rules in words, of which the program knows nothing. */
function isOurs({ cast, extensions }: World): boolean {
  if (cast.family === 'IPv4') return true;
  const known = ({ type, data }: Extension) =>
    type === 0 || type === 60 || type === 44 || (type === 43 && data.slice(4, 6) === '00');
  return extensions.length <= MOST_EXTENSIONS && extensions.every(known);
}

/** The same packet with another tuple, its checksum computed anew. */
function withTuple(frame: Buffer, way: Way): Buffer {
  const { ip, transport, ...rest } = parse(frame);
  if (ip === null || (transport.kind !== 'tcp' && transport.kind !== 'udp')) throw new Error('no tuple');
  const wanted: Wanted = {
    ...rest,
    ethernet: rest.ethernet ?? {},
    ip: { ...ip, source: way.source, destination: way.destination } as Wanted['ip'],
    [transport.kind]: { ...transport, sourcePort: way.sport, destinationPort: way.dport, checksum: undefined },
  };
  const next: Packet = parse(
    craft({ ...wanted, ip: { ...wanted.ip, ...(ip.version === 4 && { checksum: undefined }) } as Wanted['ip'] }),
  );
  return build({ ...next, transport: { ...next.transport, checksum: transportChecksum(next) } as Packet['transport'] });
}

test('a packet with any options or extension headers becomes its backend’s, or stays as it is', (t) => {
  fc.assert(
    fc.property(worlds, (world) => {
      const way = wayOf(world);
      const [destination, dport] = world.cast.backend;
      const there = { ...way, destination, dport };
      const frame = frameOf(world, way);
      const out = run('from_pod', frame);
      t.is(out.retval, verdict.unspec);
      if (!isOurs(world)) return t.deepEqual(out.bytes, frame);
      t.deepEqual(faults(parse(out.bytes)), []);
      t.deepEqual(out.bytes, withTuple(frame, there));
      const answer = frameOf(world, back(there), 'AS');
      t.deepEqual(run('to_pod', answer).bytes, withTuple(answer, back(way)));
    }),
    { numRuns: 500 },
  );
});

test('a datagram in pieces of any size, behind any headers, arrives whole', (t) => {
  const sizes = fc.integer({ min: 3, max: 60 }).map((n) => n * 8);
  const payloads = fc.uint8Array({ minLength: 500, maxLength: 1400 }).map((one) => Buffer.from(one));
  fc.assert(
    fc.property(worlds, payloads, sizes, fc.nat(0xffff), (anyWorld, payload, size, id) => {
      const world = { ...anyWorld, payload };
      const extensions = world.extensions.filter(({ type }) => type === 0 || type === 60).slice(0, 5);
      const plain = { ...world, extensions };
      const frame = frameOf(plain, wayOf(plain));
      const pieces = cut(frame, size, id).map((piece) => run('from_pod', piece).bytes);
      const [destination, dport] = world.cast.backend;
      t.true(pieces.length > 1);
      const joined = join(pieces);
      t.deepEqual(faults(joined), []);
      t.like(joined.ip, { destination });
      t.like(joined.transport, { destinationPort: dport, sourcePort: world.sport });
      t.deepEqual(joined.payload, world.payload);
    }),
    { numRuns: 300 },
  );
});

test('an ICMP error that quotes anything has a right checksum afterwards, and never speaks of the backend to the client', (t) => {
  const kinds = fc.constantFrom([3, 1], [3, 1], [11, 3], [12, 4], [5, 137], [0, 129]);
  const flips = fc.array(fc.record({ at: fc.nat(200), to: fc.nat(255) }), { maxLength: 2 });
  let translated = 0;
  fc.assert(
    fc.property(worlds, kinds, fc.nat(1200), flips, fc.nat(0xffff), (world, kind, length, damage, rest) => {
      const { cast } = world;
      const way = wayOf(world);
      const { bytes: sent } = run('from_pod', frameOf(world, way));
      const quote = Buffer.from(sent.subarray(ETHERNET, ETHERNET + length));
      for (const { at, to } of damage) if (at < quote.length) quote[at] = to;
      const type = kind[cast.family === 'IPv4' ? 0 : 1] as number;
      const error = craft({
        ip: { source: cast.router, destination: cast.client },
        icmp: { type, rest },
        payload: quote,
      });
      const out = run('to_pod', error);
      t.is(out.retval, verdict.unspec);
      t.deepEqual(faults(parse(out.bytes)), []);
      if (out.bytes.equals(error)) return;
      translated += 1;
      const { payload } = parse(out.bytes);
      t.is(payload.length, quote.length);
      const at = cast.family === 'IPv4' ? 16 : 24;
      t.deepEqual(payload.subarray(at, at + addressBytes(cast.vip).length), addressBytes(cast.vip));
    }),
    { numRuns: 600 },
  );
  t.true(translated > 100, `${translated}`);
});

test('what is rejected is answered with a right packet that quotes it', (t) => {
  fc.assert(
    fc.property(worlds, (world) => {
      const { cast, protocol } = world;
      const frame = frameOf(world, { ...wayOf(world), destination: cast.other });
      const out = run('from_pod', frame);
      if (!isOurs(world)) return t.deepEqual(out.bytes, frame);
      if (out.retval === verdict.shot) return; // headers too long
      t.is(out.retval, verdict.redirect);
      const answer = parse(out.bytes);
      t.deepEqual(faults(answer), []);
      t.like(answer.ip, { source: cast.other, destination: cast.client });
      if (protocol === UDP) t.deepEqual(answer.payload, frame.subarray(ETHERNET, ETHERNET + answer.payload.length));
      else t.like(answer.transport, { acknowledgement: 1001 + world.payload.length });
    }),
    { numRuns: 400 },
  );
});

test('frames cut off and damaged anywhere are passed, translated, answered or dropped, and nothing else', (t) => {
  const flips = fc.array(fc.record({ at: fc.nat(160), to: fc.nat(255) }), { maxLength: 6 });
  const verdicts: readonly number[] = [verdict.unspec, verdict.shot, verdict.redirect];
  fc.assert(
    fc.property(worlds, flips, fc.nat(1500), fc.nat(400), (world, damage, length, size) => {
      const frame = frameOf(world, wayOf(world));
      for (const { at, to } of damage) if (at < frame.length && at >= ETHERNET) frame[at] = to;
      const short = frame.subarray(0, Math.max(ETHERNET + 40, length)); // less is refused by test runs;
      for (const program of ['from_pod', 'to_pod']) {
        t.true(verdicts.includes(run(program, short).retval));
        t.true(verdicts.includes(run(program, frame).retval));
      }
      t.true(size >= 0);
    }),
    { numRuns: 500 },
  );
});
