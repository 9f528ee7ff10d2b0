/** Real etcd, kube-apiserver and kube-controller-manager in a namespace of a lab. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stop } from '../netns/command.ts';
import { eventually } from '../netns/eventually.ts';
import type { Lab, Place } from '../netns/lab.ts';
import { makePki, type Pki } from './pki.ts';

export interface ControlPlane extends AsyncDisposable {
  /** Where clients find it. */
  readonly server: string;
  readonly pki: Pki;
  /** Of its processes. */
  readonly logs: string;
  /** Of a user, by certificate. */
  kubeconfig(user: string): string;
  /** As administrator; resolves to what it prints. */
  kubectl(args: readonly string[], input?: unknown): Promise<string>;
  apply(...objects: object[]): Promise<void>;
  /** kill -9. */
  killApiServer(): Promise<void>;
  /** Starts it again and waits until it is ready. */
  startApiServer(): Promise<void>;
  /** Forgets all history of the store. */
  compact(): Promise<void>;
}

const apiServerNames = [
  'DNS:kubernetes',
  'DNS:kubernetes.default',
  'DNS:kubernetes.default.svc',
  'DNS:localhost',
  'IP:127.0.0.1',
  'IP:10.96.0.1',
];

const controllers = [
  'endpointslice-controller',
  'endpointslice-mirroring-controller',
  'endpoints-controller',
  'serviceaccount-controller',
  'namespace-controller',
];

export interface ControlPlaneOptions {
  /** Names that get a certificate beside the administrator. */
  readonly users: readonly string[];
  /** With the scheduler and every controller, for nodes that have kubelets. Default false. */
  readonly workloads?: boolean;
  /** Further flags of the API server. */
  readonly flags?: readonly string[];
}

/** Starts everything at `place`. */
export async function startControlPlane(
  lab: Lab,
  place: Place,
  { users, workloads = false, flags = [] }: ControlPlaneOptions,
): Promise<ControlPlane> {
  const bin = process.env.KUBERNETES_BIN;
  if (bin === undefined) throw new Error('KUBERNETES_BIN is not set: make test-api builds Kubernetes and sets it');
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-kubernetes-'));
  const server = `https://${place.ip4}:6443`;
  const pki = makePki(folder);
  pki.certify('apiserver', '/CN=kube-apiserver', [...apiServerNames, `IP:${place.ip4}`].join());
  pki.certify('admin', '/O=system:masters/CN=admin');
  pki.certify('kcm', '/CN=system:kube-controller-manager');
  pki.certify('scheduler', '/CN=system:kube-scheduler');
  for (const user of users) pki.certify(user, `/CN=${user}`);
  const admin = pki.kubeconfig('admin', server);
  const kcm = pki.kubeconfig('kcm', server);

  const start = (name: string, ...args: string[]): ChildProcess => {
    const log = openSync(join(folder, `${name}.log`), 'a');
    return lab.spawn(place, [join(bin, name), ...args], { stdio: ['ignore', log, log] });
  };
  const kubectl = (args: readonly string[], input?: unknown): Promise<string> =>
    lab.exec(place, [join(bin, 'kubectl'), '--kubeconfig', admin, ...args], { input: JSON.stringify(input) ?? '' });
  const etcd = start('etcd', ...etcdFlags(folder));
  let api: ChildProcess | undefined;
  const startApiServer = async (): Promise<void> => {
    api = start('kube-apiserver', ...apiServerFlags(place, pki), ...flags);
    const logOf = () => readFileSync(join(folder, 'kube-apiserver.log'), 'utf8').slice(-2000);
    await eventually(async () => {
      if (api?.exitCode !== null) throw new Error(`the API server ended:\n${logOf()}`);
      await kubectl(['get', '--raw', '/readyz']);
    }, 300);
  };
  await startApiServer();
  const names = workloads ? ['*'] : controllers;
  const manager = start('kube-controller-manager', ...accessFlags(kcm), ...controllerFlags(pki, names));
  const scheduler = workloads
    ? start('kube-scheduler', ...accessFlags(pki.kubeconfig('scheduler', server)))
    : undefined;
  await eventually(async () => void (await kubectl(['get', 'serviceaccount', 'default'])), 120);
  return {
    server,
    pki,
    logs: folder,
    kubeconfig: (user) => pki.kubeconfig(user, server),
    kubectl,
    async apply(...objects) {
      await kubectl(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: objects });
    },
    async killApiServer() {
      if (api !== undefined) await stop(api, 'SIGKILL');
    },
    startApiServer,
    async compact() {
      await lab.exec(place, [process.execPath, '-e', compaction]);
    },
    async [Symbol.asyncDispose]() {
      // an API server with open watches takes up to a minute to end otherwise
      for (const child of [manager, scheduler, api, etcd]) if (child !== undefined) await stop(child, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const etcdUrl = 'http://127.0.0.1:2379';
const peerUrl = 'http://127.0.0.1:2380';

/** etcd's own JSON API: asks for the revision that is, and forgets what was before. */
const compaction = `
const post = async (path, body) => {
  const answer = await fetch('${etcdUrl}/v3/kv/' + path, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  return await answer.json();
};
const { header } = await post('range', { key: 'AA==', limit: 1 });
await post('compaction', { revision: header.revision, physical: true });
`;

function etcdFlags(folder: string): string[] {
  return [
    `--data-dir=${join(folder, 'etcd')}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
  ];
}

function apiServerFlags(place: Place, pki: Pki): string[] {
  return [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=0.0.0.0',
    '--secure-port=6443',
    `--advertise-address=${place.ip4}`,
    `--tls-cert-file=${pki.path('apiserver.crt')}`,
    `--tls-private-key-file=${pki.path('apiserver.key')}`,
    `--client-ca-file=${pki.path('ca.crt')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki.path('sa.pub')}`,
    `--service-account-signing-key-file=${pki.path('sa.key')}`,
    `--kubelet-client-certificate=${pki.path('admin.crt')}`,
    `--kubelet-client-key=${pki.path('admin.key')}`,
    `--kubelet-certificate-authority=${pki.path('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged',
    '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112',
  ];
}

function accessFlags(kubeconfig: string): string[] {
  const kinds = ['', 'authentication-', 'authorization-'];
  return [
    ...kinds.map((kind) => `--${kind}kubeconfig=${kubeconfig}`),
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ];
}

function controllerFlags(pki: Pki, names: readonly string[]): string[] {
  return [
    `--controllers=${names.join(',')}`,
    `--cluster-signing-cert-file=${pki.path('ca.crt')}`,
    `--cluster-signing-key-file=${pki.path('ca.key')}`,
    `--service-account-private-key-file=${pki.path('sa.key')}`,
    `--root-ca-file=${pki.path('ca.crt')}`,
    '--use-service-account-credentials',
    '--allocate-node-cidrs=false',
    // a node is not taken for dead, nor its pods for unready, because this machine is slow or the API server was away
    '--node-monitor-grace-period=600s',
  ];
}
