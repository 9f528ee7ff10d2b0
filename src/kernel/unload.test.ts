import { existsSync, mkdirSync, readdirSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { makeSandbox } from '../../test/sandbox.ts';
import { RefusedError } from './refused.ts';
import { unload } from './unload.ts';

const box = makeSandbox();
test.after.always(() => box.close());

test('unload() touches nothing that is not on a BPF filesystem, and no directory that others use', async (t) => {
  const path = join(box.directory, 'somebody');
  mkdirSync(join(path, 'links'), { recursive: true });
  symlinkSync('release-7', join(path, 'current'));
  writeFileSync(join(path, 'links', 'theirs'), '');
  await t.throwsAsync(unload(path), { instanceOf: RefusedError, message: /is not on a BPF filesystem/ });
  await t.throwsAsync(unload(join(path, 'links', 'theirs')), { instanceOf: RefusedError });
  t.deepEqual([readdirSync(path), readdirSync(join(path, 'links'))], [['current', 'links'], ['theirs']]);
  mkdirSync(join(box.bpfFs, 'theirs'));
  await unload(box.bpfFs);
  t.true(existsSync(join(box.bpfFs, 'theirs')));
  rmdirSync(join(box.bpfFs, 'theirs'));
});
