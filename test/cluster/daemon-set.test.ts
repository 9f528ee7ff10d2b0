/** What people install, on real kubelets: the chart's DaemonSet is the only proxy from the first minute on, and is updated under load. */
import { fileURLToPath } from 'node:url';
import anyTest from 'ava';
import { imagePath } from '../deploy/container.ts';
import { cgroup1Mounts } from '../netns/cgroup.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { dnsAddress } from './dns.ts';
import { inNode } from './node.ts';
import { areUp, box, inBox, startLoad, web } from './workload.ts';

const test = anyTest.serial;
const chart: string = fileURLToPath(new URL('../../deploy/chart', import.meta.url));

let cluster: Cluster;

/** As a person does on a cluster that has no proxy; only the cgroup is told, since these nodes have not the whole machine. */
async function install(): Promise<void> {
  const { lab, control, programs, firstProcesses } = cluster;
  for (const node of lab.nodes) {
    const ctr = ['env', `PATH=${programs.path}`, 'ctr', '-a', '/run/containerd/containerd.sock', '-n', 'k8s.io'];
    const archive = imagePath(process.arch === 'arm64' ? 'arm64' : 'amd64');
    await lab.exec(node, [...inNode(firstProcesses.get(node.name) as number), ...ctr, 'images', 'import', archive]);
  }
  const helm = process.env.HELM;
  if (helm === undefined) throw new Error('HELM is not set: make test-install builds helm and sets it');
  const [node] = lab.nodes;
  const below =
    cgroup1Mounts().length === 0
      ? ''
      : (node?.cgroup ?? '').replace('/sys/fs/cgroup', '').replace(/[^/]+$/, '$(NODE_NAME)');
  await lab.exec(lab.outside, [
    helm,
    ...['install', 'bpfsvc', chart, '--namespace', 'kube-system', '--kubeconfig', control.kubeconfig('admin')],
    ...['--set', `apiServer.host=${lab.outside.ip4}`, '--set', `extraArgs={--cgroup=/host/cgroup${below}}`],
  ]);
}

const rollout = (what: string): Promise<string> =>
  cluster.control.kubectl(['-n', 'kube-system', 'rollout', 'status', what, '--timeout=300s']);

test.before(async () => {
  cluster = await startCluster({ tag: 'daemonset', proxy: 'none', tell: (text) => console.log(`# ${text}`) });
  await install();
  await rollout('daemonset/bpfsvc');
  await rollout('deployment/coredns');
  await cluster.control.apply(...web('web', 2), box('box1', 'n1'), box('box2', 'n2'));
  await areUp(cluster, 'deployment/web', 'pod/box1', 'pod/box2');
});

test.after.always(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

test('a cluster without any proxy becomes whole: DNS by its clusterIP, Services by name, on each node', async (t) => {
  for (const pod of ['box1', 'box2']) {
    const line = `dig +short +tries=1 +time=3 @${dnsAddress.ip4} kubernetes.default.svc.cluster.local`;
    t.is((await inBox(cluster, pod, line)).trim(), '10.96.0.1', pod);
    t.regex(await inBox(cluster, pod, 'curl -sS -m 5 http://web/hostname'), /^web-/);
  }
});

test('people look into it by kubectl exec', async (t) => {
  const exec = (...words: string[]) =>
    cluster.control.kubectl(['-n', 'kube-system', 'exec', 'daemonset/bpfsvc', '--', 'bpfsvc', ...words]);
  t.regex(await exec('dump'), /default +web +ClusterIP/);
  t.regex(await exec('check'), /bpfsvc can run here\./);
});

test('an update of the agent loses no request, and no container was ever restarted', async (t) => {
  const { control, lab } = cluster;
  const address = await control.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
  const urls = ['http://web/hostname', `http://${address}/hostname`];
  const loads = [
    startLoad(cluster, 'box1', urls),
    startLoad(cluster, 'box2', urls),
    startLoad(cluster, lab.node('n1'), urls.slice(1)),
  ];
  await control.kubectl(['-n', 'kube-system', 'rollout', 'restart', 'daemonset/bpfsvc']);
  await rollout('daemonset/bpfsvc');
  for (const { answered, failures } of await Promise.all(loads.map((load) => load.stop()))) {
    t.deepEqual(failures.slice(0, 10), []);
    t.true(answered > 0);
  }
  const restarts = ['get', 'pods', '-l', 'app.kubernetes.io/name=bpfsvc', '-o'];
  const path = 'jsonpath={.items[*].status.containerStatuses[*].restartCount}';
  t.is(await control.kubectl(['-n', 'kube-system', ...restarts, path]), '0 0');
});
