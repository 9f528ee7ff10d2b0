import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import anyTest from 'ava';
import { worlds } from '../../test/explain/worlds.ts';
import type { Answer } from './answer.ts';

const test = anyTest.serial;
const script = fileURLToPath(new URL('../../test/explain/answer-worlds.ts', import.meta.url));

type Answers = Record<string, Record<string, Answer>>;

async function answersOf(...options: string[]): Promise<Answers> {
  const run = promisify(execFile);
  return JSON.parse((await run(process.execPath, [script, ...options], { maxBuffer: 2 ** 26 })).stdout);
}

let answers: Answers;
let withoutSockets: Answers;
test.before(async () => {
  answers = await answersOf();
  withoutSockets = await answersOf('--no-sockets');
});

function textOf({ verdict, backends, masqueraded }: Answer): string {
  return [verdict, ...backends.map((backend) => (masqueraded.includes(backend) ? `${backend}*` : backend))].join(' ');
}

for (const world of worlds) {
  test(`explain: ${world.name}`, (t) => {
    for (const [flow, expected] of Object.entries(world.flows)) {
      const answer = answers[world.name]?.[flow] as Answer;
      t.is(textOf(answer), expected, `${flow}\n${JSON.stringify(answer.steps, null, 1)}`);
      const packet = withoutSockets[world.name]?.[flow];
      if (packet === undefined) continue;
      t.is(textOf(packet), expected, `${flow} without sockets\n${JSON.stringify(packet.steps, null, 1)}`);
      t.is(packet.service, answer.service);
    }
  });
}

test('the worlds are many', (t) => {
  t.true(worlds.length >= 30);
  t.true(worlds.flatMap(({ flows }) => Object.keys(flows)).length >= 150);
  t.is(new Set(worlds.map(({ name }) => name)).size, worlds.length);
});
