import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { openPinned, pinPath, type RunningAgent, runAgentIn, service, writeManifest } from '../../test/agent.ts';
import { initialEnd, startScriptedServer } from '../../test/api/scripted-server.ts';
import { paths } from '../../test/api/watched.ts';
import { runCli } from '../../test/cli.ts';
import { type Schema, schemaErrors } from '../../test/json-schema.ts';
import { eventually } from '../../test/netns/eventually.ts';
import { makeSandbox } from '../../test/sandbox.ts';
import type { Change } from '../difference.ts';
import type { Deviation } from '../drift.ts';
import { readRows } from '../kernel/tables.ts';
import { frontendKey, servicePortName, u32 } from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';

const test = anyTest.serial;
const box = makeSandbox();
box.ip('link', 'set', 'lo', 'up');
const bytes = (hex: string) => Buffer.from(hex, 'hex');
const schemaOf = (name: string): Schema =>
  JSON.parse(readFileSync(new URL(`${name}.schema.json`, import.meta.url), 'utf8'));

const node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n1' },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
};
const world = (backends: string[]) => [
  node,
  ...service('web', '10.96.0.1', backends),
  ...service('api', '10.96.0.2', ['10.1.0.9']),
];
const manifests = writeManifest(box, 'now.json', world(['10.1.0.1', '10.1.0.2']));
const later = writeManifest(box, 'later.json', world(['10.1.0.2', '10.1.0.3']));
const words = (file: string) => ['--manifests', file, '--node', 'n1', '--pin-dir', pinPath(box)];

async function runOnce(): Promise<void> {
  const agent: RunningAgent = runAgentIn(box, { manifests });
  await eventually(() => {
    if (!agent.messages.some((text) => /rows? written/.test(text))) throw new Error('not yet');
  }, 60);
  await agent.stop();
}

test.before(runOnce);
test.after.always(() => box.close());

async function verify(): Promise<{ code: number | null; deviations: Deviation[] }> {
  const { code, stdout } = await runCli('verify', ...words(manifests), '-o', 'json');
  const found = JSON.parse(stdout);
  if (schemaErrors(found, schemaOf('verify')).length > 0) throw new Error(stdout);
  return { code, deviations: found.deviations };
}

test('verify finds every row as an agent left it', async (t) => {
  const { code, stdout, stderr } = await runCli('verify', ...words(manifests));
  t.is(code, 0, stdout + stderr);
  t.regex(stdout, /^\d+ rows are as they should be\n$/);
  t.deepEqual(await verify(), { code: 0, deviations: [] });
});

test('verify finds a byte that somebody changed, in every table, and the agent mends it', async (t) => {
  const key = frontendKey.encode({ address: addressToHex('10.96.0.1'), port: 80, protocol: 6 });
  {
    using generation = openPinned(box);
    const { frontends, backends, names, node_addresses: addresses, service_cidrs: cidrs } = generation.tables;
    const row = Buffer.from(frontends.lookup(bytes(key)) as Uint8Array);
    row.writeUInt8(row.readUInt8(24) ^ 1, 24);
    frontends.update(bytes(key), row);
    const slot = Buffer.from(backends.lookup(bytes(u32.encode(0))) as Uint8Array);
    slot.writeUInt8(slot.readUInt8(15) ^ 1, 15);
    backends.update(bytes(u32.encode(0)), slot);
    const [[id = '', name = ''] = []] = await readRows(names);
    names.update(bytes(id), bytes(servicePortName.encode({ ...servicePortName.decode(name), number: 9 })));
    addresses.delete(bytes(addressToHex('192.0.2.1')));
    cidrs.update(bytes(`60000000${addressToHex('10.0.0.0')}`), bytes(u32.encode(1)));
  }
  const { code, deviations } = await verify();
  t.is(code, 1);
  const tables = new Set(deviations.map(({ table }) => table));
  for (const table of ['frontends', 'backends', 'names', 'node_addresses', 'service_cidrs'])
    t.true(tables.has(table as 'names'), table);
  t.true(
    deviations.some(({ row, found, wanted }) => row === '10.96.0.1:80/TCP' && found !== wanted && wanted !== null),
  );
  t.true(deviations.some(({ row, found, wanted }) => row === '192.0.2.1' && found === null && wanted !== null));
  t.true(deviations.some(({ table, wanted }) => table === 'service_cidrs' && wanted === null));
  const { stdout } = await runCli('verify', ...words(manifests));
  t.regex(stdout, /frontends: 10\.96\.0\.1:80\/TCP\n {2}found {3}[0-9a-f]+\n {2}wanted {2}[0-9a-f]+\n/);
  await runOnce();
  t.deepEqual(await verify(), { code: 0, deviations: [] });
});

