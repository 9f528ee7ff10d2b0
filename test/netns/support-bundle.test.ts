/** A bundle of a node at work: what is in it, and that none of the secrets around it are. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { extract } from 'tar-stream';
import { startAgent } from './agent.ts';
import { createLab } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { startClient, startServer } from './traffic.ts';

async function unpacked(file: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const archive = extract();
  Readable.from([gunzipSync(readFileSync(file))]).pipe(archive);
  for await (const entry of archive) {
    files.set(entry.header.name.replace(/^[^/]+\//, ''), (await buffer(entry)).toString('utf8'));
  }
  return files;
}

test('a bundle tells how the node is, with its agent alive and dead, and no secret', async (t) => {
  t.timeout(240_000);
  const secret = (where: string) => `s3cr3t-${where}-f00d`;
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-bundle-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  await using lab = await createLab({ shape: 'ptp', podsPerNode: 2, tag: 'bundle' });
  const node = lab.node('n1');
  await lab.exec(node, ['ip', 'link', 'set', 'lo', 'up']);
  await startServer(lab, lab.pod('n1p1'), [8080]);
  const [service, ...slices] = serviceObjects({ name: 'web', clusterIPs: ['10.96.0.1'] }, [lab.pod('n1p1')]) as {
    metadata: object;
  }[];
  const applied = JSON.stringify({ spec: { token: secret('last-applied') } });
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': applied, note: secret('annotation') };
  const objects = [
    ...nodeObjects(lab),
    { ...service, metadata: { ...service?.metadata, annotations } },
    ...slices,
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { password: secret('object') } },
  ];
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, `users:\n- name: a\n  user: {token: ${secret('kubeconfig')}}\n`);
  const flags = ['--master', `https://admin:${secret('flag')}@192.0.2.1:6443`, '--kubeconfig', kubeconfig];
  await using agent = await startAgent(lab, node, manifest(objects), []);
  await agent.end();
  await agent.start(flags, { API_TOKEN: secret('environment') });
  writeFileSync(join(agent.manifests, 'broken.yaml'), `kind: Secret\ndata: {password: ${secret('broken')}\n  - x: [\n`);
  await agent.logged(/broken\.yaml/);
  const log = join(folder, 'agent.log');
  writeFileSync(log, `info  attached at eth0\nwarn  401: Bearer ${secret('log')} was refused\n`);
  const client = startClient(lab, lab.pod('n1p2'));
  await client.request({ protocol: 'tcp', address: '10.96.0.1', port: 80, count: 3 });

  const file = join(folder, 'node.tar.gz');
  const made = await agent.bpfsvc('support-bundle', file, '--log', log);
  t.is(made.code, 0, made.stderr);
  const files = await unpacked(file);
  t.deepEqual(
    [...files].filter(([, text]) => /s3cr3t/.test(text)).map(([name]) => name),
    [],
  );
  t.regex(files.get('agent.txt') ?? '', /run --manifests .* --master https:\/\/<blotted out>192\.0\.2\.1:6443/);
  t.regex(files.get('logs/0.log') ?? '', /attached at eth0\nwarn {2}401: Bearer <blotted out> was refused/);
  t.regex(files.get('status.txt') ?? '', /problems +\d+\n.*broken\.yaml/);
  t.regex(files.get('dump/services.txt') ?? '', /default +web/);
  t.is((JSON.parse(files.get('dump/flows.json') ?? '{}') as { total: number }).total, 6);
  t.regex(files.get('metrics.txt') ?? '', /^bpfsvc_connections_total\{.*web.*\} 3$/m);
  t.regex(files.get('check.txt') ?? '', /bpfsvc can run here/);
  t.regex(files.get('sysctls.txt') ?? '', /^net\.ipv4\.ip_forward = 1$/m);
  t.regex(files.get('rules.txt') ?? '', /nftables/);
  t.regex(files.get('network.json') ?? '', /vethn1p1/);
  t.regex(files.get('takeover.txt') ?? '', /nothing of kube-proxy is here/);
  t.is(readFileSync(file)[0] ?? 0, 0x1f);

  await agent.end('SIGKILL');
  const later = await agent.bpfsvc('support-bundle', file);
  t.is(later.code, 0, later.stderr);
  t.regex(later.stdout, /metrics\.txt could not be had: no agent answers/);
  const dead = await unpacked(file);
  t.regex(dead.get('status.txt') ?? '', /none runs; the last one was process/);
  t.regex(dead.get('dump/services.txt') ?? '', /default +web/);
});
