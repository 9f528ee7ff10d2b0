import anyTest, { type ExecutionContext } from 'ava';
import { addressToHex } from '../src/model/address.ts';
import { faults } from '../test/netns/checksum.ts';
import type { Extension } from '../test/netns/header.ts';
import { parse } from '../test/netns/packet.ts';
import { cut, join, piece } from '../test/netns/pieces.ts';
import { type Cast, casts } from './cast.ts';
import { loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
let programs: Programs;
let lastPort = 4000;

test.before(async () => {
  programs = await loadPrograms('tc', { flows: 4096, half_open: 4096, backends: 64, fragments: 1024 });
  for (const { vip: address, backend } of casts) {
    for (const protocol of [TCP, UDP])
      programs.serve({ address, port: 80, protocol, servicePort: protocol, any: [backend] });
  }
});
test.after.always(() => programs?.[Symbol.dispose]());

/** The client's own port each time, so that no test meets another one's flows. */
function fresh({ client, vip }: Cast): Way {
  lastPort += 1;
  return { source: client, sport: lastPort, destination: vip, dport: 80 };
}

function translated({ backend: [destination, dport] }: Cast, way: Way): Way {
  return { ...way, destination, dport };
}

const payload = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 251));

/** Each piece through a program; all must go on. */
function pass(t: ExecutionContext, program: string, pieces: readonly Buffer[]): Buffer[] {
  return pieces.map((frame) => {
    const { retval, bytes } = send(t, programs, program, frame);
    t.is(retval, verdict.unspec);
    return bytes;
  });
}

/** The datagram that the pieces make is right and whole. */
function whole(t: ExecutionContext, pieces: readonly Buffer[]): Way {
  const joined = join(pieces);
  t.deepEqual(faults(joined), []);
  t.deepEqual(joined.payload, payload);
  return wayOf(joined);
}

async function rows(): Promise<number> {
  let sum = 0;
  for await (const { count } of programs.map('fragments').entries()) sum += count;
  return sum;
}

