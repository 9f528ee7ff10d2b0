/**
 * The rules of the tree that a compiler does not see. Each is a function from sources to complaints, so that a test can
 * feed it a small tree that breaks it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Path from the root of the repository → text. */
export type Tree = ReadonlyMap<string, string>;

export interface Rule {
  readonly name: string;
  /** One line for each thing that is wrong. */
  readonly check: (tree: Tree) => string[];
}

const generatedOrForeign = new Set(['node_modules', '.git', '.cache', 'build', 'bin']);

/** All files of ours below `root`; what is built or installed is left out. */
export function readTree(root: string): Tree {
  const tree = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() && !generatedOrForeign.has(entry.name)) visit(path);
      if (entry.isFile()) tree.set(path, readFileSync(join(root, path), 'utf8'));
    }
  };
  visit('');
  return tree;
}

/** What each stage of src/ may import, beside itself. A file that stands in src/ itself is above the stages. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  codec: [],
  'layout.gen': ['codec'],
  model: [],
  kube: ['model'],
  plan: ['model', 'layout.gen'],
  kernel: ['plan', 'model', 'layout.gen'],
  agent: ['kernel', 'plan', 'model', 'kube', 'layout.gen'],
  explain: ['agent', 'kernel', 'plan', 'model', 'kube', 'layout.gen'],
  takeover: ['agent', 'kernel', 'plan', 'model', 'kube', 'layout.gen'],
  support: ['takeover', 'agent', 'kernel', 'plan', 'model', 'kube', 'layout.gen'],
  commands: ['support', 'explain', 'takeover', 'agent', 'kernel', 'plan', 'model', 'kube', 'layout.gen'],
  main: ['commands', 'agent', 'kernel', 'layout.gen'],
};

/** Files longer than this give their reason in `longFiles`. */
export const lineLimit = 320;

const longFiles: Readonly<Record<string, string>> = {
  'bpf/fixture.ts': 'rows of each map, in words, for every test of the programs',
  'bpf/layout.test.ts': 'one table: C in, TypeScript or refusal out',
  'bpf/tc.test.ts': 'each rule of the packet path, in both families, over one cast',
  'bpf/types.h': 'every struct that the programs share with user space, in the order of the generated layout',
  'bpf/wire.test.ts': 'each rule of the wire, in both families, over one cast',
  'src/kube/endpoints.test.ts': 'one table: slices, Endpoints and Pods in, endpoints and problems out',
  'src/kube/manifests.test.ts': 'one folder of files, edited in every way',
  'src/model/endpoints.test.ts': "one table: kube-proxy's cases",
  'test/explain/worlds.ts': "one table: each situation of kube-proxy's tests, and what becomes of its packets",
  'src/plan/plan.property.test.ts': 'one random world and the kernel it is checked against',
  'test/layout/exchange.test.ts': 'a row of every map, and what the other side makes of it',
};

export type RuleId =
  | 'arrows'
  | 'packages'
  | 'purity'
  | 'native'
  | 'bpf'
  | 'length'
  | 'names'
  | 'tests'
  | 'leftovers'
  | 'files';

