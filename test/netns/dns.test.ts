/**
 * Cluster DNS through real resolvers while the one server behind it is replaced again and again, each time by another pod:
 * no query waits for its timeout. `make test-dns` puts CoreDNS and Go's resolver in; without them a small server of our own
 * answers, and the resolvers are those that are at hand.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import anyTest from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { stop } from './command.ts';
import { hasProgram } from './firewall.ts';
import { createLab, type Lab, type Node, type Place, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { buildTool } from './tool.ts';

const test = anyTest.serial;
const vips = ['10.96.0.10', 'fd00:10:96::a'] as const;
const NAME = 'kubernetes.default.svc.cluster.local';
const TIMEOUT_SECONDS = 3;
const REPLACEMENTS = 4;
const { COREDNS, GO_RESOLVE } = process.env;
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let lab: Lab;
let node: Node;
let agent: Agent;
let folder: string;
let servers: readonly [Pod, Pod, Pod];

/** How a program asks: `argv` after its name; `configured`: it reads resolv.conf. */
interface Asker {
  readonly name: string;
  readonly configured: boolean;
  readonly command: (server: string) => readonly string[];
}

const load = [NAME, '150', '20'] as const;
const askers: Asker[] = [];

test.before(async () => {
  lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 2, rpFilter: 1, firewall: true, tag: 'dns' });
  node = lab.node('n1');
  servers = [lab.pod('n1p2'), lab.pod('n2p1'), lab.pod('n2p2')];
  folder = mkdtempSync(join(tmpdir(), 'bpfsvc-dns-'));
  writeFileSync(join(folder, 'nsswitch.conf'), 'hosts: dns\n');
  agent = await startAgent(lab, node, objects(servers));

  for (const how of ['c-ares', 'connected', 'unconnected']) {
    const timeout = String(TIMEOUT_SECONDS * 1000);
    askers.push({
      name: how === 'c-ares' ? how : `one ${how} socket`,
      configured: false,
      command: (server) => [process.execPath, script('resolve.ts'), how, server, ...load, timeout],
    });
  }
  askers.push(ofC('the C library', buildTool('resolve')));
  if (hasProgram('musl-gcc')) askers.push(ofC('musl', buildTool('resolve', 'musl-gcc')));
  if (GO_RESOLVE) askers.push(ofC('Go', GO_RESOLVE));
});
test.after.always(async () => {
  await agent?.[Symbol.asyncDispose]();
  await lab?.close();
  rmSync(folder, { recursive: true, force: true });
});

function ofC(name: string, path: string): Asker {
  return { name, configured: true, command: () => [path, ...load] };
}

/** kube-dns with these pods; those that `leave` terminate, and serve. */
function objects(pods: readonly Pod[], leave: readonly Pod[] = []): string {
  const ports = [{ name: 'dns', port: 53, targetPort: 53, protocol: 'UDP' as const }];
  const all = serviceObjects({ name: 'kube-dns', clusterIPs: vips, ports }, [...pods, ...leave]) as {
    endpoints?: { conditions: object }[];
  }[];
  for (const { endpoints } of all) {
    for (const endpoint of endpoints?.slice(pods.length) ?? []) {
      endpoint.conditions = { ready: false, serving: true, terminating: true };
    }
  }
  return manifest([...nodeObjects(lab), ...all]);
}

/** Answers in a pod, on port 53. */
async function serve(pod: Pod): Promise<ChildProcess> {
  const corefile = join(folder, `Corefile-${pod.name}`);
  const answer = (type: string, data: string) =>
    `  template IN ${type} {\n    answer "{{ .Name }} 5 IN ${type} ${data}"\n  }\n`;
  writeFileSync(
    corefile,
    `.:53 {\n  bind ${pod.ip4} ${pod.ip6}\n${answer('A', '192.0.2.1')}${answer('AAAA', '2001:db8::1')}}\n`,
  );
  const command = COREDNS
    ? [COREDNS, '-conf', corefile]
    : [process.execPath, script('dns-server.ts'), pod.ip4, pod.ip6];
  const child = lab.spawn(pod, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const told = new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk) => /ready|CoreDNS-/.test(String(chunk)) && resolve());
  });
  await Promise.race([told, once(child, 'exit').then(() => Promise.reject(new Error('the DNS server ended')))]);
  return child;
}

/** What a resolver says of itself at the end. */
async function ask(place: Place, asker: Asker, server: string, cgroup: string | undefined): Promise<string> {
  const resolv = join(folder, `resolv-${server.replaceAll(':', '-')}`);
  if (!existsSync(resolv)) {
    writeFileSync(resolv, `nameserver ${server}\noptions timeout:${TIMEOUT_SECONDS} attempts:2\n`);
  }
  const mounts = `mount --bind ${resolv} /etc/resolv.conf && mount --bind ${folder}/nsswitch.conf /etc/nsswitch.conf`;
  const command = asker.configured
    ? ['unshare', '--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh', ...asker.command(server)]
    : asker.command(server);
  return await lab.exec(place, command, cgroup === undefined ? {} : { cgroup });
}

/** One pod after the other: the next one is there before the one before it goes, as a rolling update has it. */
async function replaceServers(first: ChildProcess, done: () => boolean): Promise<void> {
  const children = [first];
  for (let i = 1; i <= REPLACEMENTS || !done(); i++) {
    const [before, after] = [servers[(i - 1) % 3] as Pod, servers[i % 3] as Pod];
    children.push(await serve(after));
    await agent.apply(objects([after], [before]));
    await sleep(100);
    await agent.apply(objects([after]));
    await sleep(20); // what it was asked before is answered
    children[i - 1]?.kill('SIGSTOP'); // silent, as if its address were gone: a killed one would say so by ICMP
    await sleep(300);
    const retired = children[i - 2];
    if (retired) await stop(retired, 'SIGKILL');
  }
  for (const child of children) await stop(child, 'SIGKILL');
}

test('no query waits for its timeout, whoever asks by whichever resolver', async (t) => {
  t.log(COREDNS ? 'CoreDNS' : 'our own server', askers.map(({ name }) => name).join(', '));
  const client = lab.pod('n1p1');
  const first = await serve(servers[0]);
  await agent.apply(objects([servers[0]]));
  const places = [
    ['the node', node, node.cgroup],
    ['a pod', client, node.cgroup],
    ['a pod outside the socket hooks', client, undefined],
  ] as const;
  let running = 0;
  const asked = places.flatMap(([where, place, cgroup]) =>
    askers.flatMap((asker) =>
      vips.map(async (server) => {
        running += 1;
        const said = await ask(place, asker, server, cgroup).finally(() => {
          running -= 1;
        });
        return { what: `${asker.name} on ${where}, ${server}`, said };
      }),
    ),
  );
  await replaceServers(first, () => running === 0);
  for (const { what, said } of await Promise.all(asked)) {
    const [count, failed, slowest] = said.split(' ').map(Number);
    t.is(count, 150);
    t.is(failed, 0, `${what}: ${said}`);
    t.true((slowest ?? 0) < TIMEOUT_SECONDS * 1000, `${what}: ${said}`);
  }
});
