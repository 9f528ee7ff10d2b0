import { readFileSync } from 'node:fs';
import test from 'ava';
import { run, turnsDuring } from './fixtures/playground.ts';
import { dropCode, kernelRelease, libbpfVersion, possibleCpus, synchronizeRcu } from './index.ts';

test('synchronizeRcu() waits off the event loop', async (t) => {
  t.true((await turnsDuring(Promise.all([synchronizeRcu(), synchronizeRcu()]))) > 0);
});

test('the kernel and libbpf tell who they are', (t) => {
  const { text, major, minor } = kernelRelease();
  t.true(run('uname', '-r').startsWith(text));
  t.true(text.startsWith(`${major}.${minor}.`) && major >= 6);
  t.regex(libbpfVersion(), /^v\d+\.\d+/);
  const [, last] = run('cat', '/sys/devices/system/cpu/possible').trim().split('-');
  t.is(possibleCpus, Number(last ?? 0) + 1);
});

test('dropCode() takes pages of code out of this process, which goes on', (t) => {
  const kilobytes = () => Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const before = kilobytes();
  dropCode();
  const after = kilobytes();
  t.true(after < before - 10_000, `${before} kB of files, then ${after}`);
  t.is(new Function('a', 'b', 'return a + b')(1, 2), 3);
});
