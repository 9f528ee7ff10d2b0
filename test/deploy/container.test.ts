/** The container that the DaemonSet asks for, on a node of a lab: it serves packets, and needs each of its capabilities. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import anyTest, { type ExecutionContext } from 'ava';
import { missingCapabilities } from '../../src/kernel/capabilities.ts';
import { eventually } from '../netns/eventually.ts';
import { createLab, type Lab, type Node, type Pod } from '../netns/lab.ts';
import { manifest, nodeObjects, serviceObjects } from '../netns/objects.ts';
import { type Client, startClient, startServer } from '../netns/traffic.ts';
import { type Bundle, makeBundle, type Running, type RunOptions } from './container.ts';
import { baseObjects } from './daemon-set.ts';

const test = anyTest.serial;
const vips = ['10.96.0.1', 'fd00:10:96::1'] as const;
const ready = /rows? written/;

let lab: Lab;
let node: Node;
let near: Pod;
let folder: string;
let bundle: Bundle;
let agent: Running;
let clients: Readonly<Record<'socket' | 'veth', Client>>;

/** As a kubelet writes the ConfigMap, and beside it what the API server would tell. */
function configVolume(): string {
  const config = baseObjects().find(({ kind }) => kind === 'ConfigMap')?.data as Record<string, string>;
  const path = join(folder, 'config');
  mkdirSync(join(path, 'objects'), { recursive: true });
  writeFileSync(join(path, 'config.yaml'), config['config.yaml'] ?? '');
  const objects = [...nodeObjects(lab), ...serviceObjects({ name: 'web', clusterIPs: vips }, [near])];
  writeFileSync(join(path, 'objects/all.json'), manifest(objects));
  return path;
}

const start = (options: RunOptions = {}): Running =>
  bundle.run({ more: ['--manifests=/etc/bpfsvc/objects'], ...options });

async function serves(t: ExecutionContext): Promise<void> {
  for (const client of Object.values(clients)) {
    for (const address of vips) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const tally = await client.request({ protocol, address, port: 80, count: 4 });
        t.deepEqual([tally.ok, tally.failed], [4, 0], `${protocol} ${address}: ${JSON.stringify(tally.errors)}`);
      }
    }
  }
}

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 2, tag: 'image' });
  node = lab.node('n1');
  const [client, backend] = node.pods as [Pod, Pod];
  near = backend;
  folder = mkdtempSync(join(tmpdir(), 'bpfsvc-volumes-'));
  mkdirSync(node.pinDir, { recursive: true });
  bundle = makeBundle(node, { config: configVolume(), bpf: node.pinDir, cgroup: node.cgroup });
  await startServer(lab, near, [8080]);
  clients = {
    socket: startClient(lab, client, { cgroup: node.cgroup }),
    veth: startClient(lab, client),
  };
  agent = start();
  await agent.logged(ready);
});

