/** Pods that come and go while the agent runs, and devices that do not know what they want. */
import assert from 'node:assert/strict';
import anyTest from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type LabOptions, type Node, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { readPinned } from './pinned.ts';
import { failures, startQuestions, startVisitors } from './questions.ts';
import { startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const web = ['10.96.0.1', 'fd00:10:96::1'];

interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  readonly agent: Agent;
  readonly objects: (behind: readonly Pod[]) => string;
}

async function setStage(shape: LabOptions['shape']): Promise<Stage> {
  const lab = await createLab({ shape, podsPerNode: 2, rpFilter: 1, tag: 'pods' });
  const node = lab.node('n1');
  const objects = (behind: readonly Pod[]) =>
    manifest([...nodeObjects(lab), ...serviceObjects({ name: 'web', clusterIPs: web }, behind)]);
  const server = lab.pod('n1p2');
  await startServer(lab, server, [8080]);
  const flags = ['--service-cidr', '10.96.0.0/16,fd00:10:96::/112'];
  const agent = await startAgent(lab, node, objects([server]), flags);
  return {
    lab,
    node,
    agent,
    objects,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

/** The pins of hooks at devices. */
async function devicePins(node: Node): Promise<string[]> {
  return Object.keys((await readPinned(node.pinDir)).links).filter((pin) => pin.startsWith('tcx-'));
}

/** Both ways of each pod's veth, and of the one wire. */
function hooksOf(node: Node): number {
  return 2 * node.pods.length + 2;
}

async function connectionsAtTc(agent: Agent): Promise<number> {
  const { stdout } = await agent.bpfsvc('dump', 'services', 'default/web', '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { counters: Record<string, number> }[] };
  return items.reduce((sum, { counters }) => sum + (counters.connected_pod ?? 0), 0);
}

for (const shape of ['ptp', 'bridge'] as const) {
  test(`a pod that appears is served at its veth, whatever its sockets do, and nothing of it stays when it goes: ${shape}`, async (t) => {
    await using stage = await setStage(shape);
    const { lab, node, agent } = stage;
    const before = await eventually(async () => {
      const { links } = await readPinned(node.pinDir);
      assert.ok(Object.keys(links).length > 8);
      return links;
    });
    const attached = agent.logged(/^attached at vethlate /);
    const late = await lab.addPod(node, 'late');
    await attached;
    t.is((await devicePins(node)).length, Object.keys(before).filter((pin) => pin.startsWith('tcx-')).length + 2);
    const served = await connectionsAtTc(agent);
    await using outside = startClient(lab, late);
    await using inside = startClient(lab, late, { cgroup: node.cgroup });
    let sourcePort = 20_000; // Of its own for each socket: one that comes again would belong to the flow before.
    for (const address of web) {
      for (const client of [outside, inside]) {
        const plan = {
          protocol: 'udp',
          connected: true,
          address,
          port: 80,
          count: 10,
          questions: 2,
          sourcePort,
        } as const;
        const tally = await client.request(plan);
        t.is(tally.ok, 20, JSON.stringify(tally.errors));
        sourcePort += 10;
      }
      t.is((await outside.request({ protocol: 'tcp', address, port: 80, count: 10, sourcePort })).ok, 10);
    }
    t.is((await connectionsAtTc(agent)) - served, 60);

    const gone = agent.logged(/^detached tcx-\d+-ingress$/);
    lab.removePod(late);
    await gone;
    await eventually(async () => assert.deepEqual((await readPinned(node.pinDir)).links, before));
  });
}

test('pods by the dozen come and go while others ask: no request fails, and the pins are those of the devices', async (t) => {
  await using stage = await setStage('ptp');
  const { lab, node, agent, objects } = stage;
  const visitors = startVisitors(lab, node, lab.pod('n1p1'));
  const questions = startQuestions(visitors, { addresses: web, port: 80 });
  const pods: Pod[] = [];
  for (let i = 0; i < 12; i += 1) {
    pods.push(await lab.addPod(node, `come${i}`));
    if (i % 3 === 2) lab.removePod(pods.shift() as Pod);
  }
  const last = pods.at(-1) as Pod;
  await startServer(lab, last, [8080]);
  agent.write(objects([lab.pod('n1p2'), last]));
  await eventually(async () => assert.equal((await devicePins(node)).length, hooksOf(node)));
  await using client = startClient(lab, pods[0] as Pod);
  await eventually(async () => {
    const { ok, backends } = await client.request({ protocol: 'tcp', address: web[0] as string, port: 80, count: 20 });
    assert.equal(ok, 20);
    assert.equal(Object.keys(backends).length, 2);
  });
  t.deepEqual(failures(await questions.stop()), []);
});

test('a device that flaps, changes its name and vanishes does not end the agent, nor disturb others', async (t) => {
  await using stage = await setStage('ptp');
  const { lab, node, agent, objects } = stage;
  const visitors = startVisitors(lab, node, lab.pod('n1p1'));
  const questions = startQuestions(visitors, { addresses: web, port: 80 });
  const spare = await lab.addPod(node, 'spare');
  const lines: string[] = [];
  for (let i = 0; i < 60; i += 1) {
    lines.push(`link set ${spare.veth} down`, `link set ${spare.veth} up`);
    lines.push(`link add flap${i} type veth peer name peer${i} netns ${spare.netns}`, `link set flap${i} up`);
    if (i % 2 === 0) lines.push(`link set flap${i} name other${i}`);
    lines.push(`link del ${i % 2 === 0 ? 'other' : 'flap'}${i}`);
  }
  await lab.exec(node, ['ip', '-batch', '-'], { input: lines.join('\n') });
  const server = await lab.addPod(node, 'server');
  await startServer(lab, server, [8080]);
  agent.write(objects([server]));
  await eventually(async () => {
    const { backends } = await visitors.pod.request({ protocol: 'tcp', address: web[1] as string, port: 80, count: 5 });
    assert.deepEqual(backends, { server: 5 });
  });
  await eventually(async () => assert.equal((await devicePins(node)).length, hooksOf(node)));
  t.deepEqual(failures(await questions.stop()), []);
  t.deepEqual(
    agent.log.filter(({ level }) => level !== 'info'),
    [],
  );
});
