import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { mutants } from './mutants/list.ts';
import { applyMutant, type Mutant } from './mutants/mutant.ts';

const root = join(import.meta.dirname, '..');

test('mutants: each still applies, and its tests exist (make mutants runs them)', (t) => {
  const stale = mutants.flatMap((mutant) => {
    try {
      applyMutant(mutant, readFileSync(join(root, mutant.file), 'utf8'));
      return globSync(mutant.tests, { cwd: root }).length > 0 ? [] : [`${mutant.name}: no ${mutant.tests}`];
    } catch (error) {
      return [String(error)];
    }
  });
  t.deepEqual(stale, []);
});

test('mutants: no two have one name', (t) => {
  const names = mutants.map(({ name }) => name);
  t.deepEqual(names, [...new Set(names)]);
});

test('applyMutant() refuses what is not there, is there twice, or changes nothing', (t) => {
  const mutant: Mutant = { name: 'x', file: 'a.ts', find: 'a', replace: '$&b', tests: '' };
  t.is(applyMutant(mutant, 'a'), '$&b');
  t.throws(() => applyMutant(mutant, 'b'), { message: /stands in a\.ts 0 times/ });
  t.throws(() => applyMutant(mutant, 'aa'), { message: /stands in a\.ts 2 times/ });
  t.throws(() => applyMutant({ ...mutant, replace: 'a' }, 'a'), { message: /changes nothing/ });
});
