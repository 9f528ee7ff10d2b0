import test from 'ava';
import type { NetAddress, NetLink, NetRoute } from 'libbpf-ts';
import { classifyDevices, type Role, type RoleRules } from './devices.ts';

/** What `ip -j -d link`, `ip -j addr` and `ip -j route show table all` say, cut to the fields that tell roles. */
interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  link_type?: string;
  link?: string;
  link_netnsid?: number;
  master?: string;
  linkinfo?: { info_kind: string };
  addr_info?: { family: 'inet' | 'inet6'; local: string; prefixlen: number }[];
}

interface IpRoute {
  dst: string;
  dev?: string;
  gateway?: string;
  table?: string;
  type?: string;
  nexthops?: { gateway: string; dev: string }[];
}

interface Case {
  title: string;
  links: IpLink[];
  routes: IpRoute[];
  rules?: Partial<RoleRules>;
  expect: Record<string, Role>;
}

const up = ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'];
const lo: IpLink = { ifindex: 1, ifname: 'lo', flags: ['LOOPBACK', 'UP', 'LOWER_UP'], link_type: 'loopback' };
const eth0: IpLink = {
  ifindex: 2,
  ifname: 'eth0',
  flags: up,
  addr_info: [{ family: 'inet', local: '192.168.50.11', prefixlen: 24 }],
};
const defaultRoute: IpRoute = { dst: 'default', gateway: '192.168.50.1', dev: 'eth0' };

function veth(ifindex: number, ifname: string, more: Partial<IpLink> = {}): IpLink {
  return { ifindex, ifname, flags: up, link_netnsid: ifindex, linkinfo: { info_kind: 'veth' }, ...more };
}

function device(ifindex: number, ifname: string, kind: string, more: Partial<IpLink> = {}): IpLink {
  return { ifindex, ifname, flags: up, linkinfo: { info_kind: kind }, ...more };
}