test('diff tells what an agent would change here, and changes nothing', async (t) => {
  const { code, stdout } = await runCli('diff', ...words(later), '-o', 'json');
  t.is(code, 1);
  const changes: Change[] = JSON.parse(stdout);
  t.deepEqual(schemaErrors(changes, schemaOf('diff')), []);
  const facts = [{ fact: 'backends', added: ['10.1.0.3:8080'], removed: ['10.1.0.1:8080'] }];
  t.deepEqual(changes, [{ change: 'changed', service: 'default/web:http', place: '10.96.0.1:80/TCP', facts }]);
  t.is((await runCli('diff', ...words(manifests))).stdout, 'no difference\n');
  t.is((await verify()).code, 0);
});

test('diff --against compares manifests with manifests, without a kernel', async (t) => {
  const told = ['--node', 'n1', '--pin-dir', join(box.bpfFs, 'none')];
  const empty = writeManifest(box, 'empty.json', [node, ...service('api', '10.96.0.2', ['10.1.0.9'])]);
  const { code, stdout } = await runCli('diff', '--manifests', manifests, '--against', empty, ...told);
  t.is(code, 1);
  t.is(
    stdout,
    [
      '+ default/web:http  10.96.0.1:80/TCP',
      '    backends 10.1.0.1:8080, 10.1.0.2:8080',
      '    without a backend dropped',
      '+ default/web:http  address 10.96.0.1',
      '    other ports rejected',
      '',
    ].join('\n'),
  );
  const same = await runCli('diff', '--manifests', manifests, '--against', manifests, ...told);
  t.deepEqual([same.code, same.stdout], [0, 'no difference\n']);
});

test('verify and diff say what is wrong with what was typed', async (t) => {
  for (const command of ['verify', 'diff']) {
    const none = await runCli(command, '--node', 'n1');
    t.deepEqual([none.code, /--manifests FILE\|DIR or --kubeconfig FILE is missing/.test(none.stderr)], [2, true]);
    const lost = await runCli(command, ...words(join(box.directory, 'lost.yaml')));
    t.is(lost.code, 2, lost.stderr);
    const bare = await runCli(command, '--manifests', manifests, '--node', 'n1', '--pin-dir', join(box.bpfFs, 'none'));
    t.is(bare.code, 1, bare.stderr);
    t.regex(bare.stderr, /nothing is loaded/);
  }
});

test('verify, diff and explain ask an API server, too', async (t) => {
  const server = await startScriptedServer();
  t.teardown(() => server.close());
  for (const path of [paths.slices, paths.cidrs]) server.idle(path);
  const [web] = service('web', '10.96.0.1', []) as [{ metadata: object }];
  const event = (object: { metadata: object }) => {
    const metadata = { namespace: 'default', ...object.metadata, resourceVersion: '5' };
    return { type: 'ADDED', object: { ...object, metadata } };
  };
  const told = async (command: string, ...more: string[]) => {
    const run = runCli(command, '--master', server.url, '--node', 'n1', '--pin-dir', pinPath(box), ...more);
    (await server.next(paths.nodes)).events(event(node), initialEnd('9'));
    (await server.next(paths.services)).events(event(web), initialEnd('9'));
    return await run;
  };
  const verified = await told('verify');
  t.is(verified.code, 1, verified.stderr);
  t.regex(verified.stdout, /frontends: 10\.96\.0\.2:80\/TCP\n {2}found {3}[0-9a-f]+\n {2}wanted {2}-\n/);
  const differing = await told('diff');
  t.regex(differing.stdout, /^- default\/api:http {2}10\.96\.0\.2:80\/TCP$/m);
  const explained = await told('explain', '--from', '203.0.113.9', '--to', '10.96.0.1:80', '-o', 'json');
  t.like(JSON.parse(explained.stdout), { verdict: 'reject', service: 'default/web:http' });
});
