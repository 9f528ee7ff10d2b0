import test from 'ava';
import type { NetLink } from 'libbpf-ts';
import type { Device, Role } from './devices.ts';
import { chooseXdp, type DriverFeatures, type XdpChoice } from './xdp.ts';

const link = (ifindex: number, name: string, more: Partial<NetLink> = {}): NetLink => ({
  ifindex,
  name,
  kind: '',
  up: true,
  flags: 1,
  mtu: 1500,
  type: 1,
  master: 0,
  parent: 0,
  linkNetnsid: undefined,
  address: '02:00:00:00:00:01',
  qdisc: 'mq',
  xdpProgram: 0,
  ...more,
});
const device = (ifindex: number, name: string, role: Role = 'wire', hasLinkHeader = true): Device => {
  return { ifindex, name, role, hasLinkHeader, reason: 'a veth' };
};

const links = [
  link(2, 'eth0'),
  link(3, 'eth1'),
  link(4, 'eth2', { xdpProgram: 77 }),
  link(5, 'eth3'),
  link(6, 'eth3.7', { kind: 'vlan', parent: 5 }),
  link(7, 'veth1', { kind: 'veth' }),
  link(8, 'veth2', { kind: 'veth' }),
  link(9, 'tun0', { kind: 'tun' }),
  link(10, 'pod1', { kind: 'veth' }),
];
const devices = [
  device(2, 'eth0'),
  device(3, 'eth1'),
  device(4, 'eth2'),
  device(5, 'eth3'),
  device(6, 'eth3.7'),
  device(7, 'veth1'),
  device(8, 'veth2'),
  device(9, 'tun0', 'wire', false),
  device(10, 'pod1', 'pod'),
];
const features: DriverFeatures = new Map([
  [2, { native: true, takesFrames: false }],
  [3, { native: false, takesFrames: false }],
  [4, { native: true, takesFrames: true }],
  [5, { native: true, takesFrames: true }],
  [7, { native: true, takesFrames: true }],
  [8, { native: true, takesFrames: false }],
]);

function chosen(choice: XdpChoice, known: DriverFeatures | null = features, own: readonly number[] = []): string[] {
  const found = chooseXdp({ links, addresses: [], routes: [] }, devices, known ?? undefined, choice, new Set(own));
  return found.map(
    ({ name, wanted, runs, reason }) => `${name} ${runs ? 'yes' : wanted ? 'hindered' : 'no'}: ${reason}`,
  );
}

test('auto is for hardware whose driver can and which carries no VLANs, and leaves the programs of others alone', (t) => {
  t.deepEqual(chosen('auto'), [
    'eth0 yes: hardware whose driver has it',
    'eth1 no: its driver has no native XDP',
    'eth2 hindered: somebody else has an XDP program there',
    'eth3 no: it carries VLANs (eth3.7), whose tags the driver may hide',
    'eth3.7 no: software (vlan): only where --xdp names it',
    'veth1 no: software (veth): only where --xdp names it',
    'veth2 no: software (veth): only where --xdp names it',
    'tun0 no: software (tun): only where --xdp names it',
  ]);
});

test('a program that is ours stays, and a kernel that does not tell is tried', (t) => {
  t.is(chosen('auto', features, [4])[2], 'eth2 yes: hardware whose driver has it');
  t.is(chosen('auto', null)[1], 'eth1 yes: hardware; whether its driver has it, shows when it is tried');
});

test('names are meant, whatever they are, but for what cannot be', (t) => {
  const named = new Set(['eth1', 'eth3', 'veth1', 'veth2', 'tun0', 'pod1', 'eth9']);
  t.deepEqual(chosen(named), [
    'eth0 no: --xdp does not name it',
    'eth1 hindered: its driver has no native XDP',
    'eth2 no: --xdp does not name it',
    'eth3 yes: said so by --xdp',
    'eth3.7 no: --xdp does not name it',
    'veth1 yes: said so by --xdp',
    'veth2 hindered: its peer would lose what is sent back: it has neither GRO nor XDP',
    'tun0 hindered: its packets have no link header',
    'pod1 hindered: no way out of the node (a veth)',
    'eth9 hindered: no such device',
  ]);
});

test('off is nowhere', (t) => {
  t.true(chosen('off').every((text) => text.endsWith('no: switched off by --xdp')));
});
