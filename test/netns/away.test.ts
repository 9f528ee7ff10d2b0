/** The agent is away for a while, and what is there keeps working. BPFSVC_DOWN_SECONDS (60) says how long. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { startCapture } from './capture.ts';
import { stop } from './command.ts';
import type { Lab, Place, Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { failures, startQuestions } from './questions.ts';
import { apply, isRight, setStage, web } from './scene.ts';
import { startClient, startServer } from './traffic.ts';

const DOWN_SECONDS = Number(process.env.BPFSVC_DOWN_SECONDS ?? 60);
const firm = ['10.96.0.2', 'fd00:10:96::2'];

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
  t.timeout(120_000 + DOWN_SECONDS * 1000);
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
  // a machine that is busy elsewhere may let a client wait for seconds; what is lost never comes
  const patience = { port: 80, timeout: 20_000 };
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
  for (const [name, { errors }] of [
    ...(toWeb ?? []),
    ...lateTallies.map((tally, i) => [`late ${i}`, tally] as const),
  ]) {
    t.log(name, JSON.stringify(errors));
  }
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