const cases: Case[] = [
  {
    title: 'ptp CNI: each pod has a veth and a host route',
    links: [lo, eth0, veth(5, 'cali1'), veth(6, 'cali2')],
    routes: [defaultRoute, { dst: '10.1.1.2', dev: 'cali1' }, { dst: '10.1.1.3', dev: 'cali2' }],
    expect: { lo: 'none', eth0: 'wire', cali1: 'pod', cali2: 'pod' },
  },
  {
    title: 'bridge CNI: pods are ports of a bridge that carries their subnet',
    links: [lo, eth0, device(3, 'cni0', 'bridge'), veth(5, 'veth1', { master: 'cni0' })],
    routes: [defaultRoute, { dst: '10.1.1.0/24', dev: 'cni0' }],
    expect: { eth0: 'wire', cni0: 'none', veth1: 'pod' },
  },
  {
    title: 'flannel: other nodes by way of a vxlan device',
    links: [
      lo,
      eth0,
      device(3, 'flannel.1', 'vxlan', { link: 'eth0' }),
      device(4, 'cni0', 'bridge'),
      veth(5, 'veth1', { master: 'cni0' }),
    ],
    routes: [
      defaultRoute,
      { dst: '10.1.2.0/24', gateway: '10.1.2.0', dev: 'flannel.1' },
      { dst: '10.1.1.0/24', dev: 'cni0' },
    ],
    expect: { eth0: 'wire', 'flannel.1': 'wire', cni0: 'none', veth1: 'pod' },
  },
  {
    title: 'docker beside a CNI: its veths are pods too, and its empty bridge is nothing',
    links: [
      lo,
      eth0,
      device(3, 'docker0', 'bridge'),
      device(4, 'br-1', 'bridge'),
      veth(5, 'veth1', { master: 'br-1' }),
    ],
    routes: [defaultRoute, { dst: '172.17.0.0/16', dev: 'docker0' }, { dst: '172.18.0.0/16', dev: 'br-1' }],
    expect: { docker0: 'none', 'br-1': 'none', veth1: 'pod' },
  },
  {
    title: 'kind: the uplink is itself a veth and carries the default route',
    links: [lo, veth(2, 'eth0'), veth(5, 'vethpod')],
    routes: [
      { dst: 'default', gateway: '172.18.0.1', dev: 'eth0' },
      { dst: '10.244.0.2', dev: 'vethpod' },
    ],
    expect: { eth0: 'wire', vethpod: 'pod' },
  },
  {
    title: 'a veth uplink without a default route is told by the node address, also an IPv6 one',
    links: [
      lo,
      veth(2, 'up4', { addr_info: [{ family: 'inet', local: '10.0.0.11', prefixlen: 24 }] }),
      veth(3, 'up6', { addr_info: [{ family: 'inet6', local: 'fd00::b', prefixlen: 64 }] }),
      veth(5, 'pod1'),
    ],
    routes: [{ dst: '10.1.1.2', dev: 'pod1' }],
    rules: { nodeAddresses: ['10.0.0.11', 'fd00::b'] },
    expect: { up4: 'wire', up6: 'wire', pod1: 'pod' },
  },
  {
    title: 'a veth uplink that carries the routes to other nodes',
    links: [lo, veth(2, 'up'), veth(5, 'pod1')],
    routes: [
      { dst: '10.1.2.0/24', gateway: '192.168.50.12', dev: 'up' },
      { dst: '10.1.1.2', dev: 'pod1' },
    ],
    expect: { up: 'wire', pod1: 'pod' },
  },
  {
    title: 'multipath default route: every nexthop is a way out',
    links: [lo, veth(2, 'up1'), veth(3, 'up2')],
    routes: [
      {
        dst: 'default',
        nexthops: [
          { gateway: '10.0.1.1', dev: 'up1' },
          { gateway: '10.0.2.1', dev: 'up2' },
        ],
      },
    ],
    expect: { up1: 'wire', up2: 'wire' },
  },
  {
    title: 'VLAN: both the parent and the tagged device are ways out',
    links: [lo, { ...eth0, addr_info: [] }, device(3, 'eth0.100', 'vlan', { link: 'eth0' })],
    routes: [{ dst: 'default', gateway: '192.168.50.1', dev: 'eth0.100' }],
    expect: { eth0: 'wire', 'eth0.100': 'wire' },
  },
  {
    title: 'bond: the master is the way out, its slaves are not',
    links: [
      lo,
      { ifindex: 2, ifname: 'eth0', flags: up, master: 'bond0' },
      { ifindex: 3, ifname: 'eth1', flags: up, master: 'bond0' },
      device(4, 'bond0', 'bond'),
    ],
    routes: [{ dst: 'default', gateway: '192.168.50.1', dev: 'bond0' }],
    expect: { eth0: 'none', eth1: 'none', bond0: 'wire' },
  },
  {
    title: 'a veth in a bond is a slave, not a pod',
    links: [lo, veth(2, 'up1', { master: 'bond0' }), device(4, 'bond0', 'bond')],
    routes: [{ dst: 'default', gateway: '192.168.50.1', dev: 'bond0' }],
    expect: { up1: 'none', bond0: 'wire' },
  },
  {
    title: 'the uplink is a bridge that also has pods: routes go first',
    links: [
      lo,
      { ...eth0, master: 'br0', addr_info: [] },
      device(3, 'br0', 'bridge'),
      veth(5, 'vm1', { master: 'br0' }),
    ],
    routes: [{ dst: 'default', gateway: '192.168.50.1', dev: 'br0' }],
    expect: { eth0: 'none', br0: 'wire', vm1: 'pod' },
  },
  {
    title: 'a bridge of hardware alone is a way out',
    links: [lo, { ...eth0, master: 'br0' }, device(3, 'br0', 'bridge')],
    routes: [{ dst: '192.168.50.0/24', dev: 'br0' }],
    expect: { eth0: 'none', br0: 'wire' },
  },
  {
    title: 'a pod that is a gateway on the bridge does not make the bridge a way out',
    links: [lo, eth0, device(3, 'cni0', 'bridge'), veth(5, 'veth1', { master: 'cni0' })],
    routes: [defaultRoute, { dst: '10.9.0.0/24', gateway: '10.1.1.7', dev: 'cni0' }],
    expect: { cni0: 'none', veth1: 'pod' },
  },
  {
    title: 'a veth pair within the node is no pod',
    links: [lo, device(5, 'a', 'veth', { link: 'b' })],
    routes: [],
    expect: { a: 'wire' },
  },
  {
    title: 'down devices are nothing, but for a pod that is about to start',
    links: [lo, { ...eth0, flags: ['BROADCAST'] }, veth(5, 'pod1', { flags: ['BROADCAST'] })],
    routes: [],
    expect: { eth0: 'none', pod1: 'pod' },
  },
  {
    title: 'devices that shape traffic of others are nothing; tunnels without link header are ways out',
    links: [lo, device(3, 'ifb0', 'ifb'), device(4, 'wg0', 'wireguard', { link_type: 'none' })],
    routes: [],
    expect: { ifb0: 'none', wg0: 'wire' },
  },
  {
    title: 'routes of the local table and blackholes tell nothing',
    links: [lo, veth(5, 'pod1')],
    routes: [
      { dst: 'default', dev: 'pod1', table: 'local' },
      { dst: '10.1.0.0/16', type: 'blackhole' },
    ],
    expect: { pod1: 'pod' },
  },
  {
    title: 'configuration overrides everything, also what a bridge is taken for',
    links: [lo, eth0, veth(5, 'pod1'), device(3, 'br0', 'bridge'), veth(6, 'x', { master: 'br0' })],
    routes: [defaultRoute],
    rules: {
      overrides: new Map<string, Role>([
        ['eth0', 'none'],
        ['pod1', 'wire'],
        ['x', 'none'],
      ]),
    },
    expect: { eth0: 'none', pod1: 'wire', x: 'none', br0: 'wire' },
  },
];

