/** Two nodes, an agent on the first, a Service whose pool changes from round to round, and a crowd of others beside it. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { crowd, crowdCidrs, tell, toldByDump } from './crowd.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { differences, lookups, plannedTables, readPinned } from './pinned.ts';
import { startVisitors, type Visitors } from './questions.ts';
import { startServer } from './traffic.ts';

/** The Service that is asked: TCP and UDP, port 80. */
export const web: readonly [string, string] = ['10.96.0.1', 'fd00:10:96::1'];

/** Other Services, so that a change is made of many rows. */
export const CROWD = 300;

export interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  readonly agent: Agent;
  readonly visitors: Visitors;
  /** near, near2 and far, and what answers there */
  readonly backends: readonly [Pod, Pod, Pod];
  readonly servers: readonly ChildProcess[];
}

export async function setStage(tag: string, flags: readonly string[] = []): Promise<Stage> {
  return await setStageIn(await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 3, rpFilter: 1, tag }), flags);
}

export async function setStageIn(lab: Lab, flags: readonly string[] = []): Promise<Stage> {
  const node = lab.node('n1');
  const [client, near, near2] = node.pods as [Pod, Pod, Pod];
  const [far] = lab.node('n2').pods as [Pod];
  const backends = [near, near2, far] as const;
  const servers = await Promise.all(backends.map((pod) => startServer(lab, pod, [8080])));
  const visitors = startVisitors(lab, node, client);
  const agent = await startAgent(lab, node, manifest(objectsOf(lab, backends, 0)), [
    '--service-cidr',
    crowdCidrs,
    ...flags,
  ]);
  await settled(agent, node);
  return {
    lab,
    node,
    agent,
    visitors,
    backends,
    servers,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

/** The Service that is asked has two of its three backends in each round, so that its pool changes too. */
export function objectsOf(lab: Lab, backends: readonly Pod[], round: number): object[] {
  const serving = backends.filter((_, i) => i !== round % backends.length);
  const asked = serviceObjects({ name: 'web', clusterIPs: web }, serving);
  return [...nodeObjects(lab), ...asked, ...crowd(round, CROWD)];
}

/** Waits until the kernel holds what the manifests say. */
export async function settled(agent: Agent, node: Node): Promise<void> {
  const planned = lookups(await plannedTables(node, agent.manifests, crowdCidrs));
  await eventually(async () => {
    assert.deepEqual(differences(lookups((await readPinned(node.pinDir)).tables), planned), []);
  });
}

export async function apply({ agent, node }: Stage, objects: readonly object[]): Promise<void> {
  agent.write(manifest(objects));
  await settled(agent, node);
}

/** The kernel holds what the objects say: by a plan from nothing, and by a reader that is none of ours. */
export async function isRight(t: ExecutionContext, { agent, node }: Stage, objects: readonly object[]): Promise<void> {
  const { tables } = await readPinned(node.pinDir);
  const planned = await plannedTables(node, agent.manifests, crowdCidrs);
  t.deepEqual(differences(lookups(tables), lookups(planned)), [], 'the kernel and a plan from nothing');
  const { stdout } = await agent.bpfsvc('dump', 'services', '-o', 'json');
  t.deepEqual(toldByDump(stdout), tell(objects), 'dump and manifests');
}
