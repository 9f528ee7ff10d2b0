/** The agent against a real API server, by real packets. */
import assert from 'node:assert/strict';
import anyTest from 'ava';
import { type Agent, startAgent } from '../netns/agent.ts';
import { eventually } from '../netns/eventually.ts';
import { createLab, type Lab, type Pod } from '../netns/lab.ts';
import { serviceObjects } from '../netns/objects.ts';
import { type Client, startClient, startServer } from '../netns/traffic.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { agentRbac, registerNodes } from './registration.ts';

const test = anyTest.serial;

let lab: Lab;
let cluster: ControlPlane;
let agent: Agent;
let client: Client;
let pods: readonly [Pod, Pod, Pod];

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 3, tag: 'api' });
  pods = lab.node('n1').pods as unknown as [Pod, Pod, Pod];
  cluster = await startControlPlane(lab, lab.outside, { users: ['bpfsvc'] });
  await cluster.apply(...agentRbac('bpfsvc'));
  await registerNodes(cluster, lab);
  for (const pod of pods.slice(1)) await startServer(lab, pod, [8080]);
  agent = await startAgent(lab, lab.node('n1'), { kubeconfig: cluster.kubeconfig('bpfsvc') });
  client = startClient(lab, pods[0], { cgroup: lab.node('n1').cgroup });
});

test.after.always(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await lab?.close();
});

function service(name: string, address: string, behind: readonly Pod[]): object[] {
  const ports = [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' as const }];
  return serviceObjects({ name, clusterIPs: [address], ports }, behind);
}

/** Who answers there, over some connections; '' for nobody. */
async function answering(address: string): Promise<string> {
  const tally = await client.request({ protocol: 'tcp', address, port: 80, count: 12 });
  return tally.ok === 0 ? '' : Object.keys(tally.backends).sort().join(' ');
}

async function answers(address: string, ...behind: readonly Pod[]): Promise<void> {
  const wanted = behind
    .map(({ name }) => name)
    .sort()
    .join(' ');
  await eventually(async () => assert.equal(await answering(address), wanted), 60);
}

test('what is made, changed and deleted through the API is so for packets', async (t) => {
  const [, near, other] = pods;
  await cluster.apply(...service('web', '10.96.0.21', [near]));
  await answers('10.96.0.21', near);
  await cluster.apply(...service('web', '10.96.0.21', [near, other]));
  await answers('10.96.0.21', near, other);
  await cluster.kubectl(['delete', 'service', 'web']);
  await eventually(async () => assert.doesNotMatch((await agent.bpfsvc('dump')).stdout, /\bweb\b/), 60);
  t.false(
    agent.log.some(({ level, msg }) => level === 'warn' && /API server/.test(msg)),
    agent.log.map(({ msg }) => msg).join('\n'),
  );
});

test('the slices that the real controller makes of Pods and a Service without an address', async (t) => {
  const [, near] = pods;
  const metadata = { name: 'auto', namespace: 'default' };
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  const containers = [{ name: 'c', image: 'none' }];
  await cluster.apply(
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: { app: 'auto' }, ports } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, labels: { app: 'auto' } },
      spec: { nodeName: 'n1', containers, automountServiceAccountToken: false, tolerations: [{ operator: 'Exists' }] },
    },
  );
  const conditions = ['Ready', 'ContainersReady'].map((type) => ({ type, status: 'True' }));
  const status = { phase: 'Running', podIP: near.ip4, podIPs: [{ ip: near.ip4 }], conditions };
  const patch = JSON.stringify({ status });
  await cluster.kubectl(['patch', 'pod', 'auto', '--subresource=status', '--type=merge', '-p', patch]);
  const address = await cluster.kubectl(['get', 'service', 'auto', '-o', 'jsonpath={.spec.clusterIP}']);
  t.regex(address, /^10\.96\./);
  await answers(address, near);
  const own = await cluster.kubectl(['get', 'service', 'kubernetes', '-o', 'jsonpath={.spec.clusterIP}']);
  t.true((await agent.bpfsvc('dump')).stdout.includes(`${lab.outside.ip4}:6443`), own);
  await cluster.kubectl(['label', 'service', 'auto', 'service.kubernetes.io/service-proxy-name=another']);
  await eventually(async () => assert.doesNotMatch((await agent.bpfsvc('dump')).stdout, /\bauto\b/), 60);
});

