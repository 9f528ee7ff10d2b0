import anyTest, { type ExecutionContext } from 'ava';
import { flowFlag, flowState, hook } from '../src/layout.gen.ts';
import { addressFromHex, addressToHex } from '../src/model/address.ts';
import { craft } from '../test/netns/craft.ts';
import { type Packet, parse, quoted } from '../test/netns/packet.ts';
import {
  type BackendText,
  type FrontendFacts,
  loadPrograms,
  nowSeconds,
  type Programs,
  TCP,
  UDP,
  verdict,
} from './fixture.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

/** The same story in both families: the names of who takes part. */
interface Cast {
  readonly family: 'IPv4' | 'IPv6';
  readonly client: string;
  readonly other: string;
  readonly vip: string;
  readonly vip2: string;
  readonly backends: readonly [BackendText, BackendText, BackendText];
  readonly icmp: 'icmp' | 'icmpv6';
}

const casts: readonly Cast[] = [
  {
    family: 'IPv4',
    client: '10.1.1.10',
    other: '10.1.1.11',
    vip: '10.96.0.1',
    vip2: '10.96.0.2',
    backends: [
      ['10.1.1.21', 8080],
      ['10.1.1.22', 8080],
      ['10.1.2.24', 8081],
    ],
    icmp: 'icmp',
  },
  {
    family: 'IPv6',
    client: 'fd00:1:1::10',
    other: 'fd00:1:1::11',
    vip: 'fd00:96::1',
    vip2: 'fd00:96::2',
    backends: [
      ['fd00:1:1::21', 8080],
      ['fd00:1:1::22', 8080],
      ['fd00:1:2::24', 8081],
    ],
    icmp: 'icmpv6',
  },
];

const POD_MAC = '02:00:00:00:00:01';
const GATEWAY_MAC = '02:00:00:00:00:02';
const BACKEND_MAC = '02:00:00:00:00:77';
/** A small table, so that a test can flood it. */
const sizes = { flows: 512, half_open: 512, affinity: 1024, udp_choices: 64, socket_reverse: 64, backends: 64 };

const test = anyTest.serial;

const noAddress = addressToHex('::');

function facts(cast: Cast, more: Partial<FrontendFacts> = {}): FrontendFacts {
  return { address: cast.vip, port: 80, protocol: TCP, servicePort: 7, any: cast.backends, ...more };
}

function toVip(cast: Cast, sport: number, vip: string = cast.vip): Way {
  return { source: cast.client, sport, destination: vip, dport: 80 };
}

/** A handshake through from_pod and to_pod; the backend that was chosen. */
function handshake(t: ExecutionContext, programs: Programs, way: Way): Way {
  const there = wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out);
  send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'AS' }));
  t.deepEqual(wayOf(send(t, programs, 'from_pod', packet(TCP, way, { flags: 'A' })).out), there);
  return there;
}

function isOneOf(backends: readonly BackendText[], way: Way): boolean {
  return backends.some(([address, port]) => address === way.destination && port === way.dport);
}

/** Moves the stamps of all rows back, as if time had passed. */
async function age(programs: Programs, table: 'flows' | 'half_open', seconds: number, only = 0): Promise<void> {
  for (const { key, row } of await programs.flows(table)) {
    if (!only || key.hook === only) programs.setFlow(table, key, { ...row, seen: (row.seen - seconds) >>> 0 });
  }
}

/** As `age`, for what clients are held to. */
async function ageAffinity(programs: Programs, seconds: number): Promise<void> {
  const map = programs.map('affinity');
  for await (const { count, keys, values } of map.entries()) {
    for (let i = 0; i < count; i++) {
      const row = Buffer.from(values.slice(i * 24, (i + 1) * 24));
      row.writeUInt32LE((row.readUInt32LE(20) - seconds) >>> 0, 20);
      map.update(keys.slice(i * 20, (i + 1) * 20), row);
    }
  }
}

/** As if the time of all rows in half_open were over. */
async function ageHalfOpen(programs: Programs): Promise<void> {
  await age(programs, 'half_open', 3600);
  const hints = programs.map('flow_hints');
  for await (const { count, keys, values } of hints.entries()) {
    for (let i = 0; i < count; i++) {
      const row = Buffer.from(values.slice(i * 8, (i + 1) * 8));
      if (!row.readUInt32LE(4)) continue;
      row.writeUInt32LE(1, 4);
      hints.update(keys.slice(i * 4, (i + 1) * 4), row);
    }
  }
}

