/** The agent dies in the middle of changes, and nobody notices. BPFSVC_KILLS (100) says how often. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Allowed } from './allowed.ts';
import { crowdCidrs } from './crowd.ts';
import { mortal } from './mortal.ts';
import { manifest } from './objects.ts';
import { differences, lookups, plannedTables, readPinned } from './pinned.ts';
import { failures, startQuestions, summary } from './questions.ts';
import { apply, CROWD, isRight, objectsOf, type Stage, setStage, web } from './scene.ts';

const KILLS = Number(process.env.BPFSVC_KILLS ?? 100);

/** How an agent dies: after so many changes of the kernel, so long after its start, or so long after an edit. */
interface Death {
  readonly kind: 'change' | 'start' | 'edit';
  readonly after: number;
}

/** Lets the agent live, with this round's objects, until its death. */
async function liveAndDie({ agent }: Stage, text: string, { kind, after }: Death): Promise<void> {
  if (kind === 'edit') {
    await agent.start();
    agent.write(text);
    await sleep(after);
  } else if (kind === 'start') {
    agent.write(text);
    agent.start().catch(() => {}); // It may not come to its first pass.
    await sleep(after);
  } else {
    agent.write(text);
    await agent.start([], mortal(after)).catch(() => {});
  }
  await agent.end('SIGKILL');
}

test(`killed ${KILLS} times in the middle of changes: no request fails, each look-up finds an old row or a new one`, async (t) => {
  t.timeout(600_000);
  await using stage = await setStage('kill');
  const { agent, lab, node, backends, visitors } = stage;
  const kernel = async () => lookups((await readPinned(node.pinDir)).tables);
  const wantedNow = async () => lookups(await plannedTables(node, agent.manifests, crowdCidrs));
  const questions = startQuestions(visitors, { addresses: web, port: 80 });
  const target = { protocol: 'tcp', address: web[0] as string, port: 80 } as const;
  const talks = await Promise.all(Object.values(visitors).map((client) => client.open(target)));
  await agent.end('SIGKILL');
  const startMs = await millisecondsOf(() => agent.start());
  const passMs = await millisecondsOf(() => apply(stage, objectsOf(lab, backends, 1)));
  await agent.end('SIGKILL');

  let torn = 0;
  let allowed = new Allowed(await kernel());
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const objects = objectsOf(lab, backends, kill + 1);
    const kind = (['change', 'start', 'change', 'edit'] as const)[kill % 4] ?? 'start';
    const longest = { change: CROWD * 12, start: startMs * 1.2, edit: passMs * 1.2 }[kind];
    const before = await kernel();
    const death = { kind, after: Math.ceil(longest * Math.random()) };
    await liveAndDie(stage, manifest(objects), death);
    const [held, wanted] = [await kernel(), await wantedNow()];
    allowed.add(wanted);
    t.deepEqual(allowed.strangers(held), [], `rows that nobody wants after ${JSON.stringify(death)}`);
    if (differences(held, wanted).length === 0) allowed = new Allowed(held);
    else if (differences(held, before).length > 0) torn += 1;
  }
  t.log(`${torn} of ${KILLS} kills left the tables between two states`);
  t.true(torn > 0);

  const last = objectsOf(lab, backends, KILLS + 1);
  t.true((await agent.start()) >= 0);
  await agent.end('SIGKILL');
  t.is(await agent.start(), 0, 'rows that the last agent found wrong');
  await isRight(t, stage, last);
  for (const talk of talks) await talk.ask();
  const tallies = await questions.stop();
  t.log(summary(tallies));
  t.deepEqual(failures(tallies), []);
});

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
