import { type ChildProcess, spawn } from 'node:child_process';
import test from 'ava';
import { enterNewNetns, ipBatch, ipJson, makeVeth, run, turnsDuring, uniqueName } from './fixtures/playground.ts';
import {
  BpfLink,
  loadInstructions,
  type NetLink,
  type NetRoute,
  netAddresses,
  netLinks,
  netQdiscs,
  netRoutes,
  netXdpFeatures,
} from './index.ts';

const netns = enterNewNetns();
const elsewhere = uniqueName('libbpfts');
test.after.always(() => {
  netns[Symbol.dispose]();
  run('ip', 'netns', 'del', elsewhere);
});
test.before(() => {
  run('ip', 'netns', 'add', elsewhere);
  run('ip', 'link', 'set', 'lo', 'up');
});

function spawnIpBatch(lines: string[]): ChildProcess {
  const child = spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(lines.join('\n'));
  return child;
}

async function linkOf(name: string): Promise<NetLink> {
  const link = (await netLinks()).find((link) => link.name === name);
  if (!link) throw new Error(`${name} is not there`);
  return link;
}

interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  qdisc: string;
  address?: string;
  master?: string;
  link_index?: number;
  link_netnsid?: number;
  link?: string;
  linkinfo?: { info_kind?: string };
}

test.serial('netLinks() agrees with ip on every kind of device', async (t) => {
  const { name, peer } = await makeVeth();
  ipBatch([
    'link add lbr0 type bridge',
    `link set ${name} master lbr0`,
    `link add link ${peer} name lmacvlan type macvlan mode bridge`,
    'link add lvxlan type vxlan id 7 dstport 4789 dev lo',
    'link add lplain mtu 1400 type ifb',
    'tuntap add ltun mode tun',
    `link add lfar0 type veth peer name lfar1 netns ${elsewhere}`,
  ]);
  const ours = await netLinks();
  const theirs = ipJson<IpLink>('-d', 'link', 'show');
  const indexOf = (ifname: string | undefined) => theirs.find((link) => link.ifname === ifname)?.ifindex ?? 0;
  t.deepEqual(
    ours.map(({ ifindex, name, kind, up, mtu, master, parent, linkNetnsid, qdisc }) => {
      return { ifindex, name, kind, up, mtu, master, parent, linkNetnsid, qdisc };
    }),
    theirs.map((link) => ({
      ifindex: link.ifindex,
      name: link.ifname,
      kind: link.linkinfo?.info_kind ?? '',
      up: link.flags.includes('UP'),
      mtu: link.mtu,
      master: indexOf(link.master),
      parent: link.link_index ?? indexOf(link.link),
      linkNetnsid: link.link_netnsid,
      qdisc: link.qdisc,
    })),
  );
  const ethernet = theirs.filter((link) => /^([0-9a-f]{2}:){5}/.test(link.address ?? ''));
  for (const { ifindex, address } of ethernet) t.is(ours.find((link) => link.ifindex === ifindex)?.address, address);
});

test.serial('netLinks() tells a bridge, a device on another, a peer far away and one without an address', async (t) => {
  t.is((await linkOf('lbr0')).kind, 'bridge');
  t.is((await linkOf('lmacvlan')).kind, 'macvlan');
  const far = await linkOf('lfar0');
  t.is(far.kind, 'veth');
  t.is(typeof far.linkNetnsid, 'number');
  t.deepEqual([(await linkOf('lo')).type, (await linkOf('ltun')).type, far.type], [772, 65534, 1]);
  t.is((await linkOf('ltun')).address, '');
});

test.serial('netAddresses() agrees with ip in both families', async (t) => {
  ipBatch([
    'link set lplain up',
    'address add 192.0.2.7/24 dev lplain',
    'address add 192.0.2.8 peer 192.0.2.9/30 dev lplain',
    'address add 2001:db8::7/64 dev lplain nodad',
    'address add 10.0.0.1/32 scope link dev lo',
  ]);
  interface IpAddress {
    ifindex: number;
    addr_info: { family: string; local: string; prefixlen: number; scope: string }[];
  }
  const scopes: Record<string, number> = { global: 0, link: 253, host: 254 };
  const theirs = ipJson<IpAddress>('address', 'show').flatMap(({ ifindex, addr_info }) =>
    addr_info.map(({ family, local, prefixlen, scope }) => {
      return {
        ifindex,
        family: family === 'inet' ? 4 : 6,
        address: local,
        prefixLength: prefixlen,
        scope: scopes[scope],
      };
    }),
  );
  const ours = (await netAddresses()).map(({ flags: _, ...rest }) => rest);
  const sorted = (rows: object[]) => rows.map((row) => JSON.stringify(row)).sort();
  t.deepEqual(sorted(ours), sorted(theirs));
  t.true(ours.some(({ address }) => address === '192.0.2.8'));
});

