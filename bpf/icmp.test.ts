import anyTest, { type ExecutionContext } from 'ava';
import { build } from '../test/netns/build.ts';
import { checksum, faults } from '../test/netns/checksum.ts';
import { craft, type Wanted } from '../test/netns/craft.ts';
import type { Extension, Packet } from '../test/netns/header.ts';
import { parse, quoted } from '../test/netns/packet.ts';
import { cut } from '../test/netns/pieces.ts';
import { type Cast, casts } from './cast.ts';
import { loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const ETHERNET = 14;
const ERROR_HEADER = 8;
let programs: Programs;
let lastPort = 20_000;

test.before(async () => {
  programs = await loadPrograms('tc', { flows: 4096, half_open: 4096, backends: 64 });
  for (const { vip, client, family, backend } of casts) {
    const hairpin = family === 'IPv4' ? '10.96.0.7' : 'fd00:96::7';
    for (const protocol of [TCP, UDP]) {
      programs.serve({ address: vip, port: 80, protocol, servicePort: protocol, any: [backend] });
      programs.serve({ address: hairpin, port: 80, protocol, servicePort: protocol, any: [[client, 8080]] });
    }
  }
});
test.after.always(() => programs?.[Symbol.dispose]());

function fresh({ client, vip }: Cast): Way {
  lastPort += 1;
  return { source: client, sport: lastPort, destination: vip, dport: 80 };
}

interface Kind {
  readonly name: string;
  readonly type: number;
  readonly code: number;
  readonly rest?: number;
}

const errors: Readonly<Record<Cast['family'], readonly Kind[]>> = {
  IPv4: [
    { name: 'port unreachable', type: 3, code: 3 },
    { name: 'host prohibited', type: 3, code: 10 },
    { name: 'fragmentation needed', type: 3, code: 4, rest: 1280 },
    { name: 'time exceeded', type: 11, code: 0 },
    { name: 'parameter problem', type: 12, code: 0, rest: 0x14000000 },
  ],
  IPv6: [
    { name: 'port unreachable', type: 1, code: 4 },
    { name: 'administratively prohibited', type: 1, code: 1 },
    { name: 'packet too big', type: 2, code: 0, rest: 1280 },
    { name: 'time exceeded', type: 3, code: 0 },
    { name: 'parameter problem', type: 4, code: 1, rest: 40 },
  ],
};

const others: Readonly<Record<Cast['family'], readonly Kind[]>> = {
  IPv4: [
    { name: 'redirect', type: 5, code: 1, rest: 0x0a010101 },
    { name: 'source quench', type: 4, code: 0 },
    { name: 'echo request', type: 8, code: 0, rest: 0x12340001 },
  ],
  IPv6: [
    { name: 'redirect', type: 137, code: 0 },
    { name: 'neighbour solicitation', type: 135, code: 0 },
    { name: 'echo request', type: 128, code: 0, rest: 0x12340001 },
    { name: 'an error yet unknown', type: 5, code: 0 },
  ],
};

/** The ICMP message `kind` from `from` to `to`, about a frame of which `length` bytes of IP are quoted. */
function message(kind: Kind, from: string, to: string, about: Buffer, length = Infinity): Buffer {
  const { type, code, rest = 0 } = kind;
  const payload = about.subarray(ETHERNET, ETHERNET + length);
  return craft({ ip: { source: from, destination: to, ttl: 61, hopLimit: 61 }, icmp: { type, code, rest }, payload });
}

/** A flow that has begun, and what its packets become. */
function begin(t: ExecutionContext, protocol: number, way: Way): Way {
  return wayOf(send(t, programs, 'from_pod', packet(protocol, way)).out);
}

function quote(out: Packet): Packet {
  const found = quoted(out);
  if (found === null) throw new Error('no ICMP error');
  return found;
}

/** All of a message but what a translation changes. */
function rest({ ethernet, ip, transport }: Packet): unknown {
  if (transport.kind !== 'icmp' && transport.kind !== 'icmpv6') throw new Error('no ICMP');
  return { ethernet, ip: { ...ip, source: 0, destination: 0, checksum: 0 }, transport: { ...transport, checksum: 0 } };
}

/** The quoted IP header, and the four bytes of the ports. */
function told(out: Packet): unknown {
  const { ip, transport, payload } = quote(out);
  const ports =
    transport.kind === 'none'
      ? [payload.readUInt16BE(0), payload.readUInt16BE(2)]
      : 'sourcePort' in transport && [transport.sourcePort, transport.destinationPort];
  return { source: ip?.source, destination: ip?.destination, ports };
}

function asTold({ source, destination, sport, dport }: Way): unknown {
  return { source, destination, ports: [sport, dport] };
}

for (const cast of casts) {
  const { family, client, router, backend, other, vip } = cast;
  const [unreachable, , tooBig] = errors[family] as [Kind, Kind, Kind];

  for (const kind of errors[family]) {
    for (const protocol of [TCP, UDP]) {
      test(`${kind.name} over ${family} (${protocol}) from a router tells the client of the Service, not of the backend`, (t) => {
        const way = fresh(cast);
        const there = begin(t, protocol, way);
        const sent = packet(protocol, there, { flags: 'AP', payload: 'a question' });
        const error = message(kind, router, client, sent);
        const { retval, out } = send(t, programs, 'to_pod', error);
        t.is(retval, verdict.unspec);
        t.deepEqual(rest(out), rest(parse(error)));
        t.like(out.ip, { source: router, destination: client });
        t.deepEqual(faults(quote(out)), [], 'the quote is as right as it was');
        const asked = packet(protocol, way, { flags: 'AP', payload: 'a question' });
        t.deepEqual(quote(out), { ...parse(asked), ethernet: null });
      });
    }
  }

  for (const { name, protocol, length } of [
    { name: 'the eight bytes of UDP', protocol: UDP, length: 8 },
    { name: 'eight bytes of TCP', protocol: TCP, length: 8 },
    { name: 'TCP up to its checksum', protocol: TCP, length: 18 },
    { name: 'all but one byte of the checksum of TCP', protocol: TCP, length: 17 },
    { name: 'a TCP header and an odd byte', protocol: TCP, length: 21 },
  ]) {
    test(`a quote over ${family} may end with ${name}`, (t) => {
      const way = fresh(cast);
      const there = begin(t, protocol, way);
      const header = family === 'IPv4' ? 20 : 40;
      const all = { flags: 'AP', payload: 'a question' };
      const error = message(tooBig, router, client, packet(protocol, there, all), header + length);
      const { out } = send(t, programs, 'to_pod', error);
      t.deepEqual(rest(out), rest(parse(error)));
      const wanted = Buffer.from(packet(protocol, way, all).subarray(ETHERNET, ETHERNET + header + length));
      const bytes = Buffer.from(out.payload);
      if (length === 17) wanted[header + 16] = bytes[header + 16] as number; // half a checksum is no checksum
      t.is(bytes.toString('hex'), wanted.toString('hex'));
    });
  }

  test(`a quote over ${family} of one byte too few for the ports is left alone`, (t) => {
    const there = begin(t, UDP, fresh(cast));
    const header = family === 'IPv4' ? 20 : 40;
    const error = message(tooBig, router, client, packet(UDP, there), header + 3);
    t.deepEqual(send(t, programs, 'to_pod', error).bytes, error);
  });

  for (const protocol of [TCP, UDP]) {
    test(`a backend’s own error over ${family} (${protocol}) comes from the Service`, (t) => {
      const way = fresh(cast);
      const error = message(unreachable, backend[0], client, packet(protocol, begin(t, protocol, way)));
      const { out } = send(t, programs, 'to_pod', error);
      t.like(out.ip, { source: vip, destination: client });
      t.deepEqual(told(out), asTold(way));
    });

    test(`a client’s error over ${family} (${protocol}) about an answer goes to the backend`, (t) => {
      const way = fresh(cast);
      const there = begin(t, protocol, way);
      const answer = send(t, programs, 'to_pod', packet(protocol, back(there), { flags: 'AS' })).bytes;
      const { retval, out } = send(t, programs, 'from_pod', message(unreachable, client, vip, answer));
      t.is(retval, verdict.unspec);
      t.like(out.ip, { source: client, destination: backend[0] });
      t.deepEqual(faults(quote(out)), []);
      t.deepEqual(told(out), asTold(back(there)));
    });

    test(`an error over ${family} (${protocol}) of a pod that asks itself turns around`, (t) => {
      const hairpin = family === 'IPv4' ? '10.96.0.7' : 'fd00:96::7';
      const way = { ...fresh(cast), destination: hairpin };
      const there = begin(t, protocol, way);
      const error = message(unreachable, client, hairpin, packet(protocol, there));
      const { retval, out } = send(t, programs, 'from_pod', error);
      t.is(retval, verdict.redirect);
      t.like(out.ip, { source: hairpin, destination: client });
      t.deepEqual(told(out), asTold(way));
    });

    test(`a flow over ${family} (${protocol}) with another source port hears of errors by its own`, async (t) => {
      const way = fresh(cast);
      const second = family === 'IPv4' ? '10.96.0.8' : 'fd00:96::8';
      programs.serve({ address: second, port: 80, protocol, servicePort: protocol, any: [backend] });
      begin(t, protocol, way);
      const clash = { ...way, destination: second };
      const there = begin(t, protocol, clash);
      t.not(there.sport, way.sport);
      const { out } = send(t, programs, 'to_pod', message(unreachable, backend[0], client, packet(protocol, there)));
      t.deepEqual(told(out), asTold(clash));
      t.deepEqual(faults(quote(out)), []);
    });
  }

  for (const kind of others[family]) {
    test(`${kind.name} over ${family} is never translated, whatever it carries`, (t) => {
      const there = begin(t, UDP, fresh(cast));
      const answer = send(t, programs, 'to_pod', packet(UDP, back(there))).bytes;
      for (const [program, error] of [
        ['to_pod', message(kind, router, client, packet(UDP, there))],
        ['from_pod', message(kind, client, vip, answer)],
      ] as const) {
        const { retval, bytes } = send(t, programs, program, error);
        t.is(retval, verdict.unspec);
        t.deepEqual(bytes, error);
      }
    });
  }

  test(`errors over ${family} about what is no flow of ours are left alone`, (t) => {
    const way = fresh(cast);
    const there = begin(t, UDP, way);
    const strange = [
      message(tooBig, router, client, packet(UDP, { ...there, dport: 9999 })),
      message(tooBig, router, client, packet(UDP, { ...there, destination: other })),
      message(tooBig, router, other, packet(UDP, there)), // to somebody who sent no such packet
      message(tooBig, router, client, packet(TCP, there)),
      message(tooBig, router, client, craft({ ip: { source: client, destination: backend[0] }, icmp: { type: 8 } })),
      message(tooBig, router, client, Buffer.alloc(ETHERNET + 60)),
      message(tooBig, router, client, Buffer.alloc(ETHERNET)),
    ];
    for (const error of strange) t.deepEqual(send(t, programs, 'to_pod', error).bytes, error);
    const elsewhere = message(tooBig, router, client, packet(UDP, there));
    t.deepEqual(send(t, programs, 'from_pod', elsewhere).bytes, elsewhere, 'at another hook');
  });

  test(`the quote over ${family} may be a first piece, not a later one; the error itself comes whole or not at all`, (t) => {
    const way = fresh(cast);
    const payload = Buffer.alloc(3000, 'x');
    payload.writeUInt16BE(way.sport, 1472); // where a transport header would stand in the second piece
    payload.writeUInt16BE(backend[1], 1474);
    const asked = cut(packet(UDP, way, { payload }), 1480, 500);
    const [first, later] = asked.map((frame) => send(t, programs, 'from_pod', frame).bytes) as [Buffer, Buffer];
    const { out } = send(t, programs, 'to_pod', message(tooBig, router, client, first, 500));
    t.is(out.payload.toString('hex'), (asked[0] as Buffer).subarray(ETHERNET, ETHERNET + 500).toString('hex'));
    const ofLater = message(tooBig, router, client, later, 500);
    t.deepEqual(send(t, programs, 'to_pod', ofLater).bytes, ofLater);
    for (const part of cut(message(tooBig, router, client, first, 900), 480, 501)) {
      t.deepEqual(send(t, programs, 'to_pod', part).bytes, part);
    }
  });

  test(`an error over ${family} about a flow whose time is over is left alone`, async (t) => {
    const there = begin(t, UDP, fresh(cast));
    for (const { key, row } of await programs.flows('half_open')) {
      if (row.sourcePort === there.sport || row.destinationPort === there.sport)
        programs.setFlow('half_open', key, { ...row, seen: (row.seen - 1000) >>> 0 });
    }
    const error = message(tooBig, router, client, packet(UDP, there));
    t.deepEqual(send(t, programs, 'to_pod', error).bytes, error);
  });
}

test('a quoted IPv4 header with options is mended, and so is one of UDP without a checksum', (t) => {
  const [cast] = casts;
  const way = fresh(cast);
  const there = begin(t, UDP, way);
  const of = (one: Way): Buffer => {
    const udp = { sourcePort: one.sport, destinationPort: one.dport, checksum: 0 };
    return packet(UDP, one, { udp, ip: { options: '0101010194040000' } as Wanted['ip'] });
  };
  const { out } = send(t, programs, 'to_pod', message((errors.IPv4 as [Kind])[0], cast.router, cast.client, of(there)));
  t.deepEqual(out.payload, of(way).subarray(ETHERNET));
});

test('an error in an IPv4 packet with options is translated', (t) => {
  const [cast] = casts;
  const way = fresh(cast);
  const payload = packet(UDP, begin(t, UDP, way)).subarray(ETHERNET);
  const ip = { source: cast.router, destination: cast.client, options: '01010101' };
  const { out } = send(t, programs, 'to_pod', craft({ ip, icmp: { type: 11 }, payload }));
  t.deepEqual(out.payload, packet(UDP, way).subarray(ETHERNET));
});

test('IPv6 extension headers are stepped over, in the quote and before the error', (t) => {
  const [, cast] = casts;
  const way = fresh(cast);
  const extensions: Extension[] = [
    { type: 0, next: 0, data: '00010400000000' },
    { type: 60, next: 0, data: '01010c000000000000000000000000' },
  ];
  const asked = (one: Way): Buffer => packet(UDP, one, { ip: { extensions } as unknown as Wanted['ip'] });
  const ip = { source: cast.router, destination: cast.client, extensions };
  const payload = asked(begin(t, UDP, way)).subarray(ETHERNET);
  const { out } = send(t, programs, 'to_pod', craft({ ip, icmp: { type: 2, rest: 1280 }, payload }));
  t.deepEqual(out.payload, asked(way).subarray(ETHERNET));
  const unknown = { extensions: [{ type: 135, next: 0, data: '00000000000000' }] } as unknown as Wanted['ip'];
  const left = craft({ ip, icmp: { type: 2 }, payload: packet(UDP, fresh(cast), { ip: unknown }).subarray(ETHERNET) });
  t.deepEqual(send(t, programs, 'to_pod', left).bytes, left);
});

test('a quoted IPv4 header whose checksum a router has left wrong stays as wrong', (t) => {
  const [cast] = casts;
  const way = fresh(cast);
  const sent = parse(packet(UDP, begin(t, UDP, way)));
  const aged = build({ ...sent, ip: { ...sent.ip, ttl: 1 } as Packet['ip'] });
  const { out } = send(t, programs, 'to_pod', message((errors.IPv4 as [Kind])[0], cast.router, cast.client, aged));
  const header = out.payload.subarray(0, 20);
  t.is(checksum([header]), checksum([aged.subarray(ETHERNET, ETHERNET + 20)]));
  t.is(out.payload.length, aged.length - ETHERNET);
  t.is(ERROR_HEADER, 8);
});