for (const cast of casts) {
  const { family, client, vip, other } = cast;

  test(`a UDP datagram in pieces over ${family} goes to the backend as a whole, and so does the answer to the client`, (t) => {
    const way = fresh(cast);
    const there = pass(t, 'from_pod', cut(packet(UDP, way, { payload }), 1480, 77));
    t.is(there.length, 3);
    t.deepEqual(whole(t, there), translated(cast, way));
    const again = pass(t, 'to_pod', cut(packet(UDP, back(translated(cast, way)), { payload }), 1448, 99));
    t.deepEqual(whole(t, again), back(way));
  });

  test(`nothing but addresses, ports and checksums changes in a piece over ${family}`, (t) => {
    const pieces = cut(packet(UDP, fresh(cast), { payload }), 1480, 78);
    const [first, ...later] = pass(t, 'from_pod', pieces) as [Buffer, ...Buffer[]];
    for (const [i, out] of later.entries()) {
      const before = parse(pieces[i + 1] as Buffer);
      const { ip } = parse(out);
      const same = { source: client, destination: cast.backend[0] };
      t.deepEqual({ ...ip, checksum: 0 }, { ...before.ip, ...same, checksum: 0 } as typeof ip);
      t.deepEqual(parse(out).payload, before.payload);
    }
    t.deepEqual(parse(first).payload, parse(pieces[0] as Buffer).payload);
  });

  test(`a TCP segment in pieces over ${family} stays on its connection`, (t) => {
    const way = fresh(cast);
    const there = wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out);
    send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'AS' }));
    const segment = cut(packet(TCP, way, { flags: 'AP', payload }), 1480, 80);
    t.deepEqual(whole(t, pass(t, 'from_pod', segment)), translated(cast, way));
    const answer = cut(packet(TCP, back(there), { flags: 'AP', payload }), 1480, 81);
    t.deepEqual(whole(t, pass(t, 'to_pod', answer)), back(way));
  });

  test(`a later piece over ${family} that comes before its first one is dropped if it is for a Service`, (t) => {
    const before = programs.count(UDP, 'drop_fragment_unknown');
    const late = cut(packet(UDP, fresh(cast), { payload }), 1480, 82)[1] as Buffer;
    const unknown = programs.count(UDP, 'drop_fragment_unknown') + programs.count(TCP, 'drop_fragment_unknown');
    t.is(programs.run('from_pod', late).retval, verdict.shot);
    const after = programs.count(UDP, 'drop_fragment_unknown') + programs.count(TCP, 'drop_fragment_unknown');
    t.is(after, unknown + 1n);
    t.true(after > before);
    const tcp = cut(packet(TCP, fresh(cast), { payload, flags: 'A' }), 1480, 82)[1] as Buffer;
    const left = send(t, programs, 'from_pod', tcp);
    t.is(left.retval, verdict.unspec, 'TCP may be another proxy’s');
    t.deepEqual(left.bytes, tcp);
    const direct = cut(packet(UDP, { ...fresh(cast), destination: other }, { payload }), 1480, 82)[1] as Buffer;
    const passed = send(t, programs, 'from_pod', direct);
    t.is(passed.retval, verdict.unspec);
    t.deepEqual(passed.bytes, direct);
    const reply = cut(packet(UDP, back(fresh(cast)), { payload }), 1480, 82)[1] as Buffer;
    t.deepEqual(send(t, programs, 'to_pod', reply).bytes, reply);
  });

  test(`pieces over ${family} of what is not ours are neither touched nor remembered`, async (t) => {
    const before = await rows();
    for (const protocol of [UDP, TCP]) {
      const pieces = cut(packet(protocol, { ...fresh(cast), destination: other }, { payload, flags: 'A' }), 1480, 83);
      for (const program of ['from_pod', 'to_pod']) t.deepEqual(pass(t, program, pieces), pieces);
    }
    t.is(await rows(), before);
  });

  test(`a later piece over ${family} belongs to its own source, identification and protocol`, (t) => {
    const way = fresh(cast);
    const [first, later] = cut(packet(UDP, way, { payload }), 1480, 84) as [Buffer, Buffer];
    t.is(send(t, programs, 'from_pod', first).retval, verdict.unspec);
    const strangers = [
      cut(packet(UDP, way, { payload }), 1480, 85)[1],
      cut(packet(UDP, { ...way, source: other }, { payload }), 1480, 84)[1],
    ];
    for (const stranger of strangers) t.is(programs.run('from_pod', stranger as Buffer).retval, verdict.shot);
    const tcp = cut(packet(TCP, way, { payload }), 1480, 84)[1] as Buffer;
    t.deepEqual(send(t, programs, 'from_pod', tcp).bytes, tcp);
    t.is(parse(pass(t, 'from_pod', [later])[0] as Buffer).ip?.destination, cast.backend[0]);
  });

  test(`a later piece over ${family} whose flow is gone is not ours`, async (t) => {
    const way = fresh(cast);
    const [first, later] = cut(packet(UDP, way, { payload }), 1480, 86) as [Buffer, Buffer];
    pass(t, 'from_pod', [first]);
    for (const { key } of await programs.flows('half_open')) {
      if (key.sourcePort === way.sport || key.destinationPort === way.sport) programs.dropFlow('half_open', key);
    }
    t.deepEqual(send(t, programs, 'from_pod', later).bytes, later);
  });

  test(`pieces over ${family} to a Service without endpoints: the first is answered, a later one is not`, (t) => {
    const address = family === 'IPv4' ? '10.96.0.9' : 'fd00:96::9';
    const nobody = family === 'IPv4' ? 94 : 96;
    programs.serve({ address, port: 80, protocol: UDP, servicePort: nobody, any: [] });
    const [first, later] = cut(packet(UDP, { ...fresh(cast), destination: address }, { payload }), 1480, 87);
    t.is(programs.run('from_pod', later as Buffer).retval, verdict.shot);
    t.is(send(t, programs, 'from_pod', first as Buffer).retval, verdict.redirect);
    t.is(programs.run('from_pod', later as Buffer).retval, verdict.shot);
    t.is(programs.count(nobody, 'reject_no_endpoint'), 1n);
    t.is(programs.count(nobody, 'drop_fragment_unknown'), 2n);
  });

  test(`${family} rows of pieces hold what a person expects to read`, async (t) => {
    const way = fresh(cast);
    pass(t, 'from_pod', cut(packet(UDP, way, { payload }), 1480, 4711));
    const { maps, hook } = await import('../src/layout.gen.ts');
    const { key, value } = maps.fragments;
    const wanted = { source: addressToHex(client), destination: addressToHex(vip), id: 4711, protocol: UDP };
    const row = programs
      .map('fragments')
      .lookup(Buffer.from(key.encode({ ...wanted, hook: hook.from_pod, device: 1 }), 'hex'));
    t.deepEqual(value.decode(Buffer.from(row ?? []).toString('hex')), { sourcePort: way.sport, destinationPort: 80 });
  });
}

