/**
 * What passes between the node and the world, one packet at a time. The programs run in the namespace of a node with real
 * routes; where a redirect leads is not told, so who gets the packet is tested with real packets elsewhere.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { flowFlag, frontendFlag, hook } from '../src/layout.gen.ts';
import { faults } from '../test/netns/checksum.ts';
import { craft } from '../test/netns/craft.ts';
import type { Node } from '../test/netns/lab.ts';
import { type Packet, parse, quoted } from '../test/netns/packet.ts';
import { startServer } from '../test/netns/traffic.ts';
import { type FrontendFacts, loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { type NodeCast, type NodeStage, nodeCasts, openNode, protocols } from './node-stage.ts';
import { back, packet, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const sizes = { flows: 2048, half_open: 2048, backends: 256 };
const NODE_PORT = 30080;

let stage: NodeStage;
let node: Node;
let uplink: NodeStage['uplink'];
let programs: Programs;

test.before(async () => {
  stage = await openNode('wire');
  ({ node, uplink } = stage);
});
test.after.always(() => stage?.lab.close());
test.beforeEach(async () => {
  programs = await loadPrograms('wire', sizes);
  programs.addWire(uplink.ifindex);
  for (const cast of nodeCasts) programs.addNodeAddress(cast.node);
});
test.afterEach.always(() => programs?.[Symbol.dispose]());

interface Sent {
  readonly retval: number;
  readonly out: Packet;
  readonly bytes: Buffer;
}

/** Passes the node's uplink, `from` another device if one is given; every checksum of what becomes of the packet must be right. */
function send(t: ExecutionContext, program: 'from_wire' | 'to_wire', frame: Buffer, from?: number): Sent {
  const { retval, data } = stage.inside(() => programs.run(program, frame, uplink.ifindex, 0, from));
  const bytes = Buffer.from(data);
  const out = parse(bytes);
  t.deepEqual(faults(out), [], `${program} damaged the packet`);
  return { retval, out, bytes };
}

/** To the uplink's own MAC: what is another's is not looked at. */
function frame(protocol: number, way: Way, extra: Parameters<typeof packet>[2] = {}): Buffer {
  return packet(protocol, way, { ethernet: { destination: uplink.address }, ...extra });
}

function come(t: ExecutionContext, protocol: number, way: Way, extra?: Parameters<typeof packet>[2]): Sent {
  return send(t, 'from_wire', frame(protocol, way, extra));
}

function go(t: ExecutionContext, protocol: number, way: Way, extra?: Parameters<typeof packet>[2]): Sent {
  return send(t, 'to_wire', frame(protocol, way, extra));
}

function hops({ ip }: Packet): number | undefined {
  return ip?.version === 4 ? ip.ttl : ip?.hopLimit;
}

function facts(cast: NodeCast, more: Partial<FrontendFacts> = {}): FrontendFacts {
  return { address: cast.vip, port: 80, protocol: TCP, servicePort: 7, any: [cast.there], ...more };
}

function toVip(cast: NodeCast, sport: number, more: Partial<Way> = {}): Way {
  return { source: cast.client, sport, destination: cast.vip, dport: 80, ...more };
}

/** A whole handshake with a backend elsewhere; what that sees. */
function connectThere(t: ExecutionContext, way: Way): Way {
  const there = wayOf(come(t, TCP, way).out);
  t.deepEqual(wayOf(come(t, TCP, back(there), { flags: 'AS' }).out), back(way));
  t.deepEqual(wayOf(come(t, TCP, way, { flags: 'A' }).out), there);
  return there;
}

