import { fileURLToPath } from 'node:url';
import test from 'ava';
import { enterNewNetns, run } from './fixtures/playground.ts';

test('the example runs as the README shows it', (t) => {
  using _netns = enterNewNetns();
  run('ip', 'link', 'set', 'lo', 'up');
  const lines = run(process.execPath, fileURLToPath(new URL('./example.ts', import.meta.url)))
    .trim()
    .split('\n');
  t.regex(lines[0] ?? '', /^loaded report_packet: \d+ instructions verified$/);
  t.deepEqual(lines.slice(1), [
    'attached: tcx_egress lo',
    'packet 1: 45 bytes',
    'packet 2: 49 bytes',
    'packet 3: 56 bytes',
  ]);
});
