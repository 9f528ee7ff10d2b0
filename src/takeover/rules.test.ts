import { readFileSync } from 'node:fs';
import test from 'ava';
import { iptablesPeer } from './iptables-rules.ts';
import { parseSave } from './iptables-text.ts';
import { parseNftList } from './nft-list.ts';
import { nftPeer } from './nft-rules.ts';
import type { Family, Peer } from './peer.ts';

const recorded = (name: string): string =>
  readFileSync(new URL(`../../test/takeover/rules/${name}`, import.meta.url), 'utf8');
const nft = parseNftList(recorded('kube-proxy.nft.json'));
const save = { 4: parseSave(recorded('iptables-save.txt')), 6: parseSave(recorded('ip6tables-save.txt')) };
const read = {
  nftables: (family: Family) => nftPeer(family, nft) as Peer,
  iptables: (family: Family) => iptablesPeer('iptables-legacy', family, save[family]) as Peer,
};
const plain = ({ served }: Peer) =>
  Object.fromEntries([...served].sort(([a], [b]) => (a < b ? -1 : 1)).map(([place, one]) => [place, one.facts]));

const both = { 4: ['10.1.1.12:8080', '10.1.2.11:8080'], 6: ['[fd00:1:1::12]:8080', '[fd00:1:2::11]:8080'] } as const;

test('what kube-proxy 1.36 writes is the same in both flavours and families, but for what iptables mode does otherwise', (t) => {
  for (const family of [4, 6] as const) {
    const [one, other] = [plain(read.nftables(family)), plain(read.iptables(family))];
    t.deepEqual(Object.keys(one), Object.keys(other));
    t.deepEqual(one, other, `IPv${family}`);
    t.is(Object.keys(one).length, 16);
  }
});
for (const [flavour, peer] of Object.entries(read)) {
  test(`${flavour}: backends, policies, affinity, source ranges and refusals are read`, (t) => {
    const { served, policies } = peer(4);
    const facts = (place: string) => served.get(place)?.facts;
    t.deepEqual(facts('10.96.0.1:80/TCP'), { backends: both[4] });
    t.deepEqual(facts('10.96.0.10:53/UDP'), { backends: both[4] });
    t.deepEqual(facts('198.51.100.1:80/UDP'), { backends: both[4] });
    t.deepEqual(facts('nodePort 30080/TCP, IPv4'), { backends: both[4] });
    t.deepEqual(facts('nodePort 30081/TCP, IPv4'), { backends: both[4], 'backends for outside': [both[4][0]] });
    t.deepEqual(facts('10.96.0.3:80/TCP'), { backends: both[4], 'session affinity': ['600 s'] });
    t.deepEqual(facts('10.96.0.5:80/TCP'), { backends: [], 'without a backend': ['rejected'] });
    t.deepEqual(facts('nodePort 30082/TCP, IPv4'), { backends: [], 'without a backend': ['rejected'] });
    t.deepEqual(facts('10.96.0.6:80/TCP'), { backends: [], 'without a backend': ['dropped'] });
    t.deepEqual(facts('198.51.100.4:80/TCP'), {
      backends: [both[4][1]],
      'source ranges': ['192.168.50.0/24', '198.51.100.4/32'],
    });
    t.is(served.get('10.96.0.1:80/TCP')?.service, 'default/web:tcp');
    t.is(policies.masquerade, 'outside 10.1.0.0/16');
    t.deepEqual(peer(6).served.get('[fd00:10:96::1]:80/TCP')?.facts, { backends: both[6] });
  });
}

test('where NodePorts answer: nftables mode names the addresses, iptables mode means all', (t) => {
  t.deepEqual(read.nftables(4).policies.nodePorts, ['192.168.50.1']);
  t.is(read.iptables(4).policies.nodePorts, 'all');
});

test('nothing of kube-proxy is null, and not an empty list of Services', (t) => {
  t.is(iptablesPeer('iptables-nft', 4, parseSave('*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n')), null);
  t.is(nftPeer(4, parseNftList('{"nftables": [{"table": {"family": "ip", "name": "other"}}]}')), null);
});

test('a comment that looks like a flag, and quotes within quotes, are no flags', (t) => {
  const [table] = parseSave(
    '*nat\n:X - [0:0]\n-A X -m comment --comment "-j \\"DROP\\" -d 1.2.3.4" -j KUBE-Y\nCOMMIT\n',
  );
  t.is(table?.rules[0]?.target, 'KUBE-Y');
  t.deepEqual(table?.rules[0]?.words.slice(3, 4), ['-j "DROP" -d 1.2.3.4']);
});
