import { argumentOf, isNegated, type Rule, type Table } from './iptables-text.ts';
import {
  addressPlace,
  type Family,
  type Flavour,
  type Found,
  nodePortPlace,
  nothingFound,
  type Peer,
  type PeerPolicies,
  servedFrom,
} from './peer.ts';

/** Rules by chain. */
type Chains = ReadonlyMap<string, readonly Rule[]>;

/** Reads kube-proxy's chains of one family. null: there are none that serve anything. */
export function iptablesPeer(flavour: Flavour, family: Family, tables: readonly Table[]): Peer | null {
  const nat = chainsOf(tables, 'nat');
  if (!nat.has('KUBE-SERVICES')) return null;
  const found = new Map<string, Found>();
  for (const rule of nat.get('KUBE-SERVICES') ?? []) {
    const place = placeOf(rule, family);
    if (place !== undefined)
      found.set(place, { ...nothingFound, service: serviceOf(rule), ...follow(nat, rule.target, family) });
  }
  for (const rule of nat.get('KUBE-NODEPORTS') ?? []) {
    if (argumentOf(rule.words, '-d') !== undefined) continue; // the same port at 127.0.0.1, counted apart
    const place = nodePortOf(rule, family);
    if (place !== undefined)
      found.set(place, { ...nothingFound, service: serviceOf(rule), ...follow(nat, rule.target, family) });
  }
  const filter = chainsOf(tables, 'filter');
  for (const chain of ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES']) {
    for (const rule of filter.get(chain) ?? []) addRefusal(found, rule, family);
  }
  return {
    flavour,
    family,
    served: new Map([...found].map(([place, one]) => [place, servedFrom(place, one)])),
    policies: policiesOf(nat, tables),
  };
}

export function chainsOf(tables: readonly Table[], name: string): Chains {
  const table = tables.find((one) => one.name === name);
  const rules = Map.groupBy(table?.rules ?? [], ({ chain }) => chain);
  return new Map((table?.chains ?? []).map((chain) => [chain, rules.get(chain) ?? []]));
}

/** '-d 10.96.0.1/32 -p tcp --dport 80'; a rule with addrtype is about the node's own addresses. */
function placeOf({ words }: Rule, family: Family): string | undefined {
  const [address, port, protocol] = [argumentOf(words, '-d'), argumentOf(words, '--dport'), argumentOf(words, '-p')];
  if (port === undefined || protocol === undefined) return undefined;
  if (address !== undefined) return addressPlace(address.replace(/\/\d+$/, ''), Number(port), protocol);
  return argumentOf(words, '--dst-type') === 'LOCAL' ? nodePortPlace(Number(port), protocol, family) : undefined;
}

function nodePortOf({ words }: Rule, family: Family): string | undefined {
  const [port, protocol] = [argumentOf(words, '--dport'), argumentOf(words, '-p')];
  return port === undefined || protocol === undefined ? undefined : nodePortPlace(Number(port), protocol, family);
}

/** 'default/web:http cluster IP' → 'default/web:http'; '' where kube-proxy left comments out, above 1,000 endpoints. */
function serviceOf({ words }: Rule): string {
  return /^\S+\/\S+/.exec(argumentOf(words, '--comment') ?? '')?.[0] ?? '';
}

type Way = Pick<Found, 'backends' | 'outside' | 'affinitySeconds' | 'sourceRanges'>;

/** Where a jump from KUBE-SERVICES or KUBE-NODEPORTS leads. */
function follow(nat: Chains, chain: string, family: Family): Way {
  const rules = nat.get(chain) ?? [];
  if (chain.startsWith('KUBE-FW-')) {
    const allowed = rules.filter(({ target }) => target.startsWith('KUBE-EXT-'));
    const ranges = allowed.map(({ words }) => argumentOf(words, '-s') ?? anyRange[family]);
    return { ...follow(nat, allowed[0]?.target ?? '', family), sourceRanges: ranges };
  }
  if (!chain.startsWith('KUBE-EXT-')) return { ...poolOf(nat, chain), outside: null, sourceRanges: null };
  const pools = rules.filter(({ target }) => /^KUBE-SV[CL]-/.test(target));
  const isConditional = ({ words }: Rule) =>
    words.some((word) => word === '-s' || word === '--src-type' || word === '-i');
  const last = pools.find((rule) => !isConditional(rule));
  const inside = pools.find(isConditional);
  if (inside === undefined) return { ...poolOf(nat, last?.target ?? ''), outside: null, sourceRanges: null };
  const outside = last === undefined ? [] : (poolOf(nat, last.target).backends ?? []);
  return { ...poolOf(nat, inside.target), outside, sourceRanges: null };
}

/** A range that matches everything has no '-s'. */
const anyRange: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

/** The endpoints of a KUBE-SVC or KUBE-SVL chain. */
function poolOf(nat: Chains, chain: string): Pick<Found, 'backends' | 'affinitySeconds'> {
  const rules = nat.get(chain) ?? [];
  const ends = rules.flatMap(({ target }) => (target.startsWith('KUBE-SEP-') ? (nat.get(target) ?? []) : []));
  const backends = ends.flatMap(({ words }) => argumentOf(words, '--to-destination') ?? []);
  const seconds = rules.flatMap(({ words }) => argumentOf(words, '--seconds') ?? []);
  return { backends: [...new Set(backends)], affinitySeconds: Number(seconds[0] ?? 0) };
}

/** Of the filter table: REJECT where there is no endpoint anywhere, DROP where a Local policy has none here. */
function addRefusal(found: Map<string, Found>, rule: Rule, family: Family): void {
  const place = placeOf(rule, family);
  if (place === undefined || (rule.target !== 'REJECT' && rule.target !== 'DROP')) return;
  const known = found.get(place) ?? { ...nothingFound, service: serviceOf(rule) };
  found.set(place, { ...known, without: rule.target === 'DROP' ? 'dropped' : 'rejected' });
}

function policiesOf(nat: Chains, tables: readonly Table[]): PeerPolicies {
  const filter = tables.find(({ name }) => name === 'filter');
  return {
    masquerade: masqueradeOf(nat),
    nodePorts: nodePortsOf(nat),
    serviceCidrs: [],
    forwardDrops: filter?.policies.get('FORWARD') === 'DROP' && filter.chains.includes('KUBE-FORWARD'),
  };
}

function masqueradeOf(nat: Chains): string {
  const marks = [...nat].flatMap(([chain, rules]) =>
    /^KUBE-SV[CL]-/.test(chain) ? rules.filter(({ target }) => target === 'KUBE-MARK-MASQ') : [],
  );
  const [first] = marks;
  if (first === undefined) return 'none';
  const inside = isNegated(first.words, '-s') ? argumentOf(first.words, '-s') : undefined;
  return inside === undefined
    ? first.words.includes('-i')
      ? 'outside the devices of pods'
      : 'all'
    : `outside ${inside}`;
}

/** kube-proxy jumps once for each address, and once for all with --nodeport-addresses of everything. */
function nodePortsOf(nat: Chains): PeerPolicies['nodePorts'] {
  const jumps = (nat.get('KUBE-SERVICES') ?? []).filter(({ target }) => target === 'KUBE-NODEPORTS');
  const addresses = jumps.flatMap(({ words }) => (isNegated(words, '-d') ? [] : (argumentOf(words, '-d') ?? [])));
  if (jumps.length === 0 || addresses.length < jumps.length) return 'all';
  return addresses.map((address) => address.replace(/\/\d+$/, ''));
}
