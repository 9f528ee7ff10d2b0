import { hostname } from 'node:os';
import type { Described } from '../described-node.ts';
import { defaultNodePorts } from '../kernel/node-ports.ts';
import { RefusedError } from '../kernel/refused.ts';
import { defaultRanges } from '../kube/allocate.ts';
import { readManifests } from '../kube/manifests.ts';
import { parse } from '../kube/parse.ts';
import type { Snapshot } from '../kube/source.ts';
import type { Problem } from '../model/service.ts';
import { ownVersion } from '../own-version.ts';
import type { DescriptionFlags } from './description-flags.ts';
import { settleProxy } from './proxy-flags.ts';
import type { ProxyOptions } from './proxy-options.ts';
import { parseCidrs, parseNodePorts } from './run-options.ts';
import { UsageError } from './usage.ts';

/** How long a server may take to tell everything. */
const PATIENCE_SECONDS = 30;

/**
 * What manifests, or without them an API server, and flags say of a node. Flags that mean nothing are told on standard error.
 * Throws a UsageError, for manifests that cannot be read a ManifestError, for a server that cannot be asked a RefusedError.
 */
export async function readDescribed(
  manifests: string | undefined,
  flags: DescriptionFlags,
): Promise<{ described: Described; problems: readonly Problem[] }> {
  const { options, warnings } = settleProxy(flags);
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  const node = flags.node ?? options.node ?? hostname().toLowerCase();
  const serviceProxyName = flags.serviceProxyName || null;
  const given = flags.serviceCidr === undefined ? undefined : parseCidrs(flags.serviceCidr, '--service-cidr');
  const ranges = { serviceCidrs: given ?? defaultRanges.serviceCidrs, nodePorts: parseNodePorts(flags.nodePortRange) };
  const isCluster = manifests === undefined;
  const snapshot = isCluster ? await readCluster(options, { node, serviceProxyName }) : await readManifests(manifests);
  const settings = { serviceProxyName, ranges: isCluster ? null : ranges, scheduler: options.scheduler };
  const parsed = parse(snapshot.objects ?? new Map(), settings, null);
  const described: Described = {
    parsed,
    node,
    primaryAddress: options.primaryAddress,
    serviceCidrs: given ?? [],
    detector: options.detector,
    masqueradeAll: options.masqueradeAll,
    nodePorts: options.nodePorts ?? defaultNodePorts,
  };
  return { described, problems: [...snapshot.problems, ...parsed.problems] };
}

/** Everything once. */
async function readCluster(
  { apiServer }: ProxyOptions,
  asked: { readonly node: string; readonly serviceProxyName: string | null },
): Promise<Snapshot> {
  if (apiServer === null) throw new UsageError('--manifests FILE|DIR or --kubeconfig FILE is missing');
  const { watchApi } = await import('../kube/api/api-source.ts');
  const { promise, resolve, reject } = Promise.withResolvers<Snapshot>();
  let last: Snapshot | undefined;
  const timer = setTimeout(() => {
    const [problem] = last?.problems ?? [];
    const why = problem === undefined ? 'it does not answer' : `${problem.object}: ${problem.reason}`;
    reject(new RefusedError(`the API server was not read within ${PATIENCE_SECONDS} s (${why})`));
  }, PATIENCE_SECONDS * 1000);
  const options = { place: apiServer, ...asked, userAgent: `bpfsvc/${ownVersion()}` };
  const source = await watchApi(options, (snapshot) => {
    last = snapshot;
    if (snapshot.synced) resolve(snapshot);
  });
  return await promise.finally(() => {
    clearTimeout(timer);
    source.close();
  });
}
