/** What of the manifests can be told without a cluster, a container or helm. */
import { existsSync, readFileSync } from 'node:fs';
import test from 'ava';
import { parse } from 'yaml';
import about from '../package.json' with { type: 'json' };
import { readConfiguration } from '../src/commands/proxy-config.ts';
import { missingCapabilities } from '../src/kernel/capabilities.ts';
import { base, baseObjects, podSpec } from '../test/deploy/daemon-set.ts';

const pod = podSpec();
const [container] = pod.containers;

test('the base has a file for each template of the chart, and kustomize is told of each', (t) => {
  const { resources } = parse(readFileSync(`${base}kustomization.yaml`, 'utf8')) as { resources: string[] };
  t.deepEqual([...resources].sort(), ['configmap.yaml', 'daemonset.yaml', 'rbac.yaml']);
  for (const name of resources) {
    t.true(existsSync(new URL(`chart/templates/${name}`, import.meta.url)), name);
    t.true(readFileSync(`${base}${name}`, 'utf8').includes(`# Source: bpfsvc/templates/${name}`));
  }
});

test('versions of the package, the chart and the image are one', (t) => {
  const chart = parse(readFileSync(new URL('chart/Chart.yaml', import.meta.url), 'utf8')) as Record<string, string>;
  t.deepEqual([chart.version, chart.appVersion], [about.version, about.version]);
  t.is(container.image, `bpfsvc:${about.version}`);
});

test('the container is not privileged, and has the three capabilities that the agent asks for', (t) => {
  const { capabilities, ...rest } = container.securityContext;
  t.deepEqual(rest, {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  t.deepEqual(capabilities.drop, ['ALL']);
  const wanted = missingCapabilities('CapEff:\t0000000000000000\n');
  t.deepEqual(capabilities.add.map((name) => `CAP_${name}`).sort(), wanted.sort());
  t.true(pod.hostNetwork);
  t.deepEqual([pod.hostPID, pod.hostIPC], [undefined, undefined]);
});

test('a kubelet asks at the port of the configuration', (t) => {
  const config = baseObjects().find(({ kind }) => kind === 'ConfigMap')?.data as Record<string, string>;
  const text = config['config.yaml'] ?? '';
  t.notThrows(() => readConfiguration(text, 'config.yaml'));
  const { healthzBindAddress } = parse(text) as { healthzBindAddress: string };
  const port = Number(healthzBindAddress.split(':').at(-1));
  const asked = (['startupProbe', 'livenessProbe', 'readinessProbe'] as const).map((name) => container[name]?.httpGet);
  t.deepEqual(asked, [
    { path: '/livez', port },
    { path: '/livez', port },
    { path: '/healthz', port },
  ]);
});

test('an update never has two agents on a node: they would have the same ports and pins', (t) => {
  const spec = baseObjects().find(({ kind }) => kind === 'DaemonSet')?.spec as Record<string, unknown>;
  t.deepEqual(spec.updateStrategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxSurge: 0, maxUnavailable: '10%' },
  });
  t.deepEqual([pod.priorityClassName, pod.tolerations], ['system-node-critical', [{ operator: 'Exists' }]]);
});
