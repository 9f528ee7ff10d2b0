import test from 'ava';
import { checkSysctls, readSysctl } from './sysctls.ts';

const nodePorts = { first: 30_000, last: 32_767 };

function states(settings: Record<string, string>): Record<string, string> {
  const findings = checkSysctls((name) => settings[name], nodePorts);
  return Object.fromEntries(findings.map(({ what, state }) => [what, state]));
}

test('checkSysctls() says nothing of what this kernel does not have', (t) => {
  t.deepEqual(states({}), { br_netfilter: 'info' });
});

test('checkSysctls() warns where forwarding is off', (t) => {
  const found = states({ 'net.ipv4.ip_forward': '0', 'net.ipv6.conf.all.forwarding': '1' });
  t.is(found['net.ipv4.ip_forward'], 'warning');
  t.is(found['net.ipv6.conf.all.forwarding'], 'ok');
});

for (const [range, state] of [
  ['32768\t60999', 'ok'],
  ['1024\t29999', 'ok'],
  ['32767\t60999', 'warning'],
  ['1024\t30000', 'warning'],
  ['1024\t65535', 'warning'],
  ['31000\t31001', 'warning'],
] as const) {
  test(`checkSysctls() ip_local_port_range ${range.replace('\t', '-')} beside the NodePorts is ${state}`, (t) => {
    t.is(states({ 'net.ipv4.ip_local_port_range': range })['net.ipv4.ip_local_port_range'], state);
  });
}

test('checkSysctls() warns of a smaller conntrack table than kube-proxy would make', (t) => {
  t.is(states({ 'net.netfilter.nf_conntrack_max': '65536' })['net.netfilter.nf_conntrack_max'], 'warning');
  t.is(states({ 'net.netfilter.nf_conntrack_max': '99999999' })['net.netfilter.nf_conntrack_max'], 'info');
});

test('readSysctl() reads this machine, and is undefined for what is not there', (t) => {
  t.regex(readSysctl('net.ipv4.ip_forward') ?? '', /^[01]$/);
  t.is(readSysctl('net.ipv4.no_such_thing'), undefined);
});
