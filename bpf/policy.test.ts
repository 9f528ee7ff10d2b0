/**
 * Traffic policies, by who asks: a frontend that keeps outside traffic on this node gives pods the whole set. The wire's programs
 * run in the namespace of a node with real routes; the node's own processes are in nodeport.test.ts.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { frontendFlag } from '../src/layout.gen.ts';
import { type FrontendFacts, loadPrograms, type Programs, TCP, verdict } from './fixture.ts';
import { type NodeCast, type NodeStage, nodeCasts, openNode, protocols } from './node-stage.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const sizes = { flows: 2048, half_open: 2048, backends: 256 };
const NODE_PORT = 30080;

let stage: NodeStage;
let wire: Programs;
let tc: Programs;

test.before(async () => {
  stage = await openNode('policy');
});
test.after.always(() => stage?.lab.close());
test.beforeEach(async () => {
  wire = await loadPrograms('wire', sizes);
  tc = await loadPrograms('tc', sizes);
  wire.addWire(stage.uplink.ifindex);
  for (const cast of nodeCasts) for (const programs of [wire, tc]) programs.addNodeAddress(cast.node);
});
test.afterEach.always(() => {
  wire?.[Symbol.dispose]();
  tc?.[Symbol.dispose]();
});

type Sent = ReturnType<typeof send>;

function pass(t: ExecutionContext, program: 'from_wire' | 'to_wire', protocol: number, way: Way, flags = 'S'): Sent {
  const frame = packet(protocol, way, { ethernet: { destination: stage.uplink.address }, flags });
  return stage.inside(() => send(t, wire, program, frame, stage.uplink.ifindex));
}

const policies = {
  outside: frontendFlag.local_outside | frontendFlag.has_endpoint,
  everybody: frontendFlag.local_only | frontendFlag.has_endpoint,
} as const;

/** At its external address and its nodePort alike. */
function serve(programs: Programs, cast: NodeCast, more: Partial<FrontendFacts> = {}): void {
  const facts = { port: 80, protocol: TCP, servicePort: 7, any: [cast.there], flags: policies.outside, ...more };
  programs.serve({ address: cast.external, external: true, ...facts });
  programs.serveNodePort(cast.family === 'IPv4' ? 4 : 6, { ...facts, port: NODE_PORT });
}

const to = (cast: NodeCast, source: string, sport: number): readonly Way[] => [
  { source, sport, destination: cast.external, dport: 80 },
  { source, sport, destination: cast.node, dport: NODE_PORT },
];

