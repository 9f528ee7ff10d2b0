import { type Address, familyOf } from '../model/address.ts';
import { readAddress } from './fields.ts';
import type { ServiceSpec } from './objects.ts';

type Family = 4 | 6;

/** One clusterIP of a Service; null: it has yet to be handed out. */
export interface ClusterAddress {
  readonly family: Family;
  readonly address: Address | null;
}

/**
 * Which clusterIPs a Service has or should have, at most one of each family, the primary one first. `configured`: the families of the service CIDRs, the default one first,
 * where nobody else allocates; null where an API server did: then what it wrote is taken as it is.
 * A clusterIP that is written but unusable is reported and not replaced by another one.
 */
export function clusterAddresses(
  spec: ServiceSpec,
  configured: readonly Family[] | null,
  report: (reason: string) => void,
): readonly ClusterAddress[] {
  const written = writtenAddresses(spec, configured !== null, report);
  const families =
    configured === null ? assignedFamilies(spec, written) : wantedFamilies(spec, written, configured, report);
  return families.flatMap((family, i) => {
    const text = written[i] ?? '';
    if (text === '') return { family, address: null };
    const read = readAddress(text, family);
    if ('address' in read) return { family, address: read.address };
    report(`clusterIPs[${i}]: ${read.fault}`);
    return [];
  });
}

function writtenAddresses(spec: ServiceSpec, byHand: boolean, report: (reason: string) => void): readonly string[] {
  if (spec.clusterIPs.length === 0) return spec.clusterIP === '' ? [] : [spec.clusterIP];
  if (spec.ipFamilies.length === 0 && spec.clusterIP !== '' && !(byHand && wantsBoth(spec))) {
    const others = spec.clusterIPs.filter((text) => text !== spec.clusterIP);
    if (byHand && others.length > 0)
      report(`without ipFamilies clusterIP alone counts: ${others.join(', ')} is left out`);
    return [spec.clusterIP];
  }
  if (!byHand && spec.ipFamilies.length === 0) return [];
  if (spec.clusterIP !== '' && spec.clusterIP !== spec.clusterIPs[0]) {
    report(`clusterIP ${spec.clusterIP} is not the first of clusterIPs, which are used`);
  }
  return spec.clusterIPs;
}

function wantsBoth({ ipFamilyPolicy }: ServiceSpec): boolean {
  return ipFamilyPolicy === 'PreferDualStack' || ipFamilyPolicy === 'RequireDualStack';
}

function assignedFamilies(spec: ServiceSpec, written: readonly string[]): readonly Family[] {
  if (spec.ipFamilies.length > 0)
    return spec.ipFamilies.map((family) => (family === 'IPv6' ? 6 : 4)).slice(0, written.length);
  return written.map(familyOf);
}

/** As an API server fills in ipFamilies: from the addresses, then the default family, then the policy. */
function wantedFamilies(
  spec: ServiceSpec,
  written: readonly string[],
  configured: readonly Family[],
  report: (reason: string) => void,
): readonly Family[] {
  const families = namedFamilies(spec, report);
  for (const text of written.slice(families.length)) families.push(familyOf(text));
  const [primary = 4] = configured;
  if (families.length === 0) families.push(primary);
  if (families[1] === families[0]) {
    report(`two clusterIPs or ipFamilies of IPv${families[0]}: the first one is used`);
    return families.slice(0, 1);
  }
  const policy = policyOf(spec, families.length, report);
  if (policy === 'SingleStack') return families.slice(0, 1);
  const other = families[0] === 4 ? 6 : 4;
  if (families.length === 1 && configured.includes(other)) families.push(other);
  else if (families.length === 1 && policy === 'RequireDualStack') {
    report(`ipFamilyPolicy RequireDualStack, and there is no service CIDR for IPv${other}`);
  }
  return families.slice(0, 2);
}

function namedFamilies(spec: ServiceSpec, report: (reason: string) => void): Family[] {
  const families: Family[] = [];
  for (const [i, family] of spec.ipFamilies.entries()) {
    if (family === 'IPv4' || family === 'IPv6') families.push(family === 'IPv4' ? 4 : 6);
    else report(`ipFamilies[${i}]: ${JSON.stringify(family)} is neither IPv4 nor IPv6`);
  }
  return families;
}

function policyOf(spec: ServiceSpec, families: number, report: (reason: string) => void): string {
  const policy = spec.ipFamilyPolicy;
  if (wantsBoth(spec)) return policy;
  if (policy === '') return families > 1 ? 'RequireDualStack' : 'SingleStack';
  if (policy !== 'SingleStack') report(`ipFamilyPolicy ${JSON.stringify(policy)} is unknown: taken as SingleStack`);
  else if (families > 1) report('ipFamilyPolicy SingleStack, but two families are named: the first one is used');
  return 'SingleStack';
}
