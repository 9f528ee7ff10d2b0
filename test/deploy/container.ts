/**
 * The DaemonSet's container on a node of a lab, by runc: the image that `make image` left, with the capabilities, mounts, root and
 * seccomp profile that the manifest says, as a kubelet and a runtime would make it.
 */
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { stop } from '../netns/command.ts';
import type { CommandResult, Node } from '../netns/lab.ts';
import { podSpec } from './daemon-set.ts';
import { defaultSeccomp } from './seccomp.ts';

export interface Bundle extends Disposable {
  /** Starts the container. */
  run(options?: RunOptions): Running;
  /** A command in a running container, as `kubectl exec` does. */
  exec(running: Running, ...command: string[]): Promise<CommandResult>;
}

export interface RunOptions {
  /** After those of the manifest. */
  readonly more?: readonly string[];
  /** 'CAP_BPF', …: those of the manifest that it does not get. */
  readonly without?: readonly string[];
  /** Of the manifest's volumes, where they are on this machine. */
  readonly volumes?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** A folder with the token and CA of a ServiceAccount. */
  readonly account?: string;
}

export interface Running {
  readonly name: string;
  readonly child: ChildProcess;
  /** What it wrote to standard error so far. */
  readonly lines: readonly string[];
  /** Resolves with a line that matches, earlier ones included; rejects when the container has ended without. */
  logged(pattern: RegExp): Promise<string>;
  /** Its exit code. */
  readonly ended: Promise<number>;
  end(): Promise<void>;
}

const archive: string = fileURLToPath(new URL('../../build/image/', import.meta.url));

export function imagePath(architecture: string): string {
  return join(archive, `bpfsvc-${architecture}.tar`);
}

interface Layout {
  readonly manifests: readonly [{ readonly digest: string }];
}
interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly [{ readonly digest: string }];
}
interface ImageConfig {
  readonly architecture: string;
  readonly config: { readonly Entrypoint: readonly string[]; readonly Env: readonly string[] };
}

/** Unpacks an image into `folder`/rootfs and returns its configuration. */
export function unpack(path: string, folder: string): ImageConfig {
  const layout = join(folder, 'layout');
  mkdirSync(layout, { recursive: true });
  mkdirSync(join(folder, 'rootfs'));
  execFileSync('tar', ['-xf', path, '-C', layout]);
  const blob = (digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));
  const read = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T;
  const { digest } = read<Layout>(join(layout, 'index.json')).manifests[0];
  const manifest = read<Manifest>(blob(digest));
  execFileSync('tar', ['-xzf', blob(manifest.layers[0].digest), '-C', join(folder, 'rootfs')]);
  return read<ImageConfig>(blob(manifest.config.digest));
}

let started = 0;

export function makeBundle(node: Node, volumes: Readonly<Record<string, string>>): Bundle {
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-image-'));
  const image = unpack(imagePath(process.arch === 'arm64' ? 'arm64' : 'amd64'), folder);
  const state = join(folder, 'state');
  return {
    run(options = {}) {
      const name = `bpfsvc-test-${process.pid}-${++started}`;
      const bundle = join(folder, name);
      mkdirSync(bundle);
      const config = specOf(image, node, { ...options, volumes: { ...volumes, ...options.volumes } });
      writeFileSync(join(bundle, 'config.json'), JSON.stringify({ ...config, root: rootOf(folder) }));
      return follow(
        name,
        spawn('runc', ['--root', state, 'run', '--bundle', bundle, name], { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
    },
    async exec({ name }, ...command) {
      const child = spawn('runc', ['--root', state, 'exec', name, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
      const code = new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? 128)));
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
      return { code: await code, stdout, stderr };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function rootOf(folder: string): object {
  return { path: join(folder, 'rootfs'), readonly: podSpec().containers[0].securityContext.readOnlyRootFilesystem };
}

function specOf({ config }: ImageConfig, node: Node, options: RunOptions): object {
  const { more = [], without = [], volumes = {}, environment = {}, account } = options;
  const [{ args, securityContext, volumeMounts }] = podSpec().containers;
  const capabilities = securityContext.capabilities.add
    .map((name) => `CAP_${name}`)
    .filter((name) => !without.includes(name));
  const words = [...args, ...more].map((word) => word.replace('$(NODE_NAME)', node.name));
  const env = [...config.Env, ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)];
  const binds = volumeMounts.flatMap(({ name, mountPath, readOnly }) => {
    const source = volumes[name];
    if (source === undefined) return [];
    return [{ destination: mountPath, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] }];
  });
  if (account !== undefined) {
    const destination = '/var/run/secrets/kubernetes.io/serviceaccount';
    binds.push({ destination, type: 'bind', source: account, options: ['rbind', 'rprivate', 'ro'] });
  }
  return {
    ociVersion: '1.0.2',
    hostname: node.name,
    process: {
      user: { uid: securityContext.runAsUser, gid: 0 },
      args: [...config.Entrypoint, ...words],
      env,
      cwd: '/',
      noNewPrivileges: !securityContext.allowPrivilegeEscalation,
      // a runtime gives no ambient ones
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    mounts: [...systemMounts, ...binds],
    linux: {
      namespaces: [
        ...['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
        { type: 'network', path: `/run/netns/${node.netns}` },
      ],
      seccomp: defaultSeccomp(capabilities),
      maskedPaths: [
        '/proc/acpi',
        '/proc/kcore',
        '/proc/keys',
        '/proc/latency_stats',
        '/proc/timer_list',
        '/sys/firmware',
      ],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

const systemMounts: readonly object[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
];

function follow(name: string, child: ChildProcess): Running {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const tell = (): void => {
    for (const look of waiting) look();
  };
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      tell();
    });
  }
  let code: number | undefined;
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => {
      code = status ?? (signal === null ? 1 : 128);
      resolve(code);
      tell();
    });
  });
  const logged = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.find((line) => pattern.test(line));
        if (found === undefined && code === undefined) return;
        waiting.delete(look);
        if (found !== undefined) resolve(found);
        else reject(new Error(`the container ended with ${code}:\n${lines.join('\n')}`));
      };
      waiting.add(look);
      look();
    });
  return { name, child, lines, logged, ended, end: () => stop(child) };
}
