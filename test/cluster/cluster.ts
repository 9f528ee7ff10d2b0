/** A real Kubernetes of two nodes on this machine: control plane, kubelets, containerd, CNI, DNS, and one proxy. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type ControlPlane, startControlPlane } from '../kubernetes/control-plane.ts';
import { agentRbac } from '../kubernetes/registration.ts';
import type { Agent } from '../netns/agent.ts';
import { eventually } from '../netns/eventually.ts';
import { createLab, type Lab, type Node } from '../netns/lab.ts';
import { dnsAddress, dnsObjects } from './dns.ts';
import { makeImages } from './images.ts';
import { type NodeParts, startNode } from './node.ts';
import { type Programs, preparePrograms } from './programs.ts';
import { type ProxyName, proxyUsers, startBpfsvc, startKubeProxy } from './proxy.ts';

export interface Cluster extends AsyncDisposable {
  readonly lab: Lab;
  readonly control: ControlPlane;
  readonly programs: Programs;
  /** Its state: settings and logs of the nodes. */
  readonly folder: string;
  /** By node; empty under another proxy. */
  readonly agents: ReadonlyMap<string, Agent>;
  /** By node: the id of its first process, whose namespaces are the node's. */
  readonly firstProcesses: ReadonlyMap<string, number>;
}

export interface ClusterOptions {
  /** In the names of what is made, for people: small letters and digits. */
  readonly tag: string;
  readonly proxy: ProxyName;
  /** How many nodes, n1 and so on; each is a zone. Default 2. */
  readonly nodes?: number;
  /** Is told what happens. */
  readonly tell?: (text: string) => void;
}

/** Where clusters keep their state: one folder for each. */
export const clustersFolder: string = fileURLToPath(new URL('../../build/cluster', import.meta.url));

/** Removes the state of clusters whose process is dead; labs are swept by the next one that is made. */
export function sweepFolders(): void {
  for (const { name } of readdirSync(clustersFolder, { withFileTypes: true })) {
    const [, pid] = /^bpfsvc-[a-z0-9]+-(\d+)-\d+$/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      rmSync(join(clustersFolder, name), { recursive: true, force: true });
    }
  }
}

/** Resolves when all nodes are ready and DNS answers. Everything is gone when it is disposed of, or with this process, however it ends. */
export async function startCluster({ tag, proxy, nodes = 2, tell = () => {} }: ClusterOptions): Promise<Cluster> {
  const programs = preparePrograms();
  process.env.KUBERNETES_BIN = programs.kubernetes;
  const images = await makeImages(programs);
  mkdirSync(clustersFolder, { recursive: true });
  sweepFolders();
  const lab = await createLab({ shape: 'ptp', nodes, podsPerNode: 0, tag });
  const folder = join(clustersFolder, lab.prefix);
  const undo = new AsyncDisposableStack();
  undo.defer(async () => {
    await lab.close();
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    mkdirSync(folder, { recursive: true });
    process.env.TMPDIR = folder; // what others make for the time being goes away with it
    tell('control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler');
    const control = undo.use(await startControlPlane(lab, lab.outside, { users: proxyUsers(proxy), workloads: true }));
    if (proxy === 'bpfsvc') await control.apply(...agentRbac('bpfsvc'));
    tell(`nodes ${lab.nodes.map(({ name }) => name).join(', ')}: containerd, kubelet`);
    const parts: NodeParts = { lab, control, programs, folder, images, dns: dnsAddress.ip4 };
    const ids = await Promise.all(lab.nodes.map((node) => startNode(parts, node)));
    await eventually(() => areReady(control, lab.nodes), 120);
    tell(proxy === 'bpfsvc' ? 'bpfsvc on each node' : `proxy: ${proxy}`);
    const agents = await startProxies(parts, proxy, undo);
    tell('cluster DNS: CoreDNS');
    await control.apply(...dnsObjects());
    if (proxy !== 'none') {
      await control.kubectl(['-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=180s']);
    }
    const end = undo.move();
    const firstProcesses = new Map(lab.nodes.map((node, i) => [node.name, ids[i] as number]));
    return {
      lab,
      control,
      programs,
      folder,
      agents,
      firstProcesses,
      [Symbol.asyncDispose]: () => end.disposeAsync(),
    };
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

async function areReady(control: ControlPlane, nodes: readonly Node[]): Promise<void> {
  for (const { name } of nodes) {
    await control.kubectl(['wait', '--for=condition=Ready', `node/${name}`, '--timeout=1s']);
  }
}

async function startProxies(
  parts: NodeParts,
  proxy: ProxyName,
  undo: AsyncDisposableStack,
): Promise<Map<string, Agent>> {
  const agents = new Map<string, Agent>();
  for (const node of parts.lab.nodes) {
    if (proxy === 'bpfsvc') agents.set(node.name, undo.use(await startBpfsvc(parts, node)));
    else if (proxy !== 'none') await startKubeProxy(parts, node, proxy);
  }
  return agents;
}
