import { hostname } from 'node:os';
import type { Described } from '../described-node.ts';
import { defaultNodePorts } from '../kernel/node-ports.ts';
import { defaultRanges } from '../kube/allocate.ts';
import { readManifests } from '../kube/manifests.ts';
import { parse } from '../kube/parse.ts';
import type { Problem } from '../model/service.ts';
import type { DescriptionFlags } from './description-flags.ts';
import { settleProxy } from './proxy-flags.ts';
import { parseCidrs, parseNodePorts } from './run-options.ts';

/**
 * What manifests and flags say of a node. Flags that mean nothing are told on standard error. Throws a UsageError or, for
 * manifests that cannot be read, a ManifestError.
 */
export async function readDescribed(
  manifests: string,
  flags: DescriptionFlags,
): Promise<{ described: Described; problems: readonly Problem[] }> {
  const { options, warnings } = settleProxy(flags);
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  const given = flags.serviceCidr === undefined ? undefined : parseCidrs(flags.serviceCidr, '--service-cidr');
  const ranges = { serviceCidrs: given ?? defaultRanges.serviceCidrs, nodePorts: parseNodePorts(flags.nodePortRange) };
  const snapshot = await readManifests(manifests);
  const parsed = parse(snapshot.objects, { serviceProxyName: flags.serviceProxyName || null, ranges }, null);
  const described: Described = {
    parsed,
    node: flags.node ?? options.node ?? hostname().toLowerCase(),
    primaryAddress: options.primaryAddress,
    serviceCidrs: given ?? [],
    detector: options.detector,
    masqueradeAll: options.masqueradeAll,
    nodePorts: options.nodePorts ?? defaultNodePorts,
  };
  return { described, problems: [...snapshot.problems, ...parsed.problems] };
}