interface IpRoute {
  type?: string;
  dst: string;
  gateway?: string;
  via?: { host: string };
  dev?: string;
  protocol: string;
  scope?: string;
  metric?: number;
  prefsrc?: string;
  table?: string;
  nexthops?: { dev: string; gateway?: string }[];
}

/** One line per route, from either side. */
function ourRoute(route: NetRoute, links: NetLink[]): string {
  const name = (ifindex: number) => links.find((link) => link.ifindex === ifindex)?.name;
  const { destination, prefixLength, gateway, source, ifindexes, table, priority, family } = route;
  return JSON.stringify([
    family,
    destination ? `${destination}/${prefixLength}` : 'default',
    gateway,
    source,
    ifindexes.map(name),
    table,
    priority,
  ]);
}

function theirRoute(route: IpRoute, family: 4 | 6): string {
  const tables: Record<string, number> = { main: 254, local: 255 };
  const full =
    route.dst === 'default' || route.dst.includes('/') ? route.dst : `${route.dst}/${family === 4 ? 32 : 128}`;
  const first = route.nexthops?.[0];
  return JSON.stringify([
    family,
    full,
    route.gateway ?? route.via?.host ?? first?.gateway,
    route.prefsrc,
    route.nexthops?.map(({ dev }) => dev) ?? (route.dev ? [route.dev] : []),
    tables[route.table ?? 'main'] ?? Number(route.table),
    route.metric ?? 0,
  ]);
}

test.serial('netRoutes() agrees with ip: both families, all tables, all kinds', async (t) => {
  ipBatch([
    'link add lplain2 up type ifb',
    'address add 198.51.100.1/24 dev lplain2',
    'address add 2001:db8:2::1/64 dev lplain2 nodad',
    'route add default via 192.0.2.1 dev lplain',
    'route add 203.0.113.0/24 via 198.51.100.9 src 192.0.2.7 metric 50 mtu 1400 advmss 1300',
    'route add 203.0.113.7/32 dev lplain table 1234 mtu lock 1300',
    'route add blackhole 10.9.0.0/16',
    'route add unreachable 10.8.0.0/16',
    'route add 10.7.0.0/16 nexthop via 192.0.2.1 dev lplain nexthop via 198.51.100.2 dev lplain2 weight 3',
    'route add 10.6.0.0/16 via inet6 2001:db8::1 dev lplain',
    'route add default via 2001:db8::1 dev lplain',
    'route add 2001:db8:7::/48 nexthop via 2001:db8::1 dev lplain nexthop via 2001:db8:2::2 dev lplain2',
    'route add 2001:db8:8::/48 dev lplain2 table 77 metric 5',
  ]);
  const links = await netLinks();
  for (const family of [4, 6] as const) {
    const theirs = () =>
      ipJson<IpRoute>(`-${family}`, 'route', 'show', 'table', 'all').map((r) => theirRoute(r, family));
    // The kernel adds the routes of IPv6 addresses in its own time: compare with what held before and after.
    let before: string[];
    let routes: NetRoute[];
    do {
      before = theirs();
      routes = await netRoutes();
    } while (before.join() !== theirs().join());
    const ours = routes.filter((route) => route.family === family).map((route) => ourRoute(route, links));
    t.deepEqual(ours.sort(), before.sort());
  }
});

