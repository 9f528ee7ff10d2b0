import test from 'ava';
import type { NetLink } from 'libbpf-ts';
import { chooseBypass } from './bypass.ts';
import type { Device, Role } from './devices.ts';

const device = (ifindex: number, role: Role = 'pod'): Device => {
  return { ifindex, name: `veth${ifindex}`, role, hasLinkHeader: true, reason: '' };
};
const link = (ifindex: number, master = 0) => ({ ifindex, master }) as NetLink;

test('chooseBypass() is for routed pods whose device nobody does anything at', (t) => {
  const links = [link(2), link(3), link(4), link(5), link(6, 9), link(7)];
  const devices = [device(2, 'wire'), device(3), device(4), device(5), device(6), device(7)];
  const qdiscs = [
    { ifindex: 2, kind: 'fq_codel', parent: 0xffffffff },
    { ifindex: 3, kind: 'noqueue', parent: 0xffffffff },
    { ifindex: 4, kind: 'tbf', parent: 0xffffffff },
    { ifindex: 5, kind: 'noqueue', parent: 0xffffffff },
    { ifindex: 5, kind: 'clsact', parent: 0xfffffff1 },
    { ifindex: 7, kind: 'ingress', parent: 0xfffffff1 },
  ];
  t.deepEqual(
    chooseBypass({ links, addresses: [], routes: [] }, devices, qdiscs).map(
      ({ name, runs, reason }) => `${name} ${runs}: ${reason}`,
    ),
    [
      'veth3 true: routed, no qdisc',
      'veth4 false: somebody has a qdisc there (tbf)',
      'veth5 false: somebody has a qdisc there (clsact)',
      'veth6 false: port of a bridge',
      'veth7 false: somebody has a qdisc there (ingress)',
    ],
  );
});
