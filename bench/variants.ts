/**
 * All variants, standing side by side: each is a node of its own with a client and a backend pod, so that a round can
 * visit them one after the other and whatever disturbs the machine disturbs them all.
 */
import { type Agent, startAgent } from '../test/netns/agent.ts';
import { hasProgram } from '../test/netns/firewall.ts';
import { createLab, type Lab, type Node, type Pod } from '../test/netns/lab.ts';
import { iptablesRules, nftablesRules } from './peers.ts';
import { type Prober, startBackend, startProber } from './prober.ts';
import { type BenchService, benchServices, manifest, serverPorts, targetIP } from './services.ts';

export interface Variant {
  readonly name: string;
  /** What a reader of the table wants to know of it. */
  readonly about: string;
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
  ];
  const nodes = names.map((name, i) => ({ name, pods: [`client${i}`, `backend${i}`] }));
  const lab = await createLab({ shape: 'ptp', nodes, tag: 'bench' });
  try {
    const variants = [direct(lab, cpu, 'direct', 'pod to pod: no rule, no program')];
    await Promise.all(lab.nodes.map((node) => startBackend(lab, backend(node), cpu, serverPorts)));
    for (const count of counts) {
      variants.push(await iptables(lab, cpu, count, say), await nftables(lab, cpu, count, say));
    }
    variants.push(direct(lab, cpu, 'direct-again', 'the same once more: how far to trust the rest'));
    const agents: Agent[] = [];
    for (const count of counts) {
      const { agent, variants: more } = await ours(lab, cpu, count, say);
      agents.push(agent);
      variants.push(...more);
    }
    variants.push(await socketsAlone(lab, cpu, say));
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
  return { name, about, prober: startProber(lab, client(node), cpu), address: backend(node).ip4, port: podPort };
}

async function iptables(lab: Lab, cpu: number, count: number, say: (what: string) => void): Promise<Variant> {
  const name = `iptables@${label(count)}`;
  const node = lab.node(`iptables-${label(count)}`);
  // kube-proxy's iptables mode predates the translation to nft, and its figures are those of the legacy tables.
  const program = hasProgram('iptables-legacy-restore') ? 'iptables-legacy-restore' : 'iptables-restore';
  const rules = iptablesRules(benchServices(count, backend(node).ip4));
  await timed(say, `${name}: ${program}`, () => lab.exec(node, [program], { input: rules }));
  const prober = startProber(lab, client(node), cpu);
  return { name, about: `rules of kube-proxy, ${program}`, prober, address: targetIP, port: servicePort };
}

async function nftables(lab: Lab, cpu: number, count: number, say: (what: string) => void): Promise<Variant> {
  const name = `nftables@${label(count)}`;
  const node = lab.node(`nftables-${label(count)}`);
  const rules = nftablesRules(benchServices(count, backend(node).ip4), node.ip4);
  await timed(say, `${name}: nft -f`, () => lab.exec(node, ['nft', '-f', '-'], { input: rules }));
  const prober = startProber(lab, client(node), cpu);
  return { name, about: 'rules of kube-proxy, nft', prober, address: targetIP, port: servicePort };
}

/** One agent, three clients: under the socket hooks, outside them, and one that talks past every Service. */
async function ours(
  lab: Lab,
  cpu: number,
  count: number,
  say: (what: string) => void,
): Promise<{ agent: Agent; variants: Variant[] }> {
  const node = lab.node(`bpfsvc-${label(count)}`);
  const agent = await load(lab, node, [], benchServices(count, backend(node).ip4), say);
  const socket = startProber(lab, client(node), cpu, { cgroup: node.cgroup });
  const tc = startProber(lab, client(node), cpu);
  const toService = { address: targetIP, port: servicePort };
  const variants: Variant[] = [
    { name: `socket@${label(count)}`, about: 'bpfsvc, client under the socket hooks', prober: socket, ...toService },
    { name: `tc@${label(count)}`, about: 'bpfsvc, client outside the socket hooks', prober: tc, ...toService },
  ];
  if (count === 1) return { agent, variants };
  const about = 'bpfsvc attached, but pod to pod';
  variants.push({ name: 'not ours', about, prober: tc, address: backend(node).ip4, port: podPort });
  return { agent, variants };
}

/** What the socket hooks cost by themselves: no program at the pods' devices. */
async function socketsAlone(lab: Lab, cpu: number, say: (what: string) => void): Promise<Variant> {
  const node = lab.node('sockets-10k');
  const devices = node.pods.map(({ veth }) => `${veth}=none`).join(',');
  await load(lab, node, ['--device', devices], benchServices(manyServices, backend(node).ip4), say);
  const prober = startProber(lab, client(node), cpu, { cgroup: node.cgroup });
  const about = 'bpfsvc, the socket hooks without tc';
  return { name: 'socket alone@10k', about, prober, address: targetIP, port: servicePort };
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

/** Throws unless the node's counters say that both hooks have served the measured Service. */
async function verify(agent: Agent): Promise<void> {
  const { stdout, stderr } = await agent.bpfsvc('dump', 'services', 'bench/target', '-o', 'json');
  for (const reason of ['connected_socket', 'connected_pod']) {
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