for (const cast of nodeCasts) {
  const { family } = cast;

  for (const [name, protocol] of protocols) {
    test(`${name} over ${family} from outside gets a backend of this node, and that its client's address`, (t) => {
      serve(wire, cast, { protocol, local: [cast.here] });
      for (const way of to(cast, cast.client, 4001)) {
        const { retval, out } = pass(t, 'from_wire', protocol, way);
        t.is(retval, verdict.unspec);
        const there = { ...way, destination: cast.here[0], dport: cast.here[1], sport: wayOf(out).sport };
        t.deepEqual(wayOf(out), there);
        t.deepEqual(wayOf(pass(t, 'to_wire', protocol, back(there), 'AS').out), back(way));
      }
      t.is(wire.count(7, 'connected_wire'), 2n);
    });

    test(`${name} over ${family} from outside is dropped where this node has no backend, and rejected where nobody has`, (t) => {
      serve(wire, cast, { protocol });
      for (const way of to(cast, cast.client, 4001)) t.is(pass(t, 'from_wire', protocol, way).retval, verdict.shot);
      t.is(wire.count(7, 'drop_no_local_endpoint'), 2n);
      serve(wire, cast, { protocol, any: [], flags: frontendFlag.local_outside });
      for (const way of to(cast, cast.client, 4002)) {
        const { retval, out } = pass(t, 'from_wire', protocol, way);
        t.is(retval, verdict.redirect);
        t.like(out.ip, { source: way.destination, destination: way.source });
      }
      t.is(wire.count(7, 'reject_no_endpoint'), 2n);
    });

    test(`${name} over ${family} from a pod gets the whole set, and keeps its source`, (t) => {
      serve(tc, cast, { protocol, local: [cast.here] });
      for (const way of to(cast, cast.pod, 4001)) {
        const { retval, out } = send(t, tc, 'from_pod', packet(protocol, way));
        t.is(retval, verdict.unspec);
        t.like(wayOf(out), { source: cast.pod, destination: cast.there[0], dport: cast.there[1] });
      }
      t.is(tc.count(7, 'connected_pod'), 2n);
    });
  }

  test(`a clusterIP that keeps traffic on the node does so from outside and from pods (${family})`, (t) => {
    const facts = { address: cast.vip, port: 80, protocol: TCP, servicePort: 8, any: [cast.there] };
    const way = (source: string, sport: number): Way => ({ source, sport, destination: cast.vip, dport: 80 });
    for (const programs of [wire, tc]) programs.serve({ ...facts, local: [cast.here], flags: policies.everybody });
    t.is(wayOf(pass(t, 'from_wire', TCP, way(cast.client, 4001)).out).destination, cast.here[0]);
    t.is(wayOf(send(t, tc, 'from_pod', packet(TCP, way(cast.pod, 4001))).out).destination, cast.here[0]);
    for (const programs of [wire, tc]) programs.serve({ ...facts, flags: policies.everybody });
    t.is(pass(t, 'from_wire', TCP, way(cast.client, 4002)).retval, verdict.shot);
    t.is(send(t, tc, 'from_pod', packet(TCP, way(cast.pod, 4002))).retval, verdict.shot);
    t.is(wire.count(8, 'drop_no_local_endpoint'), 1n);
    t.is(tc.count(8, 'drop_no_local_endpoint'), 1n);
  });

  test(`a backend in the local set is on this node whatever the routes over ${family} say: the source is kept`, (t) => {
    serve(wire, cast, { local: [cast.there] });
    const [way] = to(cast, cast.client, 4001) as [Way];
    const { retval, out } = pass(t, 'from_wire', TCP, way);
    t.is(retval, verdict.unspec);
    t.like(wayOf(out), { source: cast.client, destination: cast.there[0] });
  });

  test(`at the wire over ${family} the node's own addresses and the pods' are not outside`, (t) => {
    const flags = policies.outside;
    const bits = family === 'IPv4' ? 96 + 24 : 64;
    const network = cast.client.replace(/10$/, '0');
    serve(wire, cast, { flags });
    wire.addSourceClass(network, bits, 'pod');
    const [way] = to(cast, cast.client, 4001) as [Way];
    const pod = pass(t, 'from_wire', TCP, way);
    t.is(pod.retval, verdict.redirect, 'whichever node that pod is on: its replies have to come by here');
    t.like(wayOf(pod.out), { source: cast.node, destination: cast.there[0] });
    wire.addSourceClass(cast.client, 128, 'node');
    t.is(wayOf(pass(t, 'from_wire', TCP, { ...way, sport: 4002 }).out).destination, cast.there[0]);
    wire.addSourceClass(cast.client, 128, 'outside');
    t.is(pass(t, 'from_wire', TCP, { ...way, sport: 4003 }).retval, verdict.shot, 'the narrowest counts');
    t.is(wire.count(7, 'drop_no_local_endpoint'), 1n);
  });

  for (const [what, settle] of [
    ['whose address is a pod of this node', () => wire.addSourceClass(cast.client, 128, 'own_pod')],
    ['that comes in by a wire of pods', () => wire.addWire(stage.uplink.ifindex, '::', '::', true)],
  ] as const) {
    test(`at the wire a client over ${family} ${what} has the whole set and keeps its source`, (t) => {
      settle();
      serve(wire, cast);
      wire.serve({ address: cast.vip, port: 80, protocol: TCP, servicePort: 8, any: [cast.there] });
      const vip = { source: cast.client, sport: 4009, destination: cast.vip, dport: 80 };
      for (const way of [...to(cast, cast.client, 4001), vip]) {
        const { retval, out } = pass(t, 'from_wire', TCP, way);
        t.is(retval, verdict.unspec);
        const there = wayOf(out);
        t.like(there, { source: cast.client, destination: cast.there[0], dport: cast.there[1] });
        t.deepEqual(wayOf(pass(t, 'to_wire', TCP, back(there), 'AS').out), back(way));
      }
    });

    test(`at the wire a client over ${family} ${what} that is its own backend is masqueraded`, (t) => {
      settle();
      wire.serve({ address: cast.vip, port: 80, protocol: TCP, servicePort: 8, any: [[cast.client, 8080]] });
      const way = { source: cast.client, sport: 4009, destination: cast.vip, dport: 80 };
      const { retval, out } = pass(t, 'from_wire', TCP, way);
      t.is(retval, verdict.redirect);
      t.like(wayOf(out), { source: cast.node, destination: cast.client, dport: 8080 });
    });
  }

  test(`source ranges over ${family} go before "no endpoint here"`, (t) => {
    serve(wire, cast, { flags: policies.outside | frontendFlag.source_ranges });
    const [way] = to(cast, cast.client, 4001) as [Way];
    t.is(pass(t, 'from_wire', TCP, way).retval, verdict.shot);
    t.is(wire.count(7, 'drop_source_range'), 1n);
    wire.addSourceRange(7, cast.client, 128);
    t.is(pass(t, 'from_wire', TCP, way).retval, verdict.shot);
    t.is(wire.count(7, 'drop_no_local_endpoint'), 1n);
  });

  test(`affinity over ${family} counts while its backend is in the set that applies to the client`, (t) => {
    const both = { any: [cast.there, cast.here], affinitySeconds: 600 };
    const [outside, inside] = to(cast, cast.client, 4001) as [Way, Way];
    serve(wire, cast, { ...both, any: [cast.there], flags: frontendFlag.has_endpoint });
    t.is(wayOf(pass(t, 'from_wire', TCP, outside).out).destination, cast.there[0]);
    serve(wire, cast, { ...both, local: [cast.here] });
    for (const way of [inside, { ...outside, sport: 4003 }]) {
      t.is(wayOf(pass(t, 'from_wire', TCP, way).out).destination, cast.here[0], 'the remembered one is not of its set');
    }
    serve(wire, cast, { ...both, flags: frontendFlag.has_endpoint });
    for (let sport = 4010; sport < 4030; sport++) {
      t.is(wayOf(pass(t, 'from_wire', TCP, { ...outside, sport }).out).destination, cast.here[0], 'of both, the last');
    }
  });

  for (const [name, protocol] of protocols) {
    test(`a policy that is flipped leaves flows of ${name} over ${family} as they are`, (t) => {
      const [way] = to(cast, cast.client, 4001) as [Way];
      serve(wire, cast, { protocol, flags: frontendFlag.has_endpoint });
      const before = wayOf(pass(t, 'from_wire', protocol, way).out);
      t.like(before, { source: cast.node, destination: cast.there[0] });
      serve(wire, cast, { protocol, local: [cast.here] });
      t.deepEqual(wayOf(pass(t, 'from_wire', protocol, way, 'A').out), before, 'from Cluster to Local');
      t.is(wayOf(pass(t, 'from_wire', protocol, { ...way, sport: 4002 }).out).destination, cast.here[0]);
      serve(wire, cast, { protocol, flags: frontendFlag.has_endpoint });
      const after = wayOf(pass(t, 'from_wire', protocol, { ...way, sport: 4002 }, 'A').out);
      t.like(after, { source: cast.client, destination: cast.here[0] }, 'and back');
    });
  }
}
