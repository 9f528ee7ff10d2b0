import { fork } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { makeSandbox } from '../../test/sandbox.ts';
import { lockHolder, lockPinDir } from './lock.ts';
import { makeDirectory } from './pins.ts';
import { RefusedError } from './refused.ts';

const box = makeSandbox();
test.after.always(() => box.close());

test('lockHolder() finds the holder by device and inode', (t) => {
  const locks = `1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF
2: FLOCK  ADVISORY  WRITE 22 00:27:77 0 EOF
3: FLOCK  ADVISORY  WRITE 33 08:01:77 0 EOF
3: -> FLOCK  ADVISORY  WRITE 44 08:01:77 0 EOF
`;
  t.is(lockHolder(locks, 0x801n, 77n), 33);
  t.is(lockHolder(locks, 0x27n, 77n), 22);
  t.is(lockHolder(locks, 0x801n, 78n), undefined);
});

test('lockHolder() does not name a holder in another pid namespace', (t) => {
  t.is(lockHolder('1: FLOCK  ADVISORY  WRITE 0 08:01:77 0 EOF\n', 0x801n, 77n), undefined);
});

test('lockPinDir() is free again after close', (t) => {
  const path = join(box.bpfFs, 'free');
  makeDirectory(path);
  lockPinDir(path).close();
  lockPinDir(path).close();
  t.true(statSync(path).isDirectory());
});

test('lockPinDir() names directory and process of another holder, and is free when that is killed', async (t) => {
  const path = join(box.bpfFs, 'held');
  makeDirectory(path);
  const holder = fork(new URL('../../test/hold-lock.ts', import.meta.url), [path]);
  await once(holder, 'message');
  const error = t.throws(() => lockPinDir(path), { instanceOf: RefusedError });
  t.true(error.message.includes(path));
  t.true(error.message.includes(`pid ${holder.pid}`));
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  t.notThrows(() => lockPinDir(path).close());
});
