import { lineLimit, type RuleId } from './architecture.ts';

/** What a rule must notice, and what it must not. */
export interface Example {
  /** Small trees that break it, each with what the one complaint must say. */
  readonly wrong: readonly { readonly tree: Readonly<Record<string, string>>; readonly complaint: string }[];
  /** One that does not, though it looks like it. */
  readonly right: Readonly<Record<string, string>>;
}

export const examples: Readonly<Record<RuleId, Example>> = {
  arrows: {
    wrong: [
      {
        tree: { 'src/model/a.ts': "import { b } from '../plan/b.ts';" },
        complaint: 'src/model/a.ts: model may not import src/plan/b.ts',
      },
      { tree: { 'src/kube/a.ts': "import type {\n  B,\n} from '../kernel/b.ts';" }, complaint: 'kube may not import' },
      { tree: { 'src/plan/a.ts': "export * from '../kube/b.ts';" }, complaint: 'plan may not import' },
      { tree: { 'src/kernel/a.ts': "const b = await import('../kube/b.ts');" }, complaint: 'kernel may not import' },
      {
        tree: { 'src/kernel/a.ts': "new Worker(new URL('../commands/b.ts', import.meta.url));" },
        complaint: 'kernel may not import',
      },
      {
        tree: { 'src/agent.ts': "import './commands/run.ts';" },
        complaint: 'agent may not import src/commands/run.ts',
      },
      {
        tree: { 'src/commands/a.ts': "import { main } from '../main.ts';" },
        complaint: 'commands may not import src/main.ts',
      },
      {
        tree: { 'src/model/a.ts': "import { c } from '../layout.gen.ts';" },
        complaint: 'model may not import src/layout.gen.ts',
      },
      { tree: { 'src/plan/a.ts': "import { c } from '../codec.ts';" }, complaint: 'plan may not import src/codec.ts' },
      { tree: { 'src/plan/a.ts': "import { c } from '../log.ts';" }, complaint: 'plan may not import src/log.ts' },
      {
        tree: { 'src/kernel/a.ts': "import { c } from '../../test/netns/lab.ts';" },
        complaint: 'kernel may not import test/netns/lab.ts',
      },
      {
        tree: { 'src/kernel/a.ts': "import { c } from '../../native/map.ts';" },
        complaint: 'kernel may not import native/map.ts',
      },
    ],
    right: {
      'src/plan/a.ts': "import { a } from '../model/a.ts';\nimport { b } from '../layout.gen.ts';\nimport './c.ts';",
      'src/commands/run.ts': "import { agent } from '../agent.ts';\nimport { parse } from '../kube/parse.ts';",
      'src/main.ts': "await import('./commands/run.ts');",
      'src/agent.ts': "import { log } from './log.ts';",
      'src/plan/a.test.ts': "import { a } from '../kernel/a.ts';",
    },
  },
  packages: {
    wrong: [
      {
        tree: { 'src/agent.ts': "import { Watch } from '@kubernetes/client-node';" },
        complaint: 'src/agent.ts: only src/kube',
      },
      {
        tree: { 'src/commands/dump.ts': "import { BpfMap } from 'libbpf-ts';" },
        complaint: 'src/commands/dump.ts: only src/kernel',
      },
      {
        tree: { 'src/plan/a.ts': "import type { BpfMap } from 'libbpf-ts';" },
        complaint: 'src/plan/a.ts: only src/kernel',
      },
    ],
    right: {
      'src/kube/source.ts': "import { Watch } from '@kubernetes/client-node';",
      'src/kernel/a.ts': "import { BpfMap } from 'libbpf-ts';",
      'src/agent.test.ts': "import { BpfMap } from 'libbpf-ts';",
      'test/netns/lab.ts': "import { setNetns } from 'libbpf-ts';",
    },
  },
  purity: {
    wrong: [
      {
        tree: { 'src/plan/a.ts': "import { connect } from 'node:net';" },
        complaint: 'src/plan/a.ts: imports node:net',
      },
      { tree: { 'src/model/a.ts': "import { readFileSync } from 'node:fs';" }, complaint: 'imports node:fs' },
      { tree: { 'src/model/a.ts': "import { parse } from 'yaml';" }, complaint: 'imports yaml' },
      { tree: { 'src/plan/a.ts': "import { randomInt } from 'node:crypto';" }, complaint: 'imports node:crypto' },
      { tree: { 'src/plan/a.ts': 'const now = Date.now();' }, complaint: "src/plan/a.ts: 'Date.now'" },
      { tree: { 'src/plan/a.ts': 'const now = new Date();' }, complaint: "'new Date()'" },
      { tree: { 'src/plan/a.ts': 'const x = Math.random();' }, complaint: "'Math.random'" },
      { tree: { 'src/model/a.ts': 'performance.now();' }, complaint: "'performance.'" },
      { tree: { 'src/model/a.ts': 'setTimeout(() => {}, 1);' }, complaint: "'setTimeout'" },
      { tree: { 'src/model/a.ts': 'process.env.HOME;' }, complaint: "'process.'" },
      { tree: { 'src/model/a.ts': "console.log('');" }, complaint: "'console.'" },
    ],
    right: {
      'src/plan/a.ts':
        "import { createHash } from 'node:crypto';\n// never Date.now() here\nconst at = Date.parse('2020-01-01');",
      'src/plan/a.test.ts': "import { readFileSync } from 'node:fs';\nDate.now();",
      'src/kernel/a.ts': 'Date.now();',
    },
  },
  native: {
    wrong: [
      { tree: { 'native/map.ts': 'const backends = 1;' }, complaint: "native/map.ts: 'backend'" },
      { tree: { 'native/src/map.c': '/* of the pod */' }, complaint: "native/src/map.c: 'pod'" },
      { tree: { 'native/README.md': 'For Kubernetes.' }, complaint: "'Kube'" },
    ],
    right: { 'native/map.ts': 'const podium = 1;', 'src/a.ts': 'const backend = 1;' },
  },
  bpf: {
    wrong: [
      { tree: { 'bpf/types.h': 'struct endpoint_slice { int a; };' }, complaint: "bpf/types.h: 'endpoint_slice'" },
      { tree: { 'bpf/tc.bpf.c': 'int external_traffic_policy;' }, complaint: "bpf/tc.bpf.c: 'traffic_policy'" },
      { tree: { 'bpf/tc.bpf.c': '#define KUBE_MARK 1' }, complaint: "'KUBE'" },
    ],
    right: {
      'bpf/types.h': '/* of a clusterIP, as Kubernetes allows */\nint a; // EndpointSlice',
      'bpf/tc.bpf.c': '#include <linux/bpf.h>',
    },
  },
  length: {
    wrong: [
      { tree: { 'src/plan/a.ts': '\n'.repeat(lineLimit + 1) }, complaint: 'src/plan/a.ts: 321 lines and no reason' },
      { tree: { 'bpf/a.h': '\n'.repeat(500) }, complaint: 'bpf/a.h: 500 lines' },
      { tree: { 'bpf/layout.test.ts': '\n' }, complaint: 'bpf/layout.test.ts: is not long any more' },
    ],
    right: { 'src/a.ts': '\n'.repeat(lineLimit), 'src/a.gen.ts': '\n'.repeat(999), 'CHANGELOG.md': '\n'.repeat(999) },
  },
  names: {
    wrong: [
      { tree: { 'src/utils/a.ts': '' }, complaint: 'src/utils/a.ts: a noun is missing' },
      { tree: { 'src/kube/helpers.ts': '' }, complaint: 'src/kube/helpers.ts' },
      { tree: { 'bpf/common.h': '' }, complaint: 'bpf/common.h' },
      { tree: { 'native/src/string-util.c': '' }, complaint: 'native/src/string-util.c' },
      { tree: { 'native/src/net_lib.c': '' }, complaint: 'native/src/net_lib.c' },
    ],
    right: { 'src/kube/library.ts': '', 'native/libbpf.md': '' },
  },
  tests: {
    wrong: [
      { tree: { 'src/a.test.ts': "test.skip('a', () => {});" }, complaint: "src/a.test.ts: '.skip'" },
      { tree: { 'src/a.test.ts': "test.serial.only('a', () => {});" }, complaint: "'.only'" },
      { tree: { 'src/a.test.ts': "test.todo('a');" }, complaint: "'.todo'" },
      { tree: { 'src/a.test.ts': "test.failing('a', () => {});" }, complaint: "'.failing'" },
      { tree: { 'src/a.test.ts': 't.pass();' }, complaint: "'t.pass('" },
    ],
    right: { 'src/a.test.ts': "test('a', (t) => t.is(skip, 1));" },
  },
  leftovers: {
    wrong: [
      { tree: { 'README.md': 'see /home/me/notes' }, complaint: "README.md: '/home/me'" },
      { tree: { 'src/a.ts': "readFileSync('/home/me/a')" }, complaint: "'/home/me'" },
      { tree: { 'src/a.ts': '// TODO: later' }, complaint: "'TODO'" },
      {
        tree: { 'package-lock.json': '"resolved": "https://packages.example.org/ava.tgz"' },
        complaint: 'packages.example.org',
      },
    ],
    right: {
      'src/a.ts': "const path = '/sys/fs/bpf/x';\n// a network of /64, work/life",
      'package-lock.json': '"resolved": "https://registry.npmjs.org/ava.tgz"',
    },
  },
  files: {
    wrong: [
      {
        tree: { 'ARCHITECTURE.md': '`bpf/tc.bpf.c` rewrites' },
        complaint: 'ARCHITECTURE.md: bpf/tc.bpf.c is not there',
      },
      { tree: { 'ARCHITECTURE.md': '`native/` binds', 'nativex/a.ts': '' }, complaint: 'native/ is not there' },
    ],
    right: { 'ARCHITECTURE.md': '`plan/rows.ts`, `native/`, `model`', 'src/plan/rows.ts': '', 'native/a.ts': '' },
  },
};