for (const cast of casts) {
  const { family } = cast;

  for (const [name, protocol] of [
    ['TCP', TCP],
    ['UDP', UDP],
  ] as const) {
    test(`from_pod sends a ${name} connection over ${family} to a backend and to_pod names the Service in the reply`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      programs.serve(facts(cast, { protocol }));
      const way = toVip(cast, 4001);
      const before = parse(packet(protocol, way));
      const { retval, out } = send(t, programs, 'from_pod', packet(protocol, way));
      t.is(retval, verdict.unspec);
      const there = wayOf(out);
      t.true(isOneOf(cast.backends, there));
      t.is(there.source, cast.client);
      t.is(there.sport, 4001);
      const same = (one: Packet) => ({
        ...one,
        ip: null,
        transport: null,
        ttl: one.ip?.version === 4 ? one.ip.ttl : one.ip?.hopLimit,
      });
      t.deepEqual(same(out), same(before));
      if (out.transport.kind === 'tcp' && before.transport.kind === 'tcp') {
        const { sequence, acknowledgement, flags, window } = out.transport;
        t.like(before.transport, { sequence, acknowledgement, flags, window });
      }
      const reply = send(t, programs, 'to_pod', packet(protocol, back(there), { flags: 'AS' }));
      t.is(reply.retval, verdict.unspec);
      t.deepEqual(wayOf(reply.out), back(way));
      t.is(programs.count(7, 'connected_pod'), 1n);
    });

    test(`from_pod leaves a ${name} packet over ${family} alone that is for no Service`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      programs.serve(facts(cast, { protocol }));
      const frame = packet(protocol, {
        source: cast.client,
        sport: 4001,
        destination: cast.backends[0][0],
        dport: 8080,
      });
      for (const program of ['from_pod', 'to_pod']) {
        const { retval, bytes } = send(t, programs, program, frame);
        t.is(retval, verdict.unspec);
        t.deepEqual(bytes, frame);
      }
      t.deepEqual(await programs.flows('half_open'), []);
    });
  }

  test(`a flow over ${family} keeps its backend for its whole life, when the Service changes and when it goes`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const there = handshake(t, programs, way);
    programs.serve(facts(cast, { any: cast.backends.filter(([address]) => address !== there.destination) }));
    for (let i = 0; i < 20; i++) {
      t.deepEqual(wayOf(send(t, programs, 'from_pod', packet(TCP, way, { flags: 'AP' })).out), there);
    }
    programs.removeFrontend(cast.vip, 80, TCP);
    programs.removeFrontend(cast.vip, 0, 0);
    t.deepEqual(wayOf(send(t, programs, 'from_pod', packet(TCP, way, { flags: 'AP' })).out), there);
    t.deepEqual(wayOf(send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'AP' })).out), back(way));
  });

  test(`a row over ${family} is used at its own hook only`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const there = handshake(t, programs, toVip(cast, 4001));
    const reply = packet(TCP, back(there), { flags: 'A' });
    t.deepEqual(send(t, programs, 'from_pod', reply).bytes, reply, 'the backend’s own veth must not touch its reply');
    const forward = packet(TCP, toVip(cast, 4001), { flags: 'A' });
    t.deepEqual(send(t, programs, 'to_pod', forward).bytes, forward);
    t.deepEqual((await programs.flows('flows')).map(({ key }) => key.hook).sort(), [hook.from_pod, hook.to_pod]);
  });

  test(`from_pod leaves TCP over ${family} alone that did not begin here, and a RST too`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [] }));
    for (const flags of ['A', 'AP', 'AF', 'R', 'AR', 'AS', 'RS', 'SF']) {
      const frame = packet(TCP, toVip(cast, 4001), { flags });
      const { retval, bytes } = send(t, programs, 'from_pod', frame);
      t.is(retval, verdict.unspec, flags);
      t.deepEqual(bytes, frame, flags);
    }
  });

  test(`from_pod answers a SYN over ${family} with RST when there is no endpoint, or no such port`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [] }));
    for (const [dport, reason] of [
      [80, 'reject_no_endpoint'],
      [81, 'reject_undefined_port'],
    ] as const) {
      const { retval, out } = send(t, programs, 'from_pod', packet(TCP, { ...toVip(cast, 4001), dport }));
      t.is(retval, verdict.redirect);
      t.deepEqual(wayOf(out), back({ ...toVip(cast, 4001), dport }));
      t.like(out.transport, { flags: 'AR', sequence: 0, acknowledgement: 1000 + 1 + 'hello'.length, window: 0 });
      t.like(out.ethernet, { source: GATEWAY_MAC, destination: POD_MAC });
      t.is(out.payload.length, 0);
      t.is(programs.count(7, reason), 1n);
    }
    t.deepEqual(await programs.flows('half_open'), []);
  });

  test(`from_pod answers a datagram over ${family} with port unreachable when there is no endpoint`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { protocol: UDP, any: [] }));
    for (const payload of ['', 'hello', 'x'.repeat(1200)]) {
      const frame = packet(UDP, toVip(cast, 4001), { payload });
      const { retval, out } = send(t, programs, 'from_pod', frame);
      t.is(retval, verdict.redirect);
      t.like(out.ip, { source: cast.vip, destination: cast.client });
      t.like(out.transport, {
        kind: cast.icmp,
        ...(cast.icmp === 'icmp' ? { type: 3, code: 3 } : { type: 1, code: 4 }),
        rest: 0,
      });
      t.deepEqual(wayOf(quoted(out) as Packet), toVip(cast, 4001));
      t.like(out.ethernet, { source: GATEWAY_MAC, destination: POD_MAC });
    }
    t.is(programs.count(7, 'reject_no_endpoint'), 3n);
  });

  test(`from_pod drops in silence over ${family} when a Local policy finds endpoints on other nodes only`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { local: [], flags: 2 | 4 }));
    t.is(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4001))).retval, verdict.shot);
    t.is(programs.count(7, 'drop_no_local_endpoint'), 1n);
    programs.serve(facts(cast, { local: [cast.backends[1]], flags: 2 | 4 }));
    for (let i = 0; i < 20; i++) {
      const there = wayOf(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 5000 + i))).out);
      t.true(isOneOf([cast.backends[1]], there), 'only the local pool');
    }
  });

  test(`a pod over ${family} reaches itself: it sees the Service as its peer, and turns around at its veth`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    for (const protocol of [TCP, UDP]) {
      programs.serve(facts(cast, { protocol, any: [[cast.client, 8080]] }));
      const way = toVip(cast, 4001);
      const there = { source: cast.vip, sport: 4001, destination: cast.client, dport: 8080 };
      for (const flags of ['S', 'A', 'AP']) {
        const { retval, out } = send(t, programs, 'from_pod', packet(protocol, way, { flags }));
        t.is(retval, verdict.redirect);
        t.deepEqual(wayOf(out), there);
        t.like(out.ethernet, { source: GATEWAY_MAC, destination: POD_MAC });
        const reply = send(
          t,
          programs,
          'from_pod',
          packet(protocol, back(there), { flags: flags === 'S' ? 'AS' : flags }),
        );
        t.is(reply.retval, verdict.redirect);
        t.deepEqual(wayOf(reply.out), back(way));
      }
    }
    t.is((await programs.flows('flows')).filter(({ row }) => row.flags & flowFlag.hairpin).length, 4);
  });

  test(`the same source port to two VIPs over one backend (${family}): the second gets another source port`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    programs.serve(facts(cast, { address: cast.vip2, servicePort: 8, any: [cast.backends[0]] }));
    const first = handshake(t, programs, toVip(cast, 4001));
    const second = handshake(t, programs, toVip(cast, 4001, cast.vip2));
    t.is(first.sport, 4001);
    t.not(second.sport, 4001);
    t.true(second.sport >= 1024);
    const replies = [first, second].map((there) =>
      wayOf(send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'A' })).out),
    );
    t.deepEqual(replies, [back(toVip(cast, 4001)), back(toVip(cast, 4001, cast.vip2))]);
  });

  test(`a direct connection over ${family} beside a flow of the same port lives, and so does the flow`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    const flow = handshake(t, programs, toVip(cast, 4001));
    const [address, dport] = cast.backends[0];
    const direct = { source: cast.client, sport: 4001, destination: address, dport };
    const there = handshake(t, programs, direct);
    t.not(there.sport, 4001);
    t.is(programs.count(0, 'connected_direct'), 1n);
    t.deepEqual(wayOf(send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'A' })).out), back(direct));
    t.deepEqual(
      wayOf(send(t, programs, 'to_pod', packet(TCP, back(flow), { flags: 'A' })).out),
      back(toVip(cast, 4001)),
    );
  });

  test(`a direct connection over ${family} where a flow has ended is left alone, and its replies too`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    const flow = handshake(t, programs, toVip(cast, 4001));
    send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4001), { flags: 'AF' }));
    send(t, programs, 'to_pod', packet(TCP, back(flow), { flags: 'AF' }));
    const syn = packet(TCP, flow);
    t.deepEqual(send(t, programs, 'from_pod', syn).bytes, syn);
    const reply = packet(TCP, back(flow), { flags: 'AS' });
    t.deepEqual(send(t, programs, 'to_pod', reply).bytes, reply);
  });

  test(`a flood of SYNs over ${family} evicts no established flow, however idle`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const kept = Array.from({ length: 100 }, (_, i) => toVip(cast, 1000 + i));
    const chosen = kept.map((way) => handshake(t, programs, way));
    t.is((await programs.flows('flows')).length, 200);
    const flood = 5000;
    for (let i = 0; i < flood; i++) programs.run('from_pod', packet(TCP, toVip(cast, 10_000 + i)));
    t.true((await programs.flows('half_open')).length <= sizes.half_open);
    t.is(programs.count(7, 'connected_pod'), BigInt(flood + kept.length), 'the flood was served as well');
    for (const [i, way] of kept.entries()) {
      t.deepEqual(wayOf(send(t, programs, 'from_pod', packet(TCP, way, { flags: 'A' })).out), chosen[i]);
    }
  });

  test(`a flow over ${family} is established by the client’s answer, not by the backend’s`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const there = wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out);
    send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'AS' }));
    t.is((await programs.flows('flows')).length, 0);
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'A' }));
    t.is((await programs.flows('flows')).length, 2);

    programs.serve(facts(cast, { protocol: UDP, servicePort: 8 }));
    const asking = toVip(cast, 4002);
    const asked = wayOf(send(t, programs, 'from_pod', packet(UDP, asking)).out);
    for (let i = 0; i < 3; i++) send(t, programs, 'from_pod', packet(UDP, asking));
    t.is((await programs.flows('flows')).length, 2, 'to ask again is no answer');
    send(t, programs, 'to_pod', packet(UDP, back(asked)));
    t.is((await programs.flows('flows')).length, 2);
    send(t, programs, 'from_pod', packet(UDP, asking));
    t.is((await programs.flows('flows')).length, 4);
  });

  test(`a source port used again (${family}): a SYN on a closing flow, or whose backend left, picks again`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    const way = toVip(cast, 4001);
    t.true(isOneOf([cast.backends[0]], handshake(t, programs, way)));
    programs.serve(facts(cast, { any: [cast.backends[1]] }));
    t.true(isOneOf([cast.backends[1]], handshake(t, programs, way)), 'its backend left');
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'AF' }));
    programs.serve(facts(cast, { any: [cast.backends[1], cast.backends[2]], affinitySeconds: 0 }));
    const chosen = new Set<string>();
    for (let i = 0; i < 40; i++) {
      chosen.add(wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out).destination);
      send(t, programs, 'from_pod', packet(TCP, way, { flags: 'R' }));
    }
    t.is(chosen.size, 2, 'a closed flow does not bind the next one');
    t.true((await programs.flows('half_open')).length <= 2, 'and leaves no row behind');
  });

  test(`a connection over ${family} from a port used again takes the rows of the one that is over, and no others`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const chosen = new Set<string>();
    handshake(t, programs, way);
    for (let i = 0; i < 60; i++) {
      send(t, programs, 'from_pod', packet(TCP, way, { flags: 'R' }));
      const there = handshake(t, programs, way);
      chosen.add(there.destination);
      const rows = await programs.flows('flows');
      t.is(rows.length, 2, 'the way there and the way back');
      const [reply] = rows.filter(({ key }) => key.hook === hook.to_pod);
      t.is(addressFromHex(reply?.key.source ?? ''), there.destination, 'of this connection, not of the one before');
      t.true((await programs.flows('half_open')).length <= 2);
    }
    t.is(chosen.size, 3);
    await age(programs, 'flows', 7 * 86400);
    const again = handshake(t, programs, way);
    t.is((await programs.flows('flows')).length, 2, 'one whose time is over makes way too');
    t.deepEqual(wayOf(send(t, programs, 'to_pod', packet(TCP, back(again), { flags: 'A' })).out), back(way));
  });

  for (const other of ['an established', 'a half open']) {
    test(`a port used again over ${family} leaves the way back of ${other} flow of another Service alone`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      const vips = [cast.vip, cast.vip2].map((address, i) => ({ address, servicePort: 7 + i }));
      const [first, second] = [toVip(cast, 4001), toVip(cast, 4001, cast.vip2)];
      for (const [i, vip] of vips.entries())
        programs.serve(facts(cast, { ...vip, any: cast.backends.slice(i, i + 1) }));
      handshake(t, programs, first);
      send(t, programs, 'from_pod', packet(TCP, first, { flags: 'R' }));
      if (other === 'an established') handshake(t, programs, second);
      else send(t, programs, 'from_pod', packet(TCP, second));
      if (other === 'an established') await ageHalfOpen(programs);
      programs.serve(facts(cast, { any: [cast.backends[1]] }));
      const there = wayOf(send(t, programs, 'from_pod', packet(TCP, first)).out);
      t.is(there.destination, cast.backends[1]?.[0]);
      t.not(there.sport, 4001, "that one is the other connection's at this backend");
      const replies = [there, { ...there, sport: 4001 }].map((way) => packet(TCP, back(way), { flags: 'AS' }));
      const asked = replies.map((reply) => wayOf(send(t, programs, 'to_pod', reply).out));
      t.deepEqual(asked, [back(first), back(second)]);
    });
  }

  test(`a connection over ${family} that got such rows and no answer ends as a half open one does`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    const way = toVip(cast, 4001);
    handshake(t, programs, way);
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'R' }));
    const there = wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out);
    const ack = packet(TCP, way, { flags: 'A' });
    t.deepEqual(wayOf(send(t, programs, 'from_pod', ack).out), there);
    await age(programs, 'flows', 70);
    t.deepEqual(send(t, programs, 'from_pod', ack).bytes, ack);
  });

  test(`what is refused over ${family}, from a port used again, leaves no row of the connection before`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    handshake(t, programs, way);
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'R' }));
    programs.serve(facts(cast, { any: [] }));
    t.is(send(t, programs, 'from_pod', packet(TCP, way)).retval, verdict.redirect);
    t.is(programs.count(7, 'reject_no_endpoint'), 1n);
    t.is((await programs.flows('flows')).length, 0);
  });

  test(`a flow over ${family} that is over takes no row of another flow with it`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    programs.serve(facts(cast, { address: cast.vip2, servicePort: 8, any: [cast.backends[0]] }));
    const [first, second] = [toVip(cast, 4001), toVip(cast, 4001, cast.vip2)];
    handshake(t, programs, first);
    for (const { key } of await programs.flows('flows')) {
      if (key.hook === hook.to_pod) programs.dropFlow('flows', key);
    }
    for (const { key } of await programs.flows('half_open')) programs.dropFlow('half_open', key);
    const there = handshake(t, programs, second);
    t.is(there.sport, 4001, 'the way back was free');
    for (const { key } of await programs.flows('half_open')) programs.dropFlow('half_open', key);
    await age(programs, 'flows', 7 * 86400, hook.from_pod);
    handshake(t, programs, first);
    const reply = packet(TCP, back(there), { flags: 'A' });
    t.deepEqual(wayOf(send(t, programs, 'to_pod', reply).out), back(second));
  });

  test(`programs that follow others find the flows of those, over ${family}, and what they forget stays forgotten`, async (t) => {
    using before = await loadPrograms('tc', sizes);
    before.serve(facts(cast, { any: [cast.backends[0]], affinitySeconds: 100 }));
    const [established, opening, closing] = [toVip(cast, 4001), toVip(cast, 4002), toVip(cast, 4003)];
    const there = handshake(t, before, established);
    send(t, before, 'from_pod', packet(TCP, opening));
    handshake(t, before, closing);
    using after = await loadPrograms('tc', { ...sizes, flows: 1024 }, 0n, before);
    before.serve(facts(cast, { any: [cast.backends[0], cast.backends[1]], affinitySeconds: 100 }));

    t.deepEqual(wayOf(send(t, after, 'to_pod', packet(TCP, back(there), { flags: 'A' })).out), back(established));
    t.deepEqual(wayOf(send(t, after, 'from_pod', packet(TCP, established, { flags: 'A' })).out), there);
    t.is((await after.flows('flows')).length, 2, 'the rows that were used, and no others');
    t.deepEqual(wayOf(send(t, before, 'from_pod', packet(TCP, established, { flags: 'A' })).out), there, 'still there');

    const second = { ...there, sport: 4002 };
    t.deepEqual(wayOf(send(t, after, 'to_pod', packet(TCP, back(second), { flags: 'AS' })).out), back(opening));
    t.deepEqual(wayOf(send(t, after, 'from_pod', packet(TCP, opening, { flags: 'A' })).out), second);
    t.is((await after.flows('flows')).length, 4, 'established by what was seen here');
    for (let sport = 5000; sport < 5010; sport++) {
      t.true(
        isOneOf([cast.backends[0]], handshake(t, after, toVip(cast, sport))),
        'the client’s backend, for affinity',
      );
    }

    before.serve(facts(cast, { any: [cast.backends[1]] }));
    t.true(isOneOf([cast.backends[1]], handshake(t, after, closing)), 'its backend left, and with it the flow');
    for (const table of ['flows', 'half_open'] as const) {
      const stale = (await before.flows(table)).filter(({ key, row }) =>
        [key.sourcePort, row.sourcePort].includes(4003),
      );
      t.deepEqual(stale, [], `nobody finds it in the older ${table}`);
    }
  });

  test(`a retransmitted SYN over ${family} goes to the same backend`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const there = wayOf(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4001))).out);
    for (let i = 0; i < 20; i++)
      t.deepEqual(wayOf(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4001))).out), there);
    t.is(programs.count(7, 'connected_pod'), 1n);
  });

  test(`a UDP flow over ${family} leaves a backend that no longer serves with its next datagram, and only then`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { protocol: UDP, any: [cast.backends[0]] }));
    const way = toVip(cast, 4001);
    const exchange = () => {
      const there = wayOf(send(t, programs, 'from_pod', packet(UDP, way)).out);
      send(t, programs, 'to_pod', packet(UDP, back(there)));
      return there;
    };
    exchange();
    t.true(isOneOf([cast.backends[0]], exchange()));
    programs.serve(facts(cast, { protocol: UDP, any: [cast.backends[1]] }));
    await age(programs, 'flows', 1);
    t.true(isOneOf([cast.backends[0]], exchange()), 'out of the pool, as while it terminates, but it serves');
    programs.removeBackend(8, cast.backends[0]);
    programs.setSwitches({ nodeIpv4: noAddress, nodeIpv6: noAddress, podsAtTc: 1, hasRemovedBackends: 1 });
    t.true(isOneOf([cast.backends[0]], exchange()), 'it left another Service');
    programs.removeBackend(7, cast.backends[0]);
    t.true(isOneOf([cast.backends[1]], exchange()));
    t.true(isOneOf([cast.backends[1]], exchange()));
    t.is(programs.count(7, 'connected_pod'), 2n, 'once');
  });

  test(`a UDP flow over ${family} leaves an address that is another Service’s by now`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const way = toVip(cast, 4001);
    const exchange = () => {
      const there = wayOf(send(t, programs, 'from_pod', packet(UDP, way)).out);
      send(t, programs, 'to_pod', packet(UDP, back(there)));
      return there;
    };
    programs.serve(facts(cast, { protocol: UDP, any: [cast.backends[0]] }));
    exchange();
    programs.serve(facts(cast, { protocol: UDP, any: [cast.backends[1]], servicePort: 8 }));
    t.true(isOneOf([cast.backends[0]], exchange()));
    await age(programs, 'half_open', 1);
    await age(programs, 'flows', 1);
    t.true(isOneOf([cast.backends[1]], exchange()));
  });

  test(`time ends flows over ${family}: idle, half open and closed ones, each after its own`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const ack = packet(TCP, way, { flags: 'A' });
    handshake(t, programs, way);
    await age(programs, 'flows', 80_000);
    t.notDeepEqual(send(t, programs, 'from_pod', ack).bytes, ack, 'established: a day');
    await age(programs, 'flows', 87_000);
    t.deepEqual(send(t, programs, 'from_pod', ack).bytes, ack);

    handshake(t, programs, way);
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'AF' }));
    await age(programs, 'flows', 3000);
    t.notDeepEqual(send(t, programs, 'from_pod', ack).bytes, ack, 'half closed: an hour');
    await age(programs, 'flows', 3700);
    t.deepEqual(send(t, programs, 'from_pod', ack).bytes, ack);

    handshake(t, programs, way);
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'R' }));
    await age(programs, 'flows', 32);
    t.deepEqual(send(t, programs, 'from_pod', ack).bytes, ack, 'reset: half a minute');

    send(t, programs, 'from_pod', packet(TCP, way));
    await age(programs, 'half_open', 62);
    t.deepEqual(send(t, programs, 'from_pod', ack).bytes, ack, 'half open: a minute');
  });

  test(`session affinity over ${family} holds a client to its backend while that is in the pool and not too long ago`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { affinitySeconds: 100 }));
    programs.serve(facts(cast, { protocol: UDP, servicePort: 8, affinitySeconds: 100 }));
    const pick = (sport: number, protocol = TCP, source = cast.client) =>
      wayOf(send(t, programs, 'from_pod', packet(protocol, { ...toVip(cast, sport), source })).out).destination;
    const mine = pick(5000);
    for (let i = 1; i < 30; i++) t.is(pick(5000 + i), mine);
    const others = new Set(Array.from({ length: 30 }, (_, i) => pick(6000 + i, UDP)));
    t.is(others.size, 1, 'a service port of its own');
    programs.serve(facts(cast, { affinitySeconds: 100, any: cast.backends.filter(([address]) => address !== mine) }));
    const next = pick(5100);
    t.not(next, mine);
    for (let i = 1; i < 30; i++) t.is(pick(5100 + i), next);
    programs.serve(facts(cast, { affinitySeconds: 1 }));
    const spread = new Set<string>();
    for (let i = 0; i < 60; i++) {
      spread.add(pick(7000 + i));
      await ageAffinity(programs, 5);
    }
    t.true(spread.size > 1, 'forgotten, it spreads');
  });

  test(`selection over ${family} is even`, async (t) => {
    using programs = await loadPrograms('tc', { ...sizes, half_open: 16_384 });
    programs.serve(facts(cast));
    const tally = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const { destination } = wayOf(
        parse(Buffer.from(programs.run('from_pod', packet(TCP, toVip(cast, 2000 + i))).data)),
      );
      tally.set(destination, (tally.get(destination) ?? 0) + 1);
    }
    t.is(tally.size, 3);
    // 1000 expected, standard deviation 26: six of them
    for (const count of tally.values()) t.true(Math.abs(count - 1000) < 155, `${[...tally]}`);
  });

  test(`a row over ${family} that does not prove itself is dropped and counted, never used`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const pool = programs.pool(cast.backends);
    const row = { any: pool, local: { start: 0, count: 0 }, servicePort: 7, affinitySeconds: 0, flags: 4 };
    programs.setFrontend(cast.vip, 80, TCP, row, 1);
    t.is(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4001))).retval, verdict.shot);
    t.is(programs.count(0, 'drop_unstable_row'), 1n);

    programs.serve(facts(cast));
    handshake(t, programs, toVip(cast, 4002));
    for (const { key, row: flow } of await programs.flows('flows')) {
      programs.setFlow('flows', key, { ...flow, destination: flow.source });
    }
    t.is(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4002), { flags: 'A' })).retval, verdict.shot);
    t.is(programs.count(0, 'drop_unstable_row'), 2n);
    t.is(send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4002))).retval, verdict.unspec, 'nor is it in the way');
  });

  for (const [name, protocol] of [
    ['TCP', TCP],
    ['UDP', UDP],
  ] as const) {
    test(`the next hop of ${name} over ${family} is learnt from the first reply, and UDP forgets it when replies stop`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      programs.serve(facts(cast, { protocol }));
      const way = toVip(cast, 4001);
      const first = send(t, programs, 'from_pod', packet(protocol, way));
      t.is(first.out.ethernet?.destination, GATEWAY_MAC, 'routed, while nothing is known');
      const there = wayOf(first.out);
      const ethernet = { source: BACKEND_MAC, destination: POD_MAC };
      send(t, programs, 'to_pod', packet(protocol, back(there), { flags: 'AS', ethernet }));
      const next = () => send(t, programs, 'from_pod', packet(protocol, way, { flags: 'A' })).out.ethernet?.destination;
      t.is(next(), BACKEND_MAC);
      t.is(next(), BACKEND_MAC);
      await age(programs, 'flows', 15);
      next();
      t.is(next(), protocol === TCP ? BACKEND_MAC : GATEWAY_MAC, 'no reply for 15 seconds');
      await age(programs, 'flows', 1);
      send(t, programs, 'to_pod', packet(protocol, back(there), { flags: 'A', ethernet }));
      t.is(next(), BACKEND_MAC, 'a reply again');
    });
  }

  test(`a VIP connection over ${family} whose port has a direct one to the backend moves, and the direct one lives`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { any: [cast.backends[0]] }));
    const way = toVip(cast, 4001);
    const clash = wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out);
    t.is(clash.sport, 4001);
    const challenge = packet(TCP, back(clash), { flags: 'A' });
    t.deepEqual(send(t, programs, 'to_pod', challenge).bytes, challenge, 'the direct connection’s own packet');
    const moved = handshake(t, programs, way);
    t.not(moved.sport, 4001);
    t.deepEqual(wayOf(send(t, programs, 'to_pod', packet(TCP, back(moved), { flags: 'A' })).out), back(way));
    t.deepEqual(send(t, programs, 'to_pod', challenge).bytes, challenge);
  });

  test(`another pod’s packets with this client’s address over ${family} meet none of its rows`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    handshake(t, programs, toVip(cast, 4001));
    for (const { key, row } of await programs.flows('flows')) {
      t.is(key.device, 1, 'the loopback device of a test run');
      programs.dropFlow('flows', key);
      programs.dropFlow('half_open', key);
      programs.setFlow('flows', { ...key, device: 2 }, row);
    }
    const reset = packet(TCP, toVip(cast, 4001), { flags: 'R' });
    t.deepEqual(send(t, programs, 'from_pod', reset).bytes, reset);
    t.is((await programs.flows('flows')).filter(({ row }) => row.state & flowState.reset).length, 0);
  });

  test(`one row of a flow over ${family} evicted comes back from its twin`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const there = handshake(t, programs, way);
    const lose = async (at: number) => {
      for (const table of ['flows', 'half_open'] as const) {
        for (const { key } of await programs.flows(table)) if (key.hook === at) programs.dropFlow(table, key);
      }
      await age(programs, 'flows', 1);
    };
    await lose(hook.to_pod);
    send(t, programs, 'from_pod', packet(TCP, way, { flags: 'A' }));
    t.deepEqual(wayOf(send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'A' })).out), back(way));
    await lose(hook.from_pod);
    send(t, programs, 'to_pod', packet(TCP, back(there), { flags: 'A' }));
    t.deepEqual(wayOf(send(t, programs, 'from_pod', packet(TCP, way, { flags: 'A' })).out), there);
  });

  test(`traffic one way over ${family} keeps the way back`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    programs.serve(facts(cast, { protocol: UDP }));
    const way = toVip(cast, 4001);
    const there = wayOf(send(t, programs, 'from_pod', packet(UDP, way)).out);
    send(t, programs, 'to_pod', packet(UDP, back(there)));
    send(t, programs, 'from_pod', packet(UDP, way));
    for (let minutes = 0; minutes < 10; minutes++) {
      await age(programs, 'flows', 60);
      send(t, programs, 'from_pod', packet(UDP, way));
    }
    t.deepEqual(wayOf(send(t, programs, 'to_pod', packet(UDP, back(there))).out), back(way));
  });
}