for (const cast of nodeCasts) {
  const { family } = cast;

  for (const [name, protocol] of protocols) {
    test(`from_wire gives ${name} over ${family} to a backend here with its client's address, to_wire mends the reply`, (t) => {
      programs.serve(facts(cast, { protocol, any: [cast.here] }));
      const way = toVip(cast, 4001);
      const there = { ...way, destination: cast.here[0], dport: cast.here[1] };
      for (const flags of ['S', 'A', 'AP']) {
        const { retval, out } = come(t, protocol, way, { flags });
        t.is(retval, verdict.unspec);
        t.deepEqual(wayOf(out), there);
        t.is(hops(out), 64, 'the node itself counts the hop');
        const reply = go(t, protocol, back(there), { flags: flags === 'S' ? 'AS' : 'A' });
        t.is(reply.retval, verdict.unspec);
        t.deepEqual(wayOf(reply.out), back(way));
      }
      t.is(programs.count(7, 'connected_wire'), 1n);
    });

    test(`from_wire sends ${name} over ${family} on to a backend elsewhere, from the node, and mends the reply`, async (t) => {
      programs.serve(facts(cast, { protocol }));
      const way = toVip(cast, 4001);
      const there = { source: cast.node, sport: 4001, destination: cast.there[0], dport: cast.there[1] };
      for (const flags of ['S', 'A', 'AP']) {
        const { retval, out } = come(t, protocol, way, { flags });
        t.is(retval, verdict.redirect);
        t.deepEqual(wayOf(out), there);
        t.is(hops(out), 63);
        const passing = go(t, protocol, there, { flags });
        t.is(passing.retval, verdict.unspec);
        t.deepEqual(wayOf(passing.out), there, 'nobody touches it on its way out');
        const reply = come(t, protocol, back(there), { flags: flags === 'S' ? 'AS' : 'A' });
        t.is(reply.retval, verdict.redirect);
        t.deepEqual(wayOf(reply.out), back(way));
        t.is(hops(reply.out), 63);
      }
      t.is(programs.count(7, 'connected_wire'), 1n);
      const rows = await programs.flows('flows');
      t.deepEqual(
        rows.map(({ key }) => key.hook),
        [hook.from_wire, hook.from_wire],
      );
      t.true(rows.every(({ row, key }) => row.flags & flowFlag.masquerade && key.device === 0));
    });

    test(`from_wire leaves ${name} over ${family} alone that is for no Service, or another's frame`, (t) => {
      programs.serve(facts(cast, { protocol }));
      programs.serveNodePort(family === 'IPv4' ? 4 : 6, facts(cast, { protocol, port: NODE_PORT }));
      programs.serve(facts(cast, { protocol, address: cast.external, external: true }));
      for (const [what, way] of Object.entries({
        'a pod': toVip(cast, 4001, { destination: cast.here[0], dport: 8080 }),
        'the node': toVip(cast, 4001, { destination: cast.node, dport: 80 }),
        'a NodePort, of no address of the node': toVip(cast, 4001, { destination: cast.here[0], dport: NODE_PORT }),
        'the any-address': toVip(cast, 4001, { destination: family === 'IPv4' ? '0.0.0.0' : '::', dport: NODE_PORT }),
        'another port of an external address': toVip(cast, 4001, { destination: cast.external, dport: 81 }),
      })) {
        const { retval, bytes } = come(t, protocol, way);
        t.is(retval, verdict.unspec, what);
        t.deepEqual(bytes, frame(protocol, way), what);
      }
      const flooded = packet(protocol, toVip(cast, 4001), { ethernet: { destination: '02:00:00:00:00:99' } });
      t.deepEqual(send(t, 'from_wire', flooded).bytes, flooded);
    });

    test(`a NodePort and an external address serve ${name} over ${family}`, (t) => {
      programs.serveNodePort(family === 'IPv4' ? 4 : 6, facts(cast, { protocol, port: NODE_PORT }));
      programs.serve(facts(cast, { protocol, address: cast.external, external: true, servicePort: 8 }));
      for (const [way, servicePort] of [
        [toVip(cast, 4001, { destination: cast.node, dport: NODE_PORT }), 7],
        [toVip(cast, 4002, { destination: cast.external }), 8],
      ] as const) {
        const { retval, out } = come(t, protocol, way);
        t.is(retval, verdict.redirect);
        t.like(wayOf(out), { source: cast.node, destination: cast.there[0] });
        t.deepEqual(wayOf(come(t, protocol, back(wayOf(out)), { flags: 'AS' }).out), back(way));
        t.is(programs.count(servicePort, 'connected_wire'), 1n);
      }
    });

    test(`a client's source port of ${name} over ${family} is kept, but for one that the node needs`, async (t) => {
      programs.serve(facts(cast, { protocol }));
      programs.serveNodePort(family === 'IPv4' ? 4 : 6, facts(cast, { protocol, port: NODE_PORT, servicePort: 8 }));
      const server = await startServer(stage.lab, node, [7777]);
      for (const [sport, kept] of [
        [1024, true],
        [65_535, true],
        [1023, false],
        [NODE_PORT, false],
        [7777, false],
      ] as const) {
        const way = toVip(cast, sport);
        const there = wayOf(come(t, protocol, way).out);
        t.is(there.sport === sport, kept, `${sport} became ${there.sport}`);
        t.true(there.sport >= 1024);
        t.deepEqual(wayOf(come(t, protocol, back(there), { flags: 'AS' }).out), back(way));
      }
      t.is(programs.count(7, 'connected_moved'), 3n);
      server.kill('SIGKILL');
    });

    test(`the hop limit of ${name} over ${family} ends here: the address that was asked says so`, (t) => {
      programs.serve(facts(cast, { protocol }));
      const way = toVip(cast, 4001);
      const there = wayOf(come(t, protocol, way).out);
      t.is(come(t, protocol, back(there), { flags: 'AS' }).retval, verdict.redirect);
      for (const asked of [way, back(there)]) {
        const ttl = { ttl: 1, hopLimit: 1 } as const;
        const { retval, out } = come(t, protocol, asked, { flags: 'A', ip: ttl as never });
        t.is(retval, verdict.redirect);
        t.like(out.ip, { source: asked.destination, destination: asked.source });
        t.like(
          out.transport,
          family === 'IPv4' ? { kind: 'icmp', type: 11, code: 0 } : { kind: 'icmpv6', type: 3, code: 0 },
        );
        t.deepEqual(wayOf(quoted(out) as Packet), asked);
        t.is(out.ethernet?.destination, '02:00:00:00:00:01');
      }
      t.is(programs.count(7, 'reject_ttl'), 2n);
    });

    test(`a narrow way to the backend is told to the client of ${name} over ${family}`, async (t) => {
      programs.serve(facts(cast, { protocol }));
      const [target, via] = family === 'IPv4' ? [node.podCidr4, '192.168.50.2'] : [node.podCidr6, 'fd00:50::2'];
      const other = target.replace('1.1.0', '1.2.0').replace('1:1::', '1:2::');
      await stage.lab.exec(node, ['ip', 'route', 'replace', other, 'via', via, 'mtu', 'lock', '1300']);
      t.teardown(() => stage.lab.exec(node, ['ip', 'route', 'replace', other, 'via', via]));
      const way = toVip(cast, 4001);
      const header = (family === 'IPv4' ? 20 : 40) + (protocol === TCP ? 20 : 8);
      t.is(come(t, protocol, way, { payload: Buffer.alloc(1300 - header) }).retval, verdict.redirect);
      const { retval, out } = come(t, protocol, way, { payload: Buffer.alloc(1301 - header) });
      t.is(retval, verdict.redirect);
      t.like(out.ip, { source: cast.vip, destination: cast.client });
      t.like(
        out.transport,
        family === 'IPv4'
          ? { kind: 'icmp', type: 3, code: 4, rest: 1300 }
          : { kind: 'icmpv6', type: 2, code: 0, rest: 1300 },
      );
      t.is(programs.count(7, 'reject_too_big'), 1n);
    });
  }

  test(`two clients of one source port over ${family} have two ports at the backend, and each its own replies`, (t) => {
    programs.serve(facts(cast));
    programs.serve(facts(cast, { address: cast.vip2, servicePort: 8 }));
    const ways = [
      toVip(cast, 4001),
      toVip(cast, 4001, { source: cast.client2 }),
      toVip(cast, 4001, { destination: cast.vip2 }),
    ];
    const seen = ways.map((way) => connectThere(t, way));
    t.is(new Set(seen.map(({ sport }) => sport)).size, 3);
    for (const [i, there] of seen.entries()) {
      t.deepEqual(wayOf(come(t, TCP, back(there), { flags: 'A' }).out), back(ways[i] as Way));
      t.deepEqual(wayOf(come(t, TCP, ways[i] as Way, { flags: 'A' }).out), there);
    }
  });

  test(`one source port to two VIPs over one backend here, and to the backend itself (${family})`, (t) => {
    programs.serve(facts(cast, { any: [cast.here] }));
    programs.serve(facts(cast, { address: cast.vip2, servicePort: 8, any: [cast.here] }));
    const direct = toVip(cast, 4001, { destination: cast.here[0], dport: cast.here[1] });
    const ways = [toVip(cast, 4001), toVip(cast, 4001, { destination: cast.vip2 }), direct];
    const seen = ways.map((way) => wayOf(come(t, TCP, way).out));
    t.is(new Set(seen.map(({ sport }) => sport)).size, 3);
    for (const [i, there] of seen.entries()) {
      t.like(there, { source: cast.client, destination: cast.here[0], dport: cast.here[1] });
      t.deepEqual(wayOf(go(t, TCP, back(there), { flags: 'AS' }).out), back(ways[i] as Way));
    }
    t.is(programs.count(0, 'connected_direct'), 1n);
  });

  test(`a VIP connection over ${family} whose port has a direct one to the backend here moves`, (t) => {
    programs.serve(facts(cast, { any: [cast.here] }));
    const way = toVip(cast, 4001);
    const clash = wayOf(come(t, TCP, way).out);
    const challenge = frame(TCP, back(clash), { flags: 'A' });
    t.deepEqual(send(t, 'to_wire', challenge).bytes, challenge, 'the direct connection’s own packet');
    const moved = wayOf(come(t, TCP, way).out);
    t.not(moved.sport, 4001);
    t.deepEqual(wayOf(go(t, TCP, back(moved), { flags: 'AS' }).out), back(way));
    t.deepEqual(send(t, 'to_wire', challenge).bytes, challenge);
  });

  test(`a masqueraded connection over ${family} moves away from one that has its port at the backend`, (t) => {
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const clash = wayOf(come(t, TCP, way).out);
    t.is(clash.sport, 4001);
    const challenge = frame(TCP, back(clash), { flags: 'A' });
    t.is(send(t, 'from_wire', challenge).retval, verdict.unspec);
    t.deepEqual(send(t, 'from_wire', challenge).bytes, challenge, 'the other connection’s own packet');
    const moved = wayOf(come(t, TCP, way).out);
    t.not(moved.sport, 4001);
    t.deepEqual(wayOf(come(t, TCP, back(moved), { flags: 'AS' }).out), back(way));
    t.deepEqual(send(t, 'from_wire', challenge).bytes, challenge);
    t.is(programs.count(7, 'connected_moved'), 1n);
  });

  for (const [name, protocol] of protocols) {
    test(`what netfilter gives the node's address gets another port over ${family}, where a flow of ${name} has its own`, (t) => {
      programs.serve(facts(cast, { protocol }));
      const there = wayOf(come(t, protocol, toVip(cast, 4001)).out);
      const pods = 99;
      const ours = frame(protocol, there, { flags: 'A' });
      t.deepEqual(send(t, 'to_wire', ours, uplink.ifindex).bytes, ours, 'of the flow itself');
      const theirs = wayOf(send(t, 'to_wire', frame(protocol, there), pods).out);
      t.like(theirs, { ...there, sport: theirs.sport });
      t.not(theirs.sport, 4001);
      t.deepEqual(wayOf(come(t, protocol, back(theirs), { flags: 'AS' }).out), back(there), 'which netfilter mends');
      t.is(wayOf(send(t, 'to_wire', frame(protocol, there, { flags: 'A' }), pods).out).sport, theirs.sport);
      t.deepEqual(send(t, 'to_wire', ours, uplink.ifindex).bytes, ours);
      t.deepEqual(wayOf(come(t, protocol, back(there), { flags: 'AS' }).out), back(toVip(cast, 4001)));
      const other = frame(protocol, { ...there, sport: 4002 });
      t.deepEqual(send(t, 'to_wire', other, pods).bytes, other);
      t.is(programs.count(0, 'connected_direct'), 1n);
    });
  }

  test(`TCP over ${family} that did not begin here is left alone, and a closed connection's port may be used again`, (t) => {
    programs.serve(facts(cast));
    for (const flags of ['A', 'AP', 'AF', 'R', 'AS']) {
      const stray = frame(TCP, toVip(cast, 4001), { flags });
      t.deepEqual(send(t, 'from_wire', stray).bytes, stray, flags);
    }
    const way = toVip(cast, 4001);
    const there = connectThere(t, way);
    come(t, TCP, way, { flags: 'AF' });
    come(t, TCP, back(there), { flags: 'AF' });
    programs.serve(facts(cast, { any: [cast.here] }));
    t.is(wayOf(come(t, TCP, way).out).destination, cast.here[0]);
    t.is(programs.count(7, 'connected_wire'), 2n);
  });

  test(`who is outside the source ranges over ${family} is dropped in silence, before anything else`, (t) => {
    const flags = frontendFlag.source_ranges;
    programs.addSourceRange(7, cast.client, 128);
    programs.serve(facts(cast, { address: cast.external, external: true, any: [], flags }));
    const way = toVip(cast, 4001, { destination: cast.external });
    t.is(come(t, TCP, way).retval, verdict.redirect, 'inside: rejected, since nobody can answer');
    t.is(come(t, TCP, { ...way, source: cast.client2 }).retval, verdict.shot);
    t.is(programs.count(7, 'reject_no_endpoint'), 1n);
    t.is(programs.count(7, 'drop_source_range'), 1n);
    programs.serve(facts(cast, { address: cast.external, external: true, flags: flags | frontendFlag.has_endpoint }));
    t.is(come(t, TCP, { ...way, source: cast.client2 }).retval, verdict.shot);
    t.is(wayOf(come(t, TCP, way).out).destination, cast.there[0]);
  });

  test(`from_wire refuses over ${family} where nobody can answer, and drops where there is no way`, (t) => {
    programs.serve(facts(cast, { any: [] }));
    for (const [dport, reason] of [
      [80, 'reject_no_endpoint'],
      [81, 'reject_undefined_port'],
    ] as const) {
      const way = toVip(cast, 4001, { dport });
      const { retval, out } = come(t, TCP, way);
      t.is(retval, verdict.redirect);
      t.deepEqual(wayOf(out), back(way));
      t.like(out.transport, { flags: 'AR' });
      t.is(programs.count(7, reason), 1n);
    }
    programs.serve(facts(cast, { any: [cast.nowhere] }));
    t.is(come(t, TCP, toVip(cast, 4001)).retval, verdict.shot);
    t.is(programs.count(7, 'drop_no_route'), 1n);
  });

  test(`where the kernel does not tell its source over ${family}, the wire's row does`, async (t) => {
    using old = await loadPrograms('wire', sizes, 0n, undefined, 0);
    const kept = programs;
    programs = old;
    programs.serve(facts(cast));
    programs.addWire(uplink.ifindex);
    t.is(come(t, TCP, toVip(cast, 4001)).retval, verdict.shot);
    t.is(programs.count(7, 'drop_no_source_address'), 1n);
    programs.addWire(uplink.ifindex, '192.168.50.77', 'fd00:50::77');
    t.is(wayOf(come(t, TCP, toVip(cast, 4001)).out).source, family === 'IPv4' ? '192.168.50.77' : 'fd00:50::77');
    programs = kept;
  });

  test(`an ICMP error over ${family} about a flow to a backend elsewhere goes on to whom it concerns`, (t) => {
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const there = connectThere(t, way);
    const type = family === 'IPv4' ? { type: 3, code: 4, rest: 1200 } : { type: 2, code: 0, rest: 1200 };
    const router = family === 'IPv4' ? '192.168.50.2' : 'fd00:50::2';
    for (const [about, to] of [
      [there, back(back(way))],
      [back(way), back(there)],
    ] as const) {
      const quote = packet(TCP, about, { flags: 'A', ethernet: null });
      const error = craft({
        ethernet: { destination: uplink.address },
        ip: { source: router, destination: about.source },
        icmp: type,
        payload: quote,
      });
      const { retval, out } = send(t, 'from_wire', error);
      t.is(retval, verdict.redirect);
      t.like(out.ip, { source: router, destination: to.source });
      t.deepEqual(wayOf(quoted(out) as Packet), to);
      t.is(hops(out), 63);
    }
  });

  test(`to_wire over ${family} stops service addresses that nobody translated, whatever the protocol, and no others`, (t) => {
    programs.serve(facts(cast));
    programs.serve(facts(cast, { address: cast.external, external: true, servicePort: 8 }));
    programs.addServiceCidr(family === 'IPv4' ? '10.96.0.0' : 'fd00:10:96::', family === 'IPv4' ? 96 + 16 : 112);
    t.is(go(t, TCP, toVip(cast, 4001)).retval, verdict.shot);
    t.is(go(t, UDP, toVip(cast, 4001)).retval, verdict.shot);
    const ping = craft({
      ip: { source: cast.client, destination: cast.vip },
      icmp: { type: family === 'IPv4' ? 8 : 128 },
    });
    t.is(send(t, 'to_wire', ping).retval, verdict.shot);
    t.is(programs.count(7, 'drop_untranslated'), 3n);
    t.is(go(t, TCP, toVip(cast, 4001, { destination: cast.vip2 })).retval, verdict.shot);
    t.is(programs.count(0, 'drop_unallocated'), 1n);
    t.is(go(t, TCP, toVip(cast, 4001, { destination: cast.external })).retval, verdict.shot);
    t.is(programs.count(8, 'drop_untranslated'), 1n);
    t.is(go(t, TCP, toVip(cast, 4001, { destination: cast.external, dport: 81 })).retval, verdict.unspec);
    t.is(go(t, TCP, toVip(cast, 4001, { destination: cast.client2 })).retval, verdict.unspec);
  });

  test(`to_wire over ${family} resets a connection to a Service that nobody remembers, and is silent about a RST`, (t) => {
    programs.serve(facts(cast));
    const way = toVip(cast, 4001);
    const { retval, out } = go(t, TCP, way, { flags: 'A' });
    t.is(retval, verdict.redirect);
    t.deepEqual(wayOf(out), back(way));
    t.like(out.transport, { flags: 'R', sequence: 2000 });
    t.is(programs.count(7, 'reject_no_flow'), 1n);
    t.is(go(t, TCP, way, { flags: 'R' }).retval, verdict.shot);
    t.is(programs.count(7, 'reject_no_flow'), 1n);
  });
}

test('a later fragment to a service address is stopped by to_wire', (t) => {
  const [cast] = nodeCasts;
  programs.serve(facts(cast, { protocol: UDP }));
  const later = craft({
    ip: { source: cast.client, destination: cast.vip, dontFragment: false, fragmentOffset: 1480 },
    udp: { sourcePort: 4001, destinationPort: 80 },
    payload: 'hello',
  });
  t.is(stage.inside(() => programs.run('to_wire', later, uplink.ifindex)).retval, verdict.shot);
  t.is(programs.count(7, 'drop_fragment_unknown'), 1n);
});
