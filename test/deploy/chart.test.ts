/** The chart and the base: one and the same, refused where they make no sense, and taken by a real API server. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import anyTest from 'ava';
import { renderBase } from '../../deploy/render.ts';
import { readConfiguration } from '../../src/commands/proxy-config.ts';
import { type ControlPlane, startControlPlane } from '../kubernetes/control-plane.ts';
import { createLab, type Lab } from '../netns/lab.ts';
import { base, baseObjects, type KubeObject, objectsOf, podSpec } from './daemon-set.ts';

const test = anyTest.serial;
const chart = fileURLToPath(new URL('../../deploy/chart', import.meta.url));
const namespace = ['--namespace', 'kube-system'];

let lab: Lab;
let cluster: ControlPlane;
let folder: string;

const helmPath = (): string => {
  const helm = process.env.HELM;
  if (helm === undefined) throw new Error('HELM is not set: make test-deploy builds helm and sets it');
  return helm;
};

const helm = (...words: string[]) => spawnSync(helmPath(), words, { encoding: 'utf8' });

/** What the chart makes with these values. */
function template(values: object): KubeObject[] {
  const path = join(folder, 'values.json');
  writeFileSync(path, JSON.stringify(values));
  const words = ['template', 'bpfsvc', chart, ...namespace, '-f', path];
  return objectsOf(execFileSync(helmPath(), words, { encoding: 'utf8', stdio: 'pipe' }));
}

/** The same order whoever printed them. */
function sorted(objects: readonly KubeObject[]): KubeObject[] {
  const name = ({ kind, metadata }: KubeObject): string => `${kind}/${metadata.name}`;
  return [...objects].sort((a, b) => (name(a) < name(b) ? -1 : 1));
}

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bpfsvc-chart-'));
  lab = await createLab({ shape: 'ptp', podsPerNode: 1, tag: 'chart' });
  cluster = await startControlPlane(lab, lab.outside, { users: [] });
});

test.after.always(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await lab?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('the base is what the chart makes of its own values (else: make manifests)', async (t) => {
  for (const [name, text] of renderBase(helmPath())) t.is(readFileSync(join(base, name), 'utf8'), text, name);
  const kustomized = objectsOf(await cluster.kubectl(['kustomize', base]));
  t.deepEqual(sorted(kustomized), sorted(template({})));
});

test('helm lint has nothing against it', (t) => {
  const { status, stdout } = helm('lint', '--strict', chart);
  t.is(status, 0, stdout);
});

for (const { what, values, complaint } of [
  { what: 'a value that there is not', values: { imag: {} }, complaint: /imag/ },
  { what: 'another type', values: { apiServer: { port: 'https' } }, complaint: /port/ },
  { what: 'a URL in place of a host', values: { apiServer: { host: 'https://192.0.2.1' } }, complaint: /host/ },
  {
    what: 'two agents of a node at once',
    values: { updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } },
    complaint: /maxSurge/,
  },
  { what: 'flags that are none', values: { extraArgs: ['masquerade-all'] }, complaint: /extraArgs/ },
  { what: 'another kind of configuration', values: { config: { kind: 'KubeletConfiguration' } }, complaint: /kind/ },
]) {
  test(`the schema refuses ${what}`, (t) => {
    const error = t.throws(() => template(values));
    t.regex(error?.message ?? '', /values don't meet the specifications of the schema/);
    t.regex(error?.message ?? '', complaint);
  });
}

test('what a person sets arrives: the API server, the image, flags, and a configuration that the agent reads', (t) => {
  const objects = template({
    apiServer: { host: 'fd00::10', port: 443 },
    image: { repository: 'registry.test/bpfsvc', digest: `sha256:${'0'.repeat(64)}` },
    config: { healthzBindAddress: '0.0.0.0:20256', mode: 'nftables', nodePortAddresses: ['primary'] },
    extraArgs: ['--bypass'],
  });
  const data = objects.find(({ kind }) => kind === 'ConfigMap')?.data as Record<string, string>;
  t.like(data, { apiServerHost: 'fd00::10', apiServerPort: '443' });
  t.notThrows(() => readConfiguration(data['config.yaml'] ?? '', 'config.yaml'));
  const [container] = podSpec(objects).containers;
  t.is(container.image, `registry.test/bpfsvc@sha256:${'0'.repeat(64)}`);
  t.is(container.args.at(-1), '--bypass');
  t.is(container.livenessProbe?.httpGet.port, 20_256);
  const config = (values: object) =>
    JSON.stringify((template(values).find(({ kind }) => kind === 'DaemonSet') as KubeObject).spec);
  t.not(
    config({ apiServer: { host: '192.0.2.1' } }),
    config({ apiServer: { host: '192.0.2.2' } }),
    'pods are replaced',
  );
});

test('the API server takes the base, strictly, and stores what was meant', async (t) => {
  const strict = ['--server-side', '--validate=strict', '-k', base];
  await cluster.kubectl(['apply', '--dry-run=server', ...strict]);
  await cluster.kubectl(['apply', ...strict]);
  const stored = JSON.parse(await cluster.kubectl(['get', 'daemonset', 'bpfsvc', '-n', 'kube-system', '-o', 'json']));
  const [container] = podSpec([stored]).containers;
  t.deepEqual(container.securityContext, podSpec(baseObjects()).containers[0].securityContext);
  t.is(podSpec([stored]).priorityClassName, 'system-node-critical');
  await cluster.kubectl(['delete', '-k', base]);
});

test('helm installs, upgrades and removes it', async (t) => {
  const own = ['--kubeconfig', cluster.kubeconfig('admin'), ...namespace];
  const inside = (...words: string[]) => lab.exec(lab.outside, [helmPath(), ...words, ...own]);
  await inside('install', 'bpfsvc', chart, '--set', 'apiServer.host=192.0.2.1');
  const before = await cluster.kubectl([
    'get',
    'daemonset',
    'bpfsvc',
    '-n',
    'kube-system',
    '-o',
    'jsonpath={.spec.template}',
  ]);
  await inside('upgrade', 'bpfsvc', chart, '--set', 'apiServer.host=192.0.2.2');
  const after = await cluster.kubectl([
    'get',
    'daemonset',
    'bpfsvc',
    '-n',
    'kube-system',
    '-o',
    'jsonpath={.spec.template}',
  ]);
  t.not(after, before);
  await inside('uninstall', 'bpfsvc');
  for (const { kind, metadata } of baseObjects()) {
    const left = await cluster.kubectl(['get', kind, '-n', 'kube-system', '-o', 'name']);
    t.notRegex(left, new RegExp(`/${metadata.name}$`, 'm'), kind);
  }
});
