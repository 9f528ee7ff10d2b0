import test from 'ava';
import { Report } from './report.ts';
import { formatTable } from './table.ts';

function reportOf(...lines: readonly string[]): Report {
  const report = new Report('6.1');
  for (const line of lines) report.take(line);
  report.end();
  return report;
}

const whole = [
  '{"kind":"kernel","release":"6.1.0-9"}',
  '{"kind":"missing","name":"tcx links"}',
  '{"kind":"program","name":"from_pod","instructions":164412}',
];
const suite = '{"kind":"suite","name":"a.test.ts","code":0,"seconds":3}';
const end = '{"kind":"end"}';

test('Report counts programs that load and tests that pass', (t) => {
  const { passed, failed, missing, troubles } = reportOf(...whole, 'TAP version 13', 'ok 1 - a', suite, end);
  t.deepEqual({ passed, failed, missing, troubles }, { passed: 2, failed: 0, missing: ['tcx links'], troubles: [] });
});

const failures: readonly { name: string; lines: readonly string[]; trouble: RegExp }[] = [
  { name: 'a test that fails', lines: ['ok 1 - a', 'not ok 2 - b', '  why', suite, end], trouble: /why/ },
  { name: 'a suite without a test', lines: [suite, end], trouble: /no test ran in a\.test\.ts/ },
  { name: 'ava that ends badly', lines: ['ok 1 - a', suite.replace('0', '1'), end], trouble: /ava ended with 1/ },
  { name: 'a guest that stops', lines: ['ok 1 - a', suite], trouble: /stopped before its end/ },
  {
    name: 'a program that does not load',
    lines: ['{"kind":"refused","name":"to_pod","reason":"stack"}', 'ok 1 - a', suite, end],
    trouble: /to_pod does not load: stack/,
  },
];

for (const { name, lines, trouble } of failures) {
  test(`Report takes for a failure: ${name}`, (t) => {
    const { failed, troubles } = reportOf(...whole, ...lines);
    t.is(failed, 1);
    t.regex(troubles.join('\n'), trouble);
  });
}

test('formatTable() gives each kernel a column, and names what was refused', (t) => {
  const table = formatTable([reportOf(...whole, 'ok 1 - a', suite, end)]);
  t.regex(table, /^from_pod +164,412$/m);
  t.regex(table, /^to_pod +refused$/m);
  t.regex(table, /^missing +tcx links$/m);
});
