import test from 'ava';
import { chainHash, iptablesRules, nftablesRules } from './peers.ts';
import { benchServices } from './services.ts';

test("chainHash() gives the names that kube-proxy's own tests expect", (t) => {
  t.is(chainHash('ns1/svc1:p80tcp', 16), 'XPGD46QRK7WJZT7O');
  t.is(chainHash('ns1/svc1:p80tcp10.180.0.1:80', 16), 'SXIVWICOYRO3J4NJ');
  t.is(chainHash('ns1/svc1/tcp/p80', 8), 'ULMVA6XW');
});

test('iptablesRules() writes a Service as kube-proxy does: one row in the list, a chain of chances, two rules an endpoint', (t) => {
  const lines = iptablesRules(benchServices(1, '10.1.1.12', '10.1.2.11')).split('\n');
  const name = 'bench/target:echo';
  const svc = `KUBE-SVC-${chainHash(`${name}tcp`, 16)}`;
  t.deepEqual(
    lines.filter((line) => line.startsWith(`-A ${svc} `)).map((line) => line.replaceAll(/KUBE-SEP-\w{16}/g, 'SEP')),
    [
      `-A ${svc} -m comment --comment "${name} cluster IP" -m tcp -p tcp -d 10.96.0.10 --dport 80 ! -s 10.1.0.0/16 -j KUBE-MARK-MASQ`,
      `-A ${svc} -m comment --comment "${name} -> 10.1.1.12:8080" -m statistic --mode random --probability 0.3333333333 -j SEP`,
      `-A ${svc} -m comment --comment "${name} -> 10.1.1.12:8081" -m statistic --mode random --probability 0.5000000000 -j SEP`,
      `-A ${svc} -m comment --comment "${name} -> 10.1.1.12:8082" -j SEP`,
    ],
  );
  t.is(lines.filter((line) => line.startsWith('-A KUBE-SEP-')).length, 12);
  t.is(
    lines.filter((line) => line.startsWith('-A KUBE-SERVICES'))[1],
    `-A KUBE-SERVICES -m comment --comment "${name} cluster IP" -m tcp -p tcp -d 10.96.0.10 --dport 80 -j ${svc}`,
  );
});

test('iptablesRules() writes a nodePort as kube-proxy does: the last list leads to a chain that marks', (t) => {
  const lines = iptablesRules(benchServices(1, '10.1.1.12', '10.1.2.11')).split('\n');
  const hash = chainHash('bench/outer:echotcp', 16);
  t.deepEqual(
    lines.filter((line) => /^-A KUBE-(NODEPORTS|EXT-)/.test(line)),
    [
      `-A KUBE-NODEPORTS -m comment --comment "bench/outer:echo" -m tcp -p tcp --dport 30080 -j KUBE-EXT-${hash}`,
      `-A KUBE-EXT-${hash} -m comment --comment "masquerade traffic for bench/outer:echo external destinations" -j KUBE-MARK-MASQ`,
      `-A KUBE-EXT-${hash} -j KUBE-SVC-${hash}`,
    ],
  );
});

test('iptablesRules() lists the measured Service last and, as kube-proxy above 1,000 endpoints, without comments', (t) => {
  const rows = iptablesRules(benchServices(500, '10.1.1.12', '10.1.2.11'))
    .split('\n')
    .filter((line) => line.startsWith('-A KUBE-SERVICES'));
  t.is(rows.length, 502);
  t.regex(rows.at(-2) ?? '', /^-A KUBE-SERVICES -m tcp -p tcp -d 10\.96\.0\.10 --dport 80 -j KUBE-SVC-\w{16}$/);
  t.regex(rows.at(-1) ?? '', /this must be the last rule/);
});

test('nftablesRules() writes a Service as kube-proxy does: a verdict map and one rule that chooses', (t) => {
  const text = nftablesRules(benchServices(1, '10.1.1.12', '10.1.2.11'), '192.168.50.1');
  const chain = `service-${chainHash('bench/target/tcp/echo', 8)}-bench/target/tcp/echo`;
  const choices = '0 : 10.1.1.12 . 8080 , 1 : 10.1.1.12 . 8081 , 2 : 10.1.1.12 . 8082';
  t.true(
    text.includes(
      `add rule ip kube-proxy ${chain} meta l4proto tcp dnat ip addr . port to numgen random mod 3 map { ${choices} }\n`,
    ),
  );
  const outer = `${chainHash('bench/outer/tcp/echo', 8)}-bench/outer/tcp/echo`;
  const element = (name: string, what: string) => `add element ip kube-proxy ${name} { ${what} }\n`;
  const service = `10.96.0.11 . tcp . 80 : goto service-${outer}, 10.96.0.10 . tcp . 80 : goto ${chain}`;
  t.true(text.includes(element('service-ips', service)));
  t.true(text.includes(element('service-nodeports', `tcp . 30080 : goto external-${outer}`)));
  t.true(text.includes(`add rule ip kube-proxy external-${outer} goto service-${outer}\n`));
});
