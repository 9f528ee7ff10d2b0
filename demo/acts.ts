import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stop } from '../test/netns/command.ts';
import { act, promise, quote, show, tally, tell } from './narrator.ts';
import { type Agent, kill, type Stage } from './stage.ts';
import type { Tally } from './visitor.ts';

const webUrl = 'http://10.96.0.80/';
const webUrl6 = 'http://[fd00:10:96::80]/';

export function showNodes({ lab }: Stage, milliseconds: number): void {
  act('Two nodes, no cluster');
  for (const node of lab.nodes) {
    const pods = node.pods.map(({ name, ip4 }) => `${name} ${ip4}`).join(', ');
    tell(`${node.name}  ${node.ip4}   ${pods}`);
  }
  tell(`network namespaces, veths and routes; HTTP and DNS servers in the pods: ${(milliseconds / 1000).toFixed(1)} s`);
}

export function showYaml({ manifests }: Stage): void {
  act('Plain YAML');
  const [service = '', pod = ''] = readFileSync(join(manifests, 'web.yaml'), 'utf8').split('---\n');
  show('cat web.yaml');
  quote(`${service}---\n${pod.split('\n').slice(0, 5).join('\n')}\n… web-1, web-2 and web-3 with their addresses`);
  tell('beside it nodes.yaml, and dns.yaml: a Service whose EndpointSlice is written by hand');
}

export async function startAgents(stage: Stage): Promise<Agent[]> {
  act('bpfsvc on each node');
  const before = await stage.visitors.pod({ do: 'visit', url: webUrl, times: 1 });
  promise('without it nobody answers', Object.keys(before.answers).length === 0, before);
  show('bpfsvc run --manifests . --node node-a', '');
  const began = performance.now();
  const agents = await Promise.all(stage.nodes.map((node) => stage.startAgent(node)));
  const rows = agents.map(({ firstRows }) => firstRows);
  promise(
    `programs loaded and attached, ${rows.join(' and ')} rows in the maps: ${((performance.now() - began) / 1000).toFixed(1)} s`,
    rows.every((count) => count > 0),
    rows,
  );
  return agents;
}

/** Everybody got an answer, and all of these backends gave some. */
function promiseSpread(what: string, seen: Tally, backends: readonly string[]): void {
  tally(seen.answers);
  const isSo = Object.keys(seen.errors).length === 0 && Object.keys(seen.answers).sort().join() === backends.join();
  promise(what, isSo, seen);
}

export async function visitWeb({ visitors }: Stage): Promise<void> {
  act('Requests to the Service');
  const all = ['web-1', 'web-2', 'web-3'];
  const visit = (url: string) => ({ do: 'visit', url, times: 60 }) as const;
  show(`curl ${webUrl}     # in a pod, 60 times`);
  promiseSpread(
    'answered and spread: a backend is chosen in connect(), packets cost nothing more',
    await visitors.pod(visit(webUrl)),
    all,
  );
  show(`curl ${webUrl6}     # over IPv6`);
  promiseSpread('answered and spread over IPv6', await visitors.pod(visit(webUrl6)), all);
  show(`curl ${webUrl}     # where connect() is not ours to see, as in a VM`);
  promiseSpread("answered and spread: translated at the pod's veth", await visitors.vm(visit(webUrl)), all);
  show(`curl ${webUrl}     # on node-a itself`);
  promiseSpread('answered and spread for the host', await visitors.node(visit(webUrl)), all);
}

export async function resolveNames({ visitors }: Stage): Promise<void> {
  act('DNS over UDP');
  const name = 'web.default.svc.cluster.local';
  show(`dig @10.96.0.10 ${name}     # 40 questions`);
  const seen = await visitors.vm({ do: 'resolve', server: '10.96.0.10', name, times: 40 });
  tell(`${name} is ${seen.addresses.join(', ')}; answered by`);
  promiseSpread('every question was answered, from the address that was asked', seen, ['dns-1', 'dns-2']);
  promise('the name leads to the Service', seen.addresses.join() === '10.96.0.80', seen);
}

export async function scaleUp({ manifests, visitors }: Stage, agents: readonly Agent[]): Promise<void> {
  act('An edit, under traffic');
  const visitor = visitors.pod;
  await visitor({ do: 'keep visiting', url: webUrl, perSecond: 150 });
  await sleep(500);
  const passes = Promise.all(agents.map((agent) => agent.nextPass()));
  show('cp ../web-4.yaml .');
  const saved = performance.now();
  cpSync(fileURLToPath(new URL('web-4.yaml', import.meta.url)), join(manifests, 'web-4.yaml'));
  await passes;
  const programmed = performance.now() - saved;
  await sleep(1000);
  const seen = await visitor({ do: 'stop' });
  promiseSpread(`web-4 serves too, ${programmed.toFixed(0)} ms after the file was saved; no request failed`, seen, [
    'web-1',
    'web-2',
    'web-3',
    'web-4',
  ]);
}

