/** bpfsvc as the only proxy of a real cluster: what people do to it, and what happens to it, while requests go on. */
import assert from 'node:assert/strict';
import anyTest, { type ExecutionContext } from 'ava';
import type { Agent } from '../netns/agent.ts';
import { eventually } from '../netns/eventually.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { dnsAddress } from './dns.ts';
import { areUp, box, inBox, type Load, startLoad, web } from './workload.ts';

const test = anyTest.serial;

let cluster: Cluster;
let nodePort: string;

test.before(async () => {
  cluster = await startCluster({ tag: 'realtest', proxy: 'bpfsvc', tell: (text) => console.log(`# ${text}`) });
  const { control } = cluster;
  await control.apply(...web('web', 4, { type: 'NodePort' }), box('box1', 'n1'), box('box2', 'n2'));
  await areUp(cluster, 'deployment/web', 'pod/box1', 'pod/box2');
  nodePort = await control.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}']);
});

test.after.always(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

function agentOf(node: string): Agent {
  return cluster.agents.get(node) as Agent;
}

async function addresses(service: string): Promise<string[]> {
  return (await cluster.control.kubectl(['get', 'service', service, '-o', 'jsonpath={.spec.clusterIPs[*]}'])).split(
    ' ',
  );
}

function url(address: string, port = '80'): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}/hostname`;
}

/** From a pod of each node, from a node itself and from outside, by all addresses of both families. */
async function loadEverywhere(): Promise<Load[]> {
  const { lab } = cluster;
  const inside = ['http://web/hostname', ...(await addresses('web')).map((address) => url(address))];
  const nodePorts = lab.nodes.flatMap(({ ip4, ip6 }) => [url(ip4, nodePort), url(ip6, nodePort)]);
  return [
    startLoad(cluster, 'box1', inside),
    startLoad(cluster, 'box2', inside),
    startLoad(cluster, lab.node('n1'), inside.slice(1)),
    startLoad(cluster, lab.outside, nodePorts),
  ];
}

async function nothingFailed(t: ExecutionContext, loads: readonly Load[]): Promise<void> {
  for (const [i, { answered, failures }] of (await Promise.all(loads.map((load) => load.stop()))).entries()) {
    t.deepEqual(failures.slice(0, 10), [], `load ${i + 1}: ${failures.length} failed of ${answered + failures.length}`);
    t.true(answered > 0);
  }
}

test('DNS answers by its clusterIP a pod of each node, in both families, by UDP and TCP', async (t) => {
  for (const pod of ['box1', 'box2']) {
    for (const server of Object.values(dnsAddress)) {
      for (const flag of ['+notcp', '+tcp']) {
        const line = `dig +short +tries=1 +time=3 ${flag} @${server} kubernetes.default.svc.cluster.local`;
        t.is((await inBox(cluster, pod, line)).trim(), '10.96.0.1', `${pod}: ${line}`);
      }
    }
  }
});

test('a NodePort answers from outside on each node, in both families, by every pod', async (t) => {
  const { lab, control } = cluster;
  const names = await control.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].metadata.name}']);
  for (const node of lab.nodes) {
    for (const address of [node.ip4, node.ip6]) {
      const line = `for i in $(seq 60); do curl -gsS -m 5 '${url(address, nodePort)}'; echo; done`;
      const answers = (await lab.exec(lab.outside, ['sh', '-c', line])).trim().split('\n');
      t.deepEqual([...new Set(answers)].sort(), names.split(' ').sort(), `${node.name} ${address}`);
    }
  }
});

test('a rolling update loses no request', async (t) => {
  const loads = await loadEverywhere();
  await cluster.control.kubectl(['rollout', 'restart', 'deployment/web']);
  await areUp(cluster, 'deployment/web');
  await nothingFailed(t, loads);
});

test('the agents die and end and come back, and no request is lost', async (t) => {
  const loads = await loadEverywhere();
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    for (const { name } of cluster.lab.nodes) {
      await agentOf(name).end(signal);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await agentOf(name).start();
    }
  }
  await nothingFailed(t, loads);
});

/** A Service that is made now answers each box. */
async function newServiceAnswers(name: string): Promise<void> {
  await cluster.control.apply(...web(name, 2));
  await areUp(cluster, `deployment/${name}`);
  for (const pod of ['box1', 'box2']) {
    await eventually(
      async () => assert.match(await inBox(cluster, pod, `curl -sS -m 2 http://${name}/hostname`), /./),
      60,
    );
  }
}

test('the API server is killed, etcd forgets its history, it comes back: traffic as ever, and the new is learnt', async (t) => {
  const { lab, control } = cluster;
  const inside = (await addresses('web')).map((address) => url(address));
  // kubectl exec goes by the API server
  const loads = [
    startLoad(cluster, lab.node('n1'), inside),
    startLoad(cluster, lab.node('n2'), inside),
    startLoad(cluster, lab.outside, [url(lab.node('n1').ip4, nodePort), url(lab.node('n2').ip6, nodePort)]),
  ];
  await control.killApiServer();
  await new Promise((resolve) => setTimeout(resolve, 5000));
  await control.startApiServer();
  await control.compact();
  await newServiceAnswers('after-restart');
  await control.compact();
  await newServiceAnswers('after-compaction');
  await nothingFailed(t, loads);
});

test('a node is cut off from the API server: traffic goes on, and what happened meanwhile is learnt after it', async (t) => {
  const { lab, control } = cluster;
  const node = lab.node('n1');
  // the kubelet asks the API server who may exec, and remembers it
  for (const pod of ['box1', 'box2']) await inBox(cluster, pod, 'true');
  const loads = await loadEverywhere();
  const rules = ['input', 'output'].map(
    (hook) =>
      `chain ${hook} { type filter hook ${hook} priority 0; tcp ${hook === 'input' ? 'sport' : 'dport'} 6443 drop; }`,
  );
  await lab.exec(node, ['nft', '-f', '-'], { input: `table inet cut {\n${rules.join('\n')}\n}\n` });
  await control.apply(...web('meanwhile', 0));
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  t.notRegex((await agentOf('n1').bpfsvc('dump')).stdout, /\bmeanwhile\b/);
  t.regex((await agentOf('n2').bpfsvc('dump')).stdout, /\bmeanwhile\b/);
  await lab.exec(node, ['nft', 'delete table inet cut']);
  await eventually(async () => assert.match((await agentOf('n1').bpfsvc('dump')).stdout, /\bmeanwhile\b/), 120);
  await control.kubectl(['scale', 'deployment/meanwhile', '--replicas=2']);
  await newServiceAnswers('after-cut');
  await nothingFailed(t, loads);
});
