import { endpointText, familyOf } from '../model/address.ts';
import type { Served } from '../served.ts';

/** How another proxy wrote its rules. iptables has two back ends in the kernel, which know nothing of each other. */
export type Flavour = 'nftables' | 'iptables-nft' | 'iptables-legacy';

export type Family = 4 | 6;

/** What kube-proxy's rules of one flavour and family say, in the words in which `served.ts` reads our tables. */
export interface Peer {
  readonly flavour: Flavour;
  readonly family: Family;
  /** By place: '10.96.0.1:80/TCP', 'nodePort 30080/TCP, IPv4'. */
  readonly served: ReadonlyMap<string, Served>;
  readonly policies: PeerPolicies;
}

export interface PeerPolicies {
  /** Whose source is replaced towards clusterIPs: of 'all', of those 'outside A,B', of 'none' but hairpins. */
  readonly masquerade: string;
  /** Where NodePorts answer: 'all' addresses of the node, or these. */
  readonly nodePorts: 'all' | readonly string[];
  /** Of these what no Service has is dropped. */
  readonly serviceCidrs: readonly string[];
  /** The node forwards nothing by itself, but what KUBE-FORWARD lets through. */
  readonly forwardDrops: boolean;
}

/** What is found of one place, before it is put into words. */
export interface Found {
  readonly service: string;
  /** Who may answer those inside; null: not said. */
  readonly backends: readonly string[] | null;
  /** Who may answer others, where that differs by policy. */
  readonly outside: readonly string[] | null;
  /** What becomes of a packet if nobody may. */
  readonly without: 'rejected' | 'dropped' | null;
  readonly affinitySeconds: number;
  readonly sourceRanges: readonly string[] | null;
}

export const nothingFound: Found = {
  service: '',
  backends: null,
  outside: null,
  without: null,
  affinitySeconds: 0,
  sourceRanges: null,
};

export function addressPlace(address: string, port: number, protocol: string): string {
  return `${endpointText(address, port)}/${protocol.toUpperCase()}`;
}

export function nodePortPlace(port: number, protocol: string, family: Family): string {
  return `nodePort ${port}/${protocol.toUpperCase()}, IPv${family}`;
}

/** In the words of `served.ts`, and only what both proxies can tell. */
export function servedFrom(place: string, found: Found): Served {
  const { service, outside, without, affinitySeconds, sourceRanges } = found;
  const backends = [...(found.backends ?? [])].sort();
  const isLacking = backends.length === 0 || outside?.length === 0;
  const facts = {
    backends,
    ...(outside !== null && { 'backends for outside': [...outside].sort() }),
    ...(isLacking && without !== null && { 'without a backend': [without] }),
    ...(affinitySeconds > 0 && backends.length > 0 && { 'session affinity': [`${affinitySeconds} s`] }),
    ...(sourceRanges !== null && { 'source ranges': [...sourceRanges].sort() }),
  };
  return { service, place, facts };
}

/** Our own, cut down to what another proxy's rules can tell too; null: they cannot tell of this place at all. */
export function comparable({ service, place, facts }: Served, family: Family): Served | null {
  if (service === '' || place.startsWith('address ') || familyOfPlace(place) !== family) return null;
  const { backends = [], 'backends for outside': outside, 'session affinity': affinity, ...rest } = facts;
  const isLacking = backends.length === 0 || outside?.length === 0;
  const ranges = rest['source ranges']?.filter((range) => familyOf(range) === family);
  return {
    service: service.replace(/:$/, ''),
    place,
    facts: {
      backends,
      ...(outside !== undefined && { 'backends for outside': outside }),
      ...(isLacking && { 'without a backend': rest['without a backend'] ?? [] }),
      ...(affinity !== undefined && backends.length > 0 && { 'session affinity': affinity }),
      ...(ranges !== undefined && { 'source ranges': ranges }),
    },
  };
}

function familyOfPlace(place: string): Family {
  if (place.startsWith('nodePort ')) return place.endsWith('IPv6') ? 6 : 4;
  return place.startsWith('[') ? 6 : 4;
}
