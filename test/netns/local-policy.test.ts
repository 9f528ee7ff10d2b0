/** externalTrafficPolicy Local by real packets: who asks decides, and a policy that changes cuts nobody off. */
import anyTest from 'ava';
import { abroadAddress } from './abroad.ts';
import {
  counters,
  type Family,
  families,
  freshPorts,
  type Manner,
  type Name,
  setStage,
  stageText,
  strict,
  target,
  throughFirst,
} from './outside-stage.ts';
import { startVisitors } from './questions.ts';
import type { Connection } from './traffic.ts';

const test = anyTest.serial;
const manners: readonly Manner[] = ['nodePort', 'externalIP', 'load balancer'];
const protocols = ['tcp', 'udp'] as const;
const stays = { externalTrafficPolicy: 'Local' };

interface Way {
  readonly manner: Manner;
  readonly family: Family;
  readonly protocol: 'tcp' | 'udp';
}

/** Each way in, of both families and protocols. */
function* ways(): Generator<Way> {
  for (const manner of manners)
    for (const family of families) for (const protocol of protocols) yield { manner, family, protocol };
}

/** As servers tell the address of a client. */
const shown = (address: string) => (address.includes(':') ? `[${address}]` : address);

for (const shape of ['ptp', 'bridge'] as const) {
  test(`who asks from outside gets a backend of this node that sees who it is, or nothing (${shape})`, async (t) => {
    await using stage = await setStage(`local${shape}`, { ...strict, shape }, 2, stays);
    await throughFirst(stage);
    const { lab, abroad, node, agent } = stage;
    const ask = async (name: Name, way: Way, timeout = 10_000) =>
      await abroad.request({
        protocol: way.protocol,
        ...target(name, way.manner, way.family, node),
        sourcePort: freshPorts(1),
        timeout,
      });
    for (const way of ways()) {
      const text = `${way.manner} ${way.family} ${way.protocol}`;
      const near = await ask('near', way);
      t.deepEqual(near.backends, { n1p1: 1 }, `${text} ${JSON.stringify(near.errors)}`);
      t.deepEqual(near.clients, { [shown(abroadAddress[way.family])]: 1 }, text);
      t.deepEqual((await ask('far', way, 400)).errors, { TIMEOUT: 1 }, text);
      t.deepEqual((await ask('none', way)).errors, { ECONNREFUSED: 1 }, text);
    }
    const events = await counters(agent);
    for (const protocol of protocols) {
      t.true((events[`far ${protocol}`]?.drop_no_local_endpoint ?? 0) >= 6);
      t.is(events[`far ${protocol}`]?.connected_wire, undefined);
      t.is(events[`none ${protocol}`]?.reject_no_endpoint, 6);
    }
    const there = await abroad.request({ protocol: 'tcp', ...target('far', 'nodePort', 'ip4', lab.node('n2')) });
    t.like(there, { backends: { n2p1: 1 }, clients: { [abroadAddress.ip4]: 1 } }, 'the other node has one');
  });

  test(`pods and the node get all backends, and keep their address (${shape})`, async (t) => {
    await using stage = await setStage(`short${shape}`, { ...strict, shape }, 2, stays);
    const { lab, node, agent } = stage;
    const pod = lab.pod('n1p1');
    const visitors = startVisitors(lab, node, pod);
    for (const [who, client] of Object.entries(visitors)) {
      for (const { manner, family, protocol } of ways()) {
        const text = `${who} ${manner} ${family} ${protocol}`;
        const asked = target('far', manner, family, node);
        const tally = await client.request({ protocol, ...asked, sourcePort: freshPorts(1) });
        t.deepEqual(tally.backends, { n2p1: 1 }, `${text} ${JSON.stringify(tally.errors)}`);
        t.deepEqual(tally.clients, { [shown(who === 'host' ? node[family] : pod[family])]: 1 }, text);
      }
    }
    const events = await counters(agent);
    t.is(events['far tcp']?.connected_pod, 6);
    t.is(events['far tcp']?.connected_socket, 12);
  });
}

test('a policy that changes leaves what lives as it is, and decides about what begins', async (t) => {
  await using stage = await setStage('flips', strict, 2);
  await throughFirst(stage);
  const { lab, abroad, node, agents } = stage;
  const flip = async (spec: object) => {
    for (const one of agents) await one.apply(stageText(lab, spec));
  };
  const open = async (name: Name): Promise<Connection[]> => {
    const talks: Connection[] = [];
    for (const { manner, family, protocol } of ways())
      talks.push(await abroad.open({ protocol, ...target(name, manner, family, node), sourcePort: freshPorts(1) }));
    return talks;
  };
  const talks = { far: await open('far'), near: await open('near') };
  const alive = async (when: string) => {
    for (const [name, backend] of [
      ['far', 'n2p1'],
      ['near', 'n1p1'],
    ] as const) {
      for (const talk of talks[name]) t.is((await talk.ask()).backend, backend, when);
    }
  };
  await flip(stays);
  await alive('from Cluster to Local');
  const asked = { protocol: 'tcp', ...target('far', 'nodePort', 'ip4', node) } as const;
  t.deepEqual((await abroad.request({ ...asked, timeout: 400 })).errors, { TIMEOUT: 1 });
  talks.near.push(...(await open('near')));
  await flip({});
  await alive('and back');
  t.like(await abroad.request(asked), { ok: 1, backends: { n2p1: 1 } });
  for (const talk of [...talks.far, ...talks.near]) await talk.close();
});
