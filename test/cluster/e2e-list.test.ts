import { readFileSync } from 'node:fs';
import test from 'ava';
import { focusOn, parseReport, parseTestList, testsOf } from './e2e-list.ts';

test('the list of upstream tests: parts in their order, each test once, a reason for what is left out', (t) => {
  const list = parseTestList(readFileSync(new URL('e2e-tests.txt', import.meta.url), 'utf8'));
  t.deepEqual(
    list.parts.map(({ name }) => name),
    ['proxy', 'other', 'dual', 'dns', 'long'],
  );
  t.is(list.parts[0]?.tests.length, 65);
  const all = list.parts.flatMap(({ tests }) => tests);
  t.deepEqual(
    all.filter((name) => list.skips.some(({ tests }) => tests.test(name))),
    [],
  );
});

test('a test that stands in two parts is an error', (t) => {
  t.throws(() => parseTestList('## a: x\nServices run\n## b: y\nServices run\n'), { message: /twice: Services run/ });
});

test('a focus is on whole names', (t) => {
  const focus = new RegExp(focusOn(['Services run (fast) [Slow]']));
  t.true(focus.test('Kubernetes e2e suite [sig-network] Services run (fast) [Slow]'));
  t.false(focus.test('Kubernetes e2e suite [sig-network] Services run (fast) [Slow] twice'));
});

test('a report: passed, failed, skipped by itself, not chosen', (t) => {
  const xml = `
    <testcase name="[It] [sig-network] Services a &#34;b&#34; [Slow]" classname="x" status="passed" time="1.5"></testcase>
    <testcase name="[It] [sig-network] Services c" status="failed" time="2"><failure message="timed out&#xA;more" type="failed">text</failure></testcase>
    <testcase name="[It] [sig-network] Services d" status="skipped" time="0.1"><skipped message="skipped - only for providers [gce]"></skipped></testcase>
    <testcase name="[It] [sig-network] Services e" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
    <testcase name="[SynchronizedBeforeSuite]" status="passed" time="9"></testcase>`;
  t.deepEqual(parseReport(xml), [
    { test: 'Services a "b" [Slow]', result: 'passed', seconds: 1.5, reason: '' },
    { test: 'Services c', result: 'failed', seconds: 2, reason: 'timed out' },
    { test: 'Services d', result: 'skipped', seconds: 0.1, reason: 'only for providers [gce]' },
  ]);
  t.deepEqual(testsOf(xml), ['Services a "b" [Slow]', 'Services c', 'Services d', 'Services e']);
});