export async function scaleDown({ lab, manifests, servers, visitors }: Stage, agents: readonly Agent[]): Promise<void> {
  act('A backend leaves, under traffic');
  await visitors.pod({ do: 'keep visiting', url: webUrl, perSecond: 100 });
  await visitors.vm({ do: 'keep visiting', url: webUrl, perSecond: 50 });
  await sleep(300);
  const passes = Promise.all(agents.map((agent) => agent.nextPass()));
  show('vi web.yaml     # web-2 is taken out');
  const file = join(manifests, 'web.yaml');
  const documents = readFileSync(file, 'utf8').split('---\n');
  writeFileSync(file, documents.filter((document) => !document.includes('name: web-2')).join('---\n'));
  await passes;
  const server = servers.get('web-2');
  if (server === undefined) throw new RangeError('no server web-2');
  await sleep(200);
  const [podSoFar, vmSoFar] = [await visitors.pod({ do: 'so far' }), await visitors.vm({ do: 'so far' })];
  await stop(server);
  lab.removePod(lab.pod('web-2'));
  tell('web-2 finished what it had begun; its process, its namespace and its veth are gone');
  await sleep(1000);
  const [pod, vm] = [await visitors.pod({ do: 'stop' }), await visitors.vm({ do: 'stop' })];
  const seen = merge(pod, vm);
  tally(seen.answers);
  promise('no request failed', Object.keys(seen.errors).length === 0, seen);
  const late = (merge(pod, vm).answers['web-2'] ?? 0) - (merge(podSoFar, vmSoFar).answers['web-2'] ?? 0);
  promise('and none went to web-2 any more', late === 0, { late });
}

function merge(a: Tally, b: Tally): Tally {
  const sum = (left: Record<string, number>, right: Record<string, number>): Record<string, number> => {
    const names = new Set([...Object.keys(left), ...Object.keys(right)]);
    return Object.fromEntries([...names].map((name) => [name, (left[name] ?? 0) + (right[name] ?? 0)]));
  };
  return { answers: sum(a.answers, b.answers), errors: sum(a.errors, b.errors), addresses: [] };
}

export async function killAgents(stage: Stage, agents: readonly Agent[]): Promise<Agent[]> {
  const { visitors, nodes } = stage;
  act('kill -9, under traffic');
  await visitors.pod({ do: 'keep visiting', url: webUrl, perSecond: 100 });
  await visitors.vm({ do: 'keep visiting', url: webUrl6, perSecond: 50 });
  await sleep(300);
  show('kill -9 $(pgrep bpfsvc)');
  await Promise.all(agents.map(kill));
  await sleep(1000);
  show('bpfsvc dump     # the agents are dead, the maps are not');
  await dump(stage);
  const again = await Promise.all(nodes.map((node) => stage.startAgent(node)));
  const seen = merge(await visitors.pod({ do: 'stop' }), await visitors.vm({ do: 'stop' }));
  promiseSpread('every new connection was served all the while', seen, ['web-1', 'web-3', 'web-4']);
  const rows = again.map(({ firstRows }) => firstRows);
  promise(
    'started again, the agents found all as it should be and wrote nothing',
    rows.every((count) => count === 0),
    rows,
  );
  return again;
}

async function dump(stage: Stage): Promise<void> {
  const [nodeA] = stage.nodes;
  if (nodeA === undefined) throw new RangeError('no node');
  quote((await stage.run(nodeA, 'dump')).stdout);
  // The table cuts long lists short; the JSON does not.
  const whole = await stage.run(nodeA, 'dump', '-o', 'json');
  const expected = ['web', '10.96.0.80', '10.1.2.12:8080', '[fd00:1:2::12]:8080', '10.96.0.10', '10.1.1.14:5353'];
  promise(
    'dump names every Service and backend',
    expected.every((word) => whole.stdout.includes(`"${word}"`)),
    whole,
  );
}

export async function unload(stage: Stage, agents: readonly Agent[]): Promise<void> {
  act('Away with it');
  await Promise.all(agents.map((agent) => stop(agent.process)));
  show('bpfsvc unload');
  const results = await Promise.all(stage.nodes.map((node) => stage.run(node, 'unload')));
  const [first = ''] = results.map(({ stdout }) => stdout);
  const lines = first.trimEnd().split('\n');
  quote([...lines.slice(0, 3), `… ${lines.length - 3} more`].join('\n'));
  promise(
    'unloaded on both nodes',
    results.every(({ code }) => code === 0),
    results,
  );
  const after = await stage.visitors.vm({ do: 'visit', url: webUrl, times: 1 });
  promise('nobody answers for the Service any more', Object.keys(after.answers).length === 0, after);
}