test('a UDP packet over IPv4 without a checksum stays without one', async (t) => {
  using programs = await loadPrograms('tc', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast, { protocol: UDP }));
  const udp = { sourcePort: 4001, destinationPort: 80, checksum: 0 };
  const { out } = send(
    t,
    programs,
    'from_pod',
    craft({ ip: { source: cast.client, destination: cast.vip }, udp, payload: 'x' }),
  );
  t.true(isOneOf(cast.backends, wayOf(out)));
  t.like(out.transport, { checksum: 0 });
});

test('IPv4 options are kept, in translation and in a rejection', async (t) => {
  using programs = await loadPrograms('tc', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast));
  const ip = { source: cast.client, destination: cast.vip, options: '01010101' };
  const { out } = send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4001), { ip }));
  t.true(isOneOf(cast.backends, wayOf(out)));
  t.like(out.ip, { options: '01010101' });
  programs.serve(facts(cast, { any: [] }));
  const rejected = send(t, programs, 'from_pod', packet(TCP, toVip(cast, 4002), { ip }));
  t.is(rejected.retval, verdict.redirect);
  t.like(rejected.out.transport, { flags: 'AR' });
});

test('a short frame padded by Ethernet is rejected as what it says it is', async (t) => {
  using programs = await loadPrograms('tc', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast, { any: [] }));
  const frame = Buffer.concat([packet(TCP, toVip(cast, 4001), { payload: '' }), Buffer.alloc(6)]);
  const { out } = send(t, programs, 'from_pod', frame);
  t.like(out.transport, { flags: 'AR', acknowledgement: 1001 });
});

