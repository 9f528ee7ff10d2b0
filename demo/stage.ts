/** The demo's world: two nodes of network namespaces, real servers in their pods, visitors, and bpfsvc on each node. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stop } from '../test/netns/command.ts';
import { type CommandOptions, createLab, type Lab, type Node, type Place } from '../test/netns/lab.ts';
import type { Tally, Wish } from './visitor.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const bpfsvc = here('../bin/bpfsvc');

export type Visitor = (wish: Wish) => Promise<Tally>;

export interface Agent {
  readonly process: ChildProcess;
  /** How many rows its first pass wrote. */
  readonly firstRows: number;
  /** Waits for the next pass that writes rows. */
  nextPass(): Promise<void>;
}

export interface Stage {
  readonly lab: Lab;
  /** The folder of YAML that the agents watch: a copy, to be edited. */
  readonly manifests: string;
  readonly nodes: readonly Node[];
  /** Backend processes by the name of their pod. */
  readonly servers: ReadonlyMap<string, ChildProcess>;
  /** In a pod; on a node itself; in a pod whose sockets the hooks do not see, as those of a VM are. */
  readonly visitors: { readonly pod: Visitor; readonly node: Visitor; readonly vm: Visitor };
  startAgent(node: Node): Promise<Agent>;
  /** Another command of bpfsvc on a node. */
  run(node: Node, ...words: readonly string[]): Promise<{ readonly code: number; readonly stdout: string }>;
  close(): Promise<void>;
}

export async function setStage(): Promise<Stage> {
  const lab = await createLab({
    shape: 'ptp',
    tag: 'demo',
    nodes: [
      { name: 'node-a', pods: ['client', 'web-1', 'web-2', 'dns-1'] },
      { name: 'node-b', pods: ['web-3', 'web-4', 'dns-2'] },
    ],
  });
  const manifests = mkdtempSync(join(tmpdir(), 'bpfsvc-demo-'));
  process.once('exit', () => rmSync(manifests, { recursive: true, force: true }));
  try {
    for (const file of ['nodes.yaml', 'web.yaml', 'dns.yaml']) cpSync(here(file), join(manifests, file));
    const servers = await startServers(lab);
    const nodeA = lab.node('node-a');
    const pod = lab.pod('client');
    return {
      lab,
      manifests,
      nodes: lab.nodes,
      servers,
      visitors: {
        pod: startVisitor(lab, pod, { cgroup: nodeA.cgroup }),
        node: startVisitor(lab, nodeA, { cgroup: nodeA.cgroup }),
        vm: startVisitor(lab, pod),
      },
      startAgent: (node) => startAgent(lab, node, manifests),
      run: (node, ...words) => lab.attempt(node, [bpfsvc, ...words, '--pin-dir', node.pinDir]),
      close: lab.close,
    };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function startServers(lab: Lab): Promise<Map<string, ChildProcess>> {
  const record = 'web.default.svc.cluster.local=10.96.0.80';
  const pods = lab.pods.filter(({ name }) => name !== 'client');
  const started = pods.map(async (pod): Promise<[string, ChildProcess]> => {
    const program = pod.name.startsWith('dns') ? [here('dns.ts'), pod.name, record] : [here('web.ts'), pod.name];
    const child = lab.spawn(pod, [process.execPath, ...program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const early = once(child, 'exit').then(() => Promise.reject(new Error(`the server of ${pod.name} ended`)));
    early.catch(() => {});
    await Promise.race([once(child.stdout as NonNullable<typeof child.stdout>, 'data'), early]);
    return [pod.name, child];
  });
  return new Map(await Promise.all(started));
}

function startVisitor(lab: Lab, place: Place, options: CommandOptions = {}): Visitor {
  const command = [process.execPath, here('visitor.ts')];
  const child = lab.spawn(place, command, { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })[Symbol.asyncIterator]();
  return async (wish) => {
    child.stdin?.write(`${JSON.stringify(wish)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the visitor in ${place.name} ended`);
    return JSON.parse(value) as Tally;
  };
}

async function startAgent(lab: Lab, node: Node, manifests: string): Promise<Agent> {
  const where = ['--node', node.name, '--cgroup', node.cgroup, '--pin-dir', node.pinDir];
  const command = [bpfsvc, 'run', '--manifests', manifests, ...where, '--log-format', 'json'];
  const child = lab.spawn(node, command, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  const waiting = new Set<{ resolve(rows: number): void; reject(error: Error): void }>();
  const nextPass = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`bpfsvc on ${node.name} wrote nothing in 15 s:\n${said.join('\n')}`));
      const timer = setTimeout(late, 15_000);
      waiting.add({
        resolve: (rows) => {
          clearTimeout(timer);
          resolve(rows);
        },
        reject,
      });
    });
  createInterface({ input: child.stderr as NonNullable<typeof child.stderr> }).on('line', (line) => {
    said.push(line);
    const { rows } = line.startsWith('{') ? (JSON.parse(line) as { rows?: number }) : {};
    if (rows === undefined) return;
    for (const { resolve } of waiting) resolve(rows);
    waiting.clear();
  });
  child.once('exit', () => {
    for (const { reject } of waiting) reject(new Error(`bpfsvc on ${node.name} ended:\n${said.join('\n')}`));
    waiting.clear();
  });
  const firstRows = await nextPass();
  return { process: child, firstRows, nextPass: async () => void (await nextPass()) };
}

/** kill -9, and wait until it is dead. */
export async function kill(agent: Agent): Promise<void> {
  await stop(agent.process, 'SIGKILL');
}
