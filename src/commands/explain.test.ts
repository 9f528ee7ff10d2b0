import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import anyTest from 'ava';
import { runCli } from '../../test/cli.ts';
import { type Schema, schemaErrors } from '../../test/json-schema.ts';
import type { Answer } from '../explain/answer.ts';

const test = anyTest.serial;

const file = (name: string) => fileURLToPath(new URL(`../../test/explain/${name}`, import.meta.url));
const json = (name: string) => JSON.parse(readFileSync(file(name), 'utf8'));
const schema: Schema = JSON.parse(readFileSync(new URL('explain.schema.json', import.meta.url), 'utf8'));
const town = ['explain', '--manifests', file('objects.yaml'), '--node', 'alder', '--cluster-cidr', '10.60.0.0/16'];

const fields = ({ verdict, backends, masqueraded, service }: Answer) => ({ verdict, backends, masqueraded, service });

test('explain --flows answers each question of a world, in its order', async (t) => {
  const { code, stdout, stderr } = await runCli(...town, '--flows', file('flows.json'), '-o', 'json');
  t.is(code, 0, stderr);
  const answers: Answer[] = JSON.parse(stdout);
  t.deepEqual(schemaErrors(answers, schema), []);
  const expected: (Answer & { why: string })[] = json('answers.json');
  t.is(answers.length, expected.length);
  for (const [i, answer] of answers.entries()) {
    const { why, ...wanted } = expected[i] as Answer & { why: string };
    t.deepEqual(fields(answer), wanted, `flow ${i + 1}: ${why}\n${JSON.stringify(answer, null, 2)}`);
    t.true(answer.reason.length > 0);
  }
});

test('explain of one question is one object, or text', async (t) => {
  const question = ['--from', '203.0.113.65', '--to', '198.51.100.10:8000'];
  const { stdout } = await runCli(...town, ...question, '-o', 'json');
  const answer: Answer = JSON.parse(stdout);
  t.deepEqual(schemaErrors(answer, schema), []);
  t.is(answer.service, 'town/library:catalogue');
  const text = (await runCli(...town, ...question)).stdout;
  for (const { text: words } of answer.steps.filter(({ step }) => step !== 'packet'))
    t.true(text.includes(words), words);
});

test('explain heeds --masquerade-all and --service-proxy-name', async (t) => {
  const ask = async (...words: string[]): Promise<Answer> =>
    JSON.parse((await runCli(...town, ...words, '--to', '10.97.0.10:8000', '-o', 'json')).stdout);
  const pod = ['--from', '10.60.1.3'];
  const answer = await ask(...pod, '--masquerade-all');
  t.is(answer.verdict, 'dnat');
  t.true(answer.backends.length > 1);
  t.deepEqual(answer.masqueraded, answer.backends);
  t.deepEqual((await ask(...pod)).masqueraded, []);
  t.is((await ask(...pod, '--service-proxy-name', 'ours')).service, null);
});

test('explain says what is wrong with what was typed', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /--from ADDRESS and --to ADDRESS:PORT are missing/],
    [['--from', '10.60.1.3', '--to', '10.97.0.10'], /"10.97.0.10" is not ADDRESS:PORT/],
    [['--from', '10.60.1.300', '--to', '10.97.0.10:80'], /"10.60.1.300" is not an address/],
    [['--from', 'fd00::1', '--to', '10.97.0.10:80'], /not of one family/],
    [['--from', '10.60.1.3', '--to', '10.97.0.10:80', '--protocol', 'icmp'], /"icmp" is not one of tcp, udp, sctp/],
    [['--from', '10.60.1.3', '--to', '10.97.0.10:0'], /0 is not a port/],
    [['--flows', file('no-such.json')], /no-such.json/],
    [['--flows', file('objects.yaml')], /is not JSON/],
  ];
  for (const [words, pattern] of cases) {
    const { code, stderr } = await runCli(...town, ...words);
    t.is(code, 2, words.join(' '));
    t.regex(stderr, pattern);
  }
  const unknown = await runCli(
    'explain',
    '--manifests',
    file('objects.yaml'),
    '--node',
    'oak',
    '--from',
    '10.0.0.1',
    '--to',
    '10.97.0.10:80',
  );
  t.is(unknown.code, 2);
  t.regex(unknown.stderr, /no Node 'oak'/);
});
