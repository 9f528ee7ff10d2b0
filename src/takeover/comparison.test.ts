import test from 'ava';
import type { Served } from '../served.ts';
import { compare } from './comparison.ts';
import { parseConnections } from './connections.ts';
import type { Peer } from './peer.ts';
import { isKubeProxy } from './running-proxy.ts';
import { settings } from './settings.ts';

const served = (service: string, place: string, facts: Served['facts']): [string, Served] => [
  place,
  { service, place, facts },
];
const peer = (...all: [string, Served][]): Peer => ({
  flavour: 'nftables',
  family: 4,
  served: new Map(all),
  policies: { masquerade: 'none', nodePorts: 'all', serviceCidrs: [], forwardDrops: false },
});
const ours = (...all: [string, Served][]) => new Map(all);

test('places are compared by what both can tell: names, other families and other ports of an address do not count', (t) => {
  const theirs = peer(served('', '10.96.0.1:80/TCP', { backends: ['10.1.0.1:80'] }));
  const mine = ours(
    served('a/b:', '10.96.0.1:80/TCP', { backends: ['10.1.0.1:80'], 'without a backend': ['dropped'] }),
    served('a/b:', '[fd00::1]:80/TCP', { backends: [] }),
    served('a/b:', 'address 10.96.0.1', { 'other ports': ['rejected'] }),
    served('', 'node_addresses 192.0.2.1', { value: ['00'] }),
  );
  t.deepEqual(compare(theirs, mine), []);
});

test('who alone serves a place, and what differs there', (t) => {
  const theirs = peer(
    served('a/b', '10.96.0.1:80/TCP', { backends: ['10.1.0.1:80', '10.1.0.2:80'] }),
    served('a/gone', '10.96.0.2:80/TCP', { backends: ['10.1.0.1:80'] }),
  );
  const mine = ours(
    served('a/b:', '10.96.0.1:80/TCP', { backends: ['10.1.0.2:80', '10.1.0.3:80'] }),
    served('a/new:', 'nodePort 30000/TCP, IPv4', { backends: [], 'without a backend': ['rejected'] }),
  );
  t.deepEqual(compare(theirs, mine), [
    {
      known: 'both',
      service: 'a/b',
      place: '10.96.0.1:80/TCP',
      facts: [{ fact: 'backends', added: ['10.1.0.3:80'], removed: ['10.1.0.1:80'] }],
    },
    {
      known: 'kube-proxy',
      service: 'a/gone',
      place: '10.96.0.2:80/TCP',
      facts: [{ fact: 'backends', added: [], removed: ['10.1.0.1:80'] }],
    },
    {
      known: 'bpfsvc',
      service: 'a/new',
      place: 'nodePort 30000/TCP, IPv4',
      facts: [{ fact: 'without a backend', added: ['rejected'], removed: [] }],
    },
  ]);
});

const conntrack = [
  'ipv4     2 tcp      6 86390 ESTABLISHED src=10.1.1.11 dst=10.96.0.1 sport=40000 dport=80 src=10.1.1.12 dst=10.1.1.11 sport=8080 dport=40000 [ASSURED] mark=0 use=1',
  'ipv4     2 tcp      6 100 TIME_WAIT src=10.1.1.11 dst=10.96.0.1 sport=40001 dport=80 src=10.1.1.12 dst=10.1.1.11 sport=8080 dport=40001 [ASSURED] mark=0 use=1',
  'ipv4     2 tcp      6 86390 ESTABLISHED src=10.1.1.11 dst=10.1.1.12 sport=40002 dport=80 src=10.1.1.12 dst=10.1.1.11 sport=80 dport=40002 [ASSURED] mark=0 use=1',
  'udp      17 20 src=fd00:0000:0000:0000:0000:0000:0000:0005 dst=fd00:0010:0096:0000:0000:0000:0000:000a sport=5 dport=53 src=fd00:0001:0001:0000:0000:0000:0000:0012 dst=fd00:0000:0000:0000:0000:0000:0000:0005 sport=53 dport=5 mark=0 use=1',
].join('\n');

test('connections to a Service that the kernel translates are counted, and those that close or are nobody’s are not', (t) => {
  const isService = (address: string, port: number) =>
    (address === '10.96.0.1' && port === 80) || (address.startsWith('fd00:0010') && port === 53);
  const { counts, has } = parseConnections(conntrack, isService);
  t.deepEqual(counts, { tcp: 1, udp: 1, sctp: 0 });
  t.true(has({ address: 'fd00::5', port: 5 }, { address: 'fd00:10:96::a', port: 53 }));
  t.false(has({ address: 'fd00::5', port: 6 }, { address: 'fd00:10:96::a', port: 53 }));
});

test('kube-proxy is known by its program, whatever stands in its arguments', (t) => {
  t.true(isKubeProxy(['/usr/local/bin/kube-proxy', '--config=x']));
  t.true(isKubeProxy(['/hyperkube', 'proxy']));
  t.false(isKubeProxy(['kubectl', 'logs', 'kube-proxy']));
  t.false(isKubeProxy(['/hyperkube', 'kubelet']));
});

test('settings: what is needed is left, what is harmful by now can be undone', (t) => {
  const values: Record<string, string> = {
    'net.ipv4.conf.all.route_localnet': '1',
    'net.ipv4.conf.all.arp_ignore': '0',
    'net.netfilter.nf_conntrack_max': '1000',
  };
  const found = settings((name) => values[name]);
  t.deepEqual(
    found.map(({ name, now, wanted }) => [name, now, wanted]),
    [
      ['net.netfilter.nf_conntrack_max', 'needed', null],
      ['net.ipv4.conf.all.route_localnet', 'harmful', '0'],
    ],
  );
  t.regex(found[0]?.reason ?? '', /^less than kube-proxy would set/);
});
