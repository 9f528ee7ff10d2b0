import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import type { Result } from './run.ts';

const folder = import.meta.dirname;
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));

/** All stories by their files, as they come: one process replays them, see run.ts. */
const results = new Map(files.map((file) => [file, Promise.withResolvers<Result>()]));
let refused = 0;

test.before(() => {
  const paths = files.map((file) => join(folder, file));
  const args = ['--disable-warning=ExperimentalWarning', join(folder, 'run.ts'), '--json', ...paths];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let words = '';
  child.stderr.on('data', (text) => {
    words += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const result: Result = JSON.parse(line);
    refused += result.refused;
    results.get(result.file.slice(folder.length + 1))?.resolve(result);
  });
  child.on('close', () => {
    for (const { reject } of results.values()) reject(new Error(`the replay ended before this story: ${words}`));
  });
});

for (const file of files) {
  test(`${file.slice(0, -'.txt'.length)}: four replays agree with the story`, async (t) => {
    const result = await results.get(file)?.promise;
    const complaints = result?.complaints ?? ['it was not told'];
    t.is(complaints.length, 0, complaints.join('\n').replaceAll(`${folder}/`, 'test/scenarios/'));
  });
}

test('where one write in ten fails, some do', async (t) => {
  await Promise.allSettled([...results.values()].map(({ promise }) => promise));
  t.true(refused >= files.length, `${refused} writes were refused in ${files.length} stories`);
});