for (const { title, links, routes, rules, expect } of cases) {
  test(`classifyDevices() ${title}`, (t) => {
    const index = new Map(links.map((link) => [link.ifname, link.ifindex]));
    const network = {
      links: links.map((link) => toLink(link, index)),
      addresses: links.flatMap(toAddresses),
      routes: routes.map((route) => toRoute(route, index)),
    };
    const devices = classifyDevices(network, { nodeAddresses: [], overrides: new Map(), ...rules });
    const roles = Object.fromEntries(devices.map(({ name, role }) => [name, role]));
    t.like(roles, expect);
    t.true(devices.every(({ reason }) => reason.length > 0));
  });
}

test('classifyDevices() says why in words', (t) => {
  const links = [lo, eth0, device(3, 'cni0', 'bridge'), veth(5, 'veth1', { master: 'cni0' })];
  const index = new Map(links.map((link) => [link.ifname, link.ifindex]));
  const network = {
    links: links.map((link) => toLink(link, index)),
    addresses: links.flatMap(toAddresses),
    routes: [toRoute(defaultRoute, index)],
  };
  const devices = classifyDevices(network, { nodeAddresses: ['192.168.50.11'], overrides: new Map() });
  t.deepEqual(
    devices.map(({ name, reason }) => `${name}: ${reason}`),
    [
      'lo: loopback',
      'eth0: carries the node address 192.168.50.11',
      'cni0: bridge of 1 pod veth',
      'veth1: veth whose peer is in another namespace, port of cni0',
    ],
  );
});

const linkFlags: Record<string, number> = { UP: 1, BROADCAST: 2, LOOPBACK: 8, LOWER_UP: 0x10000, MULTICAST: 0x1000 };

function toLink(link: IpLink, index: ReadonlyMap<string, number>): NetLink {
  return {
    ifindex: link.ifindex,
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? '',
    up: link.flags.includes('UP'),
    flags: link.flags.reduce((sum, flag) => sum | (linkFlags[flag] ?? 0), 0),
    mtu: 1500,
    type: link.link_type === 'loopback' ? 772 : link.link_type === 'none' ? 65534 : 1,
    master: index.get(link.master ?? '') ?? 0,
    parent: index.get(link.link ?? '') ?? 0,
    linkNetnsid: link.link_netnsid,
    address: '02:00:00:00:00:01',
    qdisc: 'noqueue',
    xdpProgram: 0,
  };
}

function toAddresses(link: IpLink): NetAddress[] {
  return (link.addr_info ?? []).map(({ family, local, prefixlen }) => ({
    ifindex: link.ifindex,
    family: family === 'inet' ? 4 : 6,
    address: local,
    prefixLength: prefixlen,
    scope: 0,
    flags: 0,
  }));
}

function toRoute(route: IpRoute, index: ReadonlyMap<string, number>): NetRoute {
  const [address = '', length] = route.dst === 'default' ? ['', '0'] : route.dst.split('/');
  const family = route.dst.includes(':') ? 6 : 4;
  const devices = route.nexthops?.map(({ dev }) => dev) ?? (route.dev === undefined ? [] : [route.dev]);
  const ifindexes = devices.map((dev) => index.get(dev) ?? 0);
  return {
    family,
    destination: address,
    prefixLength: length === undefined ? (family === 4 ? 32 : 128) : Number(length),
    ifindex: ifindexes[0] ?? 0,
    ifindexes,
    gateway: route.gateway ?? route.nexthops?.[0]?.gateway,
    source: undefined,
    table: route.table === 'local' ? 255 : 254,
    type: route.type === 'blackhole' ? 6 : 1,
    protocol: 3,
    scope: 0,
    priority: 0,
    mtu: 0,
    mtuLocked: false,
  };
}
