import test from 'ava';
import { createLab, type Lab, type Pod } from './lab.ts';
import { type Client, startClient, startServer } from './traffic.ts';

let lab: Lab;
let from: Pod;
let to: Pod;
let client: Client;

test.before(async () => {
  lab = await createLab({ shape: 'ptp', tag: 'traffic' });
  from = lab.pod('n1p1');
  to = lab.pod('n1p2');
  await startServer(lab, to, [80]);
  client = startClient(lab, from);
});
test.after.always(() => lab?.close());

for (const protocol of ['tcp', 'udp'] as const) {
  for (const kind of ['IPv4', 'IPv6', 'mapped IPv4'] as const) {
    test(`request() tells who answered, whom it saw and who that claims to be: ${protocol} ${kind}`, async (t) => {
      const address = { IPv4: to.ip4, IPv6: to.ip6, 'mapped IPv4': `::ffff:${to.ip4}` }[kind];
      const tally = await client.request({ protocol, address, port: 80, count: 3, questions: 2 });
      const shown = address.includes(':') ? `[${address}]:80` : `${address}:80`;
      t.like(tally, { asked: 6, ok: 6, failed: 0, errors: {}, failures: [] });
      t.deepEqual(tally.backends, { n1p2: 6 });
      t.deepEqual(tally.clients, { [address === to.ip6 ? `[${from.ip6}]` : from.ip4]: 6 });
      t.deepEqual(tally.peers, { [shown]: 6 });
      t.deepEqual(tally.froms, protocol === 'udp' ? { [shown]: 6 } : {});
      t.true(tally.slowest > 0);
    });
  }
}

test('request() over unconnected UDP has no peer, only the source of the answers', async (t) => {
  const tally = await client.request({ protocol: 'udp', address: to.ip4, port: 80, connected: false, questions: 3 });
  t.like(tally, { ok: 3, peers: {}, froms: { [`${to.ip4}:80`]: 3 } });
});

test('request() counts source ports up from the one it is given', async (t) => {
  for (const protocol of ['tcp', 'udp'] as const) {
    const target = { protocol, address: to.ip4, port: 80, sourcePort: 7000, ending: 'rst' } as const;
    t.is((await client.request({ ...target, count: 2 })).ok, 2);
    const connection = await client.open({ ...target, sourcePort: 7100 });
    t.is(connection.first.client, `${from.ip4}:7100`);
    t.is(connection.first.local, `${from.ip4}:7100`);
    await connection.close();
  }
});

test('request() names the failure: refused, and no answer', async (t) => {
  const closed = { address: to.ip4, port: 81 } as const;
  t.deepEqual((await client.request({ protocol: 'tcp', ...closed })).errors, { ECONNREFUSED: 1 });
  t.deepEqual((await client.request({ protocol: 'udp', ...closed })).errors, { ECONNREFUSED: 1 });
  const silent = await client.request({ protocol: 'udp', ...closed, connected: false, timeout: 50 });
  t.deepEqual(silent.errors, { TIMEOUT: 1 });
  t.like(silent, { ok: 0, failed: 1, failures: [{ code: 'TIMEOUT' }] });
});

test('open() keeps one socket for all questions', async (t) => {
  const connection = await client.open({ protocol: 'tcp', address: to.ip6, port: 80 });
  t.is((await connection.ask()).client, connection.first.client);
  await connection.close();
  await t.throwsAsync(client.open({ protocol: 'tcp', address: to.ip6, port: 81 }), { code: 'ECONNREFUSED' });
});

test('open() tells that the server has closed the connection', async (t) => {
  const server = await startServer(lab, to, [90]);
  const connection = await client.open({ protocol: 'tcp', address: to.ip4, port: 90 });
  server.kill('SIGTERM');
  const error = await t.throwsAsync<NodeJS.ErrnoException>(connection.ask().then(() => connection.ask()));
  t.true(['EOF', 'ECONNRESET', 'EPIPE'].includes(error.code ?? ''));
});

test('stream() goes on at its rate until it is stopped, and tells all', async (t) => {
  const stream = client.stream({ protocol: 'tcp', address: to.ip4, port: 80, perSecond: 200 });
  // A fifth of a second by the client's own clock.
  await client.request({ protocol: 'udp', address: to.ip4, port: 81, connected: false, timeout: 200 });
  const tally = await stream.stop();
  t.true(tally.asked > 10);
  t.is(tally.ok, tally.asked);
});