test.after.always(async () => {
  await agent?.end();
  await lab?.close();
  bundle?.[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

test('it serves packets, at the socket and at the veth, and found by itself where', async (t) => {
  await serves(t);
  const { stdout, stderr, code } = await bundle.exec(agent, 'bpfsvc', 'check');
  t.is(code, 0, stderr);
  t.regex(stdout, /cgroup2 +ok +\/host\/cgroup\n/);
  t.regex(stdout, /BPF filesystem +ok +\/host\/bpf\n/);
  t.deepEqual(
    agent.lines.filter((line) => /"level":"(warn|error)"/.test(line)),
    [],
  );
});

test('a kubelet finds it alive and ready where the probes say', async (t) => {
  for (const path of ['/livez', '/healthz']) {
    const answer = await lab.exec(node, [
      process.execPath,
      '-e',
      `fetch('http://${node.ip4}:10256${path}').then(async (a) => console.log(a.status, await a.text()))`,
    ]);
    t.regex(answer, /^200 /, path);
  }
});

test('people look into it by exec: dump, verify, trace; there is no shell, and nothing can be written', async (t) => {
  const { stdout } = await bundle.exec(agent, 'bpfsvc', 'dump');
  t.regex(stdout, /default +web +ClusterIP +10\.96\.0\.1/);
  const verified = await bundle.exec(
    agent,
    'bpfsvc',
    'verify',
    '--manifests=/etc/bpfsvc/objects',
    `--node=${node.name}`,
  );
  t.is(verified.code, 0, verified.stderr + verified.stdout);
  const traced = bundle.exec(agent, 'bpfsvc', 'trace', '--count=1');
  await eventually(async () => {
    await clients.veth.request({ protocol: 'tcp', address: vips[0], port: 80, count: 1 });
    assert.match((await Promise.race([traced, Promise.resolve({ stdout: '' })])).stdout, /10\.96\.0\.1/);
  }, 30);
  t.is((await traced).code, 0);
  for (const shell of ['sh', 'bash', '/bin/sh', 'busybox']) t.not((await bundle.exec(agent, shell)).code, 0, shell);
  const write = `require('node:fs').writeFileSync('/usr/bin/new', '')`;
  t.regex((await bundle.exec(agent, 'node', '-e', write)).stderr, /EROFS/);
});

test('a pod that comes while it runs is served too', async (t) => {
  const pod = await lab.addPod(node);
  await agent.logged(new RegExp(`attached at ${pod.veth}`));
  const client = startClient(lab, pod);
  const tally = await client.request({ protocol: 'udp', address: vips[0], port: 80, count: 4, connected: true });
  t.is(tally.ok, 4, JSON.stringify(tally.errors));
});

test('one replaced by another, as an update does: no connection fails meanwhile', async (t) => {
  const plan = { protocol: 'tcp', address: vips[0], port: 80, perSecond: 50 } as const;
  const streams = Object.values(clients).map((client) => client.stream(plan));
  await agent.end();
  t.is(await agent.ended, 0);
  agent = start();
  await agent.logged(ready);
  for (const stream of streams) {
    const tally = await stream.stop();
    t.is(tally.failed, 0, JSON.stringify(tally.errors));
  }
  await serves(t);
});

const all = missingCapabilities('CapEff:\t0000000000000000\n');

for (const name of all) {
  test(`without ${name} it does not start, and says why`, async (t) => {
    const running = start({ without: [name] });
    t.is(await running.ended, 1);
    t.regex(running.lines.join('\n'), new RegExp(`may not use BPF here, ${name} is missing`));
  });
}

/** What the kernel says to a process with these capabilities, in a namespace of its own. */
function attempts(capabilities: readonly string[]): Record<string, string> {
  const script = fileURLToPath(new URL('powers.ts', import.meta.url));
  const kept = ['-all', ...capabilities.map((name) => name.replace('CAP_', '+').toLowerCase())].join(',');
  const command = ['setpriv', `--bounding-set=${kept}`, '--inh-caps=-all', '--', process.execPath, script];
  const inside = ['ip', 'link', 'set', 'lo', 'up', '&&', 'exec', ...command].join(' ');
  return JSON.parse(execFileSync('unshare', ['--net', 'sh', '-c', inside], { encoding: 'utf8' }));
}

test('each capability is needed: what the kernel refuses without it, and nothing with all three', (t) => {
  const said = { 'make a map for prefixes': 'ok', 'load a packet program': 'ok', 'attach it to a device': 'ok' };
  const good = { ...said, 'load our programs': 'ok', 'end a socket': 'ok' };
  const loads = { 'load a packet program': 'EPERM', 'attach it to a device': 'EPERM', 'load our programs': 'EPERM' };
  t.deepEqual(attempts(all), good);
  const without = (name: string) => attempts(all.filter((one) => one !== name));
  t.deepEqual(without('CAP_BPF'), { ...good, ...loads, 'make a map for prefixes': 'EPERM' });
  t.deepEqual(without('CAP_NET_ADMIN'), { ...good, ...loads, 'end a socket': 'EPERM' });
  t.deepEqual(without('CAP_PERFMON'), { ...good, 'load our programs': 'EACCES' });
});

test('a node that has no BPF filesystem mounted is told so, and how to mount it', async (t) => {
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  const running = start({ volumes: { bpf: empty } });
  t.is(await running.ended, 1);
  t.regex(running.lines.join('\n'), /no BPF filesystem is mounted.*mount -t bpf bpf \/sys\/fs\/bpf' on the node/);
});

test('an agent that asks the ClusterIP of the API server, which nobody serves, says what to give it', async (t) => {
  const account = join(folder, 'account');
  mkdirSync(account);
  for (const name of ['token', 'ca.crt']) writeFileSync(join(account, name), '');
  await lab.exec(node, ['ip', 'route', 'add', 'unreachable', '10.97.0.0/16']);
  const environment = {
    KUBERNETES_SERVICE_HOST: '10.97.0.1',
    KUBERNETES_SERVICE_PORT: '443',
    KUBERNETES_PORT: 'tcp://10.97.0.1:443',
  };
  const bpf = join(node.pinDir, 'another');
  mkdirSync(bpf);
  const running = bundle.run({
    account,
    environment,
    volumes: { bpf },
    more: ['--healthz-bind-address=', '--metrics-bind-address='],
  });
  const line = await running.logged(/cannot be reached/);
  t.regex(line, /API server 10\.97\.0\.1.*that address is its ClusterIP.*KUBERNETES_SERVICE_HOST or apiServer\.host/);
  await running.end();
});
