/** The ClusterRole of deploy/base against a real API server: nothing is refused with it, and nothing in it is too much. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { type ControlPlane, startControlPlane } from '../kubernetes/control-plane.ts';
import { type Agent, startAgent } from '../netns/agent.ts';
import { eventually } from '../netns/eventually.ts';
import { createLab, type Lab } from '../netns/lab.ts';
import { nodeObjects, serviceObjects } from '../netns/objects.ts';
import { accountKubeconfig, auditFlags, requestsIn } from './account.ts';
import { baseObjects, type KubeObject } from './daemon-set.ts';

const test = anyTest.serial;

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

type Role = KubeObject & { readonly rules: readonly Rule[] };

const access = baseObjects().filter(({ kind }) => kind === 'ServiceAccount' || kind.startsWith('ClusterRole'));
const role = access.find(({ kind }) => kind === 'ClusterRole') as Role;

/** 'watch services', … */
const rights = role.rules.flatMap(({ resources, verbs }) =>
  resources.flatMap((resource) => verbs.map((verb) => ({ verb, resource }))),
);

function roleWithout(verb: string, resource: string): Role {
  const rules = role.rules.flatMap((rule) => {
    if (!rule.resources.includes(resource)) return [rule];
    const others = { ...rule, resources: rule.resources.filter((one) => one !== resource) };
    const narrowed = { ...rule, resources: [resource], verbs: rule.verbs.filter((one) => one !== verb) };
    return [others, narrowed].filter(({ resources, verbs }) => resources.length > 0 && verbs.length > 0);
  });
  return { ...role, rules };
}

let lab: Lab;
let folder: string;
let cluster: ControlPlane;
let agent: Agent;

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 1, tag: 'rbac' });
  folder = mkdtempSync(join(tmpdir(), 'bpfsvc-audit-'));
  // one that has no streaming lists is asked for all that an older one is, and streams are tried first
  const flags = [...auditFlags(folder), '--feature-gates=WatchList=false'];
  cluster = await startControlPlane(lab, lab.outside, { users: [], flags });
  await cluster.apply(...access, ...nodeObjects(lab).map((object) => ({ ...object, status: undefined })));
  const odd = serviceObjects({ name: 'odd', clusterIPs: ['10.96.0.61'], spec: { externalIPs: ['239.0.0.1'] } }, []);
  await cluster.apply(...odd);
  agent = await startAgent(lab, lab.node('n1'), { kubeconfig: await accountKubeconfig(cluster, folder) });
});

test.after.always(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await lab?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('with the role nothing is refused, and everything in it is asked for', async (t) => {
  await eventually(async () => assert.match(await cluster.kubectl(['get', 'events']), /239.0.0.1/), 60);
  const told = ({ verb, resource }: { verb: string; resource: string }) => `${verb} ${resource}`;
  await eventually(() => {
    const used = requestsIn(folder).filter(({ code }) => code < 400);
    assert.deepEqual([...new Set(used.map(told))].sort(), rights.map(told).sort());
  }, 60);
  t.deepEqual(
    requestsIn(folder).filter(({ code }) => code === 403),
    [],
  );
});

for (const { verb, resource } of rights.filter((right) => right.verb !== 'create')) {
  test(`without ${verb} of ${resource} the agent says what it is not told, and why`, async (t) => {
    await agent.end();
    await cluster.apply(roleWithout(verb, resource));
    const said = agent.logged(
      new RegExp(`does not tell about ${resource}: 403: .*cannot ${verb} resource "${resource}"`),
    );
    agent.start().catch(() => {}); // without Services there is no first pass
    t.truthy(await said);
    await cluster.apply(role);
  });
}

test('without create of events nothing is told of an object at the object, and the API server says whom it refused', async (t) => {
  await agent.end();
  await cluster.kubectl(['delete', 'events', '--all']);
  await cluster.apply(roleWithout('create', 'events'));
  await agent.start();
  const refused = () => requestsIn(folder).filter(({ resource, code }) => resource === 'events' && code === 403);
  await eventually(() => assert.notEqual(refused().length, 0), 60);
  t.notRegex(await cluster.kubectl(['get', 'events']), /239.0.0.1/);
});
