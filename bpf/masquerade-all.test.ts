/**
 * --masquerade-all: at the client's edge a packet is marked, and where it leaves towards its backend the source becomes the
 * node's, in a flow of its own.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { frontendFlag } from '../src/layout.gen.ts';
import { addressToHex } from '../src/model/address.ts';
import { faults } from '../test/netns/checksum.ts';
import { type Packet, parse } from '../test/netns/packet.ts';
import { loadPrograms, type Programs, TCP, verdict } from './fixture.ts';
import { type NodeStage, nodeCasts, openNode, protocols } from './node-stage.ts';
import { back, packet, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const MARK = 1 << 14;
const sizes = { flows: 2048, half_open: 2048, backends: 256 };

let stage: NodeStage;
let wire: Programs;
let tc: Programs;

test.before(async () => {
  stage = await openNode('masqall');
});
test.after.always(() => stage?.lab.close());
test.beforeEach(async () => {
  wire = await loadPrograms('wire', sizes, 0n, undefined, 1, MARK);
  tc = await loadPrograms('tc', sizes, 0n, undefined, 1, MARK);
  const [ipv4, ipv6] = nodeCasts.map((cast) => cast.node) as [string, string];
  wire.addWire(stage.uplink.ifindex, ipv4, ipv6);
  tc.setSwitches({ nodeIpv4: addressToHex(ipv4), nodeIpv6: addressToHex(ipv6), podsAtTc: 1 });
});
test.afterEach.always(() => {
  wire?.[Symbol.dispose]();
  tc?.[Symbol.dispose]();
});

interface Sent {
  readonly retval: number;
  readonly out: Packet;
  readonly mark: number;
}

function pass(t: ExecutionContext, program: string, protocol: number, way: Way, flags = 'S', mark = 0): Sent {
  const isWire = program.endsWith('wire');
  const frame = packet(protocol, way, { flags, ...(isWire && { ethernet: { destination: stage.uplink.address } }) });
  const programs = isWire ? wire : tc;
  const ifindex = isWire ? stage.uplink.ifindex : 1;
  const { retval, data, context } = stage.inside(() => programs.run(program, frame, ifindex, mark));
  const out = parse(Buffer.from(data));
  t.deepEqual(faults(out), [], `${program} damaged the packet`);
  return { retval, out, mark: Buffer.from(context).readUInt32LE(8) };
}

for (const cast of nodeCasts) {
  const { family } = cast;
  const facts = { address: cast.vip, port: 80, servicePort: 7 };
  const toVip = (source: string, sport = 4001): Way => ({ source, sport, destination: cast.vip, dport: 80 });

  for (const [name, protocol] of protocols) {
    test(`what a pod sends over ${family} by ${name} is marked, and its backend on this node sees the node`, (t) => {
      tc.serve({ ...facts, protocol, any: [cast.here] });
      const way = toVip(cast.pod);
      const direct = { ...way, destination: cast.here[0], dport: cast.here[1] };
      for (const [flags, answer] of [
        ['S', 'AS'],
        ['A', 'A'],
        ['AP', 'AP'],
      ] as const) {
        const sent = pass(t, 'from_pod', protocol, way, flags);
        t.deepEqual(wayOf(sent.out), direct);
        t.is(sent.mark, MARK);
        const seen = pass(t, 'to_pod', protocol, direct, flags, sent.mark);
        t.deepEqual(wayOf(seen.out), { ...direct, source: cast.node });
        const reply = pass(t, 'from_pod', protocol, back(wayOf(seen.out)), answer);
        t.deepEqual(wayOf(reply.out), back(direct));
        t.is(reply.mark, 0);
        t.deepEqual(wayOf(pass(t, 'to_pod', protocol, back(direct), answer).out), back(way));
      }
      t.is(tc.count(7, 'connected_pod'), 1n);
    });

    test(`what is marked leaves the node over ${family} by ${name} from the node, and its answer finds the pod`, (t) => {
      const way = { source: cast.pod, sport: 4001, destination: cast.there[0], dport: cast.there[1] };
      for (const [flags, answer] of [
        ['S', 'AS'],
        ['A', 'A'],
        ['AP', 'AP'],
      ] as const) {
        const { retval, out } = pass(t, 'to_wire', protocol, way, flags, MARK);
        t.is(retval, verdict.unspec);
        t.deepEqual(wayOf(out), { ...way, source: cast.node });
        const reply = pass(t, 'from_wire', protocol, back(wayOf(out)), answer);
        t.is(reply.retval, verdict.unspec);
        t.deepEqual(wayOf(reply.out), back(way));
      }
      const unmarked = { ...way, sport: 4002 };
      t.deepEqual(wayOf(pass(t, 'to_wire', protocol, unmarked).out), unmarked);
    });

    test(`a client from outside over ${family} by ${name} is marked where its backend is here`, (t) => {
      wire.serve({ ...facts, protocol, any: [cast.here] });
      const { retval, out, mark } = pass(t, 'from_wire', protocol, toVip(cast.client));
      t.is(retval, verdict.unspec);
      t.is(mark, MARK);
      t.like(wayOf(out), { source: cast.client, destination: cast.here[0] });
    });
  }

  test(`two pods over ${family} with one source port have two ports at the backend`, (t) => {
    const seen = [cast.pod, cast.here[0]].map((source) => {
      const way = { source, sport: 4001, destination: cast.there[0], dport: cast.there[1] };
      const there = wayOf(pass(t, 'to_wire', TCP, way, 'S', MARK).out);
      t.is(there.source, cast.node);
      t.deepEqual(wayOf(pass(t, 'from_wire', TCP, back(there), 'AS').out), back(way));
      return there.sport;
    });
    t.is(new Set(seen).size, 2);
  });

  test(`who keeps the client's address over ${family}: externalTrafficPolicy Local, and a pod that is its own backend`, (t) => {
    const flags = frontendFlag.local_outside | frontendFlag.has_endpoint;
    tc.serve({ ...facts, protocol: TCP, any: [cast.here], flags });
    wire.serve({ ...facts, protocol: TCP, any: [cast.there], local: [cast.here], flags });
    t.is(pass(t, 'from_pod', TCP, toVip(cast.pod)).mark, 0);
    t.is(pass(t, 'from_wire', TCP, toVip(cast.client)).mark, 0);
    tc.serve({ ...facts, protocol: TCP, any: [[cast.pod, 8080]] });
    const hairpin = pass(t, 'from_pod', TCP, toVip(cast.pod, 4002));
    t.is(hairpin.mark, 0);
    t.is(wayOf(hairpin.out).source, cast.vip);
  });

  test(`a pod over ${family} for which the node has no address is not let through`, (t) => {
    tc.setSwitches({ nodeIpv4: addressToHex('::'), nodeIpv6: addressToHex('::'), podsAtTc: 1 });
    const way = { source: cast.pod, sport: 4001, destination: cast.here[0], dport: 8080 };
    t.is(pass(t, 'to_pod', TCP, way, 'S', MARK).retval, verdict.shot);
    t.is(tc.count(0, 'drop_no_source_address'), 1n);
  });
}

test('what lives goes on when nobody asks for it any more', async (t) => {
  const [cast] = nodeCasts;
  const way = { source: cast.pod, sport: 4001, destination: cast.there[0], dport: cast.there[1] };
  const there = wayOf(pass(t, 'to_wire', TCP, way, 'S', MARK).out);
  pass(t, 'from_wire', TCP, back(there), 'AS');
  t.deepEqual(wayOf(pass(t, 'to_wire', TCP, way, 'A').out), there, 'without a mark');
});
