import { execFileSync } from 'node:child_process';
import test from 'ava';
import { type Entry, makeTar } from './tar.ts';

const entries: readonly Entry[] = [
  { path: 'usr/bin/run', kind: 'file', bytes: Buffer.from('#!/x\n'), isExecutable: true },
  { path: 'usr/bin/alias', kind: 'link', target: 'run' },
  { path: 'etc/text', kind: 'file', bytes: Buffer.alloc(513, 'a') },
];

const listed = (tar: Buffer): string[] =>
  execFileSync('tar', ['--numeric-owner', '--full-time', '-tvf', '-'], {
    input: tar,
    encoding: 'utf8',
    env: { TZ: 'UTC' },
  })
    .trim()
    .split('\n')
    .map((line) => line.replace(/ +/g, ' '));

test('makeTar() is what tar reads: folders first, owners, modes and times always the same', (t) => {
  t.deepEqual(listed(makeTar(entries)), [
    'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 etc/',
    '-rw-r--r-- 0/0 513 1970-01-01 00:00:00 etc/text',
    'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 usr/',
    'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 usr/bin/',
    'lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 usr/bin/alias -> run',
    '-rwxr-xr-x 0/0 5 1970-01-01 00:00:00 usr/bin/run',
  ]);
});

test('makeTar() keeps every byte', (t) => {
  const input = makeTar(entries);
  t.is(execFileSync('tar', ['-xOf', '-', 'etc/text'], { input, encoding: 'utf8' }), 'a'.repeat(513));
  t.is(input.length % 512, 0);
});

test('makeTar() of the same entries in another order is the same bytes', (t) => {
  t.deepEqual(makeTar([...entries].reverse()), makeTar(entries));
});

test('makeTar() refuses a path that ustar has no room for', (t) => {
  t.throws(() => makeTar([{ path: 'a'.repeat(101), kind: 'link', target: 'b' }]), { instanceOf: RangeError });
});