test.serial('netRoutes() tells the kinds and the first of several nexthops', async (t) => {
  const routes = await netRoutes();
  const to = (destination: string) => routes.find((route) => route.destination === destination) as NetRoute;
  const dummy = (await linkOf('lplain')).ifindex;
  const dummy2 = (await linkOf('lplain2')).ifindex;
  t.is(to('10.9.0.0').type, 6);
  t.deepEqual(to('10.9.0.0').ifindexes, []);
  t.is(to('10.9.0.0').ifindex, 0);
  t.is(to('10.8.0.0').type, 7);
  t.deepEqual(to('10.7.0.0').ifindexes, [dummy, dummy2]);
  t.is(to('10.7.0.0').ifindex, dummy);
  t.is(to('10.7.0.0').gateway, '192.0.2.1');
  t.is(to('10.6.0.0').gateway, '2001:db8::1');
  t.is(to('203.0.113.0').source, '192.0.2.7');
  t.is(to('203.0.113.0').priority, 50);
  t.is(to('203.0.113.7').table, 1234);
  const mtu = (destination: string) => [to(destination).mtu, to(destination).mtuLocked];
  t.deepEqual(['10.7.0.0', '203.0.113.0', '203.0.113.7'].map(mtu), [
    [0, false],
    [1400, false],
    [1300, true],
  ]);
  const defaults = routes.filter((route) => route.destination === '' && route.table === 254);
  t.deepEqual(
    defaults.map(({ family, gateway }) => [family, gateway]),
    [
      [4, '192.0.2.1'],
      [6, '2001:db8::1'],
    ],
  );
});

test.serial('10,000 routes come whole, and asking for them is off the loop', async (t) => {
  const destinations = Array.from(
    { length: 10_000 },
    (_, i) => `10.${100 + (i >> 12)}.${(i >> 4) & 255}.${(i & 15) << 4}`,
  );
  ipBatch(destinations.map((destination) => `route add ${destination}/28 dev lplain`));
  const asking = netRoutes();
  t.true((await turnsDuring(asking)) > 0);
  const ours = (await asking).filter(({ prefixLength }) => prefixLength === 28).map(({ destination }) => destination);
  t.deepEqual(ours.sort(), destinations.sort());
});

test.serial('1,000 links come whole', async (t) => {
  const before = (await netLinks()).length;
  ipBatch(Array.from({ length: 1000 }, (_, i) => `link add lmany${i} type ifb`));
  const links = await netLinks();
  t.is(links.length, before + 1000);
  t.is(new Set(links.map((link) => link.name)).size, links.length);
});

test.serial('netQdiscs() tells those of a device, by kind', async (t) => {
  const { name } = await makeVeth();
  const { ifindex } = await linkOf(name);
  const of = async () => (await netQdiscs()).filter((one) => one.ifindex === ifindex).map(({ kind }) => kind);
  t.true((await of()).every((kind) => kind === 'noqueue'));
  run('tc', 'qdisc', 'add', 'dev', name, 'clsact');
  t.true((await of()).includes('clsact'));
});

test.serial('netXdpFeatures() knows what a veth can, which takes frames once its peer polls', async (t) => {
  const { name, peer } = await makeVeth();
  const of = async (device: string) => {
    const { ifindex } = await linkOf(device);
    return (await netXdpFeatures())?.get(ifindex);
  };
  t.deepEqual(await of(name), { native: true, takesFrames: false });
  t.deepEqual(await of('lo'), { native: false, takesFrames: false });
  run('ethtool', '-K', peer, 'gro', 'on');
  t.deepEqual(await of(name), { native: true, takesFrames: true });
});

test.serial('netLinks() tells whose XDP program a device has', async (t) => {
  const { name } = await makeVeth();
  t.is((await linkOf(name)).xdpProgram, 0);
  const instructions = Buffer.from('b700000002000000' + '9500000000000000', 'hex'); // return XDP_PASS
  using program = loadInstructions('xdp', instructions);
  for (const mode of ['native', 'generic'] as const) {
    using link = await BpfLink.attach({ kind: 'xdp', ifindex: (await linkOf(name)).ifindex, mode }, program);
    t.is((await linkOf(name)).xdpProgram, program.info.id, mode);
    await link.detach();
  }
});

test.serial('netLinks() while links come and go has each one that stays, once', async (t) => {
  const staying = (await netLinks()).map(({ name }) => name);
  const churn = spawnIpBatch(Array.from({ length: 40 }, (_, i) => (i % 2 ? 'link del lgo' : 'link add lgo type ifb')));
  while (churn.exitCode === null) {
    const links = (await netLinks()).map(({ name }) => name).filter((name) => name !== 'lgo');
    t.deepEqual(links, staying);
  }
});
