import test from 'ava';
import { isLinkLocal, parsePort, parseProtocol, parseTimestamp, readAddress, reportOf } from './fields.ts';

for (const [text, port] of [
  ['1', 1],
  ['080', 80],
  ['65535', 65535],
  ['0', null],
  ['65536', null],
  ['-1', null],
  ['80.5', null],
  ['1e3', null],
  ['http', null],
  ['', null],
  ['99999999999999999999', null],
] as const) {
  test(`parsePort() ${JSON.stringify(text)} is ${port}`, (t) => t.is(parsePort(text), port));
}

test('parseProtocol() absent is TCP, lower case and others are unknown', (t) => {
  t.deepEqual(['', 'TCP', 'UDP', 'SCTP', 'tcp', 'ICMP'].map(parseProtocol), ['TCP', 'TCP', 'UDP', 'SCTP', null, null]);
});

for (const [text, utc] of [
  ['2024-05-01T10:00:00Z', '2024-05-01T10:00:00Z'],
  ['2024-05-01T10:00:00+02:00', '2024-05-01T08:00:00Z'],
  ['2024-05-01T10:00:00.123456Z', '2024-05-01T10:00:00Z'],
  ['2024-05-01T10:00:00', ''],
  ['2024-13-01T10:00:00Z', ''],
  ['yesterday', ''],
  ['', ''],
] as const) {
  test(`parseTimestamp() ${JSON.stringify(text)} is ${JSON.stringify(utc)}`, (t) => t.is(parseTimestamp(text), utc));
}

for (const [text, family, result] of [
  ['010.0.0.1', null, '10.0.0.1'],
  [' fd00::1 ', 6, 'fd00::1'],
  ['::ffff:10.0.0.1', 4, '10.0.0.1'],
  ['10.0.0.1', 6, '10.0.0.1 is not an IPv6 address'],
  ['fd00::1', 4, 'fd00::1 is not an IPv4 address'],
  ['web', null, '"web" is not an IP address'],
  ['', null, '"" is not an IP address'],
  ['0.0.0.0', null, '0.0.0.0 is the unspecified address'],
  ['::', null, ':: is the unspecified address'],
  ['127.0.0.53', null, '127.0.0.53 is a loopback address'],
  ['::1', null, '::1 is a loopback address'],
  ['224.0.0.1', null, '224.0.0.1 is a multicast address'],
  ['239.1.1.1', null, '239.1.1.1 is a multicast address'],
  ['ff02::1', null, 'ff02::1 is a multicast address'],
  ['255.255.255.255', null, '255.255.255.255 is the broadcast address'],
  ['223.0.0.1', null, '223.0.0.1'],
  ['240.0.0.1', null, '240.0.0.1'],
] as const) {
  test(`readAddress() ${JSON.stringify(text)} of family ${family}: ${result}`, (t) => {
    const read = readAddress(text, family);
    t.is('address' in read ? read.address : read.fault, result);
  });
}

test('isLinkLocal() 169.254.0.0/16 and fe80::/10', (t) => {
  const addresses = ['169.254.1.1', 'fe80::1', 'febf::1', '169.25.4.1', 'fec0::1', 'fd00::fe80:1'];
  t.deepEqual(addresses.filter(isLinkLocal), ['169.254.1.1', 'fe80::1', 'febf::1']);
});

test('reportOf() tells a reason once, and of very many the first and how many more', (t) => {
  const report = reportOf('Service a/b');
  for (let i = 0; i < 1000; i++) {
    report(`reason ${i}`);
    report('reason 0');
  }
  const problems = report.problems();
  t.is(problems.length, 11);
  t.deepEqual(problems[0], { object: 'Service a/b', reason: 'reason 0' });
  t.is(problems[10]?.reason, 'and 990 more like these');
});
