/**
 * XDP with real packets: a veth has it natively where its peer polls, which GRO makes it do, and where senders compute their
 * checksums. Frames that are sent back by the driver are seen by its counters alone.
 */
import anyTest from 'ava';
import type { Lab, Node } from './lab.ts';
import { families, freshPorts, type Stage, setStage, strict, target } from './outside-stage.ts';

const test = anyTest.serial;

/** Frames that XDP of the uplink sent back, which a veth does by a redirect to itself, and that were dropped. */
async function sentBack(lab: Lab, node: Node): Promise<{ sent: number; dropped: number }> {
  const text = await lab.exec(node, ['ethtool', '-S', 'eth0']);
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`rx_queue_\\d+_${name}: (\\d+)`, 'g'))].reduce((all, [, one]) => all + Number(one), 0);
  const lost = ['xdp_tx_errors', 'xdp_redirect_errors', 'xdp_drops'].map(sum).reduce((a, b) => a + b);
  return { sent: sum('xdp_redirect'), dropped: lost };
}

/** An agent on the first node whose flag names the uplink, once the other end of that polls. */
async function setXdpStage(tag: string): Promise<Stage> {
  const stage = await setStage(tag, { ...strict, offloads: false }, 1);
  const { lab, agent } = stage;
  const hub = { name: 'switch', netns: `${lab.prefix}-switch`, ip4: '', ip6: '' };
  try {
    await agent.end();
    await lab.exec(hub, ['ethtool', '-K', 'port0', 'gro', 'on']);
    await Promise.all([agent.logged(/XDP of eth0/), agent.start(['--xdp', 'eth0'])]);
    return stage;
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}

test('living flows to a backend elsewhere are served in the driver: bulk and datagrams, both families', async (t) => {
  await using stage = await setXdpStage('xdp');
  const { lab, node, abroad } = stage;
  for (const family of families) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const before = await sentBack(lab, node);
      const size = protocol === 'tcp' ? 300_000 : 1200;
      const tally = await abroad.request({
        protocol,
        ...target('far', 'nodePort', family, node),
        sourcePort: freshPorts(3),
        count: 3,
        questions: 40,
        size,
        echo: true,
        timeout: 20_000,
      });
      t.like(tally, { ok: 120, errors: {} }, `${family} ${protocol}`);
      const after = await sentBack(lab, node);
      const least = protocol === 'tcp' ? 120 * 2 * (size / 1500) : 2 * 3 * 35;
      t.true(after.sent - before.sent > least, `${family} ${protocol}: ${after.sent - before.sent} frames`);
      t.is(after.dropped, before.dropped);
    }
  }
  const near = await sentBack(lab, node);
  const tally = await abroad.request({ protocol: 'tcp', ...target('near', 'nodePort', 'ip4', node), questions: 20 });
  t.like(tally, { ok: 20, backends: { n1p1: 20 } });
  t.is((await sentBack(lab, node)).sent, near.sent, 'a backend of this node is tc’s');
});

test('flows outlive the agent, a restart without XDP and one with it, and unload takes it away', async (t) => {
  await using stage = await setXdpStage('xdplife');
  const { lab, node, abroad, agent } = stage;
  const talks = await Promise.all(
    families.flatMap((family) =>
      (['tcp', 'udp'] as const).map((protocol) =>
        abroad.open({
          protocol,
          ...target('far', 'nodePort', family, node),
          sourcePort: freshPorts(1),
          timeout: 10_000,
        }),
      ),
    ),
  );
  const asked = async (): Promise<number> => {
    const before = await sentBack(lab, node);
    for (let i = 0; i < 30; i++) for (const talk of talks) t.is((await talk.ask()).backend, 'n2p1');
    return (await sentBack(lab, node)).sent - before.sent;
  };
  t.true((await asked()) > 100);
  await agent.end('SIGKILL');
  t.true((await asked()) > 100, 'with the agent dead');
  await agent.start(['--xdp', 'off']);
  t.notRegex(await lab.exec(node, ['ip', 'link', 'show', 'eth0']), / xdp /);
  t.is(await asked(), 0, 'without XDP');
  await agent.end();
  await agent.start(['--xdp', 'eth0', '--map-size', 'flows=4096']);
  t.true((await asked()) > 100, 'in a new generation, and on');
  const { stdout } = await agent.bpfsvc('check', '--xdp', 'eth0');
  t.regex(stdout, /eth0 +yes +said so by --xdp/);
  t.regex((await agent.bpfsvc('check')).stdout, /eth0 +no +software \(veth\)/);
  await agent.end();
  const unloaded = await agent.bpfsvc('unload');
  t.regex(unloaded.stdout, /eth0 xdp/);
  t.notRegex(await lab.exec(node, ['ip', 'link', 'show', 'eth0']), / xdp /);
  for (const talk of talks) await talk.close();
});

test('an XDP program of somebody else on the uplink stays, is told of, and hurts nobody', async (t) => {
  await using stage = await setXdpStage('xdpelse');
  const { lab, node, abroad, agent } = stage;
  await agent.end();
  await agent.bpfsvc('unload');
  await lab.exec(node, [
    'ip',
    'link',
    'set',
    'eth0',
    'xdpdrv',
    'object',
    'native/build/packet.bpf.o',
    'section',
    'xdp',
  ]);
  const told = agent.logged(/eth0 xdp: somebody else has an XDP program there/);
  await agent.start(['--xdp', 'eth0']);
  await told;
  t.regex(await lab.exec(node, ['ip', 'link', 'show', 'eth0']), / xdp /);
  const { stdout } = await agent.bpfsvc('check', '--xdp', 'eth0');
  t.regex(stdout, /eth0 +no +somebody else has an XDP program there/);
  const tally = await abroad.request({ protocol: 'tcp', ...target('far', 'nodePort', 'ip4', node), questions: 5 });
  t.like(tally, { ok: 5, backends: { n2p1: 5 } });
});
