/** Odd packets at a wire: pieces, options and extension headers, ICMP errors, for backends here and elsewhere. */
import anyTest, { type ExecutionContext } from 'ava';
import { frontendFlag } from '../src/layout.gen.ts';
import { faults } from '../test/netns/checksum.ts';
import { craft, type Wanted } from '../test/netns/craft.ts';
import type { Extension } from '../test/netns/header.ts';
import { type Packet, parse, quoted } from '../test/netns/packet.ts';
import { cut, join } from '../test/netns/pieces.ts';
import { type BackendText, loadPrograms, type Programs, UDP, verdict } from './fixture.ts';
import { type NodeCast, type NodeStage, nodeCasts, openNode } from './node-stage.ts';
import { back, packet, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const ETHERNET = 14;

let stage: NodeStage;
let programs: Programs;
let lastPort = 4000;

test.before(async () => {
  stage = await openNode('oddwire');
  programs = await loadPrograms('wire', { flows: 2048, half_open: 2048, backends: 64, fragments: 512 });
  programs.addWire(stage.uplink.ifindex);
  for (const cast of nodeCasts) {
    programs.addNodeAddress(cast.node);
    const any = { protocol: UDP, servicePort: 7, address: cast.vip };
    programs.serve({ ...any, port: 80, any: [cast.here] });
    programs.serve({ ...any, port: 81, any: [cast.there] });
  }
});
test.after.always(async () => {
  programs?.[Symbol.dispose]();
  await stage?.lab.close();
});

function run(program: 'from_wire' | 'to_wire', frame: Buffer): { retval: number; bytes: Buffer } {
  const { retval, data } = stage.inside(() => programs.run(program, frame, stage.uplink.ifindex));
  return { retval, bytes: Buffer.from(data) };
}

function frame(way: Way, extra: Parameters<typeof packet>[2] = {}): Buffer {
  return packet(UDP, way, { ethernet: { destination: stage.uplink.address }, ...extra });
}

/** The ICMP error about a frame, addressed to this node's uplink. */
function error(family: NodeCast['family'], source: string, destination: string, about: Buffer, ttl = 60): Buffer {
  const icmp = family === 'IPv4' ? { type: 3, code: 4, rest: 1300 } : { type: 2, code: 0, rest: 1300 };
  const ip = { source, destination, ttl, hopLimit: ttl };
  return craft({ ethernet: { destination: stage.uplink.address }, ip, icmp, payload: about.subarray(ETHERNET) });
}

function right(t: ExecutionContext, bytes: Buffer): Packet {
  const packet = parse(bytes);
  t.deepEqual(faults(packet), []);
  return packet;
}

/** Who is told what about whom. */
function story(packet: Packet): unknown {
  const inner = quoted(packet);
  if (inner === null) throw new Error('no ICMP error');
  return { from: packet.ip?.source, to: packet.ip?.destination, about: wayOf(inner) };
}

const payload = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 251));

