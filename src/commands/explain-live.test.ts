import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { openPinned, pinPath, runAgentIn, service, writeManifest } from '../../test/agent.ts';
import { runCli } from '../../test/cli.ts';
import { eventually } from '../../test/netns/eventually.ts';
import { makeSandbox } from '../../test/sandbox.ts';
import type { Answer } from '../explain/answer.ts';
import { readRows } from '../kernel/tables.ts';
import { affinity, affinityKey, servicePortName, u32 } from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';

const test = anyTest.serial;
const box = makeSandbox();
const live = ['explain', '--pin-dir', pinPath(box), '--cgroup', box.cgroup];

/** This node is 192.0.2.1, a pod of it 10.1.0.1; the world is behind eth9, where 10.2.0.0/16 is, too. */
function layNetwork(): void {
  box.ip('link', 'set', 'lo', 'up');
  box.addPod('veth1');
  box.ip('addr', 'add', '192.0.2.254/32', 'dev', 'veth1');
  box.ip('route', 'add', '10.1.0.1/32', 'dev', 'veth1');
  box.ip('link', 'add', 'eth9', 'type', 'veth', 'peer', 'name', 'far9');
  for (const end of ['eth9', 'far9']) box.ip('link', 'set', end, 'up');
  box.ip('addr', 'add', '192.0.2.1/24', 'dev', 'eth9');
  box.ip('route', 'add', 'default', 'via', '192.0.2.253');
  execFileSync('ip', ['netns', 'exec', box.netns, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
}

const loyal = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'loyal' },
  spec: { clusterIP: '10.96.0.2', sessionAffinity: 'ClientIP', ports: [{ name: 'http', port: 80 }] },
};

test.before(async () => {
  layNetwork();
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n1' },
    status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
  };
  const [, slice] = service('loyal', '10.96.0.2', ['10.1.0.1', '10.2.0.1']);
  const web = service('web', '10.96.0.1', ['10.1.0.1', '10.2.0.1']);
  const empty = service('empty', '10.96.0.3', []);
  const manifests = writeManifest(box, 'live.json', [node, ...web, loyal, slice, ...empty]);
  const agent = runAgentIn(box, { manifests });
  await eventually(() => {
    if (!agent.messages.some((text) => /rows? written/.test(text))) throw new Error('not yet');
  }, 60);
  await agent.stop();
});
test.after.always(() => box.close());

/** Everything below the pin directory, and every row of every map that is pinned. */
async function photograph(): Promise<Record<string, unknown>> {
  using generation = openPinned(box);
  const picture: Record<string, unknown> = { pins: listing(pinPath(box)) };
  for (const [name, map] of Object.entries({ ...generation.tables, ...generation.state })) {
    if (map.info.type === 'ringbuf' || map.info.type === 'sk_storage') continue;
    const rows = [...(await readRows(map))].map((row) => row.join(' ')).sort();
    picture[name] = `map ${map.info.id}, ${rows.length} rows, ${hash('sha256', rows.join('\n'))}`;
  }
  for (const [name, program] of Object.entries(generation.programs)) picture[`program ${name}`] = program.info.id;
  return picture;
}

/** Pins and what links lead to, with their inodes: a new pin of one name has another. */
function listing(folder: string): string[] {
  return readdirSync(folder)
    .flatMap((name) => {
      const path = join(folder, name);
      const facts = lstatSync(path);
      return facts.isDirectory() ? listing(path) : [`${path} ${facts.ino}`];
    })
    .sort();
}

async function ask(from: string, to: string, ...more: string[]): Promise<Answer> {
  const { stdout, stderr, code } = await runCli(...live, '--from', from, '--to', to, '-o', 'json', ...more);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

test('explain asks what is loaded, and leaves no trace in it', async (t) => {
  const before = await photograph();
  const pod = await ask('10.1.0.1', '10.96.0.1:80');
  t.is(pod.verdict, 'dnat');
  t.deepEqual(pod.backends, ['10.1.0.1:8080', '10.2.0.1:8080']);
  t.deepEqual(pod.masqueraded, ['10.1.0.1:8080'], 'hairpin');
  t.is(pod.service, 'default/web:http');

  const outside = await ask('203.0.113.9', '10.96.0.1:80');
  t.deepEqual([outside.verdict, outside.masqueraded], ['dnat', ['10.2.0.1:8080']]);

  const host = await ask('192.0.2.1', '10.96.0.1:80');
  t.deepEqual([host.verdict, host.masqueraded], ['dnat', []]);
  t.true(
    host.steps.some(({ text }) => /socket hook.*connected_socket/.test(text)),
    JSON.stringify(host),
  );

  const refused = await ask('192.0.2.1', '10.96.0.3:80');
  t.deepEqual([refused.verdict, refused.service], ['reject', 'default/empty:http']);
  t.is((await ask('192.0.2.1', '10.96.0.1:81')).verdict, 'reject');
  t.is((await ask('10.1.0.1', '198.51.100.1:80')).verdict, 'pass');
  t.is((await ask('192.0.2.1', '198.51.100.1:53', '--protocol', 'udp')).verdict, 'pass');
  t.deepEqual(await photograph(), before);
  t.deepEqual(
    readdirSync(box.cgroup).filter((name) => name.startsWith('bpfsvc-explain')),
    [],
  );
});

test('explain tells whom a client got before', async (t) => {
  {
    using generation = openPinned(box);
    const names = [...(await readRows(generation.tables.names))];
    const [id] = names.find(([, row]) => servicePortName.decode(row).service === 'loyal') ?? ['00000000'];
    const key = affinityKey.encode({ client: addressToHex('203.0.113.9'), servicePort: u32.decode(id) });
    const row = affinity.encode({ backend: addressToHex('10.2.0.1'), backendPort: 8080, seen: 1 });
    generation.state.affinity.update(Buffer.from(key, 'hex'), Buffer.from(row, 'hex'));
  }
  const before = await photograph();
  const { steps, backends } = await ask('203.0.113.9', '10.96.0.2:80');
  t.deepEqual(backends, ['10.1.0.1:8080', '10.2.0.1:8080']);
  t.true(steps.some(({ step, text }) => step === 'affinity' && text.includes('10.2.0.1:8080')));
  t.deepEqual(await photograph(), before);
});

test('explain finds out that what is loaded masquerades all', async (t) => {
  const name = 'masquerading';
  const agent = runAgentIn(box, { name, manifests: join(box.directory, 'live.json'), masqueradeAll: true });
  await eventually(() => {
    if (!agent.messages.some((text) => /rows? written/.test(text))) throw new Error('not yet');
  }, 60);
  await agent.stop();
  const question = ['--pin-dir', pinPath(box, name), '--from', '10.1.0.9', '--to', '10.96.0.1:80', '-o', 'json'];
  box.ip('route', 'replace', '10.1.0.9/32', 'dev', 'veth1');
  const { stdout, stderr } = await runCli('explain', ...question);
  const { masqueraded, steps } = JSON.parse(stdout || stderr) as Answer;
  t.deepEqual(masqueraded, ['10.1.0.1:8080', '10.2.0.1:8080']);
  t.true(steps.some(({ text }) => text.includes('--masquerade-all')));
});

test('explain without anything loaded says so', async (t) => {
  const { code, stderr } = await runCli(
    'explain',
    '--pin-dir',
    join(box.bpfFs, 'none'),
    '--from',
    '10.1.0.1',
    '--to',
    '10.96.0.1:80',
  );
  t.is(code, 1);
  t.regex(stderr, /nothing is loaded/);
});
