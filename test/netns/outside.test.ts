/**
 * Clients from outside by real packets, from behind two routers: every way to ask for a Service, every place of a backend,
 * every CNI shape, in surroundings that are as strict as they get: a firewall that drops INVALID, the CNI's masquerade, each
 * rp_filter, no offload anywhere so that each captured checksum is one that a wire would carry.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { droppedInvalid } from './firewall.ts';
import { macOf } from './inject.ts';
import { hasBridgeNetfilter, type LabOptions } from './lab.ts';
import {
  counters,
  type Family,
  families,
  freshPorts,
  type Manner,
  manners,
  type Name,
  type Stage,
  setStage,
  target,
  throughFirst,
} from './outside-stage.ts';
import { parse } from './packet.ts';

const test = anyTest.serial;

const shapes: readonly { readonly name: string; readonly options: LabOptions }[] = [
  { name: 'ptp', options: { shape: 'ptp' } },
  { name: 'ptp over vxlan', options: { shape: 'ptp', underlay: 'vxlan' } },
  { name: 'bridge, br_netfilter off', options: { shape: 'bridge', bridgeNetfilter: false } },
  { name: 'bridge, br_netfilter on', options: { shape: 'bridge', bridgeNetfilter: true } },
];
const surroundings = shapes
  .filter(({ options }) => options.bridgeNetfilter === undefined || hasBridgeNetfilter())
  .flatMap(({ name, options }) =>
    ([0, 1, 2] as const).map((rpFilter) => ({
      name: `${name}, rp_filter ${rpFilter}`,
      options: { ...options, rpFilter },
    })),
  );

function shown(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Whom a backend sees: the client itself on this node; elsewhere the node, as it is called on the way there. */
function seen({ lab, node }: Stage, name: Name, family: Family, options: LabOptions): string {
  if (name === 'near' || name === 'host') return lab.abroad[family];
  if (name === 'far' && options.underlay === 'vxlan') {
    return family === 'ip4' ? node.podCidr4.replace('/24', '') : node.podCidr6.replace('/64', '');
  }
  return node[family];
}

const answerers: Record<Exclude<Name, 'none'>, string> = { near: 'n1p1', far: 'n2p1', host: 'n1', other: 'n2' };

async function ask(
  t: ExecutionContext,
  stage: Stage,
  name: Exclude<Name, 'none'>,
  manner: Manner,
  family: Family,
  protocol: 'tcp' | 'udp',
  options: LabOptions,
): Promise<void> {
  const { abroad, node } = stage;
  const asked = target(name, manner, family, node);
  const what = `${name} by ${manner} ${family} ${protocol}`;
  const tally = await abroad.request({ protocol, ...asked, sourcePort: freshPorts(3), count: 3, questions: 3 });
  t.like(tally, { ok: 9, errors: {}, backends: { [answerers[name]]: 9 } }, what);
  t.deepEqual(Object.keys(tally.clients), [shown(seen(stage, name, family, options))], `${what}: whom the backend saw`);
  t.deepEqual(Object.keys(tally.peers), [`${shown(asked.address)}:${asked.port}`], what);
}

for (const { name: title, options } of surroundings) {
  test(`a client behind two routers reaches every kind of backend in every way: ${title}`, async (t) => {
    await using stage = await setStage('outside', { firewall: true, masquerade: true, offloads: false, ...options });
    const { lab, node, abroad } = stage;
    await throughFirst(stage);
    const taps = await Promise.all([
      startCapture(lab, lab.abroad, 'eth0'),
      startCapture(lab, node, 'eth0'),
      startCapture(lab, lab.pod('n2p1'), 'eth0'),
    ]);
    for (const family of families) {
      for (const protocol of ['tcp', 'udp'] as const) {
        for (const manner of manners) {
          for (const name of ['near', 'far', 'host', 'other'] as const) {
            await ask(t, stage, name, manner, family, protocol, options);
          }
          const refused = await abroad.request({ protocol, ...target('none', manner, family, node) });
          t.deepEqual(refused.errors, { ECONNREFUSED: 1 }, `nobody behind ${manner} ${family} ${protocol}`);
        }
      }
    }
    const each = 3 * families.length * manners.length;
    const events = await counters(stage.agent);
    for (const port of ['near tcp', 'near udp', 'far tcp', 'far udp', 'host tcp', 'other udp']) {
      t.deepEqual(events[port], { connected_wire: each }, port);
    }
    t.deepEqual(events['none tcp'], { reject_no_endpoint: families.length * manners.length });
    const [seenAbroad = [], onWire = [], atBackend = []] = await Promise.all(taps.map((tap) => tap.stop()));
    const wrong = [...seenAbroad, ...onWire, ...atBackend].flatMap(({ bytes }) => faults(parse(bytes)));
    t.deepEqual(wrong, [], 'every captured checksum');
    t.true(seenAbroad.length > 500);
    const asked = new Set(
      families.flatMap((family) =>
        manners.flatMap((manner) =>
          (['near', 'far', 'host', 'other', 'none'] as const).map((name) => target(name, manner, family, node).address),
        ),
      ),
    );
    const strangers = seenAbroad.flatMap(({ bytes }) => {
      const { ip, transport } = parse(bytes);
      const ours = ip?.destination === lab.abroad.ip4 || ip?.destination === lab.abroad.ip6;
      return ip !== null && ours && transport.kind !== 'icmpv6' && !asked.has(ip.source) ? [ip.source] : [];
    });
    t.deepEqual([...new Set(strangers)], [], 'all that came back is from whom was asked');
    const own = await macOf(lab, node, 'eth0');
    const leaked = onWire.filter(({ bytes }) => {
      const { ethernet, ip } = parse(bytes);
      return ethernet?.source === own && /^(10\.96|198\.51\.100|fd00:10:96|2001:db8:f0)/.test(ip?.destination ?? '');
    });
    t.deepEqual(leaked.length, 0, 'no untranslated address leaves');
    for (const one of lab.nodes) t.is(await droppedInvalid(one), 0, one.name);
  });
}
