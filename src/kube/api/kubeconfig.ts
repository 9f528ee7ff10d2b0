import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { parse as parseYaml } from 'yaml';
import { type Cluster, ClusterError, parseServer, readText } from './cluster.ts';
import { askForCredential, execSchema } from './exec-credential.ts';

const text = v.nullish(v.string(), '');
const flag = v.nullish(v.boolean(), false);

const cluster = v.object({
  server: text,
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': flag,
  'tls-server-name': text,
  'proxy-url': text,
});

const user = v.object({
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  token: text,
  tokenFile: text,
  username: text,
  password: text,
  exec: v.nullish(execSchema, null),
  'auth-provider': v.nullish(v.unknown(), null),
});

const list = <const T extends v.GenericSchema<unknown, unknown>>(item: T) => v.nullish(v.array(item), []);

const schema = v.object({
  'current-context': text,
  clusters: list(v.object({ name: v.string(), cluster: v.nullish(cluster, {}) })),
  contexts: list(v.object({ name: v.string(), context: v.nullish(v.object({ cluster: text, user: text }), {}) })),
  users: list(v.object({ name: v.string(), user: v.nullish(user, {}) })),
});

type Kubeconfig = v.InferOutput<typeof schema>;
type ClusterEntry = v.InferOutput<typeof cluster>;
type User = v.InferOutput<typeof user>;

/**
 * The current context of a kubeconfig file. `master` is used instead of the server's URL that is in it. Throws a ClusterError with
 * a sentence for people.
 */
export async function readKubeconfig(path: string, master: string | null): Promise<Cluster> {
  const config = validate(await readText(path), path);
  const context = chosen(config, path);
  const found = config.clusters.find(({ name }) => name === context.cluster)?.cluster;
  if (found === undefined) throw new ClusterError(`${path}: there is no cluster ${JSON.stringify(context.cluster)}`);
  const entry = v.parse(cluster, found);
  const known = config.users.find(({ name }) => name === context.user)?.user;
  if (known === undefined && context.user !== '') {
    throw new ClusterError(`${path}: there is no user ${JSON.stringify(context.user)}`);
  }
  const who = v.parse(user, known ?? {});
  if (entry['proxy-url'] !== '') throw new ClusterError(`${path}: proxy-url is not supported`);
  if (who['auth-provider'] !== null) {
    throw new ClusterError(`${path}: auth-provider is not supported: use a token, a certificate or exec`);
  }
  const address = master ?? entry.server;
  if (address === '') throw new ClusterError(`${path}: the cluster has no server`);
  const server = parseServer(address, master === null ? `server of ${path}` : '--master');
  const { authorization, certificate, key } = await credentialOf(who, dirname(path));
  return { server, tls: { ...(await trustOf(entry, dirname(path))), ...pair(certificate, key) }, authorization };
}

function validate(content: string, path: string): Kubeconfig {
  try {
    return v.parse(schema, parseYaml(content) ?? {});
  } catch (error) {
    const at = v.isValiError(error) ? `${v.getDotPath(error.issues[0])}: ` : '';
    const message = (error as Error).message.split('\n')[0];
    throw new ClusterError(`${path} is not a kubeconfig: ${at}${message}`);
  }
}

/** A file with one context needs no current one. */
function chosen(config: Kubeconfig, path: string): { cluster: string; user: string } {
  const [only] = config.contexts;
  const wanted = config['current-context'] || (config.contexts.length === 1 ? only?.name : undefined);
  if (wanted === undefined) throw new ClusterError(`${path}: current-context is missing`);
  const context = config.contexts.find(({ name }) => name === wanted)?.context;
  if (context === undefined) throw new ClusterError(`${path}: there is no context ${JSON.stringify(wanted)}`);
  return { cluster: context.cluster ?? '', user: context.user ?? '' };
}

/** Data in the file wins over the name of a file, as in kubectl. Such names are relative to the kubeconfig's folder. */
async function material(data: string, name: string, folder: string): Promise<string> {
  if (data !== '') return Buffer.from(data, 'base64').toString('utf8');
  return name === '' ? '' : await readText(resolve(folder, name));
}

async function trustOf(entry: ClusterEntry, folder: string): Promise<Cluster['tls']> {
  const ca = await material(entry['certificate-authority-data'], entry['certificate-authority'], folder);
  return {
    ...(ca !== '' && { ca }),
    ...(entry['insecure-skip-tls-verify'] && { rejectUnauthorized: false }),
    ...(entry['tls-server-name'] !== '' && { servername: entry['tls-server-name'] }),
  };
}

async function credentialOf(
  who: User,
  folder: string,
): Promise<{ authorization: string; certificate: string; key: string }> {
  const certificate = await material(who['client-certificate-data'], who['client-certificate'], folder);
  const key = await material(who['client-key-data'], who['client-key'], folder);
  const bearer = (token: string) => ({ authorization: token === '' ? '' : `Bearer ${token}`, certificate, key });
  if (who.tokenFile !== '') return bearer((await readText(resolve(folder, who.tokenFile))).trim());
  if (who.token !== '') return bearer(who.token);
  if (who.username !== '') {
    const basic = Buffer.from(`${who.username}:${who.password}`).toString('base64');
    return { authorization: `Basic ${basic}`, certificate, key };
  }
  if (who.exec === null) return bearer('');
  const given = await askForCredential(who.exec, folder);
  return {
    authorization: given.token === '' ? '' : `Bearer ${given.token}`,
    certificate: given.certificate || certificate,
    key: given.key || key,
  };
}

function pair(cert: string, key: string): { cert?: string; key?: string } {
  return { ...(cert !== '' && { cert }), ...(key !== '' && { key }) };
}
