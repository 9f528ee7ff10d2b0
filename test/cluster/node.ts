/** Real nodes: a kubelet and containerd in the namespaces of a lab's node, with mounts, processes and a hostname of their own. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ControlPlane } from '../kubernetes/control-plane.ts';
import { cgroup1Mounts, moveToCgroup } from '../netns/cgroup.ts';
import { eventually } from '../netns/eventually.ts';
import type { Lab, Node } from '../netns/lab.ts';
import { pauseImage } from './images.ts';
import { cniConfig, containerdConfig, kubeletConfig } from './node-settings.ts';
import type { Programs } from './programs.ts';

export interface NodeParts {
  readonly lab: Lab;
  readonly control: ControlPlane;
  readonly programs: Programs;
  /** Where each node gets its folder. */
  readonly folder: string;
  /** An archive of all images. */
  readonly images: string;
  /** Of the cluster's DNS. */
  readonly dns: string;
}

/** Starts it and gives it its images; the lab's close() ends it with all its containers. Resolves to the id of its first process. */
export async function startNode(parts: NodeParts, node: Node): Promise<number> {
  const { lab, programs } = parts;
  const folder = join(parts.folder, node.name);
  const kubeconfig = writeSettings(parts, node, folder);
  const hasOwnRoot = makeCgroups(node);
  const env = {
    DIR: folder,
    NODE: node.name,
    ADDRESSES: `${node.ip4},${node.ip6}`,
    KUBECONFIG: kubeconfig,
    CGROUPS: hasOwnRoot ? 'v2' : 'v1',
    LIBRARIES: programs.libraries,
    PATH: programs.path,
  };
  const unshare = [
    'unshare',
    ...(hasOwnRoot ? ['-C'] : []),
    '-m',
    '-u',
    '-i',
    '-p',
    '-f',
    '--kill-child',
    '--mount-proc',
  ];
  const log = openSync(join(folder, 'init.log'), 'a');
  const init = fileURLToPath(new URL('node-init.sh', import.meta.url));
  const outer = lab.spawn(node, [...unshare, init], { cgroup: node.cgroup, env, stdio: ['ignore', log, log] });
  const pid = await eventually(() => childOf(outer, folder));
  if (hasOwnRoot) await eventually(() => moveToCgroup(outer.pid as number, homeCgroup(node)));
  const ctr = [...inNode(pid), 'env', `PATH=${programs.path}`, 'ctr', '-a', '/run/containerd/containerd.sock'];
  await eventually(() => lab.exec(node, [...ctr, 'version']), 60);
  await lab.exec(node, [...ctr, '-n', 'k8s.io', 'images', 'import', parts.images]);
  writeFileSync(join(folder, 'has-images'), '');
  return pid;
}

/** What enters the node whose first process has this id, or a word that a shell replaces by it. */
export function inNode(pid: number | string): string[] {
  return ['nsenter', '-t', String(pid), '--net', '--mount', '--pid', '--uts', '--ipc', '--cgroup'];
}

/** Where processes of the node itself can be. */
export function homeCgroup(node: Node): string {
  return cgroup1Mounts().length === 0 ? join(node.cgroup, 'init') : node.cgroup;
}

/** Returns the path of the kubelet's kubeconfig. */
function writeSettings(
  { control: { pki, server }, programs: { runtime }, dns }: NodeParts,
  node: Node,
  folder: string,
): string {
  mkdirSync(join(folder, 'cni'), { recursive: true });
  const user = `node-${node.name}`;
  const subject = `/O=system:nodes/CN=system:node:${node.name}`;
  pki.certify(user, subject, `DNS:${node.name},IP:${node.ip4},IP:${node.ip6}`);
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write('containerd.toml', containerdConfig({ runtime, folder, pauseImage }));
  write('cni/10-pods.conflist', JSON.stringify(cniConfig(node)));
  const kubelet = kubeletConfig({
    cgroupRoot: cgroup1Mounts().length === 0 ? '/' : cgroupName(node),
    clientCa: pki.path('ca.crt'),
    certificate: pki.path(`${user}.crt`),
    key: pki.path(`${user}.key`),
    dns,
  });
  write('kubelet.yaml', JSON.stringify(kubelet));
  return pki.kubeconfig(user, server);
}

/** Below the root of each hierarchy. */
function cgroupName(node: Node): string {
  return node.cgroup
    .split('/')
    .slice(-2)
    .map((part) => `/${part}`)
    .join('');
}

/**
 * The lab made the node's cgroup of version 2. Where controllers are bound to hierarchies of version 1 the kubelet uses those, and the
 * node gets one in each; runc puts containers into that of version 2 too. Returns true where there is nothing but version 2: the node
 * then sees its cgroup as the root.
 */
function makeCgroups(node: Node): boolean {
  const mounts = cgroup1Mounts();
  if (mounts.length === 0) handDownControllers(node);
  for (const mount of mounts) {
    let path = mount;
    for (const part of cgroupName(node).split('/').slice(1)) {
      const above = path;
      path = join(path, part);
      mkdirSync(path, { recursive: true });
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        if (existsSync(join(path, file))) writeFileSync(join(path, file), readFileSync(join(above, file)));
      }
    }
    const shares = join(mount, cgroupName(node), '..', 'cpu.shares');
    if (process.env.CLUSTER_CPU_SHARES !== undefined && existsSync(shares)) {
      writeFileSync(shares, process.env.CLUSTER_CPU_SHARES);
    }
  }
  return mounts.length === 0;
}

/** What the root of version 2 gives to cgroups below it goes down to the node's; the root itself stays as it is. */
function handDownControllers(node: Node): void {
  const lab = join(node.cgroup, '..');
  const given = readFileSync(join(lab, 'cgroup.controllers'), 'utf8').trim().split(' ');
  writeFileSync(join(lab, 'cgroup.subtree_control'), given.map((controller) => `+${controller}`).join(' '));
}

/** The only child of `unshare`. */
function childOf(outer: ChildProcess, folder: string): number {
  if (outer.exitCode !== null) throw new Error(`the node ended:\n${readFileSync(join(folder, 'init.log'), 'utf8')}`);
  const [child] = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').split(' ');
  if (child === undefined || child === '') throw new Error('the node has no process yet');
  return Number(child);
}
