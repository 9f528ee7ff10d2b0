import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { makeBpfFs, refusal } from './fixtures/playground.ts';
import { lockPath } from './index.ts';

test('lockPath() is held by one at a time, on a bpffs too', (t) => {
  using fs = makeBpfFs();
  const directory = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  t.teardown(() => rmdirSync(directory));
  for (const path of [fs.path, directory]) {
    const lock = lockPath(path);
    t.truthy(lock);
    t.is(lockPath(path), undefined);
    lock?.close();
    lock?.close();
    const again = lockPath(path);
    t.truthy(again);
    again?.close();
  }
});

test('lockPath() keeps other processes out, and is let go when its holder dies', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  t.teardown(() => rmdirSync(directory));
  const face = fileURLToPath(new URL('./index.ts', import.meta.url));
  const holder = `import(${JSON.stringify(face)}).then(({lockPath}) => {
    console.log(lockPath(${JSON.stringify(directory)}) ? 'held' : 'refused'); process.kill(process.pid, 'SIGKILL');
  })`;
  const child = () => spawnSync(process.execPath, ['-e', holder], { encoding: 'utf8' }).stdout.trim();
  {
    using _lock = lockPath(directory);
    t.is(child(), 'refused');
  }
  t.is(child(), 'held');
  t.is(child(), 'held');
});

test('lockPath() of nothing says so', (t) => {
  const { code, object } = refusal(() => lockPath('/nowhere/at/all'));
  t.deepEqual({ code, object }, { code: 'ENOENT', object: '/nowhere/at/all' });
});

test('lockPath() close() lets go at once, whatever processes are being started meanwhile', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  t.teardown(() => rmdirSync(directory));
  // between fork and exec a child has every descriptor of this process
  const starter = new Worker(
    `const { spawn } = require('node:child_process'); setInterval(() => spawn('true').on('error', () => {}), 1);`,
    { eval: true },
  );
  t.teardown(() => starter.terminate());
  await once(starter, 'online');
  let refused = 0;
  for (const end = Date.now() + 500; Date.now() < end; ) {
    const lock = lockPath(directory);
    if (lock === undefined) refused += 1;
    lock?.close();
  }
  t.is(refused, 0);
});
