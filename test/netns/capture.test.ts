import test from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { createLab } from './lab.ts';
import { startClient, startServer } from './traffic.ts';

test('startCapture() sees every packet, and none with a wrong checksum where offloads are off', async (t) => {
  await using lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 1, offloads: false, tag: 'capture' });
  const [from, to] = [lab.pod('n1p1'), lab.pod('n2p1')];
  await startServer(lab, to, [80]);
  await using client = startClient(lab, from);
  const capture = await startCapture(lab, lab.node('n1'), from.veth, 'port 80');
  for (const address of [to.ip4, to.ip6]) {
    for (const protocol of ['tcp', 'udp'] as const) {
      await client.request({ protocol, address, port: 80, size: 5000, timeout: 5000 });
    }
  }
  const packets = await capture.stop();
  t.deepEqual(
    packets.flatMap(({ packet }) => faults(packet)),
    [],
  );
  const syns = packets.filter(({ packet }) => packet.transport.kind === 'tcp' && packet.transport.flags === 'S');
  t.deepEqual(
    syns.map(({ packet }) => packet.ip?.destination),
    [to.ip4, to.ip6],
  );
  const resets = packets.filter(
    ({ packet }) => packet.transport.kind === 'tcp' && packet.transport.flags.includes('R'),
  );
  t.is(resets.length, 0);
});

test('stop() waits for what a busy machine has not let it read', async (t) => {
  await using lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 1, offloads: false, tag: 'capture' });
  const [from, to] = [lab.pod('n1p1'), lab.pod('n2p1')];
  await startServer(lab, to, [80]);
  await using client = startClient(lab, from);
  const capture = await startCapture(lab, lab.node('n1'), from.veth, 'udp and src port 80 or ip[6:2] & 0x1fff != 0');
  process.kill(capture.pid, 'SIGSTOP');
  const plan = { protocol: 'udp', address: to.ip4, port: 80, size: 60_000, questions: 20, echo: true } as const;
  t.is((await client.request(plan)).ok, 20);
  process.kill(capture.pid, 'SIGCONT');
  // 41 pieces each way, but for the first of a question, which is not from port 80
  t.is((await capture.stop()).length, 20 * 81);
});

test('startCapture() says why it cannot', async (t) => {
  await using lab = await createLab({ shape: 'ptp', podsPerNode: 1, tag: 'capture' });
  await t.throwsAsync(startCapture(lab, lab.node('n1'), 'nowhere0'), { message: /nowhere0.*No such device/s });
});
