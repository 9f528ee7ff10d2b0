import test from 'ava';
import type { NetAddress, NetLink, NetRoute } from 'libbpf-ts';
import { makeSandbox } from '../../test/sandbox.ts';
import { guessNodeAddresses, localAddresses, readNetwork } from './network.ts';

const box = makeSandbox();
test.after.always(() => box.close());

function address(ifindex: number, text: string, scope = 0): NetAddress {
  return { ifindex, family: text.includes(':') ? 6 : 4, address: text, prefixLength: 24, scope, flags: 0 };
}

const links = [
  { ifindex: 1, name: 'lo' },
  { ifindex: 2, name: 'eth0' },
  { ifindex: 3, name: 'kube-ipvs0' },
] as NetLink[];
const addresses = [
  address(1, '127.0.0.1', 254),
  address(2, 'fe80::1', 253),
  address(2, 'fd00::5'),
  address(2, '192.168.50.11'),
  address(2, '192.168.50.12'),
  address(2, '169.254.20.10', 253),
  address(3, '10.96.0.10'),
];

test('localAddresses() leaves out what IPVS binds, and what comes with every veth', (t) => {
  const expected = ['127.0.0.1', 'fd00::5', '192.168.50.11', '192.168.50.12', '169.254.20.10'];
  t.deepEqual([...localAddresses({ links, addresses, routes: [] })], expected);
});

test('guessNodeAddresses() takes the first global address of each family beside the default route', (t) => {
  const route = { prefixLength: 0, gateway: '192.168.50.1', ifindex: 2 } as NetRoute;
  t.deepEqual(guessNodeAddresses({ links, addresses, routes: [route] }), ['192.168.50.11', 'fd00::5']);
  t.deepEqual(guessNodeAddresses({ links, addresses, routes: [] }), []);
});

test('readNetwork() reads the namespace it is called in', async (t) => {
  box.addPod('seen1');
  box.ip('addr', 'add', '10.1.0.1/24', 'dev', 'seen1');
  const network = await readNetwork();
  t.deepEqual(
    network.links.map(({ name }) => name).filter((name) => name !== 'lo' && !name.startsWith('ifb')),
    ['seen1'],
  );
  t.true(localAddresses(network).has('10.1.0.1'));
  t.true(network.routes.some(({ destination }) => destination === '10.1.0.0'));
});
