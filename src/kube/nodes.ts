import { type Address, type Cidr, parseCidr } from '../model/address.ts';
import type { Problem } from '../model/service.ts';
import { readAddress, reportOf } from './fields.ts';
import type { Labels, NodeObject, ServiceCidrObject } from './objects.ts';

export const zoneLabel = 'topology.kubernetes.io/zone';
const toBeDeletedTaint = 'ToBeDeletedByClusterAutoscaler';

export interface KubeNode {
  readonly name: string;
  readonly labels: Labels;
  /** '' without a zone label. */
  readonly zone: string;
  /** In the order of the Node's status: the first of a family is the primary one. */
  readonly internalIPs: readonly Address[];
  readonly podCidrs: readonly Cidr[];
  /** Load balancers are to leave it: it is being deleted, or the cluster autoscaler is about to. */
  readonly isLeaving: boolean;
}

export function readNode({ metadata, spec, status }: NodeObject): { node: KubeNode; problems: Problem[] } {
  const report = reportOf(`Node ${metadata.name}`);
  const internalIPs = status.addresses.flatMap(({ type, address }) => {
    if (type !== 'InternalIP') return [];
    const read = readAddress(address, null);
    if ('address' in read) return read.address;
    report(`status.addresses: ${read.fault}: left out`);
    return [];
  });
  const podCidrs = readCidrs(
    spec.podCIDRs.length > 0 || spec.podCIDR === '' ? spec.podCIDRs : [spec.podCIDR],
    'spec.podCIDRs',
    report,
  );
  const zone = metadata.labels[zoneLabel] ?? '';
  const isLeaving = metadata.deletionTimestamp !== '' || spec.taints.some(({ key }) => key === toBeDeletedTaint);
  return {
    node: { name: metadata.name, labels: metadata.labels, zone, internalIPs, podCidrs, isLeaving },
    problems: report.problems(),
  };
}

export function readServiceCidr({ metadata, spec }: ServiceCidrObject): {
  cidrs: readonly Cidr[];
  problems: Problem[];
} {
  const report = reportOf(`ServiceCIDR ${metadata.name}`);
  return { cidrs: readCidrs(spec.cidrs, 'spec.cidrs', report), problems: report.problems() };
}

function readCidrs(texts: readonly string[], field: string, report: (reason: string) => void): readonly Cidr[] {
  return texts.flatMap((text) => {
    const cidr = parseCidr(text);
    if (cidr === null) report(`${field}: ${JSON.stringify(text)} is not a CIDR: left out`);
    return cidr ?? [];
  });
}