test('what cannot be served as it is written is an Event of the Service, once', async (t) => {
  const [odd] = service('odd', '10.96.0.61', []) as [{ spec: object }];
  await cluster.apply({ ...odd, spec: { ...odd.spec, externalIPs: ['10.0.0.7', '239.0.0.1'] } });
  const events = () => cluster.kubectl(['get', 'events', '--field-selector', 'involvedObject.name=odd', '-o', 'json']);
  await eventually(async () => assert.match(await events(), /239.0.0.1 is a multicast address/), 60);
  const uid = await cluster.kubectl(['get', 'service', 'odd', '-o', 'jsonpath={.metadata.uid}']);
  const { items } = JSON.parse(await events()) as { items: { involvedObject: { uid: string }; type: string }[] };
  t.deepEqual(
    items.map(({ involvedObject, type }) => [involvedObject.uid, type]),
    [[uid, 'Warning']],
  );
});

test('the API server is killed and comes back: traffic goes on, and so does the watch', async (t) => {
  const [, near, other] = pods;
  await cluster.apply(...service('lasting', '10.96.0.31', [near]));
  await answers('10.96.0.31', near);
  const stream = client.stream({ protocol: 'tcp', address: '10.96.0.31', port: 80, perSecond: 50 });
  const told = agent.logged(/cannot be reached/);
  await cluster.killApiServer();
  await told;
  await cluster.startApiServer();
  await cluster.apply(...service('lasting', '10.96.0.31', [near, other]));
  await answers('10.96.0.31', near, other);
  const tally = await stream.stop();
  t.is(tally.failed, 0, JSON.stringify(tally.errors));
  t.true(tally.ok > 50);
});

test('etcd compacted while the agent hears nothing: it lists anew, and what went meanwhile goes', async (t) => {
  const [, near, other] = pods;
  await cluster.apply(...service('stays', '10.96.0.41', [near]), ...service('goes', '10.96.0.42', [near]));
  await answers('10.96.0.42', near);
  agent.signal('SIGSTOP');
  await cluster.kubectl(['delete', 'service', 'goes']);
  await cluster.kubectl(['delete', 'endpointslice', 'goes-ipv4']);
  await cluster.apply(...service('stays', '10.96.0.41', [other]), ...service('comes', '10.96.0.43', [near]));
  await cluster.killApiServer();
  await cluster.compact();
  await cluster.startApiServer();
  await answers('10.96.0.41', near);
  agent.signal('SIGCONT');
  await answers('10.96.0.43', near);
  await answers('10.96.0.41', other);
  const { stdout } = await agent.bpfsvc('dump');
  t.notRegex(stdout, /\bgoes\b/);
  t.regex(stdout, /\blasting\b/);
});

test('an agent that starts while the API server is away leaves what is there at work', async (t) => {
  const [, near, other] = pods;
  const stream = client.stream({ protocol: 'tcp', address: '10.96.0.43', port: 80, perSecond: 50 });
  await agent.end();
  await cluster.killApiServer();
  const away = agent.logged(/cannot be reached/);
  const ready = agent.start();
  await away;
  t.is(await answering('10.96.0.43'), near.name);
  await cluster.startApiServer();
  await ready;
  const tally = await stream.stop();
  t.is(tally.failed, 0, JSON.stringify(tally.errors));
  await cluster.apply(...service('comes', '10.96.0.43', [other]));
  await answers('10.96.0.43', other);
});
