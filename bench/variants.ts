/**
 * All variants, standing side by side: each is a node of its own with a client and a backend pod, so that a round can
 * visit them one after the other and whatever disturbs the machine disturbs them all.
 */
import { type Agent, startAgent } from '../test/netns/agent.ts';
import { hasProgram } from '../test/netns/firewall.ts';
import { createLab, type Lab, type Node, type Pod } from '../test/netns/lab.ts';
import { iptablesRules, nftablesRules } from './peers.ts';
import { type Prober, startBackend, startProber } from './prober.ts';
import { type BenchService, benchServices, manifest, serverPorts, targetIP, targetNodePort } from './services.ts';

export interface Variant {
  readonly name: string;
  /** What a reader of the table wants to know of it. */
  readonly about: string;
  /** The variant without rules or programs on the same way. */
  readonly base: 'direct' | 'routed';
  readonly prober: Prober;
  readonly address: string;
  readonly port: number;
}

export interface Stage extends AsyncDisposable {
  readonly variants: readonly Variant[];
  /** Throws unless the hook that a variant is about is the one that served it. */
  verify(): Promise<void>;
}

export const manyServices = 10_000;
const counts = [1, manyServices] as const;
const label = (count: number): string => (count === 1 ? '1' : '10k');

/** Builds everything and tells its progress by `say`. */
export async function setStage(cpu: number, say: (what: string) => void): Promise<Stage> {
  const names = [
    'direct',
    'direct-again',
    ...counts.flatMap((count) => ['iptables', 'nftables', 'bpfsvc'].map((kind) => `${kind}-${label(count)}`)),
    'sockets-10k',
    'bypass-10k',
  ];
  const pairs = names.map((name, i) => ({ name, pods: [`client${i}`, `backend${i}`] }));
  const nodes = [...pairs, { name: 'routed', pods: [] }, { name: 'far', pods: ['remote', 'plain'] }];
  const lab = await createLab({ shape: 'ptp', nodes, tag: 'bench' });
  try {
    const variants = [direct(lab, cpu, 'direct', 'pod to pod: no rule, no program')];
    const servers = [...names.map((name) => backend(lab.node(name))), ...lab.node('far').pods];
    await Promise.all(servers.map((pod) => startBackend(lab, pod, cpu, serverPorts)));
    variants.push(await routed(lab, cpu));
    for (const count of counts) {
      variants.push(...(await iptables(lab, cpu, count, say)), ...(await nftables(lab, cpu, count, say)));
    }
    variants.push(direct(lab, cpu, 'direct-again', 'the same once more: how far to trust the rest'));
    const agents: Agent[] = [];
    for (const count of counts) {
      const { agent, variants: more } = await ours(lab, cpu, count, say);
      agents.push(agent);
      variants.push(...more);
    }
    variants.push(await socketsAlone(lab, cpu, say), await around(lab, cpu, say));
    const verifyAll = async (): Promise<void> => void (await Promise.all(agents.map(verify)));
    return { variants, verify: verifyAll, [Symbol.asyncDispose]: () => lab.close() };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

const client = (node: Node): Pod => node.pods[0] as Pod;
const backend = (node: Node): Pod => node.pods[1] as Pod;

const servicePort = 80;
const podPort = serverPorts[0] as number;

function direct(lab: Lab, cpu: number, name: string, about: string): Variant {
  const node = lab.node(name);
  const prober = startProber(lab, client(node), cpu);
  return { name, about, base: 'direct', prober, address: backend(node).ip4, port: podPort };
}

/** From outside through a node that only forwards, there and back: what a nodePort of that node is compared with. */
async function routed(lab: Lab, cpu: number): Promise<Variant> {
  const [by, pod] = [lab.node('routed'), lab.pod('plain')];
  await lab.exec(lab.outside, ['ip', 'route', 'add', pod.ip4, 'via', by.ip4]);
  const back = `rule add from ${pod.ip4} lookup 100\nroute add default via ${by.ip4} table 100`;
  await lab.exec(lab.node('far'), ['ip', '-batch', '-'], { input: back });
  const about = 'outside to a pod by way of a node: no rule, no program';
  const prober = startProber(lab, lab.outside, cpu);
  return { name: 'routed', about, base: 'routed', prober, address: pod.ip4, port: podPort };
}

/** From outside to a nodePort of the node, whose backends are on another. */
function nodePort(lab: Lab, cpu: number, node: Node, name: string, about: string): Variant {
  return {
    name: `${name} nodePort`,
    about: `${about}, from outside`,
    base: 'routed',
    prober: startProber(lab, lab.outside, cpu),
    address: node.ip4,
    port: targetNodePort,
  };
}

const servicesOf = (lab: Lab, node: Node, count: number): BenchService[] =>
  benchServices(count, backend(node).ip4, lab.pod('remote').ip4);

async function iptables(lab: Lab, cpu: number, count: number, say: (what: string) => void): Promise<Variant[]> {
  const name = `iptables@${label(count)}`;
  const node = lab.node(`iptables-${label(count)}`);
  // kube-proxy's iptables mode predates the translation to nft, and its figures are those of the legacy tables.
  const program = hasProgram('iptables-legacy-restore') ? 'iptables-legacy-restore' : 'iptables-restore';
  const rules = iptablesRules(servicesOf(lab, node, count));
  await timed(say, `${name}: ${program}`, () => lab.exec(node, [program], { input: rules }));
  const prober = startProber(lab, client(node), cpu);
  const about = `rules of kube-proxy, ${program}`;
  const inside: Variant = { name, about, base: 'direct', prober, address: targetIP, port: servicePort };
  return [inside, nodePort(lab, cpu, node, name, about)];
}

async function nftables(lab: Lab, cpu: number, count: number, say: (what: string) => void): Promise<Variant[]> {
  const name = `nftables@${label(count)}`;
  const node = lab.node(`nftables-${label(count)}`);
  const rules = nftablesRules(servicesOf(lab, node, count), node.ip4);
  await timed(say, `${name}: nft -f`, () => lab.exec(node, ['nft', '-f', '-'], { input: rules }));
  const prober = startProber(lab, client(node), cpu);
  const about = 'rules of kube-proxy, nft';
  const inside: Variant = { name, about, base: 'direct', prober, address: targetIP, port: servicePort };
  return [inside, nodePort(lab, cpu, node, name, about)];
}

/** One agent, three clients: under the socket hooks, outside them, and one that talks past every Service. */
async function ours(
  lab: Lab,
  cpu: number,
  count: number,
  say: (what: string) => void,
): Promise<{ agent: Agent; variants: Variant[] }> {
  const node = lab.node(`bpfsvc-${label(count)}`);
  const agent = await load(lab, node, [], servicesOf(lab, node, count), say);
  const socket = startProber(lab, client(node), cpu, { cgroup: node.cgroup });
  const tc = startProber(lab, client(node), cpu);
  const toService = { base: 'direct', address: targetIP, port: servicePort } as const;
  const variants: Variant[] = [
    { name: `socket@${label(count)}`, about: 'bpfsvc, client under the socket hooks', prober: socket, ...toService },
    { name: `tc@${label(count)}`, about: 'bpfsvc, client outside the socket hooks', prober: tc, ...toService },
    nodePort(lab, cpu, node, `bpfsvc@${label(count)}`, 'bpfsvc'),
  ];
  if (count === 1) return { agent, variants };
  const about = 'bpfsvc attached, but pod to pod';
  variants.push({ name: 'not ours', about, base: 'direct', prober: tc, address: backend(node).ip4, port: podPort });
  return { agent, variants };
}

/** What the socket hooks cost by themselves: no program at the pods' devices. */
async function socketsAlone(lab: Lab, cpu: number, say: (what: string) => void): Promise<Variant> {
  const node = lab.node('sockets-10k');
  const devices = node.pods.map(({ veth }) => `${veth}=none`).join(',');
  await load(lab, node, ['--device', devices], servicesOf(lab, node, manyServices), say);
  const prober = startProber(lab, client(node), cpu, { cgroup: node.cgroup });
  const about = 'bpfsvc, the socket hooks without tc';
  return { name: 'socket alone@10k', about, base: 'direct', prober, address: targetIP, port: servicePort };
}

/** Around the node's stack. Its neighbours must be known where a flow begins. */
async function around(lab: Lab, cpu: number, say: (what: string) => void): Promise<Variant> {
  const node = lab.node('bypass-10k');
  for (const pod of node.pods) await lab.exec(node, ['ping', '-q', '-c', '1', pod.ip4]);
  await load(lab, node, ['--bypass'], servicesOf(lab, node, manyServices), say);
  const prober = startProber(lab, client(node), cpu);
  const about = 'bpfsvc --bypass, client outside the socket hooks';
  return { name: 'tc bypass@10k', about, base: 'direct', prober, address: targetIP, port: servicePort };
}

/** Fills a node and stops the agent again: what it set up is measured, and an audit in the middle would be noise. */
async function load(
  lab: Lab,
  node: Node,
  flags: readonly string[],
  services: readonly BenchService[],
  say: (what: string) => void,
): Promise<Agent> {
  const start = () => startAgent(lab, node, manifest(services), flags);
  await using agent = await timed(say, `${node.name}: start to first pass`, start);
  return agent;
}

/** Throws unless the node's counters say that each kind of hook has served. */
async function verify(agent: Agent): Promise<void> {
  const { stdout, stderr } = await agent.bpfsvc('dump', 'services', '-o', 'json');
  for (const reason of ['connected_socket', 'connected_pod', 'connected_wire']) {
    const times = Number(new RegExp(`"${reason}": *(\\d+)`).exec(stdout)?.[1] ?? 0);
    if (times === 0) throw new Error(`no connection was counted as ${reason}:\n${stdout}${stderr}`);
  }
}

async function timed<T>(say: (what: string) => void, what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  say(`${what} ${((performance.now() - began) / 1000).toFixed(2)} s`);
  return result;
}
