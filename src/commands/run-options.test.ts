import test from 'ava';
import {
  parseBindAddress,
  parseCidrs,
  parseDevices,
  parseNodePortAddresses,
  parseNodePorts,
  parseSizes,
  parseXdp,
} from './run-options.ts';
import { parseSeconds, UsageError } from './usage.ts';

test('parseCidrs() takes one range of each family', (t) => {
  t.deepEqual(parseCidrs('10.96.0.0/12, fd00:10:96::/112', '--service-cidr'), [
    { address: '10.96.0.0', prefixLength: 12 },
    { address: 'fd00:10:96::', prefixLength: 112 },
  ]);
});

test('parseNodePorts() takes a range', (t) => {
  t.deepEqual(parseNodePorts('30000-32767'), { first: 30_000, last: 32_767 });
  t.deepEqual(parseNodePorts('1-1'), { first: 1, last: 1 });
});

test('parseNodePortAddresses() adds up CIDRs and words, in one flag or several', (t) => {
  const lan = { address: '192.0.2.0', prefixLength: 24 };
  const everything = [
    { address: '0.0.0.0', prefixLength: 0 },
    { address: '::', prefixLength: 0 },
  ];
  t.deepEqual(parseNodePortAddresses(['primary']), { primary: true, localhost: false, cidrs: [] });
  t.deepEqual(parseNodePortAddresses(['localhost, 192.0.2.1/24', 'primary']), {
    primary: true,
    localhost: true,
    cidrs: [lan],
  });
  t.deepEqual(parseNodePortAddresses(['all']), { primary: false, localhost: false, cidrs: everything });
});

test('parseXdp() takes one word or names', (t) => {
  t.is(parseXdp('auto'), 'auto');
  t.is(parseXdp('off'), 'off');
  t.deepEqual(parseXdp('eth0, eth1'), new Set(['eth0', 'eth1']));
  for (const wrong of ['eth0,off', 'auto,eth0', '', 'eth0,']) {
    t.throws(() => parseXdp(wrong), { instanceOf: UsageError }, wrong);
  }
});

test('parseBindAddress() takes an address of either family, with the port that is usual if it has none', (t) => {
  const parseMetricsAddress = (text: string) => parseBindAddress(text, '--metrics-bind-address', 10249);
  t.deepEqual(parseMetricsAddress('127.0.0.1:10249'), { host: '127.0.0.1', port: 10249 });
  t.deepEqual(parseMetricsAddress('0.0.0.0'), { host: '0.0.0.0', port: 10249 });
  t.deepEqual(parseMetricsAddress('[::1]:0'), { host: '::1', port: 0 });
  t.deepEqual(parseMetricsAddress('::'), { host: '::', port: 10249 });
  t.is(parseMetricsAddress(''), null);
  for (const wrong of ['localhost:1', ':80', '10.0.0.1:', '10.0.0.1:65536', '[::1]', '::1:x']) {
    t.throws(() => parseMetricsAddress(wrong), { instanceOf: UsageError }, wrong);
  }
});

test('parseDevices() and parseSizes() take lists and repeated flags', (t) => {
  t.deepEqual(
    parseDevices(['eth0=wire,veth1=pod', 'x=none']),
    new Map([
      ['eth0', 'wire'],
      ['veth1', 'pod'],
      ['x', 'none'],
    ] as const),
  );
  t.deepEqual(parseSizes(['flows=1024', 'names=5,counters=7']), { flows: 1024, names: 5, counters: 7 });
  t.deepEqual(parseSizes([]), {});
});

test('parseSeconds() takes seconds, minutes and hours', (t) => {
  t.deepEqual(
    ['90', '30s', '5m', '1h'].map((text) => parseSeconds('--x', text)),
    [90, 30, 300, 3600],
  );
});

for (const [what, parse, message] of [
  ['an address without a length', () => parseNodePortAddresses(['192.0.2.1']), /is not a CIDR/],
  ['no addresses', () => parseNodePortAddresses(['']), /is not a CIDR/],
  ['an unknown map', () => parseSizes(['flow=5']), /no such map, but names, backends/],
  ['a map of one row that is no table', () => parseSizes(['switches=2']), /no such map/],
  ['no rows', () => parseSizes(['flows=0']), /number of rows/],
  ['too many rows', () => parseSizes(['flows=99999999999']), /number of rows/],
  ['half a pair', () => parseSizes(['flows']), /NAME=VALUE/],
  ['a pair and a half', () => parseSizes(['flows=1=2']), /NAME=VALUE/],
  ['an unknown role', () => parseDevices(['eth0=uplink']), /pod, wire, none/],
  ['an address for a range', () => parseCidrs('10.0.0.0', '--service-cidr'), /ADDRESS\/LENGTH/],
  ['two ranges of one family', () => parseCidrs('10.0.0.0/8,11.0.0.0/8', '--service-cidr'), /two ranges of one family/],
  ['port 0', () => parseNodePorts('0-5'), /FIRST-LAST/],
  ['port 65536', () => parseNodePorts('5-65536'), /FIRST-LAST/],
  ['a range upside down', () => parseNodePorts('6-5'), /FIRST-LAST/],
  ['no time', () => parseSeconds('--audit-interval', '0'), /30s, 5m/],
  ['a month', () => parseSeconds('--audit-interval', '720h'), /longer than a week/],
  ['words', () => parseSeconds('--audit-interval', 'soon'), /30s, 5m/],
] as const) {
  test(`parsing refuses ${what}`, (t) => {
    t.throws(parse, { instanceOf: UsageError, message });
  });
}