test('a UDP datagram over IPv4 in pieces without a checksum stays without one', (t) => {
  const [cast] = casts;
  const way = fresh(cast);
  const udp = { sourcePort: way.sport, destinationPort: 80, checksum: 0 };
  const [first] = pass(t, 'from_pod', cut(packet(UDP, way, { udp, payload }), 1480, 88));
  t.like(parse(first as Buffer).transport, { checksum: 0, destinationPort: 8081 });
});

test('a piece of TCP too short for its header is left alone', (t) => {
  const [cast] = casts;
  const [first] = cut(packet(TCP, fresh(cast), { payload }), 8, 89) as [Buffer];
  t.deepEqual(send(t, programs, 'from_pod', first).bytes, first);
});

const hopByHop: Extension = { type: 0, next: 0, data: '00'.concat('010400000000') };
const options: Extension = { type: 60, next: 0, data: '01'.concat('010c', '00'.repeat(12)) };
const routed: Extension = { type: 43, next: 0, data: '02'.concat('0400', '00'.repeat(20)) };
const atomic: Extension = { type: 44, next: 0, data: '00'.concat('0000', '00001234') };

const walks: readonly { readonly name: string; readonly extensions: readonly Extension[]; readonly ours: boolean }[] = [
  { name: 'hop-by-hop options', extensions: [hopByHop], ours: true },
  { name: 'destination options', extensions: [options], ours: true },
  { name: 'a routing header that has led to its end', extensions: [routed], ours: true },
  { name: 'a fragment header of a whole packet', extensions: [atomic], ours: true },
  { name: 'four kinds', extensions: [hopByHop, options, routed, atomic], ours: true },
  { name: 'six', extensions: [hopByHop, options, options, options, routed, options], ours: true },
  { name: 'seven', extensions: [hopByHop, options, options, options, options, routed, options], ours: false },
  { name: 'a routing header', extensions: [{ ...routed, data: '02'.concat('0401', '00'.repeat(20)) }], ours: false },
  { name: 'authentication', extensions: [{ type: 51, next: 0, data: '04'.concat('00'.repeat(22)) }], ours: false },
  { name: 'mobility', extensions: [{ type: 135, next: 0, data: '00'.concat('00'.repeat(6)) }], ours: false },
  { name: 'two fragment headers', extensions: [atomic, atomic], ours: true },
];

for (const { name, extensions, ours } of walks) {
  for (const protocol of [TCP, UDP]) {
    test(`an IPv6 packet (${protocol}) with ${name} is ${ours ? 'translated, and its answer' : 'left alone'}`, (t) => {
      const [, cast] = casts;
      const way = fresh(cast);
      const ip = { extensions } as Parameters<typeof packet>[2] & object as never;
      const frame = packet(protocol, way, { ip });
      const { bytes, out } = send(t, programs, 'from_pod', frame);
      if (!ours) return t.deepEqual(bytes, frame);
      t.deepEqual(wayOf(out), translated(cast, way));
      t.deepEqual(
        (out.ip as { extensions: unknown }).extensions,
        (parse(frame).ip as { extensions: unknown }).extensions,
      );
      const reply = packet(protocol, back(translated(cast, way)), { ip, flags: 'AS' });
      t.deepEqual(wayOf(send(t, programs, 'to_pod', reply).out), back(way));
    });
  }
}

test('pieces of an IPv6 packet that begins with another extension header are left alone', (t) => {
  const [, cast] = casts;
  const whole = parse(packet(UDP, fresh(cast), { payload }));
  const body = Buffer.concat([Buffer.from('1101010c'.concat('00'.repeat(12)), 'hex'), whole.payload]);
  const ip = { ...whole.ip, nextHeader: 60, extensions: [] } as unknown as typeof whole.ip;
  for (const [offset, more] of [
    [0, true],
    [1480, false],
  ] as const) {
    const frame = piece({ ...whole, ip }, body.subarray(offset, offset + 1480), { offset, more, id: 90 });
    t.deepEqual(Buffer.from(programs.run('from_pod', frame).data), frame);
  }
});

test('pieces behind IPv6 extension headers are translated', (t) => {
  const [, cast] = casts;
  const way = fresh(cast);
  const ip = { extensions: [hopByHop, options] } as never;
  const pieces = cut(packet(UDP, way, { payload, ip }), 1440, 91);
  t.deepEqual(whole(t, pass(t, 'from_pod', pieces)), translated(cast, way));
});
