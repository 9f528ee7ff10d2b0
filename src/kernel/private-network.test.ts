import anyTest from 'ava';
import { netLinks, netnsCookie, netRoutes, tryConnect } from 'libbpf-ts';
import { enterPrivateNetwork } from './private-network.ts';

const test = anyTest.serial;

test('enterPrivateNetwork() knows what is local, and one way out to all else, in both families', async (t) => {
  const home = netnsCookie();
  const before = (await netLinks()).map(({ name }) => name);
  {
    using network = await enterPrivateNetwork(['10.1.1.1', 'fd00::1', '127.0.0.1']);
    t.not(netnsCookie(), home);
    const routes = await netRoutes();
    const found = (destination: string, prefixLength: number) =>
      routes.filter((route) => route.destination === destination && route.prefixLength === prefixLength);
    t.deepEqual(
      found('', 0).map(({ family, ifindex, type }) => ({ family, ifindex, type })),
      [4, 6].map((family) => ({ family: family as 4 | 6, ifindex: network.wire, type: 1 })),
    );
    for (const [address, length] of [
      ['10.1.1.1', 32],
      ['fd00::1', 128],
    ] as const) {
      t.deepEqual(
        found(address, length).map(({ ifindex, type }) => [ifindex, type]),
        [[1, 2]],
        address,
      );
    }
    t.is(tryConnect({ protocol: 'udp', mark: 0, address: '198.51.100.1', port: 9 }), 'ok');
    const inside = netnsCookie();
    network.leave();
    t.is(netnsCookie(), home);
    network.enter();
    t.is(netnsCookie(), inside);
  }
  t.is(netnsCookie(), home);
  t.deepEqual(
    (await netLinks()).map(({ name }) => name),
    before,
  );
});
