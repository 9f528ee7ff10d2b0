import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import anyTest from 'ava';
import { enterNewNetns, run, turnsDuring } from './fixtures/playground.ts';
import { type BpfError, destroySocket, listSockets, type NetSocket, setNetns, tryConnect } from './index.ts';

const test = anyTest.serial;
const netns = enterNewNetns();
test.before(() => {
  run('ip', 'link', 'set', 'lo', 'up');
});
test.after.always(() => netns[Symbol.dispose]());

async function udp(type: 'udp4' | 'udp6', address: string, port: number): Promise<Datagrams> {
  const socket = createSocket(type);
  socket.connect(port, address);
  await once(socket, 'connect');
  return socket;
}

const kinds = [
  ['udp4', '127.0.0.1', 4],
  ['udp6', '::1', 6],
  ['udp6', '::ffff:127.0.0.1', 6],
] as const;

/** Whether this kernel can, found out without the code under test: by what its own configuration says, if it does. */
function configuration(): string {
  try {
    return run('sh', '-c', 'zcat /proc/config.gz 2>/dev/null || cat /boot/config-$(uname -r)');
  } catch {
    return '';
  }
}

async function only(family: 4 | 6, remotePort: number): Promise<NetSocket> {
  const found = await listSockets({ family, protocol: 'udp', states: ['established'], remotePort });
  if (found.length !== 1) throw new Error(`${found.length} sockets`);
  return found[0] as NetSocket;
}

let lastPort = 4000;

/** And the next two: a socket of the test before may not be gone yet. */
function freshPort(): number {
  lastPort += 10;
  return lastPort;
}

for (const [type, address, family] of kinds) {
  test(`listSockets() finds a connected UDP socket of this namespace: ${type} to ${address}`, async (t) => {
    const port = freshPort();
    const socket = await udp(type, address, port);
    const { local, remote, ...rest } = await only(family, port);
    t.like(rest, { family, protocol: 'udp', state: 'established', ifindex: 0 });
    t.true(rest.cookie > 0n);
    t.deepEqual(remote, { address, port });
    t.is(local.port, socket.address().port);
    t.deepEqual(await listSockets({ family, protocol: 'udp', states: ['close'], remotePort: port }), []);
    t.deepEqual(await listSockets({ family, protocol: 'udp', remotePort: port + 1 }), []);
    t.deepEqual(await listSockets({ family: family === 4 ? 6 : 4, protocol: 'udp', remotePort: port }), []);
    socket.close();
  });

  test(`destroySocket() ends exactly that one: ${type} to ${address}`, async (t) => {
    const port = freshPort();
    const [ended, spared] = [await udp(type, address, port), await udp(type, address, port + 2)];
    const error = once(ended, 'error').then(([reason]) => reason as NodeJS.ErrnoException);
    const found = await only(family, port);
    t.false(await destroySocket({ ...found, cookie: found.cookie + 1n }), 'another socket with the same addresses');
    try {
      t.true(await destroySocket(found));
    } catch (reason) {
      t.is((reason as BpfError).code, 'EOPNOTSUPP');
      t.false(/CONFIG_INET_DIAG_DESTROY=y/.test(configuration()), 'a kernel that can must');
      t.log('this kernel has no CONFIG_INET_DIAG_DESTROY: nothing was destroyed');
      return;
    }
    ended.send('anybody there?');
    t.is((await error).code, 'ECONNABORTED');
    t.false(await destroySocket(found), 'it is gone');
    t.is((await only(family, port + 2)).remote.port, port + 2);
    ended.close();
    spared.close();
  });
}

test('listSockets() knows unconnected and listening sockets', async (t) => {
  const datagrams = createSocket('udp4').bind(4005, '127.0.0.1');
  await once(datagrams, 'listening');
  const [bound] = await listSockets({ family: 4, protocol: 'udp', states: ['close'] });
  t.like(bound, { local: { address: '127.0.0.1', port: 4005 }, remote: { address: '0.0.0.0', port: 0 } });
  datagrams.close();

  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  const [listening] = await listSockets({ family: 4, protocol: 'tcp', states: ['listen'] });
  t.like(listening, { state: 'listen', local: { address: '127.0.0.1', port } });
  const [established] = await listSockets({ family: 4, protocol: 'tcp', states: ['established'], remotePort: port });
  t.is(established?.local.port, client.localPort);
  client.destroy();
  server.close();
});

test('listSockets() of many sockets leaves the event loop alone', async (t) => {
  const sockets = await Promise.all(Array.from({ length: 500 }, () => udp('udp4', '127.0.0.1', 4007)));
  const listing = listSockets({ family: 4, protocol: 'udp', remotePort: 4007 });
  t.true((await turnsDuring(listing)) > 0);
  t.is(new Set((await listing).map(({ cookie }) => cookie)).size, 500);
  for (const socket of sockets) socket.close();
});

test('listSockets() and destroySocket() refuse what they cannot ask the kernel', async (t) => {
  await t.throwsAsync(listSockets({ family: 4, protocol: 'udp', remotePort: -1 }), { instanceOf: TypeError });
  const socket = {
    family: 4,
    protocol: 'udp',
    local: { address: '::1', port: 1 },
    remote: { address: '127.0.0.1', port: 2 },
    ifindex: 0,
    cookie: 1n,
  } as const;
  await t.throwsAsync(destroySocket(socket), { code: 'EINVAL', message: /local/ });
  await t.throwsAsync(destroySocket({ ...socket, local: { address: '127.0.0.1', port: 1 }, cookie: -1n }), {
    instanceOf: TypeError,
  });
});

test('each namespace has its own sockets', async (t) => {
  const socket = await udp('udp4', '127.0.0.1', 4009);
  const found = await only(4, 4009);
  {
    using _elsewhere = enterNewNetns();
    t.deepEqual(await listSockets({ family: 4, protocol: 'udp' }), []);
    t.false(await destroySocket(found));
  }
  setNetns(netns.path);
  t.deepEqual(await only(4, 4009), found);
  socket.close();
});

test('tryConnect() tells how connect() began, in both families', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.is(tryConnect({ protocol: 'tcp', mark: 7, address: '127.0.0.1', port }), 'ok');
  t.is(tryConnect({ protocol: 'udp', mark: 0, address: '::1', port: 9 }), 'ok');
  t.is(tryConnect({ protocol: 'udp', mark: 0, address: '198.51.100.1', port: 9 }), 'ENETUNREACH');
  server.close();
});

test('tryConnect() to what is no address says so', (t) => {
  t.throws(() => tryConnect({ protocol: 'tcp', mark: 0, address: '10.0.0', port: 9 }), { code: 'EINVAL' });
});
