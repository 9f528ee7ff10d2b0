import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { run } from './fixtures/playground.ts';
import { bpfFsMount, isBpfFs } from './index.ts';

test('bpfFsMount() makes the directory and mounts; again it does nothing', (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  const path = join(parent, 'a', 'b');
  t.false(isBpfFs(path));
  bpfFsMount(path);
  t.teardown(() => {
    run('umount', path);
    rmSync(parent, { recursive: true });
  });
  t.true(isBpfFs(path));
  t.is(statSync(path).mode & 0o777, 0o700);
  bpfFsMount(path);
  t.is(run('findmnt', '-n', '-o', 'FSTYPE', path).trim(), 'bpf');
});

test('bpfFsMount() on a file says so', (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'libbpf-ts-')), 'file');
  writeFileSync(file, '');
  t.throws(() => bpfFsMount(file), { code: 'EEXIST' });
  rmSync(join(file, '..'), { recursive: true });
});