test('an IPv6 packet with IPv4-mapped addresses does not meet the rows of IPv4', async (t) => {
  using programs = await loadPrograms('tc', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast));
  const way = { source: '::ffff:10.1.1.10', sport: 4001, destination: '::ffff:10.96.0.1', dport: 80 };
  const frame = packet(TCP, way);
  t.deepEqual(send(t, programs, 'from_pod', frame).bytes, frame);
});

test('what is no whole TCP or UDP packet is left alone', async (t) => {
  using programs = await loadPrograms('tc', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast));
  const whole = packet(TCP, toVip(cast, 4001));
  const broken = [
    whole.subarray(0, 34),
    whole.subarray(0, 40),
    Buffer.alloc(60),
    Buffer.from(whole).fill(0x43, 14, 15),
  ];
  for (const frame of broken) {
    for (const program of ['from_pod', 'to_pod']) {
      const { retval, data } = programs.run(program, frame);
      t.is(retval, verdict.unspec);
      t.deepEqual(Buffer.from(data), Buffer.from(frame));
    }
  }
});

test('a row holds what a person expects to read', async (t) => {
  using programs = await loadPrograms('tc', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast, { any: [cast.backends[0]] }));
  handshake(t, programs, toVip(cast, 4001));
  const forward = (await programs.flows('flows')).find(({ key }) => key.hook === hook.from_pod);
  t.like(forward?.key, { sourcePort: 4001, destinationPort: 80, protocol: TCP });
  t.is(addressFromHex(forward?.key.destination ?? ''), cast.vip);
  t.is(addressFromHex(forward?.row.destination ?? ''), cast.backends[0][0]);
  t.like(forward?.row, { destinationPort: 8080, sourcePort: 4001, servicePort: 7, flags: 0 });
  t.is(forward?.row.state, flowState.replied | flowState.promoted);
  t.true(Math.abs((forward?.row.seen ?? 0) - nowSeconds()) < 3);
});
