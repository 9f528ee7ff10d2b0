/**
 * The agent dies, and nobody notices: killed in the middle of changes, and away for a while. BPFSVC_KILLS (100) says how
 * often it is killed, BPFSVC_DOWN_SECONDS (15) how long it stays away.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest from 'ava';
import { Allowed } from './allowed.ts';
import { startCapture } from './capture.ts';
import { stop } from './command.ts';
import { crowdCidrs } from './crowd.ts';
import type { Lab, Place, Pod } from './lab.ts';
import { mortal } from './mortal.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { differences, lookups, plannedTables, readPinned } from './pinned.ts';
import { failures, startQuestions, summary } from './questions.ts';
import { apply, CROWD, isRight, objectsOf, type Stage, setStage, web } from './scene.ts';
import { startClient, startServer } from './traffic.ts';

const test = anyTest.serial;

const KILLS = Number(process.env.BPFSVC_KILLS ?? 100);
const DOWN_SECONDS = Number(process.env.BPFSVC_DOWN_SECONDS ?? 15);
const firm = ['10.96.0.2', 'fd00:10:96::2'];

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

/** Connections and datagrams that a place answered with 'nobody listens here', so far. */
async function refusals(lab: Lab, place: Place): Promise<number> {
  const text = await lab.exec(place, ['cat', '/proc/net/snmp', '/proc/net/snmp6']);
  const rows = text.split('\n').map((line) => line.split(/\s+/));
  const value = (protocol: string, field: string): number => {
    const [names, values] = rows.filter(([first]) => first === `${protocol}:`);
    return Number(values?.[names?.indexOf(field) ?? -1]);
  };
  const ipv6 = Number(rows.find(([first]) => first === 'Udp6NoPorts')?.[1]);
  return value('Tcp', 'OutRsts') + value('Udp', 'NoPorts') + ipv6;
}

test('away for a while: only requests to the backend that went away fail, and the next agent mends that', async (t) => {
  await using stage = await setStage('away');
  const { agent, lab, node, backends, servers, visitors } = stage;
  const [near, leaving, far] = backends;
  const objects = (behind: readonly Pod[]) => [
    ...nodeObjects(lab),
    ...serviceObjects({ name: 'web', clusterIPs: web }, behind),
    ...serviceObjects({ name: 'firm', clusterIPs: firm }, [near, far]),
  ];
  await apply(stage, objects(backends));
  const target = { protocol: 'tcp', address: web[1] as string, port: 80 } as const;
  const talks = await Promise.all(Object.values(visitors).map((client) => client.open(target)));
  await agent.end('SIGKILL');

  for (const talk of talks) if (talk.first.backend === leaving.name) await talk.close();
  await stop(servers[1] as ChildProcess, 'SIGKILL');
  const before = await refusals(lab, leaving);
  const late = await lab.addPod(node, 'late');
  await startServer(lab, late, [8080]);
  const arrived = startClient(lab, late, { cgroup: node.cgroup });
  const untranslated = startClient(lab, late);
  const wire = await startCapture(lab, lab.outside, 'eth0', 'net 10.96.0.0/16 or net fd00:10:96::/112');
  agent.write(manifest(objects([near, far, late])));
  const patience = { port: 80, timeout: 3000 };
  const asked = [
    startQuestions(visitors, { addresses: web, ...patience }),
    startQuestions(visitors, { addresses: firm, ...patience }),
  ];
  const ofLate = web.map((address) => arrived.stream({ protocol: 'tcp', address, ...patience, perSecond: 20 }));
  await sleep(DOWN_SECONDS * 500);
  for (const address of web) {
    for (const protocol of ['tcp', 'udp'] as const) {
      t.is((await untranslated.request({ protocol, address, port: 80, timeout: 300 })).ok, 0);
    }
  }
  await sleep(DOWN_SECONDS * 500);

  const [toWeb, toFirm] = await Promise.all(asked.map((questions) => questions.stop()));
  const lateTallies = await Promise.all(ofLate.map((stream) => stream.stop()));
  t.deepEqual(failures(toFirm ?? new Map()), [], 'to a Service all of whose backends are there');
  const failed = [...(toWeb?.values() ?? []), ...lateTallies].reduce((sum, tally) => sum + tally.failed, 0);
  t.true(failed > 0);
  t.is(failed, (await refusals(lab, leaving)) - before, 'each failure is a request that the pod without a server got');
  t.true(lateTallies.every(({ ok }) => ok > 0));
  t.deepEqual((await wire.stop()).length, 0, 'packets to Services on the wire');

  t.true((await agent.start()) > 0);
  const after = await refusals(lab, leaving);
  const again = startQuestions({ ...visitors, pod: untranslated }, { addresses: web, port: 80 });
  await sleep(1000);
  const tallies = await again.stop();
  t.deepEqual(failures(tallies), []);
  t.true([...tallies.values()].some(({ backends }) => (backends[late.name] ?? 0) > 0));
  t.is(await refusals(lab, leaving), after);
  for (const talk of talks) if (talk.first.backend !== leaving.name) await talk.ask();
  await isRight(t, stage, objects([near, far, late]));
});

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
