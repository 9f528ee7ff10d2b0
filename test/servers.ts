/** A whole agent whose servers are asked over HTTP: what tests of these share. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { ExecutionContext } from 'ava';
import { pinPath, writeManifest } from './agent.ts';
import { startCli, untilSays } from './cli.ts';
import { eventually } from './netns/eventually.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

/** A sandbox whose loopback is up and has the node's address. */
export function makeServerBox(): Sandbox {
  const box = makeSandbox();
  box.ip('link', 'set', 'lo', 'up');
  box.ip('address', 'add', '192.0.2.7/32', 'dev', 'lo');
  return box;
}

export interface Wanted {
  readonly name?: string;
  readonly port?: number;
  readonly policy?: 'Local' | 'Cluster';
  readonly clusterIPs?: readonly string[];
  /** Addresses of ready endpoints of this node. */
  readonly here?: readonly string[];
  readonly away?: readonly string[];
  readonly changed?: string;
}

export function nodeN1(more: object = {}): unknown {
  const status = { addresses: [{ type: 'InternalIP', address: '192.0.2.7' }] };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, status, ...more };
}

/** A load balancer's Service with two ports, and its slices. */
export function balanced(wanted: Wanted): unknown[] {
  const {
    name = 'lb',
    port = 30100,
    policy = 'Local',
    clusterIPs = ['10.96.0.1'],
    here = [],
    away = [],
    changed,
  } = wanted;
  const ports = [
    { name: 'http', port: 80 },
    { name: 'admin', port: 81 },
  ];
  const annotations = changed === undefined ? {} : { 'endpoints.kubernetes.io/last-change-trigger-time': changed };
  const slice = (type: 'IPv4' | 'IPv6', is: (address: string) => boolean) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${type.toLowerCase()}`, labels: { 'kubernetes.io/service-name': name }, annotations },
    addressType: type,
    ports: ports.map(({ name }, i) => ({ name, port: 8080 + i })),
    endpoints: [
      ...here.filter(is).map((address) => ({ addresses: [address], nodeName: 'n1' })),
      ...away.filter(is).map((address) => ({ addresses: [address], nodeName: 'n2' })),
    ],
  });
  const ipFamilies = clusterIPs.map((address) => (address.includes(':') ? 'IPv6' : 'IPv4'));
  const ipFamilyPolicy = clusterIPs.length > 1 ? 'RequireDualStack' : 'SingleStack';
  const spec = {
    type: 'LoadBalancer',
    externalTrafficPolicy: policy,
    healthCheckNodePort: port,
    clusterIPs,
    ipFamilies,
    ipFamilyPolicy,
    ports,
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec,
      status: { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } },
    },
    slice('IPv4', (address) => !address.includes(':')),
    slice('IPv6', (address) => address.includes(':')),
  ];
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export async function ask(url: string): Promise<Answer> {
  const response = await fetch(url, { headers: { connection: 'close' } }).catch((error: Error) => {
    // ava's TAP reporter ends with an exception at what fetch throws
    throw new Error(`${url}: ${error.cause}`);
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

export async function settles<T>(attempt: () => Promise<T> | T): Promise<T> {
  return await eventually(attempt, 60);
}

export async function start(
  box: Sandbox,
  t: ExecutionContext,
  name: string,
  documents: readonly unknown[],
  flags: readonly string[] = [],
): Promise<ChildProcess> {
  const manifests = writeManifest(box, `${name}.json`, documents);
  const place = ['--pin-dir', pinPath(box, name), '--cgroup', box.cgroup, '--map-size', 'flows=1024,half_open=1024'];
  const agent = startCli(['run', '--manifests', manifests, '--node', 'n1', '--log-format', 'text', ...place, ...flags]);
  t.teardown(async () => {
    agent.kill('SIGKILL');
    if (agent.exitCode === null && agent.signalCode === null) await once(agent, 'exit');
  });
  await untilSays(agent, / written for \d+ Services? in/);
  return agent;
}
