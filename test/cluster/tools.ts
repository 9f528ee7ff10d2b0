/** What people type at a running cluster: little scripts in build/cluster that enter its namespaces. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Cluster, clustersFolder } from './cluster.ts';
import { inNode } from './node.ts';
import type { ProxyName } from './proxy.ts';

export interface Running {
  /** Of the process that holds the cluster. */
  readonly pid: number;
  /** Of the names of its namespaces and cgroups; null while it is being made. */
  readonly prefix: string | null;
  readonly proxy: ProxyName;
}

const stateFile: string = join(clustersFolder, 'running.json');
const tools = ['kubectl', 'node', 'bpfsvc'] as const;
const root: string = fileURLToPath(new URL('../..', import.meta.url));

/** null: there is none. */
export function readRunning(): Running | null {
  if (!existsSync(stateFile)) return null;
  const running = JSON.parse(readFileSync(stateFile, 'utf8')) as Running;
  return existsSync(`/proc/${running.pid}`) ? running : null;
}

export function writeRunning(running: Running): void {
  writeFileSync(stateFile, JSON.stringify(running));
}

export function writeTools(cluster: Cluster, proxy: ProxyName): Running {
  const { lab, control, programs } = cluster;
  const outside = `nsenter --net=/run/netns/${lab.outside.netns}`;
  write('kubectl', [
    `exec $sudo ${outside} ${programs.kubernetes}/kubectl --kubeconfig ${control.kubeconfig('admin')} "$@"`,
  ]);
  write('node', [
    'name=$1; shift',
    'case $name in',
    ...lab.nodes.map(({ name }) => `${name}) pid=${cluster.firstProcesses.get(name)} ;;`),
    `*) echo "usage: $0 ${lab.nodes.map(({ name }) => name).join('|')} COMMAND..." >&2; exit 2 ;;`,
    'esac',
    `exec $sudo ${inNode('$pid').join(' ')} env PATH=${programs.path} "$@"`,
  ]);
  write('bpfsvc', [
    'name=$1; shift',
    'case $name in',
    ...lab.nodes.map(({ name, netns, pinDir }) => `${name}) netns=${netns} pins=${pinDir} ;;`),
    `*) echo "usage: $0 ${lab.nodes.map(({ name }) => name).join('|')} WORDS..." >&2; exit 2 ;;`,
    'esac',
    `exec $sudo nsenter --net=/run/netns/$netns ${root}bin/bpfsvc "$@" --pin-dir $pins`,
  ]);
  const running: Running = { pid: process.pid, prefix: lab.prefix, proxy };
  writeRunning(running);
  return running;
}

export function removeTools(): void {
  for (const name of [...tools, 'running.json']) rmSync(join(clustersFolder, name), { force: true });
}

function write(name: (typeof tools)[number], lines: readonly string[]): void {
  const head = ['#!/bin/sh', '# made by make cluster', 'sudo=; [ "$(id -u)" = 0 ] || sudo=sudo'];
  writeFileSync(join(clustersFolder, name), `${[...head, ...lines].join('\n')}\n`, { mode: 0o755 });
}

/** What to try. */
export function welcome({ proxy }: Running): string {
  const at = (name: string): string => join(relative(process.cwd(), clustersFolder), name);
  const ours = `
  ${at('bpfsvc')} n1 dump                        what node n1's kernel holds, in words
  ${at('bpfsvc')} n1 explain --from 10.1.1.2 --to 10.96.0.10:53 --protocol udp
  ${at('bpfsvc')} n2 trace                       flows and drops of n2, as they happen`;
  return `Kubernetes is up: nodes n1 and n2, dual stack, cluster DNS at 10.96.0.10; ${proxy === 'bpfsvc' ? 'bpfsvc is its only proxy' : `proxy: ${proxy}`}.

  ${at('kubectl')} get nodes,pods,services -A -o wide
  ${at('kubectl')} create deployment web --image=registry.k8s.io/e2e-test-images/agnhost:2.63.0 --replicas=4 -- /agnhost netexec
  ${at('kubectl')} expose deployment web --port=80 --target-port=8080
  ${at('kubectl')} run -it --rm box --image=registry.k8s.io/e2e-test-images/busybox:1.37.0-1 -- sh
      curl web/hostname                        in the box: another pod answers each time
${proxy === 'bpfsvc' ? ours : ''}
  ${at('node')} n1 bash                          a shell on node n1
  make cluster-down                            takes everything away

No registry can be reached: the images above, pause and CoreDNS are all there are.
`;
}
