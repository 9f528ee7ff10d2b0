import assert from 'node:assert/strict';
import test from 'ava';
import { writeManifest } from '../test/agent.ts';
import { ask, balanced, makeServerBox, nodeN1, settles, start } from '../test/servers.ts';

const box = makeServerBox();
test.after.always(() => box.close());

/** Of Prometheus' text: name → its type and help, and 'name{label="x"}' → value. */
function scraped(text: string): {
  types: Map<string, string>;
  helps: Map<string, string>;
  values: Map<string, number>;
} {
  const of = (kind: string) =>
    new Map([...text.matchAll(new RegExp(`^# ${kind} (\\S+) (.*)$`, 'gm'))].map(([, a = '', b = '']) => [a, b]));
  const values = new Map([...text.matchAll(/^([a-z]\S*) (\S+)$/gm)].map(([, a = '', b = '']) => [a, Number(b)]));
  return { types: of('TYPE'), helps: of('HELP'), values };
}

test('/metrics has what kube-proxy counts, under its names, labels, types and buckets', async (t) => {
  const old = balanced({ here: ['10.1.0.1'], changed: '2020-01-01T00:00:00Z' });
  const local = balanced({ name: 'away', port: 30131, clusterIPs: ['10.96.0.2'], away: ['10.1.0.9'] });
  await start(box, t, 'metrics', [nodeN1(), ...old, ...local]);
  const url = 'http://127.0.0.1:10249';
  for (const path of ['/healthz', '/healthz', '/livez']) await ask(`http://127.0.0.1:10256${path}`);
  const first = scraped((await ask(`${url}/metrics`)).text);
  const prefix = 'kubeproxy_sync_proxy_rules';
  const expected: readonly [name: string, type: string, help: string][] = [
    [
      'kubeproxy_network_programming_duration_seconds',
      'histogram',
      'In Cluster Network Programming Latency in seconds',
    ],
    [`${prefix}_duration_seconds`, 'histogram', 'SyncProxyRules latency in seconds'],
    [
      'kubeproxy_sync_full_proxy_rules_duration_seconds',
      'histogram',
      'SyncProxyRules latency in seconds for full resyncs',
    ],
    [
      'kubeproxy_sync_partial_proxy_rules_duration_seconds',
      'histogram',
      'SyncProxyRules latency in seconds for partial resyncs',
    ],
    [`${prefix}_last_timestamp_seconds`, 'gauge', 'The last time proxy rules were successfully synced'],
    [`${prefix}_last_queued_timestamp_seconds`, 'gauge', 'The last time a sync of proxy rules was queued'],
    [`${prefix}_endpoint_changes_pending`, 'gauge', 'Pending proxy rules Endpoint changes'],
    [`${prefix}_endpoint_changes_total`, 'counter', 'Cumulative proxy rules Endpoint changes'],
    [`${prefix}_service_changes_pending`, 'gauge', 'Pending proxy rules Service changes'],
    [`${prefix}_service_changes_total`, 'counter', 'Cumulative proxy rules Service changes'],
    [`${prefix}_no_local_endpoints_total`, 'gauge', 'Number of services with a Local traffic policy and no endpoints'],
    ['kubeproxy_proxy_healthz_total', 'counter', 'Cumulative proxy healthz HTTP status'],
    ['kubeproxy_proxy_livez_total', 'counter', 'Cumulative proxy livez HTTP status'],
  ];
  for (const [name, type, help] of expected) {
    t.is(first.types.get(name), type, name);
    t.is(first.helps.get(name), help, name);
  }
  const kubeProxys = [...first.types.keys()].filter((name) => name.startsWith('kubeproxy_'));
  t.deepEqual(kubeProxys.sort(), expected.map(([name]) => name).sort());
  t.true([...first.types.keys()].every((name) => /^(kubeproxy|bpfsvc|rest_client|process)_/.test(name)));
  const bounds = [...first.values.keys()].flatMap((key) => {
    const isOne = key.startsWith(`${prefix}_duration_seconds_bucket{`) && key.includes('"IPv4"');
    return isOne ? (/le="([^"]+)"/.exec(key)?.[1] ?? '') : [];
  });
  t.deepEqual(bounds, [...Array.from({ length: 15 }, (_, i) => String(0.001 * 2 ** i)), '+Inf']);
  const values: readonly [series: string, value: number][] = [
    [`${prefix}_endpoint_changes_pending`, 0],
    [`${prefix}_service_changes_pending`, 0],
    [`${prefix}_endpoint_changes_total`, 2],
    [`${prefix}_service_changes_total`, 2],
    [`${prefix}_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"}`, 2],
    [`${prefix}_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"}`, 0],
    [`${prefix}_no_local_endpoints_total{ip_family="IPv6",traffic_policy="external"}`, 0],
    [`${prefix}_no_local_endpoints_total{ip_family="IPv6",traffic_policy="internal"}`, 0],
    ['kubeproxy_proxy_healthz_total{code="200"}', 2],
    ['kubeproxy_proxy_livez_total{code="200"}', 1],
  ];
  for (const [series, value] of values) t.is(first.values.get(series), value, series);
  for (const family of ['IPv4', 'IPv6']) {
    t.true((first.values.get(`${prefix}_duration_seconds_count{ip_family="${family}"}`) ?? 0) > 0);
    t.true(
      (first.values.get(`kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="${family}"}`) ?? 0) > 0,
    );
  }
  t.false(
    [...first.values.keys()].some((key) => key.startsWith('kubeproxy_network_programming')),
    'it is older than the agent',
  );

  const changed = new Date(Date.now() - 1).toISOString();
  writeManifest(box, 'metrics.json', [...balanced({ here: ['10.1.0.1', '10.1.0.2'], changed }), ...local]);
  const later = await settles(async () => {
    const { values } = scraped((await ask(`${url}/metrics`)).text);
    assert.equal(values.get('kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"}'), 1);
    return values;
  });
  t.is(later.get(`${prefix}_endpoint_changes_total`), 3);
  t.is(later.get(`${prefix}_service_changes_total`), 2);
  t.true((later.get('kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"}') ?? 0) > 0);
  const programming = [...later.keys()].filter((key) => /^kubeproxy_network_programming.*_bucket.*IPv4/.test(key));
  t.is(programming.length, 1 + 2 + 59 + 12 + 7 + 1, 'kube-proxy has a bucket of 0, too');
  for (const name of [`${prefix}_last_timestamp_seconds`, `${prefix}_last_queued_timestamp_seconds`]) {
    const [was = 0, is = 0] = [first.values, later].map((of) => of.get(`${name}{ip_family="IPv4"}`));
    t.true(is > was && is * 1000 <= Date.now(), name);
  }
  t.is((await ask('http://127.0.0.1:10256/healthz')).status, 503, 'the Node is gone');
  const last = scraped((await ask(`${url}/metrics`)).text);
  t.is(last.values.get('kubeproxy_proxy_healthz_total{code="503"}'), 1);
  const mode = await ask(`${url}/proxyMode`);
  t.deepEqual([mode.status, mode.text, mode.headers.get('content-type')], [200, 'bpfsvc', 'text/plain; charset=utf-8']);
});
