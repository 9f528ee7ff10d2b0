/** Where odd packets of pods meet Services: two nodes, one with an agent, and who answers there and who does not. */
import { type Agent, startAgent } from './agent.ts';
import type { Captured } from './capture.ts';
import { createLab, hasBridgeNetfilter, type Lab, type LabOptions, type Pod } from './lab.ts';
import type { Door } from './narrow.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Packet, parse, quoted } from './packet.ts';
import { type Client, startClient, startServer } from './traffic.ts';

export const services = {
  near: ['10.96.0.2', 'fd00:10:96::2'],
  far: ['10.96.0.3', 'fd00:10:96::3'],
  /** The one pod that asks itself. */
  self: ['10.96.0.4', 'fd00:10:96::4'],
  /** An endpoint on each node, and no process there. */
  deaf: ['10.96.0.5', 'fd00:10:96::5'],
  deafFar: ['10.96.0.6', 'fd00:10:96::6'],
  none: ['10.96.0.7', 'fd00:10:96::7'],
} as const;
type Name = keyof typeof services;

export interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly agent: Agent;
  readonly pod: Pod;
  readonly client: Client;
  /** On the machine outside, which knows by which node a clusterIP is reached. */
  readonly visitor: Client;
}

/** `tag`: of the test file's own, for files run at the same time. */
export async function setStage(tag: string, options: LabOptions): Promise<Stage> {
  const strict = { nodes: 2, podsPerNode: 3, rpFilter: 1, firewall: true, masquerade: true } as const;
  const lab = await createLab({ ...strict, ...options, tag });
  const [pod, near, deaf] = lab.node('n1').pods as [Pod, Pod, Pod];
  const [far, deafFar] = lab.node('n2').pods as [Pod, Pod];
  for (const server of [pod, near, far]) await startServer(lab, server, [8080]);
  const behind: Record<Name, Pod[]> = {
    near: [near],
    far: [far],
    self: [pod],
    deaf: [deaf],
    deafFar: [deafFar],
    none: [],
  };
  const objects = Object.entries(behind).flatMap(([name, pods]) => {
    const clusterIPs = services[name as Name];
    const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
      ...port(protocol),
      nodePort: nodePort(name as Name),
    }));
    return serviceObjects({ name: name.toLowerCase(), clusterIPs, ports, spec: { type: 'NodePort' } }, pods);
  });
  const { ip4, ip6 } = lab.node('n1');
  await lab.exec(lab.outside, ['ip', 'route', 'add', '10.96.0.0/16', 'via', ip4]);
  await lab.exec(lab.outside, ['ip', 'route', 'add', 'fd00:10:96::/112', 'via', ip6]);
  const agent = await startAgent(lab, lab.node('n1'), manifest([...nodeObjects(lab), ...objects]), [
    '--service-cidr',
    '10.96.0.0/16,fd00:10:96::/112',
  ]);
  const client = startClient(lab, pod);
  return {
    lab,
    agent,
    pod,
    client,
    visitor: startClient(lab, lab.outside),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

function port(protocol: 'TCP' | 'UDP') {
  return { name: protocol.toLowerCase(), port: 80, targetPort: 8080, protocol };
}

function nodePort(service: Name): number {
  return 30_000 + Object.keys(services).indexOf(service);
}

/** The NodePort and the clusterIP of a Service, in both families. */
export function doors(lab: Lab, service: Name): Door[] {
  const { ip4, ip6 } = lab.node('n1');
  return [ip4, ip6].flatMap((address, family) => [
    { name: `NodePort of ${address}`, address, port: nodePort(service) },
    { name: 'clusterIP', address: services[service][family] as string, port: 80 },
  ]);
}

let lastPort = 10_000;

/** Datagrams from a port that an earlier socket had belong to its flow. */
export function freshPort(): number {
  lastPort += 1;
  return lastPort;
}

const bridged: readonly boolean[] = hasBridgeNetfilter() ? [false, true] : [];

export interface Surroundings {
  readonly name: string;
  readonly options: LabOptions;
}

export const surroundings: readonly Surroundings[] = [
  { name: 'ptp', options: { shape: 'ptp' } },
  { name: 'ptp, no offloads', options: { shape: 'ptp', offloads: false } },
  ...bridged.map(
    (bridgeNetfilter): Surroundings => ({
      name: `bridge, br_netfilter ${bridgeNetfilter ? 'on' : 'off'}`,
      options: { shape: 'bridge', bridgeNetfilter },
    }),
  ),
  ...(bridged.length === 0 ? [{ name: 'bridge', options: { shape: 'bridge' } } as const] : []),
  { name: 'ptp over vxlan', options: { shape: 'ptp', underlay: 'vxlan', offloads: false } },
];

/** Who is named in these packets beside the pod and Services. */
export function strangers(captured: readonly Captured[], { ip4, ip6 }: Pod): Set<string> {
  const all = captured.flatMap(({ bytes }) => {
    const packet = parse(bytes);
    const { transport, ip } = packet;
    return transport.kind === 'icmpv6' && transport.type >= 130 ? [] : [ip?.source, ip?.destination];
  });
  return new Set(
    all.filter((one): one is string => one !== undefined && one !== ip4 && one !== ip6 && !isService(one)),
  );
}

export function isService(address: string | undefined): boolean {
  return /^(10\.96\.|fd00:10:96:)/.test(address ?? '');
}

export function errorsIn(captured: readonly Captured[]): Packet[] {
  return captured.map(({ bytes }) => parse(bytes)).filter((packet) => quoted(packet) !== null);
}
