import test from 'ava';
import type { NetAddress, NetLink } from 'libbpf-ts';
import type { Network } from './devices.ts';
import { defaultNodePorts, type NodePortSelection, nodePortAddresses } from './node-ports.ts';

function address(ifindex: number, text: string, scope = 0): NetAddress {
  return { ifindex, family: text.includes(':') ? 6 : 4, address: text, prefixLength: 24, scope, flags: 0 };
}

const network: Network = {
  links: [
    { ifindex: 1, name: 'lo' },
    { ifindex: 2, name: 'eth0' },
    { ifindex: 3, name: 'kube-ipvs0' },
  ] as NetLink[],
  addresses: [
    address(1, '127.0.0.1', 254),
    address(1, '127.0.1.1', 254),
    address(1, '::1', 254),
    address(1, '198.51.100.7'),
    address(2, '192.0.2.1'),
    address(2, '192.0.2.2'),
    address(2, 'fd00::1'),
    address(2, 'fe80::1', 253),
    address(3, '10.96.0.10'),
  ],
  routes: [],
};
const node = ['192.0.2.1', 'fd00::1', '192.0.2.2'];
const none: NodePortSelection = { primary: false, localhost: false, cidrs: [] };
const everything = [
  { address: '0.0.0.0', prefixLength: 0 },
  { address: '::', prefixLength: 0 },
];

const cases: readonly [name: string, selection: NodePortSelection, expected: string[]][] = [
  ['the first of each family by default', defaultNodePorts, ['192.0.2.1', 'fd00::1']],
  ['nothing for nothing', none, []],
  ['one of each family for localhost', { ...none, localhost: true }, ['127.0.0.1', '::1']],
  [
    'what lies in a range, and no other family',
    { ...none, cidrs: [{ address: '192.0.2.0', prefixLength: 24 }] },
    ['192.0.2.1', '192.0.2.2'],
  ],
  [
    'all but loopback, link-local ones and what IPVS binds, for everything',
    { ...none, cidrs: everything },
    ['192.0.2.1', '192.0.2.2', '198.51.100.7', 'fd00::1'],
  ],
  [
    'the one loopback address for a range that says so',
    { ...none, cidrs: [{ address: '127.0.0.0', prefixLength: 8 }] },
    ['127.0.0.1'],
  ],
  [
    'all that is said, each once',
    { primary: true, localhost: true, cidrs: [{ address: '192.0.2.0', prefixLength: 24 }] },
    ['127.0.0.1', '192.0.2.1', '192.0.2.2', '::1', 'fd00::1'],
  ],
];

for (const [name, selection, expected] of cases) {
  test(`nodePortAddresses() is ${name}`, (t) => {
    t.deepEqual(nodePortAddresses(selection, network, node), expected);
  });
}

test('nodePortAddresses() needs no network for the node’s own', (t) => {
  const nothing = { links: [], addresses: [], routes: [] };
  t.deepEqual(nodePortAddresses(defaultNodePorts, nothing, ['fd00::1']), ['fd00::1']);
});
