/** The node's servers as load balancers and probes find them: the whole agent, asked over HTTP. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import test from 'ava';
import { pinPath, readPinned, runAgentIn, writeManifest } from '../test/agent.ts';
import { startCli, untilSays } from '../test/cli.ts';
import { ask, balanced, makeServerBox, nodeN1, settles, start, type Wanted } from '../test/servers.ts';
import { makeHealth } from './health.ts';
import { writeTo } from './kernel/apply.ts';
import { BpfError } from './kernel/kernel.ts';
import { frontendKey } from './layout.gen.ts';
import { addressToHex } from './model/address.ts';
import { type Clock, makeProgress } from './progress.ts';

const box = makeServerBox();
test.after.always(() => box.close());

test.serial('healthCheckNodePort: who has how many, as Services, slices and policies change', async (t) => {
  const documents = (wanted: Wanted) => [nodeN1(), ...balanced(wanted)];
  await start(box, t, 'hc', documents({ here: ['10.1.0.1', '10.1.0.2'], away: ['10.1.0.9'] }));
  const v4 = 'http://127.0.0.1:30100/anything';
  const first = await settles(() => ask(v4));
  t.is(first.status, 200);
  t.is(first.headers.get('content-type'), 'application/json');
  t.is(first.headers.get('x-content-type-options'), 'nosniff');
  t.is(first.headers.get('x-load-balancing-endpoint-weight'), '2');
  t.deepEqual(JSON.parse(first.text), {
    service: { namespace: 'default', name: 'lb' },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  t.is((await ask('http://192.0.2.7:30100/')).status, 200);

  const edit = (wanted: Wanted) => writeManifest(box, 'hc.json', documents(wanted));
  const becomes = async (url: string, status: number, localEndpoints: number) =>
    await settles(async () => {
      const { status: found, text } = await ask(url);
      assert.deepEqual([found, JSON.parse(text).localEndpoints], [status, localEndpoints]);
    });
  edit({ away: ['10.1.0.9'] });
  await becomes(v4, 503, 0);
  const both = ['10.96.0.1', 'fd00:10:96::1'];
  edit({ clusterIPs: both, here: ['10.1.0.1', 'fd01::1', 'fd01::2', 'fd01::3'] });
  await becomes(v4, 200, 1);
  await becomes('http://[::1]:30100/', 200, 3);
  edit({ port: 30101, here: ['10.1.0.1'] });
  await becomes('http://127.0.0.1:30101/', 200, 1);
  await t.throwsAsync(ask(v4));
  edit({ policy: 'Cluster', port: 30101, here: ['10.1.0.1'] });
  await settles(() => assert.rejects(ask('http://127.0.0.1:30101/')));
});

test.serial('healthCheckNodePort: a port that is taken is told, tried again, and had', async (t) => {
  const other = createServer().listen(30110, '0.0.0.0');
  await once(other, 'listening');
  const manifests = writeManifest(box, 'taken.json', [nodeN1(), ...balanced({ port: 30110, here: ['10.1.0.1'] })]);
  const agent = runAgentIn(box, { name: 'taken', manifests, healthCheckRetryMs: 20 });
  t.teardown(() => agent.stop());
  const told = /Service default\/lb: FailedToStartServiceHealthcheck: .* 0\.0\.0\.0:30110: .*EADDRINUSE/;
  await settles(() => assert.ok(agent.messages.some((line) => told.test(line))));
  other.close();
  await settles(async () => assert.equal((await ask('http://127.0.0.1:30110/')).status, 200));
  await settles(() =>
    assert.ok(agent.messages.some((line) => /^no longer: Service default\/lb: FailedToStart/.test(line))),
  );
  await agent.stop();
  await t.throwsAsync(ask('http://127.0.0.1:30110/'), undefined, 'nobody answers for an agent that is gone');
});

test.serial('healthCheckNodePort: where NodePorts have addresses, on these alone', async (t) => {
  const flags = ['--nodeport-addresses', '192.0.2.0/24'];
  await start(box, t, 'narrow', [nodeN1(), ...balanced({ here: ['10.1.0.1'] })], flags);
  await settles(async () => assert.equal((await ask('http://192.0.2.7:30100/')).status, 200));
  await t.throwsAsync(ask('http://127.0.0.1:30100/'));
});

test.serial('/healthz and /livez: their fields, in both families, as the Node comes and goes', async (t) => {
  await start(box, t, 'healthz', [nodeN1(), ...balanced({ here: ['10.1.0.1'] })]);
  const urls = ['http://127.0.0.1:10256', 'http://[::1]:10256', 'http://192.0.2.7:10256'];
  for (const url of urls) {
    const before = Date.now();
    const { status, headers, text } = await settles(() => ask(`${url}/healthz`));
    t.is(status, 200);
    t.is(headers.get('content-type'), 'application/json');
    t.is(headers.get('x-content-type-options'), 'nosniff');
    const report = JSON.parse(text);
    t.deepEqual(Object.keys(report), ['lastUpdated', 'currentTime', 'nodeEligible', 'healthy', 'status']);
    t.deepEqual([report.nodeEligible, report.healthy], [true, true]);
    t.deepEqual(Object.keys(report.status), ['IPv4', 'IPv6']);
    for (const family of ['IPv4', 'IPv6']) {
      t.deepEqual(Object.keys(report.status[family]), ['lastUpdated', 'healthy']);
      t.true(report.status[family].healthy);
      t.true(Date.parse(report.status[family].lastUpdated) <= Date.now());
    }
    t.true(Date.parse(report.currentTime) >= before && Date.parse(report.currentTime) <= Date.now());
    t.is(report.lastUpdated, report.currentTime);
    const live = JSON.parse((await ask(`${url}/livez`)).text);
    t.deepEqual(Object.keys(live), ['lastUpdated', 'currentTime', 'healthy', 'status']);
  }
  t.is((await ask(`${urls[0]}/`)).status, 404);

  const becomes = async (documents: unknown[], status: number, nodeEligible: boolean) => {
    writeManifest(box, 'healthz.json', [...documents, ...balanced({ here: ['10.1.0.1'] })]);
    await settles(async () => {
      const { status: found, text } = await ask(`${urls[0]}/healthz`);
      const { healthy, nodeEligible: eligible } = JSON.parse(text);
      assert.deepEqual([found, eligible, healthy], [status, nodeEligible, true]);
    });
    t.is((await ask(`${urls[0]}/livez`)).status, 200);
    t.is((await settles(() => ask('http://127.0.0.1:30100/'))).status, 200, 'what this node has is still told');
  };
  const spec = { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule', value: '1700000000' }] };
  await becomes([nodeN1({ spec })], 503, false);
  await becomes([nodeN1({ spec: { taints: [{ key: 'other', effect: 'NoSchedule' }] } })], 200, true);
  await becomes([nodeN1({ metadata: { name: 'n1', deletionTimestamp: '2026-01-01T00:00:00Z' } })], 503, false);
  await becomes([nodeN1()], 200, true);
  await becomes([], 503, false);
});

test.serial('/healthz: 503 while a family’s change is not in the kernel for a minute, 200 when it is', async (t) => {
  let now = Date.now();
  let isBroken = false;
  const clock: Clock = { wall: () => now, steady: () => now };
  const health = makeHealth(makeProgress(clock), () => now);
  const both = ['10.96.0.1', 'fd00:10:96::1'];
  const others = balanced({ name: 'other', port: 30121, clusterIPs: ['10.96.0.2'], here: ['10.1.0.1'] });
  const documents = (wanted: Wanted) => [nodeN1(), ...balanced({ port: 30120, ...wanted }), ...others];
  const manifests = writeManifest(box, 'stuck.json', documents({ clusterIPs: both, here: ['10.1.0.1'] }));
  const agent = runAgentIn(box, {
    name: 'stuck',
    manifests,
    health,
    writer: (tables) => (batch) => {
      const refused = isBroken ? batch.steps.findIndex(({ table, key }) => table === 'frontends' && isIPv6(key)) : -1;
      if (refused < 0) return writeTo(tables)(batch);
      writeTo(tables)({ ...batch, steps: batch.steps.slice(0, refused) });
      const error = new BpfError({ code: 'ENOMEM', call: 'map_update', object: 'map frontends', detail: 'no' });
      return { done: refused, error };
    },
  });
  t.teardown(() => agent.stop());
  await settles(() => assert.ok(agent.messages.some((line) => / written for 2 Services/.test(line))));
  t.is(health.healthz().code, 200);
  isBroken = true;
  writeManifest(box, 'stuck.json', documents({ clusterIPs: ['fd00:10:96::7'], here: ['fd01::1'] }));
  await settles(() => assert.ok(agent.messages.some((line) => /refused, trying again/.test(line))));
  t.is(health.healthz().code, 200);
  now += 61_000;
  const { code, report } = health.healthz();
  t.is(code, 503);
  t.like(report, { healthy: false, nodeEligible: true, status: { IPv6: { healthy: false } } });
  t.is(health.livez().code, 503);
  const told = await settles(() => ask('http://127.0.0.1:30121/'));
  t.deepEqual([told.status, JSON.parse(told.text).serviceProxyHealthy], [503, false]);
  isBroken = false;
  await settles(() => assert.equal(health.livez().code, 200));
  t.is((await ask('http://127.0.0.1:30121/')).status, 200);
});

function isIPv6(key: string): boolean {
  return !frontendKey.decode(key).address.startsWith('00000000000000000000ffff');
}

test.serial('a crowd of silent clients takes neither the agent nor its file descriptors', async (t) => {
  const agent = await start(box, t, 'crowd', [nodeN1(), ...balanced({ here: ['10.1.0.1'] })]);
  const url = 'http://127.0.0.1:10256/livez';
  t.is((await settles(() => ask(url))).status, 200);
  const descriptors = () => readdirSync(`/proc/${agent.pid}/fd`).length;
  const before = descriptors();
  const crowd = async (size: number) => {
    const sockets = Array.from({ length: size }, () =>
      connect(10_256, '127.0.0.1')
        .on('error', () => {})
        .resume(),
    );
    await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
    return sockets;
  };
  const many = await crowd(400);
  await settles(() => assert.ok(many.filter((socket) => socket.closed && socket.bytesRead === 0).length >= 400 - 256));
  t.true(descriptors() <= before + 256);
  for (const socket of many) socket.destroy();
  await settles(async () => assert.equal((await ask(url)).status, 200));

  await settles(() => assert.ok(descriptors() < before + 10));
  execFileSync('prlimit', ['--pid', String(agent.pid), `--nofile=${descriptors() + 3}:`]);
  const few = await crowd(20);
  writeManifest(box, 'crowd.json', [nodeN1(), ...balanced({ here: [] })]);
  for (const socket of few) socket.destroy();
  execFileSync('prlimit', ['--pid', String(agent.pid), '--nofile=4096:']);
  await settles(async () => assert.equal((await ask('http://127.0.0.1:30100/')).status, 503));
  t.is(agent.exitCode, null);
});

test.serial('what a configuration file says reaches the kernel and the servers', async (t) => {
  const config = `${box.directory}/kp.yaml`;
  const fields = [
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1',
    'kind: KubeProxyConfiguration',
    'hostnameOverride: N1',
    'nodePortAddresses: [192.0.2.0/24, localhost]',
    'clusterCIDR: 10.244.0.0/16',
    'healthzBindAddress: 192.0.2.7:20256',
    'metricsBindAddress: 0.0.0.0:20249',
    'logging: {verbosity: 4}',
  ];
  writeFileSync(config, fields.join('\n'));
  const manifests = writeManifest(box, 'config.json', [nodeN1(), ...balanced({ here: ['10.1.0.1'] })]);
  const place = ['--pin-dir', pinPath(box, 'config'), '--cgroup', box.cgroup, '--map-size', 'flows=1024'];
  const agent = startCli(['run', '--manifests', manifests, '--config', config, '--log-format', 'text', ...place]);
  t.teardown(() => agent.kill('SIGKILL'));
  const log = await untilSays(agent, / written for 1 Service in/);
  t.notRegex(log, / warn /);
  t.regex(log, / debug /);
  const tables = await readPinned(box, 'config');
  const addresses = ['192.0.2.7', '127.0.0.1', '::1'].map(addressToHex);
  t.deepEqual([...tables.node_addresses.keys()].sort(), addresses.sort());
  t.true([...tables.source_classes.keys()].some((key) => key.includes(addressToHex('10.244.0.0'))));
  t.is((await settles(() => ask('http://192.0.2.7:20256/healthz'))).status, 200, 'the Node is n1');
  await t.throwsAsync(ask('http://127.0.0.1:20256/healthz'));
  t.is((await settles(() => ask('http://[::1]:20249/proxyMode'))).status, 200);
  t.is((await settles(() => ask('http://127.0.0.1:30100/'))).status, 200);
});
