/** Around the node's stack, one packet at a time: a flow goes that way in both directions or in none. */

import anyTest, { type ExecutionContext } from 'ava';
import { flowFlag } from '../src/layout.gen.ts';
import { faults } from '../test/netns/checksum.ts';
import { inside } from '../test/netns/inside.ts';
import { createLab, type Lab, type Node, type Pod } from '../test/netns/lab.ts';
import { parse } from '../test/netns/packet.ts';
import { loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { back, packet, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const families = [
  ['IPv4', 'ip4', '10.96.0.1'],
  ['IPv6', 'ip6', 'fd00:10:96::1'],
] as const;
const protocols = [
  ['TCP', TCP],
  ['UDP', UDP],
] as const;
const macs = ['02:00:00:00:11:01', '02:00:00:00:11:02', '02:00:00:00:11:03'] as const;

let lab: Lab;
let node: Node;
let pods: readonly [Pod, Pod, Pod];
let programs: Programs;
const devices = new Map<Pod, { ifindex: number; address: string }>();

test.before(async () => {
  lab = await createLab({ shape: 'ptp', nodes: 1, podsPerNode: 3, tag: 'bypassrun' });
  node = lab.node('n1');
  pods = node.pods as unknown as [Pod, Pod, Pod];
  for (const [i, pod] of pods.entries()) {
    const [link] = JSON.parse(await lab.exec(node, ['ip', '-j', 'link', 'show', pod.veth]));
    devices.set(pod, link);
    for (const ip of [pod.ip4, pod.ip6]) await know(ip, pod, macs[i] as string);
  }
});
test.after.always(() => lab?.close());
test.beforeEach(async () => {
  programs = await loadPrograms('tc', { flows: 1024, half_open: 1024, backends: 64 }, 0n, undefined, 1, 0, 1);
  for (const { ifindex } of devices.values()) programs.setPod(ifindex);
});
test.afterEach.always(() => programs?.[Symbol.dispose]());

async function know(ip: string, pod: Pod, mac: string): Promise<void> {
  await lab.exec(node, ['ip', 'neighbour', 'replace', ip, 'lladdr', mac, 'dev', pod.veth, 'nud', 'permanent']);
}

function deviceOf(pod: Pod): { ifindex: number; address: string } {
  const device = devices.get(pod);
  if (device === undefined) throw new Error(`no device of ${pod.name}`);
  return device;
}

function run(program: 'from_pod' | 'to_pod', pod: Pod, frame: Buffer): { retval: number; bytes: Buffer } {
  const { retval, data } = inside(node.netns, () => programs.run(program, frame, deviceOf(pod).ifindex));
  return { retval, bytes: Buffer.from(data) };
}

/** It has gone around to a pod, as if routed. */
function wentAround(
  t: ExecutionContext,
  { retval, bytes }: { retval: number; bytes: Buffer },
  to: Pod,
  way: Way,
): void {
  t.is(retval, verdict.redirect);
  const out = parse(bytes);
  t.deepEqual(faults(out), []);
  t.deepEqual(wayOf(out), way);
  t.is(out.ip?.version === 4 ? out.ip.ttl : out.ip?.hopLimit, 63);
  t.like(out.ethernet, { destination: macs[pods.indexOf(to)], source: deviceOf(to).address });
}

for (const [family, key, vip] of families) {
  for (const [name, protocol] of protocols) {
    const story = () => {
      const [client, backend] = pods;
      programs.serve({ address: vip, port: 80, protocol, servicePort: 7, any: [[backend[key], 8080]] });
      const asked: Way = { source: client[key], sport: 4001, destination: vip, dport: 80 };
      const there: Way = { ...asked, destination: backend[key], dport: 8080 };
      const ask = (flags: string, extra: object = {}) =>
        run('from_pod', client, packet(protocol, asked, { flags, ...extra }));
      const reply = (flags: string, from: Pod = backend, extra: object = {}) =>
        run('from_pod', from, packet(protocol, back(there), { flags, ...extra }));
      return { client, backend, asked, there, ask, reply };
    };

    test(`${name} over ${family} between two pods goes around both ways, and its flow lives as any`, async (t) => {
      const { client, backend, asked, there, ask, reply } = story();
      for (const [there1, back1] of [
        ['S', 'AS'],
        ['A', 'A'],
        ['AP', 'A'],
      ] as const) {
        wentAround(t, ask(there1), backend, there);
        wentAround(t, reply(back1), client, back(asked));
      }
      const rows = await programs.flows('flows');
      t.is(rows.length, 2, 'confirmed');
      t.true(rows.every(({ row }) => row.flags & flowFlag.bypass));
      t.is(programs.count(7, 'connected_pod'), 1n);
      if (protocol === UDP) return;
      wentAround(t, ask('AF'), backend, there);
      wentAround(t, reply('AF'), client, back(asked));
      t.is((await programs.flows('flows')).map(({ row }) => row.state & 0x06).join(), '6,6', 'closed');
    });

    test(`${name} over ${family} leaves the way around in both directions together, and finds it again`, async (t) => {
      const { client, backend, asked, there, ask, reply } = story();
      for (const flags of ['S', 'A']) {
        ask(flags);
        reply(flags === 'S' ? 'AS' : 'A');
      }
      for (const pod of [client, backend]) {
        programs.setPod(deviceOf(pod).ifindex, false);
        const out = ask('A');
        t.is(out.retval, verdict.unspec);
        t.deepEqual(wayOf(parse(out.bytes)), there, 'translated all the same');
        const answer = packet(protocol, back(there), { flags: 'A' });
        const passed = run('from_pod', backend, answer);
        t.is(passed.retval, verdict.unspec);
        t.deepEqual(passed.bytes, answer);
        t.deepEqual(wayOf(parse(run('to_pod', client, answer).bytes)), back(asked), 'mended where it always is');
        programs.setPod(deviceOf(pod).ifindex);
        wentAround(t, ask('A'), backend, there);
        wentAround(t, reply('A'), client, back(asked));
      }
    });

    test(`${name} over ${family} begins the usual way where either direction is not open, and stays there`, async (t) => {
      const { client, backend, there, ask, reply } = story();
      for (const pod of [client, backend]) {
        programs.setPod(deviceOf(pod).ifindex, false);
        t.is(ask('S').retval, verdict.unspec, pod.name);
        programs.setPod(deviceOf(pod).ifindex);
        t.is(ask('A').retval, verdict.unspec, 'its packets stay together');
        const answer = packet(protocol, back(there), { flags: 'AS' });
        t.deepEqual(reply('AS').bytes, answer);
        for (const { key } of await programs.flows('half_open')) programs.dropFlow('half_open', key);
      }
    });

    test(`${name} over ${family}: a pod that sends in another's name goes around nothing`, (t) => {
      const { backend, asked, ask, reply } = story();
      ask('S');
      const [, , other] = pods;
      const forged = reply('AS', other);
      t.is(forged.retval, verdict.unspec);
      t.is(wayOf(parse(forged.bytes)).source, backend[key], 'untouched');
      const begun = run('from_pod', other, packet(protocol, { ...asked, sport: 4002 }, { flags: 'S' }));
      t.is(begun.retval, verdict.unspec);
    });

    test(`${name} over ${family} in its last hop, or too long, is the node's`, (t) => {
      const { ask, reply } = story();
      ask('S');
      reply('AS');
      const last = { ip: { ttl: 1, hopLimit: 1 } };
      t.is(ask('A', last).retval, verdict.unspec);
      t.is(reply('A', pods[1], last).retval, verdict.unspec);
      t.is(ask('A', { payload: Buffer.alloc(1500) }).retval, verdict.unspec);
      t.is(reply('A', pods[1], { payload: Buffer.alloc(1500) }).retval, verdict.unspec);
    });
  }
}
