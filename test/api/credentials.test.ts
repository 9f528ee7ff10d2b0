import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ClusterError } from '../../src/kube/api/cluster.ts';
import { asksClusterIp, readCluster } from '../../src/kube/api/cluster-place.ts';
import { initialEnd, startScriptedServer } from './scripted-server.ts';
import { folder, has, paths, watching } from './watched.ts';

interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A CA and what it signed for 127.0.0.1, for a server and a client. */
function certificates(t: ExecutionContext): Certificates {
  const at = folder(t);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: at, stdio: 'ignore' });
  const key = (name: string) => openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', name);
  key('ca.key');
  openssl('req', '-x509', '-new', '-key', 'ca.key', '-subj', '/CN=test-ca', '-days', '2', '-out', 'ca.crt');
  key('own.key');
  openssl('req', '-new', '-key', 'own.key', '-subj', '/CN=own', '-out', 'own.csr');
  writeFileSync(join(at, 'own.ext'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
  const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'own.ext'];
  openssl('x509', '-req', '-in', 'own.csr', ...signed, '-out', 'own.crt');
  const [ca = '', cert = '', own = ''] = ['ca.crt', 'own.crt', 'own.key'].map((name) =>
    readFileSync(join(at, name), 'utf8'),
  );
  return { ca, cert, key: own };
}

/** Text of a kubeconfig with one cluster and one user. */
function kubeconfig(cluster: object, user: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    clusters: [{ name: 'c', cluster }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    users: [{ name: 'u', user }],
  });
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

test("a server's certificate is believed by the kubeconfig's CA alone, and ours is shown", async (t) => {
  const { ca, cert, key } = certificates(t);
  const server = await startScriptedServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true });
  t.teardown(() => server.close());
  for (const path of Object.values(paths)) server.idle(path);
  const own = { 'client-certificate-data': base64(cert), 'client-key': 'own.key' };
  const at = folder(t, {
    'own.key': key,
    'ca.crt': ca,
    good: kubeconfig({ server: server.url, 'certificate-authority': 'ca.crt' }, own),
    other: kubeconfig({ server: server.url, 'certificate-authority-data': base64(certificates(t).ca) }, own),
    none: kubeconfig({ server: server.url }, own),
  });
  const use = (name: string) => ({ options: { place: { kubeconfig: join(at, name), master: null } }, server });
  await (await watching(t, { ...use('good'), told: [] })).until(has());
  for (const name of ['other', 'none']) {
    const { until } = await watching(t, { ...use(name), told: [] });
    const { problems, objects } = await until((snapshot) => snapshot.problems.length > 0);
    t.is(objects, null);
    t.regex(problems[0]?.reason ?? '', /cannot be reached, .*(certificate|self.signed)/);
  }
});

test('a token that is rotated, and a file that names another server, are used from the next connection on', async (t) => {
  const [first, second] = [await startScriptedServer(), await startScriptedServer()];
  t.teardown(() => Promise.all([first.close(), second.close()]));
  for (const path of [paths.nodes, paths.slices, paths.cidrs]) for (const server of [first, second]) server.idle(path);
  const user = { tokenFile: 'token' };
  const at = folder(t, { token: 'one\n', config: kubeconfig({ server: first.url }, user) });
  const place = { kubeconfig: join(at, 'config'), master: null };
  const { until } = await watching(t, { server: first, options: { place } });
  const before = await first.next(paths.services);
  t.is(before.headers.authorization, 'Bearer one');
  before.events(initialEnd('5'));
  await until(has());
  writeFileSync(join(at, 'token'), 'two\n');
  before.end();
  const after = await first.next(paths.services);
  t.is(after.headers.authorization, 'Bearer two');
  writeFileSync(join(at, 'config'), kubeconfig({ server: second.url }, user));
  after.refuse(401, { kind: 'Status', code: 401, message: 'Unauthorized' });
  const moved = await second.next(paths.services);
  t.is(moved.headers.authorization, 'Bearer two');
  t.is(moved.query.get('resourceVersion'), '5');
});

test('a pod asks its own cluster, with the token and CA of its service account', async (t) => {
  const at = folder(t, { token: 'account\n', 'ca.crt': 'CA' });
  const pod = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const cluster = await readCluster({ kubeconfig: null, master: null }, pod, at);
  t.is(cluster.server.href, 'https://[fd00::1]/');
  t.deepEqual([cluster.authorization, cluster.tls], ['Bearer account', { ca: 'CA' }]);
  const direct = await readCluster({ kubeconfig: null, master: 'https://10.0.0.1:6443' }, pod, at);
  t.deepEqual([direct.server.host, direct.authorization], ['10.0.0.1:6443', 'Bearer account']);
  const plain = await readCluster({ kubeconfig: null, master: '10.0.0.1:8080' }, pod, at);
  t.deepEqual([plain.server.href, plain.authorization], ['http://10.0.0.1:8080/', '']);
  await t.throwsAsync(readCluster({ kubeconfig: null, master: null }, pod, '/nowhere'), {
    instanceOf: ClusterError,
    message: /^\/nowhere\/token cannot be read: ENOENT/,
  });
  await t.throwsAsync(readCluster({ kubeconfig: null, master: null }, {}), { message: /^this is no pod of a cluster/ });
});

