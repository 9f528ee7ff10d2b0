import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { importsOf, type RuleId, readTree, rules } from './architecture.ts';
import { examples } from './architecture-examples.ts';

const root = join(import.meta.dirname, '..');
/** These files hold, as examples, what they forbid: they are there, and empty. */
const tree = new Map(
  [...readTree(root)].map(([path, text]) => [path, path.startsWith('test/architecture') ? '' : text]),
);

for (const [id, rule] of Object.entries(rules)) {
  test(`the tree: ${rule.name}`, (t) => {
    t.deepEqual(rule.check(tree), []);
  });

  test(`the rule notices: ${rule.name}`, (t) => {
    const { wrong, right } = examples[id as RuleId];
    for (const { tree, complaint } of wrong) {
      const complaints = rule.check(new Map(Object.entries(tree)));
      t.is(complaints.length, 1, `${JSON.stringify(tree)} → ${complaints.join('; ')}`);
      t.true(complaints[0]?.includes(complaint), complaints[0]);
    }
    t.deepEqual(rule.check(new Map(Object.entries(right))), []);
  });
}

test('importsOf() sees every way to draw something in', (t) => {
  const text = `
import a from 'a';
import { b } from "./b.ts";
import type {
  C,
} from '../c.ts';
import './d.ts';
export { e } from './e.ts';
export * from './f.ts';
type G = import('./g.ts').G;
const h = await import('./h.ts');
new Worker(new URL('./i.ts', import.meta.url));
`;
  const expected = [
    'a',
    'src/x/b.ts',
    'src/c.ts',
    'src/x/e.ts',
    'src/x/f.ts',
    'src/x/d.ts',
    'src/x/g.ts',
    'src/x/h.ts',
    'src/x/i.ts',
  ];
  t.deepEqual(importsOf('src/x/y.ts', text), expected);
});

test('the tree was read: each stage has files', (t) => {
  for (const folder of ['bpf/', 'native/', 'src/kube/', 'src/model/', 'src/plan/', 'src/kernel/', 'src/commands/'])
    t.true(
      [...tree.keys()].some((path) => path.startsWith(folder) && path.endsWith('.ts')),
      folder,
    );
});

test('layout.gen.ts is what the compiled programs say', (t) => {
  const folder = join(root, 'build/bpf');
  const objects = readdirSync(folder).filter((name) => name.endsWith('.bpf.o'));
  t.true(objects.length > 0, 'make build first');
  const paths = objects.map((name) => join(folder, name));
  const { stdout, stderr } = spawnSync(process.execPath, [join(root, 'bpf/layout.ts'), ...paths], { encoding: 'utf8' });
  t.is(stderr, '');
  t.true(stdout === tree.get('src/layout.gen.ts'), 'src/layout.gen.ts differs: make gen');
});
