/** `bpfsvc status` on a node that is well, and on nodes that are not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import anyTest from 'ava';
import { type Schema, schemaErrors } from '../json-schema.ts';
import { type Agent, startAgent } from './agent.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const schema = JSON.parse(
  readFileSync(new URL('../../src/commands/status.schema.json', import.meta.url), 'utf8'),
) as Schema;

let lab: Lab;
let node: Node;
let agent: Agent;

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 2, tag: 'status' });
  node = lab.node('n1');
  await lab.exec(node, ['ip', 'link', 'set', 'lo', 'up']);
  await startServer(lab, lab.pod('n1p1'), [8080]);
  agent = await startAgent(lab, node, text());
});
test.after.always(async () => {
  await agent?.[Symbol.asyncDispose]();
  await lab?.close();
});

const vips = ['10.96.0.1', 'fd00:10:96::1'];

function text(more: readonly object[] = []): string {
  return manifest([
    ...nodeObjects(lab),
    ...serviceObjects({ name: 'web', clusterIPs: vips }, [lab.pod('n1p1')]),
    ...more,
  ]);
}

interface Status {
  readonly generation: string | null;
  readonly troubles: readonly string[];
  readonly counts: { readonly services: number; readonly frontends: number; readonly backends: number } | null;
  readonly maps: readonly { readonly map: string; readonly rows: number }[];
  readonly hooks: { readonly devices: readonly { readonly device: string; readonly hooks: readonly string[] }[] };
  readonly agent: {
    readonly pid: number | null;
    readonly note: { readonly pid: number } | null;
    readonly status: { readonly problems: readonly { readonly object: string }[]; readonly synced: boolean } | null;
  };
}

async function status(): Promise<{ code: number; status: Status }> {
  const { code, stdout } = await agent.bpfsvc('status', '-o', 'json');
  const value = JSON.parse(stdout) as Status;
  const errors = schemaErrors(value, schema);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return { code, status: value };
}

test('all is well: one screen, and exit code 0', async (t) => {
  const client = startClient(lab, lab.pod('n1p2'));
  await client.request({ protocol: 'tcp', address: '10.96.0.1', port: 80, count: 3 });
  const now = await status();
  t.deepEqual(now.status.troubles, []);
  t.is(now.code, 0);
  t.like(now.status, { counts: { services: 1, frontends: 4 }, agent: { status: { synced: true } } });
  t.is(now.status.maps.find(({ map }) => map === 'flows')?.rows, 6);
  const veth = now.status.hooks.devices.find(({ device }) => device === lab.pod('n1p1').veth);
  t.deepEqual([...(veth?.hooks ?? [])].sort(), ['egress', 'ingress']);
  const { stdout } = await agent.bpfsvc('status');
  t.regex(stdout, /^state {7}well\n/);
  t.regex(stdout, /source {6}manifests \S+, read in whole/);
  t.regex(stdout, /serves {6}1 Service, 4 frontends/);
  t.true(stdout.trimEnd().split('\n').length <= 24, stdout);
});

test('a problem with an object is named, and makes it not well', async (t) => {
  const odd = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'odd', namespace: 'default' },
    spec: { clusterIP: '10.96.0.999', ports: [{ port: 80 }] },
  };
  agent.write(text([odd]));
  await eventually(async () => {
    const now = await status();
    assert.match(now.status.agent.status?.problems[0]?.object ?? '', /default\/odd/);
    assert.equal(now.code, 1);
  }, 60);
  t.regex((await agent.bpfsvc('status')).stdout, /problems {4}2\n +Service default\/odd: /);
  agent.write(text());
  await eventually(async () => assert.equal((await status()).code, 0), 60);
});

test('a hook that somebody took away is missed', async (t) => {
  const { veth } = lab.pod('n1p2');
  const index = (await lab.exec(node, ['cat', `/sys/class/net/${veth}/ifindex`]).catch(() => '')).trim();
  const ifindex = index || JSON.parse(await lab.exec(node, ['ip', '-j', 'link', 'show', veth]))[0].ifindex;
  await lab.exec(node, ['rm', `${node.pinDir}/links/tcx-${ifindex}-ingress`]);
  const now = await status();
  t.is(now.code, 1);
  t.deepEqual(now.status.troubles, [`${veth} lacks its programs`]);
});

test('with the agent dead it still tells what is loaded, and that none runs', async (t) => {
  await agent.end('SIGKILL');
  const now = await status();
  t.is(now.code, 1);
  t.is(now.status.agent.pid, null);
  t.is(typeof now.status.agent.note?.pid, 'number');
  t.is(now.status.counts?.services, 1);
  t.regex(now.status.troubles[0] ?? '', /^no agent runs/);
  t.regex((await agent.bpfsvc('status')).stdout, /agent {7}none runs; the last one was process \d+ as Node n1/);
});

test('and where nothing is loaded, that too', async (t) => {
  t.is((await agent.bpfsvc('unload')).code, 0);
  const now = await status();
  t.is(now.code, 1);
  t.is(now.status.generation, null);
  t.regex(now.status.troubles[0] ?? '', /nothing is loaded/);
});