export const rules: Readonly<Record<RuleId, Rule>> = {
  arrows: {
    name: 'imports follow the arrows kube → model → plan → kernel → agent → commands → main',
    check: (tree) =>
      sources(tree, 'src/', false).flatMap(([path, text]) => importsOf(path, text).flatMap(wrongArrow(path))),
  },
  packages: {
    name: 'only kube imports @kubernetes/client-node, only kernel imports libbpf-ts (tests excepted)',
    check: (tree) =>
      sources(tree, '', false).flatMap(([path, text]) =>
        importsOf(path, text).flatMap((target) => {
          if (target.startsWith('@kubernetes/') && !path.startsWith('src/kube/'))
            return [`${path}: only src/kube imports ${target}`];
          const may = path.startsWith('src/kernel/') || !path.startsWith('src/');
          return /^libbpf-ts(\/|$)/.test(target) && !may ? [`${path}: only src/kernel imports ${target}`] : [];
        }),
      ),
  },
  purity: {
    name: 'model and plan are pure: no clock, network, file, process or randomness',
    check: (tree) =>
      [...sources(tree, 'src/model/', false), ...sources(tree, 'src/plan/', false)].flatMap(([path, text]) => [
        ...importsOf(path, text)
          .filter((target) => !target.startsWith('src/'))
          .filter((target) => target !== 'node:crypto' || /random|generate/.test(text))
          .map((target) => `${path}: imports ${target}`),
        ...found(path, code(text), impure),
      ]),
  },
  native: {
    name: 'native/ knows no word of Services',
    check: (tree) =>
      [...tree]
        .filter(([path]) => path.startsWith('native/'))
        .flatMap(([path, text]) =>
          found(path, text, /service|endpoint|kube|k8s|backend|frontend|clusterip|nodeport|\bpods?\b/gi),
        ),
  },
  bpf: {
    name: 'bpf/ knows no object of Kubernetes',
    check: (tree) =>
      [...tree]
        .filter(([path]) => /^bpf\/.*\.[ch]$/.test(path))
        .flatMap(([path, text]) => found(path, code(text), kubernetesWords)),
  },
  length: {
    name: `a file of more than ${lineLimit} lines gives its reason`,
    check: (tree) => {
      const long = [...tree].filter(
        ([path, text]) => /\.(ts|c|h)$/.test(path) && !/\.gen\.ts$/.test(path) && lines(text) > lineLimit,
      );
      const stale = Object.keys(longFiles).filter((path) => tree.has(path) && lines(tree.get(path) ?? '') <= lineLimit);
      return [
        ...long
          .filter(([path]) => !(path in longFiles))
          .map(([path, text]) => `${path}: ${lines(text)} lines and no reason`),
        ...stale.map((path) => `${path}: is not long any more, take it off the list`),
      ];
    },
  },
  names: {
    name: 'no file or folder is called utils, lib, common, helpers or the like',
    check: (tree) =>
      [...tree.keys()].filter((path) => namelessPart.test(path)).map((path) => `${path}: a noun is missing`),
  },
  tests: {
    name: 'no test is left out, left for later or passed by decree',
    check: (tree) =>
      sources(tree, '', true).flatMap(([path, text]) =>
        found(path, text, /\.(?:skip|todo|failing|only)\b|\bt\.pass\(/g),
      ),
  },
  leftovers: {
    name: 'nothing names one machine, nothing is left to do later',
    check: (tree) => [...tree].flatMap(([path, text]) => found(path, text, leftovers)),
  },
  files: {
    name: 'the files that ARCHITECTURE.md names are there',
    check: (tree) =>
      [...(tree.get('ARCHITECTURE.md') ?? '').matchAll(/`([\w.-]+(?:\/[\w.-]+)*(?:\/|\.(?:ts|h|c|md)))`/g)].flatMap(
        ([, path = '']) => {
          const there = [path, `src/${path}`].some((known) =>
            known.endsWith('/') ? [...tree.keys()].some((file) => file.startsWith(known)) : tree.has(known),
          );
          return there ? [] : [`ARCHITECTURE.md: ${path} is not there`];
        },
      ),
  },
};

const impure =
  /\b(?:Date\.now|new Date\(\)|Math\.random|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|console\.|fetch\(|crypto\.)/g;
const kubernetesWords =
  /kube(?:rnetes)?|k8s|endpoint_?slice|config_?map|annotation|selector|cluster_?ip|load_?balancer|external_?name|traffic_?policy|topology|readiness/gi;
const namelessPart = /(?:^|[/_-])(?:utils?|lib|common|helpers?|misc|shared)(?=[/.]|$)/;
const leftovers =
  /\/(?:home|root|Users)\/\w+|\b(?:TODO|FIXME|XXX)\b|"resolved": "https?:\/\/(?!registry\.npmjs\.org\/)[^/"]*/g;

/** TypeScript files below a folder: tests, or all others. */
function sources(tree: Tree, folder: string, tests: boolean): (readonly [string, string])[] {
  return [...tree].filter(
    ([path]) => path.startsWith(folder) && path.endsWith('.ts') && path.endsWith('.test.ts') === tests,
  );
}

/** Whatever a file draws in, however it says so: a package's name, or a path from the root. */
export function importsOf(path: string, text: string): string[] {
  const patterns = [
    /\b(?:import|export)\s[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /\bimport\s*['"]([^'"]+)['"]/g,
    /\b(?:import|require|register)\(\s*['"]([^'"]+)['"]/g,
    /\bnew URL\(\s*['"](\.[^'"]+\.ts)['"]/g,
  ];
  const targets = patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, target = '']) => target));
  return targets.map((target) => (target.startsWith('.') ? join(path, '..', target) : target));
}

function wrongArrow(path: string): (target: string) => string[] {
  const from = stageOf(path);
  return (target) => {
    if (!/^(?:src|test|bpf|native|bench)\//.test(target)) return [];
    const to = stageOf(target);
    return from === to || (arrows[from] ?? []).includes(to) ? [] : [`${path}: ${from} may not import ${target}`];
  };
}

function stageOf(path: string): string {
  const [top = '', folder = '', ...rest] = path.split('/');
  if (top !== 'src') return top;
  if (rest.length > 0) return folder;
  const name = folder.replace(/\.ts$/, '');
  return name in arrows ? name : 'agent';
}

/** Without comments; a string that looks like one loses its end, which no rule minds. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/(^|[^:'"])\/\/.*$/gm, '$1');
}

function found(path: string, text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([word]) => word))].map((word) => `${path}: '${word}'`);
}

function lines(text: string): number {
  return text.split('\n').length - 1;
}
