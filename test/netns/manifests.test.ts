/**
 * From YAML to answers: files as people write and dump them, bad ones, and edits while clients ask. Each programmable port
 * must answer, each other Service must be explained, and whatever is said is said once.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import type { Agent } from './agent.ts';
import { bad, slice, web } from './bad-yaml.ts';
import { eventually } from './eventually.ts';
import { type Item, keyOf, type Stage, served, setStage } from './manifest-stage.ts';
import { manifest } from './objects.ts';
import { startServer } from './traffic.ts';

const test = anyTest.serial;

/** Asks through every address of a port, in every way that there is. */
async function ask(t: ExecutionContext, { clients }: Stage, item: Item, backends: readonly string[]): Promise<void> {
  const protocol = item.protocol === 'UDP' ? 'udp' : 'tcp';
  for (const [who, client] of Object.entries(clients)) {
    for (const address of item.clusterIPs) {
      for (const connected of protocol === 'udp' ? [true, false] : [true]) {
        const tally = await client.request({
          protocol,
          connected,
          address,
          port: item.port,
          count: 16,
          concurrency: 4,
        });
        const what = `${keyOf(item)} at ${address} from ${who}: ${JSON.stringify([tally.backends, tally.errors])}`;
        t.is(tally.ok, 16, what);
        t.true(
          Object.keys(tally.backends).every((name) => backends.includes(name)),
          what,
        );
      }
    }
  }
}

function messages(agent: Agent, level: 'warn' | 'info'): string[] {
  return agent.log.filter((line) => line.level === level).map(({ msg }) => msg);
}

/** Waits until every one of `wanted` was logged, and checks that none of them was logged twice. */
async function saidOnce(t: ExecutionContext, agent: Agent, level: 'warn' | 'info', wanted: readonly string[]) {
  const said = await eventually(() => {
    const found = messages(agent, level);
    assert.deepEqual(
      wanted.filter((message) => !found.includes(message)),
      [],
    );
    return found;
  });
  for (const message of wanted) t.is(said.filter((other) => other === message).length, 1, message);
}

/** Of each file below as-written/: who may answer at which port, in how many families. */
const asWritten: Readonly<Record<string, readonly [backends: string, families: 1 | 2]>> = {
  'core/amf:38412/SCTP': ['beta', 1],
  'core/amf:7777/TCP': ['beta', 1],
  'default/flow:80/TCP': ['alpha beta', 2],
  'jobs/queue:5672/TCP': ['beta', 1],
  'kube-system/cluster-dns:53/TCP': ['alpha-9000', 2],
  'kube-system/cluster-dns:53/UDP': ['alpha', 2],
  'kube-system/cluster-dns:9153/TCP': ['alpha-9153', 2],
  'prod/cache:6379/TCP': ['alpha beta', 1],
  'prod/postgres:5432/TCP': ['gamma', 1],
  'shop/front:80/TCP': ['alpha', 1],
  'web/web:443/TCP': ['alpha beta', 1],
  'web/web:80/TCP': ['alpha beta', 1],
};

test('real YAML: every programmable port answers in every way, every other Service is explained once', async (t) => {
  const stage = await setStage('yaml');
  await using _lab = stage.lab;
  await using agent = stage.agent;
  const folder = join(import.meta.dirname, 'as-written');
  for (const name of readdirSync(folder)) {
    const text = readFileSync(join(folder, name), 'utf8');
    stage.save(name, name === 'chart.yaml' ? `\ufeff${text.replaceAll('\n', '\r\n')}` : text);
  }
  const items = await eventually(async () => {
    const found = await served(agent);
    assert.deepEqual([...found.keys()].sort(), Object.keys(asWritten));
    return found;
  });
  for (const [key, [backends, families]] of Object.entries(asWritten)) {
    const item = items.get(key);
    if (item === undefined) throw new RangeError(key);
    t.is(item.clusterIPs.length, families, key);
    /* not every kernel speaks it itself: that it is translated is the programs' tests' to show */
    if (item.protocol !== 'SCTP') await ask(t, stage, item, backends.split(' '));
  }
  await saidOnce(t, agent, 'info', [
    'Service kube-system/cluster-dns-headless: headless (clusterIP None): DNS answers with its endpoints, nothing is programmed',
    'Service legacy/crm: type ExternalName: DNS answers for it, nothing is programmed',
    'Service legacy/marked: label service.kubernetes.io/headless: it is left to DNS',
    'Service legacy/meshed: label service.kubernetes.io/service-proxy-name=mesh: another proxy serves it',
    'Service legacy/mysql: headless (clusterIP None): DNS answers with its endpoints, nothing is programmed',
  ]);
  t.deepEqual(messages(agent, 'warn'), []);
});

