/** Services that clients from outside ask for in every way, on two nodes with an agent each, or one. */
import { serviceRoutes } from './abroad.ts';
import { type Agent, startAgent } from './agent.ts';
import { createLab, type Lab, type LabOptions, type Node, type Place } from './lab.ts';
import { type Endpoint, manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Client, startClient, startServer } from './traffic.ts';

/** Who answers: a pod of this node, one of the other, this node itself, the other one, nobody. */
export const names = ['near', 'far', 'host', 'other', 'none'] as const;
export type Name = (typeof names)[number];
export type Family = 'ip4' | 'ip6';
export const families: readonly Family[] = ['ip4', 'ip6'];

/** How a Service is asked for; `port` is 80 but for the nodePort. */
export const manners = ['nodePort', 'externalIP', 'load balancer', 'clusterIP'] as const;
export type Manner = (typeof manners)[number];

export interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  readonly agent: Agent;
  readonly agents: readonly Agent[];
  readonly abroad: Client;
}

const number = (name: Name): number => 1 + names.indexOf(name);

export function nodePortOf(name: Name): number {
  return 30_000 + number(name);
}

const addresses: Record<Exclude<Manner, 'nodePort'>, Record<Family, (name: Name) => string>> = {
  externalIP: { ip4: (name) => `198.51.100.${number(name)}`, ip6: (name) => `2001:db8:f0::${number(name)}` },
  'load balancer': { ip4: (name) => `198.51.100.10${number(name)}`, ip6: (name) => `2001:db8:f0::10${number(name)}` },
  clusterIP: { ip4: (name) => `10.96.0.${number(name)}`, ip6: (name) => `fd00:10:96::${number(name)}` },
};

export function target(name: Name, manner: Manner, family: Family, node: Place): { address: string; port: number } {
  if (manner === 'nodePort') return { address: node[family], port: nodePortOf(name) };
  return { address: addresses[manner][family](name), port: 80 };
}

export function outsideService(name: Name, endpoints: readonly Endpoint[], spec: object = {}): object[] {
  const both = (manner: Exclude<Manner, 'nodePort'>): string[] =>
    families.map((family) => addresses[manner][family](name));
  const port = { port: 80, targetPort: 8080, nodePort: nodePortOf(name) };
  return serviceObjects(
    {
      name,
      clusterIPs: both('clusterIP'),
      ports: [
        { name: 'tcp', protocol: 'TCP', ...port },
        { name: 'udp', protocol: 'UDP', ...port },
      ],
      spec: { type: 'LoadBalancer', externalIPs: both('externalIP'), ...spec },
      ingress: both('load balancer'),
    },
    endpoints,
  );
}

/** Two nodes, a pod each, servers in both pods and both nodes; `agents`: on how many nodes; `spec`: of all Services. */
export async function setStage(tag: string, options: LabOptions, agents = 2, spec: object = {}): Promise<Stage> {
  const lab = await createLab({ nodes: 2, podsPerNode: 1, abroad: true, tag, ...options });
  const [node, other] = lab.nodes as [Node, Node];
  const places = [lab.pod('n1p1'), lab.pod('n2p1'), node, other] as const;
  for (const place of places) await startServer(lab, place, [8080]);
  const flags = ['--service-cidr', '10.96.0.0/16,fd00:10:96::/112'];
  const started = await Promise.all(
    lab.nodes.slice(0, agents).map((one) => startAgent(lab, one, stageText(lab, spec), flags)),
  );
  return {
    lab,
    node,
    agent: started[0] as Agent,
    agents: started,
    abroad: startClient(lab, lab.abroad),
    async [Symbol.asyncDispose]() {
      for (const agent of started) await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

/** The manifests of the stage. `spec`: of all Services. */
export function stageText(lab: Lab, spec: object = {}): string {
  const [node, other] = lab.nodes as [Node, Node];
  const behind: Record<Name, Endpoint[]> = {
    near: [lab.pod('n1p1')],
    far: [lab.pod('n2p1')],
    host: [{ ...node, node: node.name }],
    other: [{ ...other, node: other.name }],
    none: [],
  };
  return manifest([...nodeObjects(lab), ...names.flatMap((name) => outsideService(name, behind[name], spec))]);
}

/** Events of each port of each Service, by reason: 'near tcp' → connected_wire → 3. */
export async function counters(agent: Agent): Promise<Readonly<Record<string, Readonly<Record<string, number>>>>> {
  const { stdout } = await agent.bpfsvc('dump', 'services', '-o', 'json');
  const { items } = JSON.parse(stdout) as {
    items: { name: string; portName: string; counters: Record<string, number> }[];
  };
  return Object.fromEntries(items.map((item) => [`${item.name} ${item.portName}`, item.counters]));
}

/** As distributions and CNIs leave a node. */
export const strict: LabOptions = { shape: 'ptp', rpFilter: 1, firewall: true, masquerade: true };

/** The routers know the Services by way of the first node alone. */
export async function throughFirst({ lab, node }: Stage): Promise<void> {
  await lab.exec(lab.outside, ['ip', '-batch', '-'], { input: serviceRoutes([node]).join('\n') });
}

let lastPort = 10_000;

/** The first of so many source ports that nobody had yet: a UDP port used again is the old flow. */
export function freshPorts(count: number): number {
  lastPort += count;
  return lastPort - count;
}