for (const cast of nodeCasts) {
  const { family, client, node, vip, router } = cast;
  const ways: readonly { readonly place: string; readonly port: number; readonly seen: (sport: number) => Way }[] = [
    { place: 'here', port: 80, seen: (sport) => there(client, sport, cast.here) },
    { place: 'elsewhere', port: 81, seen: (sport) => there(node, sport, cast.there) },
  ];

  for (const { place, port, seen } of ways) {
    const goes = place === 'here' ? verdict.unspec : verdict.redirect;
    const home = place === 'here' ? 'to_wire' : 'from_wire';
    const fresh = (): Way => ({ source: client, sport: ++lastPort, destination: vip, dport: port });
    const pass = (t: ExecutionContext, program: 'from_wire' | 'to_wire', pieces: readonly Buffer[]): Packet => {
      const out = pieces.map((one) => run(program, one));
      for (const { retval, bytes } of out) {
        t.is(retval, goes);
        right(t, bytes);
      }
      return join(out.map(({ bytes }) => bytes));
    };

    test(`a datagram in pieces over ${family} reaches a backend ${place} whole, and its answer the client`, (t) => {
      const way = fresh();
      const asked = pass(t, 'from_wire', cut(frame(way, { payload }), 1400, 70));
      t.deepEqual([faults(asked), wayOf(asked), asked.payload], [[], seen(way.sport), payload]);
      const answered = pass(t, home, cut(frame(back(seen(way.sport)), { payload }), 1400, 71));
      t.deepEqual([faults(answered), wayOf(answered), answered.payload], [[], back(way), payload]);
    });

    test(`options and extension headers over ${family} are kept on the way to a backend ${place}`, (t) => {
      const way = fresh();
      const extensions: Extension[] = [{ type: 60, next: 0, data: '00010400000000' }];
      const ip = (family === 'IPv4' ? { options: '01010101' } : { extensions }) as unknown as Wanted['ip'];
      const asked = run('from_wire', frame(way, { ip }));
      t.is(asked.retval, goes);
      t.deepEqual(wayOf(right(t, asked.bytes)), seen(way.sport));
      const answered = run(home, frame(back(seen(way.sport)), { ip }));
      t.is(answered.retval, goes);
      t.deepEqual(wayOf(right(t, answered.bytes)), back(way));
    });

    test(`errors over ${family} about a flow to a backend ${place} are told in words of who gets them`, (t) => {
      const way = fresh();
      const backend = seen(way.sport).destination;
      const sent = run('from_wire', frame(way)).bytes;
      const received = run(home, frame(back(seen(way.sport)))).bytes;
      const toClient = seen(way.sport).source;
      for (const [source, shown] of [
        [router, router],
        [backend, vip],
      ] as const) {
        const { retval, bytes } = run(home, error(family, source, toClient, sent));
        t.is(retval, goes);
        t.deepEqual(story(right(t, bytes)), { from: shown, to: client, about: way });
      }
      const { retval, bytes } = run('from_wire', error(family, client, vip, received));
      t.is(retval, goes);
      const shown = place === 'here' ? client : toClient;
      t.deepEqual(story(right(t, bytes)), { from: shown, to: backend, about: back(seen(way.sport)) });
    });
  }

  test(`a later piece over ${family} whose hops end here is dropped in silence, and so is an error`, (t) => {
    const way = { source: client, sport: ++lastPort, destination: vip, dport: 81 };
    const [first, later] = cut(
      frame(way, { payload, ip: { ttl: 1, hopLimit: 1 } as unknown as Wanted['ip'] }),
      1400,
      72,
    );
    const { bytes: sent } = run('from_wire', frame(way));
    t.is(run('from_wire', cut(frame(way, { payload }), 1400, 72)[0] as Buffer).retval, verdict.redirect);
    t.is(right(t, run('from_wire', first as Buffer).bytes).ip?.source, vip, 'the first one is answered');
    t.is(run('from_wire', later as Buffer).retval, verdict.shot);
    t.is(run('from_wire', error(family, router, node, sent, 1)).retval, verdict.shot);
  });

  test(`a later piece over ${family} without its first does not leave with a clusterIP`, (t) => {
    const none = { any: { start: 0, count: 0 }, local: { start: 0, count: 0 }, servicePort: 8, affinitySeconds: 0 };
    programs.setFrontend(cast.external, 0, 0, { ...none, flags: frontendFlag.external_address });
    const laterTo = (destination: string): Buffer => {
      const way = { source: client, sport: ++lastPort, destination, dport: 80 };
      return cut(frame(way, { payload }), 1400, 73)[1] as Buffer;
    };
    const before = programs.count(7, 'drop_fragment_unknown');
    t.is(run('to_wire', laterTo(vip)).retval, verdict.shot);
    t.is(programs.count(7, 'drop_fragment_unknown'), before + 1n);
    t.is(run('to_wire', laterTo(cast.external)).retval, verdict.unspec, 'which may be another node’s own address');
  });
}

function there(source: string, sport: number, [destination, dport]: BackendText): Way {
  return { source, sport, destination, dport };
}
