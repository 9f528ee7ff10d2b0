/** Where YAML is tried: an agent whose folder a test edits, backends that the files know by address, and clients. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from './agent.ts';
import { createLab, type Lab } from './lab.ts';
import { manifest, nodeObjects } from './objects.ts';
import { type Client, startClient, startServer } from './traffic.ts';

export interface Stage {
  readonly lab: Lab;
  readonly agent: Agent;
  /** Writes a file of the agent's folder, as an editor that saves by rename does. */
  save(name: string, text: string | Uint8Array): void;
  remove(name: string): void;
  /** Under the socket hooks, outside them, and on the node itself. */
  readonly clients: Readonly<Record<'socket' | 'pod' | 'node', Client>>;
}

/** alpha is a pod of this node, beta one of the other, gamma a machine outside. The files know their addresses. */
export async function setStage(tag: string): Promise<Stage> {
  const lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 2, tag });
  const node = lab.node('n1');
  await Promise.all([
    startServer(lab, lab.pod('n1p2'), [8080, 8443], { name: 'alpha' }),
    startServer(lab, lab.pod('n2p1'), [8080, 9000], { name: 'beta' }),
    startServer(lab, lab.pod('n1p2'), [9000], { name: 'alpha-9000' }),
    startServer(lab, lab.pod('n1p2'), [9153], { name: 'alpha-9153' }),
    startServer(lab, lab.outside, [5432], { name: 'gamma' }),
  ]);
  const agent = await startAgent(lab, node, manifest(nodeObjects(lab)));
  return {
    lab,
    agent,
    save(name, text) {
      writeFileSync(join(agent.manifests, '.next'), text);
      renameSync(join(agent.manifests, '.next'), join(agent.manifests, name));
    },
    remove: (name) => rmSync(join(agent.manifests, name), { recursive: true }),
    clients: {
      socket: startClient(lab, lab.pod('n1p1'), { cgroup: node.cgroup }),
      pod: startClient(lab, lab.pod('n1p1')),
      node: startClient(lab, node, { cgroup: node.cgroup }),
    },
  };
}

export interface Item {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly clusterIPs: readonly string[];
}

export const keyOf = (item: Item): string => `${item.namespace}/${item.name}:${item.port}/${item.protocol}`;

/** What is served by an address, by 'namespace/name:port/protocol'. */
export async function served(agent: Agent): Promise<Map<string, Item>> {
  const { stdout } = await agent.bpfsvc('dump', 'services', '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: Item[] };
  return new Map(items.filter(({ clusterIPs }) => clusterIPs.length > 0).map((item) => [keyOf(item), item]));
}