test('bad input is named once each, harms no neighbour, and is forgotten when it is mended', async (t) => {
  const stage = await setStage('bad');
  await using _lab = stage.lab;
  await using agent = stage.agent;
  const { save, remove } = stage;
  save('good.yaml', web('good', '10.96.0.80') + slice('good', '10.1.1.12'));
  for (const [name, [text]] of Object.entries(bad)) save(name, text);
  symlinkSync('/nowhere/at/all', join(agent.manifests, 'link.yaml'));
  mkdirSync(join(agent.manifests, 'folder.yaml'));
  const said = Object.values(bad).flatMap(([, ...lines]) => lines);
  said.push('file link.yaml: is a symbolic link to what does not exist');
  await saidOnce(t, agent, 'warn', said);
  t.deepEqual(messages(agent, 'warn').sort(), said.sort(), 'and nothing else');
  t.deepEqual(
    messages(agent, 'info').filter((message) => said.includes(message)),
    [],
  );
  const items = await served(agent);
  const rest = ['good', 'label', 'named', 'numbers', 'twice'];
  t.deepEqual(
    [...items.keys()].sort(),
    rest.map((name) => `default/${name}:80/TCP`),
  );
  t.deepEqual(items.get('default/twice:80/TCP')?.clusterIPs, ['10.96.1.7']);
  await ask(t, stage, items.get('default/good:80/TCP') as Item, ['alpha']);

  for (const name of Object.keys(bad))
    save(name, web(name.replace('.', '-'), '') + slice(name.replace('.', '-'), '10.1.1.12'));
  remove('link.yaml');
  await saidOnce(
    t,
    agent,
    'info',
    said.map((line) => `no longer: ${line}`),
  );
  t.is(messages(agent, 'warn').length, said.length);
  for (const item of (
    await eventually(async () => {
      const mended = await served(agent);
      assert.equal(mended.size, Object.keys(bad).length + 1);
      return mended;
    })
  ).values()) {
    await ask(t, stage, item, ['alpha']);
  }
});

