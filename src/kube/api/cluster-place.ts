import { type Cluster, ClusterError, parseServer, readText } from './cluster.ts';
import { readKubeconfig } from './kubeconfig.ts';

/** Where a person says that the API server is. With neither, it is the one whose pod this is. */
export interface ClusterPlace {
  /** A kubeconfig file. */
  readonly kubeconfig: string | null;
  /** A URL: instead of the one that the kubeconfig or the pod's environment has. */
  readonly master: string | null;
}

const accountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Whether this looks like a pod that may ask its API server. */
export function isInCluster(environment: NodeJS.ProcessEnv = process.env): boolean {
  return (environment.KUBERNETES_SERVICE_HOST ?? '') !== '' && (environment.KUBERNETES_SERVICE_PORT ?? '') !== '';
}

/**
 * Whether the address that would be asked is the ClusterIP of the API server itself: a kubelet puts that into the environment, and a
 * person who knows better changes only KUBERNETES_SERVICE_HOST.
 */
export function asksClusterIp(
  { kubeconfig, master }: ClusterPlace,
  environment: NodeJS.ProcessEnv = process.env,
): boolean {
  if (kubeconfig !== null || master !== null || !isInCluster(environment)) return false;
  const given = URL.parse((environment.KUBERNETES_PORT ?? '').replace(/^tcp:/, 'http:'));
  return given?.hostname.replace(/^\[|\]$/g, '') === environment.KUBERNETES_SERVICE_HOST;
}

/**
 * Everything read anew, so that it may be asked before each connection: tokens, certificates and the file itself change while an
 * agent runs. Throws a ClusterError if something is missing or makes no sense.
 */
export async function readCluster(
  { kubeconfig, master }: ClusterPlace,
  environment: NodeJS.ProcessEnv = process.env,
  account: string = accountFolder,
): Promise<Cluster> {
  if (kubeconfig !== null) return await readKubeconfig(kubeconfig, master);
  if (isInCluster(environment)) return await readAccount(environment, master, account);
  if (master === null) throw new ClusterError('this is no pod of a cluster: KUBERNETES_SERVICE_HOST is not set');
  return { server: parseServer(master, '--master'), tls: {}, authorization: '' };
}

async function readAccount(environment: NodeJS.ProcessEnv, master: string | null, folder: string): Promise<Cluster> {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '' } = environment;
  const text = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const server = master === null ? parseServer(text, 'KUBERNETES_SERVICE_HOST') : parseServer(master, '--master');
  if (server.protocol === 'http:') return { server, tls: {}, authorization: '' };
  const token = (await readText(`${folder}/token`)).trim();
  return { server, tls: { ca: await readText(`${folder}/ca.crt`) }, authorization: `Bearer ${token}` };
}
