/** Where the programs of a test cluster are: built or fetched by the scripts in programs/. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Programs {
  /** Names the set: another one makes other images. */
  readonly id: string;
  /** etcd, kube-apiserver, kubelet, kubectl and so on. */
  readonly kubernetes: string;
  /** e2e.test, ginkgo, agnhost, coredns and so on. */
  readonly tests: string;
  /** A root folder with containerd, runc and CNI plugins. */
  readonly runtime: string;
  /** For LD_LIBRARY_PATH. */
  readonly libraries: string;
  /** For PATH, on a node. */
  readonly path: string;
  /** The path of a program of the distribution; throws for one that is nowhere. */
  find(name: string): string;
}

/** Runs the scripts, which take minutes the first time and tell about it on stderr. */
export function preparePrograms(): Programs {
  const runtime = script('programs/runtime.sh');
  const kubernetes = script('../kubernetes/components/build.sh');
  const tests = script('programs/build.sh');
  const machine = execFileSync('gcc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
  const folders = ['usr/bin', 'usr/sbin', 'bin', 'sbin'];
  const path = [kubernetes, ...[runtime, '/'].flatMap((root) => folders.map((folder) => join(root, folder)))];
  return {
    id: (/[0-9a-f]+$/.exec(runtime) as RegExpExecArray)[0],
    kubernetes,
    tests,
    runtime,
    libraries: [`${runtime}/usr/lib/${machine}`, `${runtime}/lib/${machine}`].join(':'),
    path: path.join(':'),
    find(name) {
      const found = path.map((folder) => join(folder, name)).find((file) => existsSync(file));
      if (found === undefined) throw new Error(`no ${name} in ${path.join(', ')}`);
      return found;
    },
  };
}

function script(name: string): string {
  const file = fileURLToPath(new URL(name, import.meta.url));
  return execFileSync(file, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}