test('edits take effect under traffic, and no request fails: add, change, break, mend, swap, take away', async (t) => {
  const stage = await setStage('edit');
  await using _lab = stage.lab;
  await using agent = stage.agent;
  const { save, remove, clients } = stage;
  /** Makes an edit and waits for its pass. */
  const edit = async (act: () => void): Promise<void> => {
    const done = agent.logged(/rows? written for [1-9]/);
    act();
    await done;
  };
  const answers = async (...backends: string[]): Promise<void> => {
    for (const client of Object.values(clients)) {
      const tally = await client.request({ protocol: 'tcp', address: '10.96.0.80', port: 80, count: 24 });
      t.deepEqual([tally.failed, Object.keys(tally.backends).sort()], [0, backends]);
    }
  };
  const service = web('web', '10.96.0.80');
  const [alpha, beta] = [slice('web', '10.1.1.12'), slice('web', '10.1.2.11').replace('web-1', 'web-2')];
  await edit(() => save('web.yaml', service + alpha));
  await answers('alpha');
  const streams = [clients.socket, clients.pod, clients.node].map((client) =>
    client.stream({ protocol: 'tcp', address: '10.96.0.80', port: 80, perSecond: 100, questions: 2 }),
  );

  await edit(() => save('more.yaml', beta));
  await answers('alpha', 'beta');
  await edit(() => save('more.yaml', beta.replace('8080', '9000').replace('10.1.2.11', '10.1.1.12')));
  await answers('alpha', 'alpha-9000');
  const stays = agent.logged(/^file web.yaml: what it last said stays in use$/);
  save('web.yaml', `${service}---\napiVersion: [`);
  await stays;
  await answers('alpha', 'alpha-9000');
  const mended = agent.logged(/^no longer: file web.yaml: what it last said stays in use$/);
  await edit(() => save('web.yaml', service + slice('web', '10.1.2.11')));
  await mended;
  await answers('alpha-9000', 'beta');
  await edit(() => remove('more.yaml'));
  await answers('beta');

  const mount = (version: string, text: string): void => {
    const path = join(agent.manifests, `..${version}`);
    mkdirSync(path);
    writeFileSync(join(path, 'web.yaml'), text);
    symlinkSync(`..${version}`, join(agent.manifests, '..data_tmp'));
    renameSync(join(agent.manifests, '..data_tmp'), join(agent.manifests, '..data'));
  };
  mount('2024_1', service + beta);
  symlinkSync('..data/web.yaml', join(agent.manifests, '.link'));
  renameSync(join(agent.manifests, '.link'), join(agent.manifests, 'web.yaml'));
  await answers('beta');
  await edit(() => mount('2024_2', service + alpha));
  remove('..2024_1');
  await answers('alpha');

  for (const stream of streams) {
    const tally = await stream.stop();
    t.true(tally.asked > 100);
    t.deepEqual(tally.errors, {});
  }
  await edit(() => mount('2024_3', service));
  const refused = await clients.socket.request({ protocol: 'tcp', address: '10.96.0.80', port: 80 });
  t.deepEqual(refused.errors, { ECONNREFUSED: 1 });
  await edit(() => remove('web.yaml'));
  t.deepEqual([...(await served(agent)).keys()], []);
});

test('100,000 endpoints in one Service: they answer, and an edit of them fails no request', async (t) => {
  const stage = await setStage('crowd');
  await using lab = stage.lab;
  await using agent = stage.agent;
  // one pod that answers for all addresses of a range
  const [node, pod] = [lab.node('n1'), lab.pod('n1p2')];
  await lab.exec(pod, ['ip', 'route', 'add', 'local', '10.200.0.0/15', 'dev', 'lo']);
  await lab.exec(node, ['ip', 'route', 'add', '10.200.0.0/15', 'via', pod.ip4, 'dev', pod.veth, 'onlink']);
  await startServer(lab, pod, [7000], { name: 'crowd', addresses: ['0.0.0.0'] });
  const addressOf = (n: number): string => `10.${200 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
  const slices = Array.from({ length: 100 }, (_, i) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `crowd-${i}`, labels: { 'kubernetes.io/service-name': 'crowd' } },
    addressType: 'IPv4',
    ports: [{ port: 7000 }],
    endpoints: Array.from({ length: 1000 }, (_, k) => ({ addresses: [addressOf(i * 1000 + k)] })),
  }));
  const write = async (some: readonly object[]): Promise<void> => {
    const done = agent.logged(/rows? written for [1-9]/);
    stage.save('crowd.json', manifest(some));
    await done;
  };
  stage.save('service.yaml', web('crowd', '10.96.0.90'));
  await write(slices);
  const backends = async (): Promise<number> => {
    const { stdout } = await agent.bpfsvc('dump', 'services', 'default/crowd', '-o', 'json');
    return (JSON.parse(stdout) as { items: { backends: string[] }[] }).items[0]?.backends.length ?? 0;
  };
  await eventually(async () => assert.equal(await backends(), 100_000));
  const streams = [stage.clients.socket, stage.clients.pod].map((client) =>
    client.stream({ protocol: 'tcp', address: '10.96.0.90', port: 80, perSecond: 100 }),
  );
  await write(slices.slice(1));
  await eventually(async () => assert.equal(await backends(), 99_000));
  for (const stream of streams) {
    const tally = await stream.stop();
    t.true(tally.asked > 50);
    t.deepEqual(tally.errors, {});
  }
  t.deepEqual(messages(agent, 'warn'), []);
});
