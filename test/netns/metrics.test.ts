/** /metrics of an agent at work, as kube-proxy's scrapers find it, and after real connections. */
import test from 'ava';
import { startAgent } from './agent.ts';
import { createLab, type Lab, type Place, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { startClient, startServer } from './traffic.ts';

/** One look at a URL, from a place. */
async function get(lab: Lab, place: Place, url: string): Promise<string> {
  const script = `process.stdout.write(await (await fetch(${JSON.stringify(url)})).text())`;
  return await lab.exec(place, [process.execPath, '--input-type=module', '-e', script]);
}

function seriesValue(text: string, series: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length));
}

test('connections, refusals and flows are counted where a scraper looks', async (t) => {
  await using lab = await createLab({ shape: 'ptp', nodes: 1, podsPerNode: 2, tag: 'metrics' });
  const [node] = lab.nodes;
  const [client, server] = lab.pods as [Pod, Pod];
  if (node === undefined) throw new Error('no node');
  await startServer(lab, server, [8080]);
  const objects = [
    ...nodeObjects(lab),
    ...serviceObjects({ name: 'web', clusterIPs: ['10.96.0.1'] }, [server]),
    ...serviceObjects({ name: 'none', clusterIPs: ['10.96.0.2'] }, []),
  ];
  const flags = ['--metrics-bind-address', '127.0.0.1:10249'];
  await using agent = await startAgent(lab, node, manifest(objects), flags);
  const url = 'http://127.0.0.1:10249/metrics';
  t.is(seriesValue(await get(lab, node, url), 'bpfsvc_map_rows{map="frontends"}'), 6);

  await using inside = startClient(lab, client);
  t.is((await inside.request({ protocol: 'tcp', address: '10.96.0.1', port: 80, count: 5 })).ok, 5);
  t.is((await inside.request({ protocol: 'udp', address: '10.96.0.2', port: 80 })).ok, 0);
  await agent.end();
  await agent.start();
  const text = await get(lab, node, url);
  const web = 'namespace="default",service="web",port="tcp",protocol="TCP"';
  const none = 'namespace="default",service="none",port="udp",protocol="UDP"';
  t.is(seriesValue(text, `bpfsvc_connections_total{${web},reason="connected_pod"}`), 5, 'over a restart, too');
  t.is(seriesValue(text, `bpfsvc_rejections_total{${none},reason="reject_no_endpoint"}`), 1);
  t.is(seriesValue(text, 'bpfsvc_map_rows{map="flows"}'), 10);
  t.is(seriesValue(text, 'bpfsvc_map_max_rows{map="flows"}'), 262_144);
});
