/** An upgrade that is taken back, under traffic: the old release, the new one, the old one. */
import anyTest, { type ExecutionContext } from 'ava';
import { makeOtherBuild } from './other-build.ts';
import { readPinned } from './pinned.ts';
import { failures, startQuestions, summary } from './questions.ts';
import { type Stage, setStage, settled, web } from './scene.ts';
import type { Connection } from './traffic.ts';

const test = anyTest.serial;

/** Conversations of all three kinds of clients. */
async function startTalks({ visitors: { pod, socket, host } }: Stage): Promise<Connection[]> {
  return await Promise.all(
    web.flatMap((address) => [
      pod.open({ protocol: 'tcp', address, port: 80 }),
      socket.open({ protocol: 'tcp', address, port: 80 }),
      host.open({ protocol: 'tcp', address, port: 80 }),
      pod.open({ protocol: 'udp', connected: true, address, port: 80 }),
      socket.open({ protocol: 'udp', connected: false, address, port: 80 }),
      host.open({ protocol: 'udp', connected: true, address, port: 80 }),
    ]),
  );
}

async function goOn(t: ExecutionContext, talks: readonly Connection[]): Promise<void> {
  for (const { first, ask } of talks) t.deepEqual(await ask(), first);
}

test('an upgrade and the way back lose no request and no conversation, and each build runs its own programs', async (t) => {
  t.timeout(300_000);
  await using stage = await setStage('rollback');
  const { agent, node, visitors } = stage;
  using newer = makeOtherBuild('9.9.9');
  const talks = await startTalks(stage);
  const questions = startQuestions(visitors, { addresses: web, port: 80 });
  const old = await readPinned(node.pinDir);
  const seen = [old.hash];
  for (const [program, how] of [
    [newer.cli, 'SIGTERM'],
    [undefined, 'SIGTERM'],
    [newer.cli, 'SIGKILL'],
    [undefined, 'SIGKILL'],
  ] as const) {
    await agent.end(how);
    await agent.start([], {}, program);
    await settled(agent, node);
    const { hash, maps } = await readPinned(node.pinDir);
    seen.push(hash);
    t.is(maps.flows, old.maps.flows, 'the flows are the very same map');
    await goOn(t, talks);
  }
  const [first, second] = seen;
  t.not(first, second);
  t.deepEqual(seen, [first, second, first, second, first]);
  const tallies = await questions.stop();
  t.log(summary(tallies));
  t.deepEqual(failures(tallies), []);
});
