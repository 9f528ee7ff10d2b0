/**
 * Schedulers by the real agent and real connections that stay: at sockets, at a pod's veth and at the wire, where the backend of a
 * client from outside is on another node, too. What counts as a connection ends with it, however its process ends.
 */
import assert from 'node:assert/strict';
import anyTest from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node, type Place, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Connection, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const timeout = 20_000;
const vips = { IPv4: '10.96.0.1', IPv6: 'fd00:10:96::1' } as const;
const families = ['IPv4', 'IPv6'] as const;
const NODE_PORT = 30_080;

let lab: Lab;
let node: Node;
let agent: Agent;
/** Two of this node and one of the other. */
let backends: readonly Pod[];

function objects(scheduler: string, of: readonly Pod[] = backends): string {
  const ports = [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }];
  const spec = { type: 'NodePort' };
  const [service, ...slices] = serviceObjects({ name: 'web', clusterIPs: Object.values(vips), ports, spec }, of);
  const { metadata } = service as { metadata: object };
  const annotated = { ...service, metadata: { ...metadata, annotations: { 'bpfsvc.dev/scheduler': scheduler } } };
  return manifest([...nodeObjects(lab), annotated, ...slices]);
}

test.before(async () => {
  lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 3, tag: 'scheds' });
  node = lab.node('n1');
  backends = [lab.pod('n1p2'), lab.pod('n1p3'), lab.pod('n2p1')];
  for (const pod of backends) await startServer(lab, pod, [8080]);
  agent = await startAgent(lab, node, objects('rr'));
});
test.after.always(async () => {
  await agent?.[Symbol.asyncDispose]();
  await lab?.close();
});

/** What `dump backends` says of each, in the order of `backends`. */
async function counts(family: (typeof families)[number]): Promise<(number | null)[]> {
  const { stdout } = await agent.bpfsvc('dump', 'backends', 'default/web', '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { address: string; connections: number | null }[] };
  return backends.map((pod) => {
    const address = family === 'IPv4' ? pod.ip4 : pod.ip6;
    return items.find((item) => item.address === address)?.connections ?? null;
  });
}

interface Way {
  readonly name: string;
  readonly from: () => { readonly place: Place; readonly cgroup?: string };
  readonly target: (family: (typeof families)[number]) => { readonly address: string; readonly port: number };
}

const ways: readonly Way[] = [
  {
    name: 'a socket',
    from: () => ({ place: lab.pod('n1p1'), cgroup: node.cgroup }),
    target: (family) => ({ address: vips[family], port: 80 }),
  },
  {
    name: 'a pod’s veth',
    from: () => ({ place: lab.pod('n1p1') }),
    target: (family) => ({ address: vips[family], port: 80 }),
  },
  {
    name: 'the wire',
    from: () => ({ place: lab.outside }),
    target: (family) => ({ address: family === 'IPv4' ? node.ip4 : node.ip6, port: NODE_PORT }),
  },
];

const namesOf = (opened: readonly Connection[]) => opened.map(({ first }) => first.backend);

for (const { name, from, target } of ways) {
  for (const family of families) {
    test(`lc at ${name}, ${family}: connections that stay are shared out, and leave no count when their process is killed`, async (t) => {
      const { place, cgroup } = from();
      await using client = startClient(lab, place, cgroup === undefined ? {} : { cgroup });
      await agent.apply(objects('lc'));
      const open = async (count: number) => {
        const opened: Connection[] = [];
        for (let n = 0; n < count; n++) opened.push(await client.open({ protocol: 'tcp', ...target(family), timeout }));
        return opened;
      };
      const opened = await open(6);
      t.deepEqual(namesOf(opened).sort(), ['n1p2', 'n1p2', 'n1p3', 'n1p3', 'n2p1', 'n2p1']);
      t.deepEqual(await counts(family), [2, 2, 2]);
      for (const one of opened.filter(({ first }) => first.backend === 'n2p1')) await one.close();
      await eventually(async () => assert.deepEqual(await counts(family), [2, 2, 0]), 60);
      t.deepEqual(namesOf(await open(2)), ['n2p1', 'n2p1']);
      /* those that were there are not cut, and still counted, where the Service asks for them no more */
      await agent.apply(objects('rr'));
      t.deepEqual(await counts(family), [null, null, null]);
      for (const one of opened.filter(({ first }) => first.backend !== 'n2p1'))
        t.is((await one.ask()).backend, one.first.backend);
      await agent.apply(objects('lc'));
      t.deepEqual(await counts(family), [2, 2, 2]);
      await client.close();
      await eventually(async () => assert.deepEqual(await counts(family), [0, 0, 0]), 60);
      await agent.apply(objects('rr'));
    });

    test(`rr and sh at ${name}, ${family}: turns in order, and one backend for one client`, async (t) => {
      const { place, cgroup } = from();
      await using client = startClient(lab, place, cgroup === undefined ? {} : { cgroup });
      const ask = async (count: number) =>
        (await client.request({ protocol: 'tcp', ...target(family), count, timeout })).backends;
      t.deepEqual(await ask(12), { n1p2: 4, n1p3: 4, n2p1: 4 });
      await agent.apply(objects('rr', backends.slice(1)));
      t.deepEqual(await ask(12), { n1p3: 6, n2p1: 6 });
      await agent.apply(objects('sh'));
      const all = await ask(6);
      const [chosen = ''] = Object.keys(all);
      t.deepEqual(all, { [chosen]: 6 });
      await agent.apply(
        objects(
          'sh',
          backends.filter(({ name: other }) => other !== chosen),
        ),
      );
      t.is(Object.keys(await ask(6)).length, 1);
      await agent.apply(objects('maglev'));
      t.is(Object.keys(await ask(6)).length, 1);
      await agent.apply(objects('rr'));
    });
  }
}
