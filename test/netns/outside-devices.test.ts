/** Ways to the world that have no link header or a VLAN's, and flows that the node has lost. */
import { once } from 'node:events';
import anyTest from 'ava';
import { hasVlans, type Lab, type Node } from './lab.ts';
import { counters, families, freshPorts, setStage, strict, target, throughFirst } from './outside-stage.ts';
import { forgetFlows } from './pinned.ts';
import { buildTool } from './tool.ts';
import { startClient } from './traffic.ts';

const test = anyTest.serial;

/** Lays a tunnel of tun devices between the router and the node; the world and the Services are reached by it alone. */
async function layCable(lab: Lab, node: Node): Promise<void> {
  const cable = lab.spawn(lab.outside, [buildTool('cable'), lab.outside.netns, node.netns, 'tun0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(cable.stdout as NonNullable<typeof cable.stdout>, 'data');
  const up = (end: number) => [
    'link set tun0 up',
    `address add 10.98.0.${end}/24 dev tun0`,
    `address add fd00:98::${end}/64 dev tun0 nodad`,
  ];
  const routes = (targets: readonly string[]) => targets.map((one) => `route replace ${one} dev tun0`);
  await lab.exec(lab.outside, ['ip', '-batch', '-'], { input: [...up(1), ...routes(servicesOf(node))].join('\n') });
  await lab.exec(node, ['ip', '-batch', '-'], { input: [...up(2), ...routes(world)].join('\n') });
}

/** The same by a VLAN on the cables that are there: the switch carries its tags. */
async function layVlan(lab: Lab, node: Node): Promise<void> {
  const up = (end: number, targets: readonly string[]) => [
    'link add link eth0 name eth0.5 type vlan id 5',
    'link set eth0.5 up',
    `address add 10.98.0.${end}/24 dev eth0.5`,
    `address add fd00:98::${end}/64 dev eth0.5 nodad`,
    ...targets.map((one) => `route replace ${one} via ${one.includes(':') ? 'fd00:98::' : '10.98.0.'}${3 - end}`),
  ];
  await lab.exec(lab.outside, ['ip', '-batch', '-'], { input: up(1, servicesOf(node)).join('\n') });
  await lab.exec(node, ['ip', '-batch', '-'], { input: up(2, world).join('\n') });
}

const world = ['203.0.113.0/24', '2001:db8:113::/64'];

function servicesOf({ ip4, ip6 }: Node): string[] {
  return ['10.96.0.0/16', 'fd00:10:96::/112', '198.51.100.0/24', '2001:db8:f0::/64', ip4, ip6];
}

interface Line {
  readonly name: string;
  readonly device: string;
  lay(lab: Lab, node: Node): Promise<void>;
}

const lines: readonly Line[] = [
  { name: 'a device without a link header', device: 'tun0', lay: layCable },
  ...(hasVlans() ? [{ name: 'a device of a VLAN', device: 'eth0.5', lay: layVlan }] : []),
];

for (const { name: by, device, lay } of lines)
  test(`clients that come by ${by} reach backends here and elsewhere`, async (t) => {
    await using stage = await setStage('line', strict, 1);
    const { lab, node, agent, abroad } = stage;
    await Promise.all([agent.logged(new RegExp(`attached at ${device}`)), lay(lab, node)]);
    for (const family of families) {
      for (const protocol of ['tcp', 'udp'] as const) {
        for (const manner of ['nodePort', 'externalIP', 'clusterIP'] as const) {
          for (const [name, backend, client] of [
            ['near', 'n1p1', lab.abroad[family]],
            ['far', 'n2p1', node[family]],
            ['host', 'n1', lab.abroad[family]],
          ] as const) {
            const plan = { protocol, ...target(name, manner, family, node), sourcePort: freshPorts(3), count: 3 };
            const tally = await abroad.request({ ...plan, questions: 2, size: 5000, timeout: 5000 });
            const shown = family === 'ip6' ? `[${client}]` : client;
            const what = `${name} by ${manner} ${family} ${protocol} ${JSON.stringify(tally.errors)}`;
            t.deepEqual([tally.backends, tally.clients], [{ [backend]: 6 }, { [shown]: 6 }], what);
          }
        }
        const refused = await abroad.request({ protocol, ...target('none', 'nodePort', family, node) });
        t.deepEqual(refused.errors, { ECONNREFUSED: 1 });
      }
    }
    const routed = await lab.exec(node, ['ip', '-s', '-j', 'link', 'show', device]);
    t.true(
      (JSON.parse(routed) as [{ stats64: { rx: { packets: number } } }])[0].stats64.rx.packets > 100,
      `by ${device}`,
    );
  });

test('a connection whose flow the node has lost is reset at once: from outside, from a pod, from the node', async (t) => {
  await using stage = await setStage('lost', strict, 1);
  await throughFirst(stage);
  const { lab, node, agent, abroad } = stage;
  const clients = { abroad, pod: startClient(lab, lab.pod('n1p1')) };
  for (const [who, client] of Object.entries(clients)) {
    for (const family of families) {
      for (const manner of ['clusterIP', 'externalIP', 'nodePort'] as const) {
        const asked = { protocol: 'tcp', ...target('far', manner, family, node) } as const;
        const talk = await client.open(asked);
        await forgetFlows(node.pinDir);
        await t.throwsAsync(talk.ask(), { code: 'ECONNRESET' }, `${who} ${manner} ${family}`);
        await talk.close();
      }
    }
  }
  const events = await counters(agent);
  t.is(events['far tcp']?.reject_no_flow, 2 * 2 * families.length, 'the NodePorts’ are the node’s own refusals');
});
