/** An agent that ends in peace: what stays, who may come after it, and what is left when all is taken away. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest from 'ava';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node } from './lab.ts';
import { type Pinned, readPinned } from './pinned.ts';
import { failures, startQuestions } from './questions.ts';
import { apply, isRight, objectsOf, setStageIn, web } from './scene.ts';
import { buildTool } from './tool.ts';

const test = anyTest.serial;

/** What iproute2 says of a node: devices, routes, rules, filters. */
async function surroundings(lab: Lab, node: Node): Promise<string> {
  const words = [
    'ip -o link',
    'ip -o address',
    'ip route show table all',
    'ip -6 route show table all',
    'ip rule',
    'tc qdisc',
  ];
  return (await Promise.all(words.map((line) => lab.exec(node, line.split(' '))))).join('\n');
}

/** What the kernel still has of an agent's: 'tcx 4 type 46 program 17', 'map 12'. */
async function census(lab: Lab, node: Node, { links, programs, maps }: Pinned): Promise<string[]> {
  const devices = new Set(Object.keys(links).flatMap((pin) => /^tcx-(\d+)-/.exec(pin)?.[1] ?? []));
  const asked = [
    ['cgroup', node.cgroup],
    ...[...devices].map((ifindex) => ['tcx', ifindex]),
    ...Object.values(links).map(({ id }) => ['link', String(id)]),
    ...Object.values(programs).map((id) => ['program', String(id)]),
    ...Object.values(maps).map((id) => ['map', String(id)]),
  ];
  const text = await lab.exec(node, [buildTool('census'), ...asked.flat()]);
  return text.split('\n').filter((line) => line !== '');
}

test('ended in peace, it leaves traffic alone; its successor writes nothing; a second one is refused; unload leaves nothing', async (t) => {
  await using lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 3, rpFilter: 1, tag: 'peace' });
  const before = await surroundings(lab, lab.node('n1'));
  const stage = await setStageIn(lab);
  await using _agent = stage.agent;
  const { agent, node, backends, visitors } = stage;
  const questions = startQuestions(visitors, { addresses: web, port: 80 });
  const first = await readPinned(node.pinDir);
  await agent.end('SIGTERM');
  t.deepEqual(await readPinned(node.pinDir), first);
  await sleep(500);
  t.is(await agent.start(), 0);
  t.deepEqual(
    await readPinned(node.pinDir),
    first,
    'generation, links, programs, maps and rows, by the numbers of the kernel',
  );

  const second = ['run', '--manifests', agent.manifests, '--node', node.name, '--cgroup', node.cgroup];
  const refused = await agent.bpfsvc(...second);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /^bpfsvc: another bpfsvc agent \(pid \d+\) holds \S+: stop it first, .*\n$/);
  t.is((await agent.bpfsvc('unload')).code, 1);
  t.deepEqual(await readPinned(node.pinDir), first);
  await apply(stage, objectsOf(lab, backends, 1));
  await isRight(t, stage, objectsOf(lab, backends, 1));
  t.deepEqual(failures(await questions.stop()), []);

  const last = await readPinned(node.pinDir);
  await agent.end('SIGTERM');
  const there = Object.keys(last.links).length + Object.keys(last.programs).length + Object.keys(last.maps).length;
  t.is((await census(lab, node, last)).length, there + Object.keys(last.links).length);
  const unloaded = await agent.bpfsvc('unload');
  t.is(unloaded.code, 0, unloaded.stderr);
  t.false(existsSync(node.pinDir));
  await eventually(async () => assert.deepEqual(await census(lab, node, last), []));
  t.is(await surroundings(lab, node), before);
  t.regex((await agent.bpfsvc('unload')).stdout, /^nothing was loaded/);
});