test('--master wins over the server of a kubeconfig, whose user stays', async (t) => {
  const at = folder(t, { config: kubeconfig({ server: 'https://a:1', 'tls-server-name': 'b' }, { token: 'x' }) });
  const cluster = await readCluster({ kubeconfig: join(at, 'config'), master: 'https://10.0.0.9:6443/base' });
  t.deepEqual(
    [cluster.server.href, cluster.tls, cluster.authorization],
    ['https://10.0.0.9:6443/base', { servername: 'b' }, 'Bearer x'],
  );
});

test('a program says who we are, once as long as its answer holds', async (t) => {
  const answer = (token: string, until: string) =>
    `#!/bin/sh\necho x >> "$COUNT"\n[ -n "$KUBERNETES_EXEC_INFO" ] || exit 1\necho '{"status":{"token":"${token}","expirationTimestamp":"${until}"}}'\n`;
  const exec = (command: string, count: string) => ({
    exec: { command, env: [{ name: 'COUNT', value: count }], apiVersion: 'client.authentication.k8s.io/v1' },
  });
  const at = folder(t, {
    lasting: answer('long', '2999-01-01T00:00:00Z'),
    short: answer('brief', '2001-01-01T00:00:00Z'),
  });
  for (const [name, times, token] of [
    ['lasting', 1, 'long'],
    ['short', 2, 'brief'],
  ] as const) {
    chmodSync(join(at, name), 0o755);
    const count = join(at, `${name}.count`);
    writeFileSync(join(at, 'config'), kubeconfig({ server: 'https://a' }, exec(`./${name}`, count)));
    for (const _ of [1, 2]) {
      const { authorization } = await readCluster({ kubeconfig: join(at, 'config'), master: null });
      t.is(authorization, `Bearer ${token}`);
    }
    t.is(readFileSync(count, 'utf8').trim().split('\n').length, times);
  }
  writeFileSync(join(at, 'config'), kubeconfig({ server: 'https://a' }, { exec: { command: '/bin/false' } }));
  await t.throwsAsync(readCluster({ kubeconfig: join(at, 'config'), master: null }), {
    message: /^\/bin\/false gives no credential: /,
  });
});

const useless: readonly (readonly [text: string, message: RegExp])[] = [
  ['', /: current-context is missing$/],
  ['clusters: none', /is not a kubeconfig: clusters: /],
  ['{', /is not a kubeconfig: /],
  [kubeconfig({}), /: the cluster has no server$/],
  [kubeconfig({ server: 'ftp://a' }), /^server of \S+ ftp:\/\/a is not the URL of an API server/],
  [kubeconfig({ server: 'https://a', 'proxy-url': 'http://b' }), /: proxy-url is not supported$/],
  [kubeconfig({ server: 'https://a' }, { 'auth-provider': { name: 'gcp' } }), /: auth-provider is not supported: /],
  [kubeconfig({ server: 'https://a' }, { tokenFile: '/no-such-token' }), /^\/no-such-token cannot be read: ENOENT/],
  [kubeconfig({ server: 'https://a' }).replace('"name":"c"', '"name":"d"'), /: there is no cluster "c"$/],
  [kubeconfig({ server: 'https://a' }).replace('"name":"u"', '"name":"d"'), /: there is no user "u"$/],
];

for (const [text, message] of useless) {
  test(`a kubeconfig that cannot be used: ${text.slice(0, 30)}… ${message}`, async (t) => {
    const at = folder(t, { config: text });
    await t.throwsAsync(readCluster({ kubeconfig: join(at, 'config'), master: null }), {
      instanceOf: ClusterError,
      message,
    });
  });
}

const inPod = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
  KUBERNETES_PORT: 'tcp://10.96.0.1:443',
};

for (const { what, place = {}, environment, isIt } of [
  { what: 'what a kubelet puts there', environment: inPod, isIt: true },
  {
    what: 'the same in IPv6',
    environment: { ...inPod, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_PORT: 'tcp://[fd00::1]:443' },
    isIt: true,
  },
  { what: "a person's own host", environment: { ...inPod, KUBERNETES_SERVICE_HOST: '192.0.2.1' }, isIt: false },
  { what: '--master', place: { master: 'https://192.0.2.1:6443' }, environment: inPod, isIt: false },
  { what: 'a kubeconfig', place: { kubeconfig: '/etc/kubeconfig' }, environment: inPod, isIt: false },
  { what: 'no pod', environment: {}, isIt: false },
]) {
  test(`asksClusterIp() of ${what} is ${isIt}`, (t) => {
    t.is(asksClusterIp({ kubeconfig: null, master: null, ...place }, environment), isIt);
  });
}
