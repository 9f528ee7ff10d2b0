/** What our own tests run in a cluster: servers behind Services, boxes to ask from, and steady load. */
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Place } from '../netns/lab.ts';
import type { Cluster } from './cluster.ts';
import { agnhostImage, busyboxImage } from './images.ts';
import { homeCgroup } from './node.ts';

const port = { name: 'http', port: 80, targetPort: 8080 };

/** A Deployment that serves nothing before it is ready and goes on serving while it ends, and its Service, in both families. */
export function web(name: string, replicas: number, service: object = {}): object[] {
  const labels = { app: name };
  const container = {
    name: 'web',
    image: agnhostImage,
    args: ['netexec', '--http-port=8080'],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1, timeoutSeconds: 10 },
    lifecycle: { preStop: { sleep: { seconds: 8 } } },
  };
  const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway' };
  const spec = {
    terminationGracePeriodSeconds: 15,
    topologySpreadConstraints: [{ ...spread, labelSelector: { matchLabels: labels } }],
    containers: [container],
  };
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 2, maxUnavailable: 0 } };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: 'default' },
      spec: { replicas, strategy, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { selector: labels, ipFamilyPolicy: 'RequireDualStack', ports: [port], ...service },
    },
  ];
}

/** A Pod of this name with a shell, on the node. */
export function box(name: string, node: string): object {
  const container = { name: 'box', image: busyboxImage, command: ['sh', '-c', 'sleep 86400 & wait'] };
  const spec = { nodeName: node, terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, spec };
}

/** Resolves when the Deployments have all their replicas, and the Pods are ready. */
export async function areUp({ control }: Cluster, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const words = name.startsWith('deployment/')
      ? ['rollout', 'status', name]
      : ['wait', '--for=condition=Ready', name];
    await control.kubectl([...words, '--timeout=240s']);
  }
}

/** Runs a shell's line in a pod; resolves to what it printed, rejects if it failed. */
export function inBox({ control }: Cluster, pod: string, line: string): Promise<string> {
  return control.kubectl(['exec', pod, '--', 'sh', '-c', line]);
}

export interface Load {
  /** Resolves to how many requests were answered, and a line for each that was not. */
  stop(): Promise<{ readonly answered: number; readonly failures: readonly string[] }>;
}

/** One request after the other, each over a connection of its own, in turns to each URL. */
const loop = (urls: readonly string[]): string => `
  answered=0
  while read -r -t 0.1 stop; [ -z "$stop" ]; do
    for url in ${urls.join(' ')}; do
      if out=$(curl -gsS -m 30 -o /dev/null -w '%{http_code}' "$url" 2>&1) && [ "$out" = 200 ]
      then answered=$((answered + 1))
      else echo "$(date +%T) $url: $out"
      fi
    done
  done
  echo "answered $answered"`;

/** Load out of a pod, or from a node itself or another machine of the lab where a Place is given. */
export function startLoad({ lab, control, programs }: Cluster, from: string | Place, urls: readonly string[]): Load {
  const shell = ['bash', '-c', loop(urls)];
  const kubectl = [`${programs.kubernetes}/kubectl`, '--kubeconfig', control.kubeconfig('admin')];
  const node = lab.nodes.find((candidate) => candidate === from);
  const env = { PATH: programs.path, LD_LIBRARY_PATH: programs.libraries };
  const child =
    typeof from === 'string'
      ? lab.spawn(lab.outside, [...kubectl, 'exec', '-i', from, '--', ...shell], { stdio: 'pipe' })
      : lab.spawn(from, shell, { ...(node && { cgroup: homeCgroup(node) }), env, stdio: 'pipe' });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error('no pipe');
  const told = Promise.all([text(stdout), text(stderr), once(child, 'close')]);
  stdin.on('error', () => {});
  return {
    async stop() {
      stdin.end('stop\n');
      const [out, errors] = await told;
      const lines = `${out}${errors}`.trim().split('\n');
      const answered = Number(lines.flatMap((line) => /^answered (\d+)$/.exec(line)?.[1] ?? []).at(-1) ?? Number.NaN);
      return { answered, failures: lines.filter((line) => line !== '' && !/^answered \d+$/.test(line)) };
    },
  };
}
