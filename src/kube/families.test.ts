import test from 'ava';
import { clusterAddresses } from './families.ts';
import { objectsOf, serviceYaml } from './fixture.ts';
import type { ServiceSpec } from './objects.ts';

function specOf(spec: string): ServiceSpec {
  const [object] = objectsOf(serviceYaml(spec));
  if (object?.kind !== 'Service') throw new Error(`no Service: ${spec}`);
  return object.spec;
}

/** Addresses as they are, families that lack one as 'IPv4?'. */
function outcome(spec: string, configured: readonly (4 | 6)[] | null): { got: string; reported: string[] } {
  const reported: string[] = [];
  const found = clusterAddresses(specOf(spec), configured, (reason) => reported.push(reason));
  return { got: found.map(({ family, address }) => address ?? `IPv${family}?`).join(' '), reported };
}

for (const [spec, got, ...reported] of [
  ['', 'IPv4?'],
  ['clusterIP: ""', 'IPv4?'],
  ['clusterIP: 10.0.0.1', '10.0.0.1'],
  ['clusterIP: fd00::1', 'fd00::1'],
  ['ipFamilies: [IPv6]', 'IPv6?'],
  ['ipFamilies: [IPv6], clusterIP: "fd00::1"', 'fd00::1'],
  ['ipFamilyPolicy: PreferDualStack', 'IPv4? IPv6?'],
  ['ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6]', 'IPv6? IPv4?'],
  ['ipFamilyPolicy: PreferDualStack, clusterIP: "fd00::1"', 'fd00::1 IPv4?'],
  ['ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4], clusterIPs: ["fd00::1", 10.0.0.1]', 'fd00::1 10.0.0.1'],
  ['ipFamilyPolicy: PreferDualStack, clusterIPs: ["", 10.0.0.1], ipFamilies: [IPv6, IPv4]', 'IPv6? 10.0.0.1'],
  ['clusterIPs: [10.0.0.1, "fd00::1"]', '10.0.0.1 fd00::1'],
  ['ipFamilies: [IPv4, IPv6]', 'IPv4? IPv6?'],
  [
    'ipFamilyPolicy: SingleStack, ipFamilies: [IPv4, IPv6]',
    'IPv4?',
    'ipFamilyPolicy SingleStack, but two families are named: the first one is used',
  ],
  ['ipFamilyPolicy: Both', 'IPv4?', 'ipFamilyPolicy "Both" is unknown: taken as SingleStack'],
  ['ipFamilies: [IPv5]', 'IPv4?', 'ipFamilies[0]: "IPv5" is neither IPv4 nor IPv6'],
  ['ipFamilies: [IPv4, IPv4]', 'IPv4?', 'two clusterIPs or ipFamilies of IPv4: the first one is used'],
  ['clusterIPs: [10.0.0.1, 10.0.0.2]', '10.0.0.1', 'two clusterIPs or ipFamilies of IPv4: the first one is used'],
  [
    'clusterIP: 10.0.0.9, clusterIPs: [10.0.0.1]',
    '10.0.0.9',
    'without ipFamilies clusterIP alone counts: 10.0.0.1 is left out',
  ],
  [
    'clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::1"]',
    '10.0.0.1',
    'without ipFamilies clusterIP alone counts: fd00::1 is left out',
  ],
  ['clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::1"], ipFamilies: [IPv4, IPv6]', '10.0.0.1 fd00::1'],
  ['clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::1"], ipFamilyPolicy: PreferDualStack', '10.0.0.1 fd00::1'],
  [
    'clusterIP: 10.0.0.9, clusterIPs: [10.0.0.1], ipFamilies: [IPv4]',
    '10.0.0.1',
    'clusterIP 10.0.0.9 is not the first of clusterIPs, which are used',
  ],
  ['ipFamilies: [IPv6], clusterIP: 10.0.0.1', '', 'clusterIPs[0]: 10.0.0.1 is not an IPv6 address'],
  ['clusterIP: 10.0.0.300', '', 'clusterIPs[0]: "10.0.0.300" is not an IP address'],
  ['clusterIP: 0.0.0.0', '', 'clusterIPs[0]: 0.0.0.0 is the unspecified address'],
] as const) {
  test(`clusterAddresses() without an API server: {${spec}} is ${got || 'nothing'}`, (t) => {
    t.deepEqual(outcome(spec, [4, 6]), { got, reported: [...reported] });
  });
}

test('clusterAddresses() the first configured family is that of a Service that does not say', (t) => {
  t.is(outcome('', [6, 4]).got, 'IPv6?');
});

test('clusterAddresses() PreferDualStack is content with one family, RequireDualStack says that it is not', (t) => {
  t.deepEqual(outcome('ipFamilyPolicy: PreferDualStack', [4]), { got: 'IPv4?', reported: [] });
  const reported = ['ipFamilyPolicy RequireDualStack, and there is no service CIDR for IPv6'];
  t.deepEqual(outcome('ipFamilyPolicy: RequireDualStack', [4]), { got: 'IPv4?', reported });
});

for (const [spec, got] of [
  ['', ''],
  ['clusterIP: 10.0.0.1', '10.0.0.1'],
  ['clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::1"]', '10.0.0.1'],
  ['clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::1"], ipFamilies: [IPv4, IPv6]', '10.0.0.1 fd00::1'],
  ['clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ipFamilies: [IPv4, IPv6]', '10.0.0.1'],
  ['ipFamilyPolicy: PreferDualStack', ''],
] as const) {
  test(`clusterAddresses() as an API server wrote it: {${spec}} is ${got || 'nothing'}`, (t) => {
    t.deepEqual(outcome(spec, null), { got, reported: [] });
  });
}
