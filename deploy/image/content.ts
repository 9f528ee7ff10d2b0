/** Everything that stands in the image, and nothing that it does not need: no shell, no package manager. */
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Architecture } from './architecture.ts';
import { bundle, compileAddon, copyStripped, licenceOf, neededBy } from './compile.ts';
import { copyrightsOf, fetchSystem } from './debian.ts';
import { findNode } from './node.ts';
import type { Entry } from './tar.ts';

export interface Places {
  /** The project, with its BPF programs compiled. */
  readonly root: string;
  /** What is fetched. */
  readonly cache: string;
  /** What is made on the way. */
  readonly work: string;
}

/** Where the agent lives in the image: below it things are as below build/. */
const HOME = 'usr/lib/bpfsvc';

/** A line of #! has room for one flag; the other comes with the environment. */
const launcher = "#!/usr/bin/node --optimize-for-size\nimport './build/js/main.js';\n";

/** What every process of the image has in its environment; both settings spare memory. */
export const environment: readonly string[] = [
  'PATH=/usr/bin',
  'MALLOC_ARENA_MAX=1',
  'NODE_OPTIONS=--max-semi-space-size=1',
];

export async function collectContent(architecture: Architecture, { root, cache, work }: Places): Promise<Entry[]> {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'js/build'), { recursive: true });
  mkdirSync(cache, { recursive: true });
  const system = fetchSystem(architecture, cache);
  const node = findNode(architecture, root, cache);
  const inside = await bundle(root, join(work, 'js'));
  copyStripped(join(node, 'bin/node'), join(work, 'node'));
  const addon = join(work, 'js/build/libbpf-ts.node');
  compileAddon(root, architecture, system.root, join(node, 'include/node'), addon);
  const file = (path: string, from: string, isExecutable = false): Entry => ({
    path,
    kind: 'file',
    bytes: readFileSync(from),
    isExecutable,
  });
  const text = (path: string, content: string, isExecutable = false): Entry => ({
    path,
    kind: 'file',
    bytes: Buffer.from(content),
    isExecutable,
  });
  const programs = readdirSync(join(root, 'build/bpf')).filter((name) => name.endsWith('.bpf.o'));
  const licences = inside.map((folder) => licenceOf(join(root, folder)));
  return [
    file('usr/bin/node', join(work, 'node'), true),
    { path: 'usr/bin/bpfsvc', kind: 'link', target: '../lib/bpfsvc/bpfsvc' },
    text(`${HOME}/bpfsvc`, launcher, true),
    text(`${HOME}/package.json`, '{"type":"module"}\n'),
    ...filesBelow(join(work, 'js')).map((path) => file(`${HOME}/build/js/${path}`, join(work, 'js', path))),
    ...programs.map((name) => file(`${HOME}/build/bpf/${name}`, join(root, 'build/bpf', name))),
    ...librariesOf([join(work, 'node'), addon], architecture, system.root).map(({ path, from }) =>
      file(path, from, true),
    ),
    file('usr/share/doc/bpfsvc/LICENSE', join(root, 'LICENSE')),
    file('usr/share/doc/node/LICENSE', join(node, 'LICENSE')),
    text('usr/share/doc/bpfsvc/npm-packages', licences.join('\n----\n\n')),
    text('usr/share/doc/debian-packages', `${system.packages.join('\n')}\n`),
    ...copyrightsOf(system).map((path) => file(path, join(system.root, path))),
  ];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** The loader, and the libraries that these files ask for, and those that these ask for: where the loader finds them. */
function librariesOf(
  files: readonly string[],
  { triplet, loader }: Architecture,
  system: string,
): { path: string; from: string }[] {
  const folders = [`lib/${triplet}`, `usr/lib/${triplet}`];
  const found = new Map<string, { path: string; from: string }>();
  const visit = (file: string): void => {
    for (const name of neededBy(file)) {
      if (found.has(name) || loader.endsWith(`/${name}`)) continue;
      const folder = folders.find((one) => existsSync(join(system, one, name)));
      if (folder === undefined) throw new Error(`${file} needs ${name}, which the packages do not have`);
      const from = realpathSync(join(system, folder, name));
      found.set(name, { path: `usr/lib/${triplet}/${name}`, from });
      visit(from);
    }
  };
  for (const file of files) visit(file);
  const from = realpathSync(join(system, `lib/${triplet}`, loader.slice(loader.lastIndexOf('/') + 1)));
  return [{ path: loader, from }, ...found.values()];
}
