/** What is made for the image: the addon for its machine, and the agent as one bundle with the packages inside. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Architecture } from './architecture.ts';

/** Compiles native/ against the libraries of the image, with clang and lld, which do so for any machine. */
export function compileAddon(
  root: string,
  { triplet }: Architecture,
  system: string,
  nodeInclude: string,
  to: string,
): void {
  const sources = readdirSync(join(root, 'native/src')).filter((name) => name.endsWith('.c'));
  const files = sources.sort().map((name) => `native/src/${name}`);
  const language = ['-std=gnu11', '-O2', '-fPIC', '-fvisibility=hidden', '-D_GNU_SOURCE', '-DNAPI_VERSION=9'];
  // no build id: it is made of paths
  const link = ['-shared', '-s', '-fuse-ld=lld', '-Wl,--build-id=none', '-lbpf', '-pthread'];
  const target = [`--target=${triplet}`, `--sysroot=${system}`, `-I${nodeInclude}`];
  execFileSync(process.env.CLANG ?? 'clang', [...target, ...language, '-o', to, ...files, ...link], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

/** Copies a program without its symbols: of Node they are 18 MB. */
export function copyStripped(from: string, to: string): void {
  copyFileSync(from, to);
  execFileSync('llvm-strip', ['--strip-all', to]);
}

/** Names of the shared libraries that an ELF file asks for. */
export function neededBy(path: string): string[] {
  const text = execFileSync('llvm-readelf', ['--needed-libs', path], { encoding: 'utf8' });
  return text.split('\n').flatMap((line) => /^ {2}(\S+)$/.exec(line)?.[1] ?? []);
}

/** Packages of npm speak CommonJS in places, and an ES module has no `require`. */
const banner = "import{createRequire as makeRequire}from'node:module';const require=makeRequire(import.meta.url);";

/** Bundles the agent into a folder; returns the folders of the npm packages that are inside, sorted. */
export async function bundle(root: string, folder: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts', 'src/kube/chunk-worker.ts'],
    outdir: folder,
    bundle: true,
    splitting: true,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    alias: { 'libbpf-ts': './native/index.ts' },
    entryNames: '[name]',
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    banner: { js: banner },
  });
  const inside = Object.keys(metafile.inputs).flatMap(
    (path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [],
  );
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}\n');
  return [...new Set(inside)].sort();
}

/** The licence text of an npm package, or what its package.json says in place of one. */
export function licenceOf(folder: string): string {
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>;
  const file = readdirSync(folder).find((name) => /^licen[sc]e/i.test(name));
  const text = file === undefined ? `${about.license}\n` : readFileSync(join(folder, file), 'utf8');
  return `${about.name} ${about.version}\n\n${text}`;
}
