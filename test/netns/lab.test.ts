import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { cgroup2Mount } from './cgroup.ts';
import { eventually } from './eventually.ts';
import { dropInvalid, droppedInvalid } from './firewall.ts';
import { createLab, hasBridgeNetfilter, type Lab, type LabOptions } from './lab.ts';
import { mountRoot } from './reaper.ts';
import { startClient, startServer } from './traffic.ts';

const shapes: readonly LabOptions[] = [
  { shape: 'ptp' },
  { shape: 'bridge' },
  { shape: 'ptp', underlay: 'vxlan', offloads: false, masquerade: true },
  { shape: 'bridge', underlay: 'vxlan', rpFilter: 2, firewall: true, masquerade: true },
];

function traces(prefix: string): string[] {
  const places = ['/run/netns', mountRoot, cgroup2Mount()].filter((place) => existsSync(place));
  return places.flatMap((place) => readdirSync(place).filter((name) => name.startsWith(prefix)));
}

for (const options of shapes) {
  test(`createLab() connects every place with every other: ${JSON.stringify(options)}`, async (t) => {
    await using lab = await createLab({ ...options, nodes: 2, podsPerNode: 2, tag: 'test' });
    const late = await lab.addPod(lab.node('n2'), 'late');
    const servers = [lab.pod('n1p2'), lab.pod('n2p1'), late, lab.node('n2'), lab.outside];
    await Promise.all(servers.map((server) => startServer(lab, server, [80])));
    for (const place of [lab.pod('n1p1'), lab.node('n1'), lab.outside, late]) {
      await using client = startClient(lab, place);
      for (const server of servers) {
        for (const address of [server.ip4, server.ip6]) {
          for (const protocol of ['tcp', 'udp'] as const) {
            const tally = await client.request({ protocol, address, port: 80 });
            t.like(tally, { errors: {}, backends: { [server.name]: 1 } }, `${place.name} to ${address} ${protocol}`);
          }
        }
      }
    }
  });
}

test('createLab() sets what it was asked to set', async (t) => {
  const bridgeNetfilter = hasBridgeNetfilter() ? { bridgeNetfilter: false } : {};
  await using lab = await createLab({ shape: 'bridge', rpFilter: 2, offloads: false, tag: 'test', ...bridgeNetfilter });
  const node = lab.node('n1');
  t.is(await lab.exec(node, ['cat', '/proc/sys/net/ipv4/conf/all/rp_filter']), '2\n');
  if (hasBridgeNetfilter()) t.is(await lab.exec(node, ['cat', '/proc/sys/net/bridge/bridge-nf-call-iptables']), '0\n');
  t.regex(await lab.exec(lab.pod('n1p1'), ['ethtool', '-k', 'eth0']), /tx-checksumming: off/);
  t.regex(await lab.exec(node, ['ethtool', '-k', lab.pod('n1p1').veth]), /tcp-segmentation-offload: off/);
});

test('droppedInvalid() counts what the firewall of a node cuts', async (t) => {
  await using lab = await createLab({ shape: 'ptp', tag: 'test' });
  const node = lab.node('n1');
  await startServer(lab, lab.pod('n1p2'), [80]);
  await using client = startClient(lab, lab.pod('n1p1'));
  const target = { protocol: 'tcp', address: lab.pod('n1p2').ip4, port: 80, timeout: 300 } as const;
  const connection = await client.open(target);
  // The firewall brings conntrack with it: a connection that is older than that is INVALID unless it may be picked up.
  await dropInvalid(node);
  await lab.exec(node, ['sh', '-c', 'echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose']);
  t.is(await droppedInvalid(node), 0);
  t.is((await client.request(target)).ok, 1);
  t.is(await droppedInvalid(node), 0);
  await t.throwsAsync(connection.ask(), { code: 'TIMEOUT' });
  t.true((await droppedInvalid(node)) > 0);
});

test('addPod() never gives an address anew', async (t) => {
  await using lab = await createLab({ shape: 'ptp', podsPerNode: 1, tag: 'test' });
  const second = await lab.addPod(lab.node('n1'));
  lab.removePod(second);
  const third = await lab.addPod(lab.node('n1'));
  t.deepEqual([second.name, third.name], ['n1p2', 'n1p3']);
  t.not(third.ip4, second.ip4);
});

test('spawn() puts a process into the cgroup before it runs', async (t) => {
  await using lab = await createLab({ shape: 'ptp', tag: 'test' });
  const node = lab.node('n1');
  const own = await lab.exec(lab.pod('n1p1'), ['cat', '/proc/self/cgroup'], { cgroup: node.cgroup });
  t.regex(own, new RegExp(`^0::.*/${lab.prefix}/n1$`, 'm'));
  await using client = startClient(lab, lab.pod('n1p1'), { cgroup: node.cgroup });
  await client.request({ protocol: 'udp', address: '127.0.0.1', port: 9, count: 0 });
  t.is(readFileSync(`${node.cgroup}/cgroup.procs`, 'utf8').trim(), String(client.pid));
});

test('exec() throws with what the command said, attempt() returns it', async (t) => {
  await using lab = await createLab({ shape: 'ptp', podsPerNode: 1, tag: 'test' });
  const command = ['sh', '-c', 'echo out; echo err >&2; exit 3'];
  await t.throwsAsync(lab.exec(lab.outside, command), { message: /exit 3\nerr\nout/ });
  t.deepEqual(await lab.attempt(lab.outside, command), { code: 3, stdout: 'out\n', stderr: 'err\n' });
});

test('removePod() takes the pod, what runs in it and its veth away', async (t) => {
  await using lab = await createLab({ shape: 'bridge', tag: 'test' });
  const pod = lab.pod('n1p2');
  const server = await startServer(lab, pod, [80]);
  const exit = once(server, 'exit');
  lab.removePod(pod);
  t.deepEqual(await exit, [null, 'SIGKILL']);
  t.deepEqual(
    lab.pods.map((other) => other.name),
    ['n1p1'],
  );
  await t.notThrowsAsync(
    eventually(async () => assert(!(await lab.exec(lab.node('n1'), ['ip', 'link'])).includes(pod.veth))),
  );
});

test('close() leaves nothing behind', async (t) => {
  const lab: Lab = await createLab({ shape: 'ptp', nodes: 2, tag: 'test' });
  const node = lab.node('n1');
  await startServer(lab, node, [80], { cgroup: node.cgroup });
  t.true(traces(lab.prefix).length > 5);
  await lab.close();
  t.deepEqual(traces(lab.prefix), []);
});

test('createLab() leaves nothing behind when its process is killed', async (t) => {
  const lab = fileURLToPath(new URL('lab.ts', import.meta.url));
  const source = `
    const { createLab } = await import(${JSON.stringify(lab)});
    const lab = await createLab({ shape: 'ptp', tag: 'killed' });
    lab.spawn(lab.nodes[0], ['sleep', '1000'], { cgroup: lab.nodes[0].cgroup });
    console.log(lab.prefix);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const prefix = String((await once(child.stdout, 'data'))[0]).trim();
  t.true(traces(prefix).length > 3);
  child.kill('SIGKILL');
  await t.notThrowsAsync(eventually(() => assert.deepEqual(traces(prefix), [])));
});
