import { endpointText } from '../model/address.ts';
import { memberOf, type NftElement, type NftRule, type NftTable, partsOf, type Statement } from './nft-list.ts';
import {
  addressPlace,
  type Family,
  type Found,
  nodePortPlace,
  nothingFound,
  type Peer,
  type PeerPolicies,
  servedFrom,
} from './peer.ts';

export const kubeProxyTable = 'kube-proxy';

/** Reads kube-proxy's table of one family. null: there is none. */
export function nftPeer(family: Family, tables: readonly NftTable[]): Peer | null {
  const table = tables.find((one) => one.name === kubeProxyTable && one.family === (family === 4 ? 'ip' : 'ip6'));
  if (table === undefined) return null;
  const found = new Map<string, Found>();
  const add = (place: string, more: Partial<Found>): void => {
    const { service = '', ...rest } = more;
    const known = found.get(place) ?? nothingFound;
    found.set(place, { ...known, ...rest, service: known.service || service });
  };
  for (const element of elementsOf(table, 'service-ips')) add(addressOf(element), follow(table, targetOf(element)));
  for (const element of elementsOf(table, 'service-nodeports')) {
    add(portOf(element, family), follow(table, targetOf(element)));
  }
  for (const element of elementsOf(table, 'no-endpoint-services')) add(addressOf(element), refusalOf(element));
  for (const element of elementsOf(table, 'no-endpoint-nodeports')) add(portOf(element, family), refusalOf(element));
  for (const element of elementsOf(table, 'firewall-ips')) {
    add(addressOf(element), { sourceRanges: rangesOf(table, targetOf(element), family) });
  }
  const served = new Map([...found].map(([place, one]) => [place, servedFrom(place, one)]));
  return { flavour: 'nftables', family, served, policies: policiesOf(table) };
}

function elementsOf(table: NftTable, name: string): readonly NftElement[] {
  return table.sets.get(name)?.elements ?? [];
}

function addressOf({ key: [address = '', protocol = '', port = ''] }: NftElement): string {
  return addressPlace(address, Number(port), protocol);
}

function portOf({ key: [protocol = '', port = ''] }: NftElement, family: Family): string {
  return nodePortPlace(Number(port), protocol, family);
}

/** The chain that an element, or a statement, leads to. */
function targetOf({ verdict }: Pick<NftElement, 'verdict'>): string {
  const jump = memberOf(verdict, 'goto') ?? memberOf(verdict, 'jump');
  return (memberOf(jump, 'target') as string | undefined) ?? '';
}

function refusalOf({ verdict, comment }: NftElement): Partial<Found> {
  return { service: comment, without: verdict !== null && 'drop' in verdict ? 'dropped' : 'rejected' };
}

/** 'service-ULMVA6XW-ns/name/tcp/http' → 'ns/name:http', as kube-proxy names service ports elsewhere. */
function serviceOf(chain: string): string {
  const [, namespace, name, port] = /^\w+-[A-Z2-7]{8}-([^/]+)\/([^/]+)\/[^/]+\/(.*)$/.exec(chain) ?? [];
  return namespace === undefined ? '' : `${namespace}/${name}${port === '' ? '' : `:${port}`}`;
}

function follow(table: NftTable, chain: string): Partial<Found> {
  const service = serviceOf(chain);
  if (!chain.startsWith('external-')) return { service, ...poolOf(table, chain), outside: null };
  const ways = (table.chains.get(chain) ?? []).flatMap((rule) => {
    const target = rule.map((statement) => targetOf({ verdict: statement })).find((name) => name !== '');
    return target === undefined ? [] : [{ target, isConditional: rule.some((statement) => 'match' in statement) }];
  });
  const inside = ways.find(({ isConditional }) => isConditional);
  const last = ways.find(({ isConditional }) => !isConditional);
  if (inside === undefined) return { service, ...poolOf(table, last?.target ?? ''), outside: null };
  const outside = last === undefined ? [] : (poolOf(table, last.target).backends ?? []);
  return { service, ...poolOf(table, inside.target), outside };
}

/** The endpoints of a 'service-…' or 'local-…' chain: in one map, or with affinity in a chain each. */
function poolOf(table: NftTable, chain: string): Pick<Found, 'backends' | 'affinitySeconds'> {
  const rules = table.chains.get(chain) ?? [];
  const ends = new Set(rules.flatMap((rule) => rule.flatMap(targetsOf)));
  const backends = [...rules, ...[...ends].flatMap((end) => table.chains.get(end) ?? [])].flatMap(destinationsOf);
  const affinity = [...ends].map((end) => table.sets.get(end.replace(/^endpoint-/, 'affinity-'))?.timeout ?? 0);
  return { backends: [...new Set(backends)], affinitySeconds: Math.max(0, ...affinity) };
}

function targetsOf(statement: Statement): string[] {
  const map = memberOf(memberOf(memberOf(statement, 'vmap'), 'data'), 'set');
  const verdicts = Array.isArray(map) ? map.map(([, verdict]) => verdict as Statement) : [statement];
  return verdicts.map((verdict) => targetOf({ verdict })).filter((target) => target.startsWith('endpoint-'));
}

/** 'address:port' of {dnat: {addr, port}} and of {dnat: {addr: {map: {data: {set: [[i, {concat}], …]}}}}}. */
function destinationsOf(rule: NftRule): string[] {
  return rule.flatMap((statement) => {
    const dnat = memberOf(statement, 'dnat');
    const [address, port] = [memberOf(dnat, 'addr'), memberOf(dnat, 'port')];
    if (typeof address === 'string') return [endpointText(address, Number(port))];
    const set = memberOf(memberOf(memberOf(address, 'map'), 'data'), 'set');
    const pairs = Array.isArray(set) ? (set as [unknown, unknown][]) : [];
    return pairs.map(([, value]) => {
      const [to = '', at = ''] = partsOf(value);
      return endpointText(to, Number(at));
    });
  });
}

/** Of a chain 'saddr != { A, B } drop', as prefixes. */
function rangesOf(table: NftTable, chain: string, family: Family): string[] {
  const whole = family === 4 ? 32 : 128;
  const rules = (table.chains.get(chain) ?? []).filter((rule) => rule.some((statement) => 'drop' in statement));
  return rules
    .flatMap((rule) => rule.flatMap((statement) => partsOf(memberOf(memberOf(statement, 'match'), 'right'))))
    .map((range) => (range.includes('/') ? range : `${range}/${whole}`));
}

function policiesOf(table: NftTable): PeerPolicies {
  const addresses = table.sets.get('nodeport-ips')?.elements;
  return {
    masquerade: masqueradeOf(table),
    nodePorts: addresses === undefined ? 'all' : addresses.flatMap(({ key }) => key),
    serviceCidrs: cidrsOf(table),
    forwardDrops: false,
  };
}

/** In chain 'services': 'daddr @cluster-ips [saddr != CIDR] mark set …'. */
function masqueradeOf(table: NftTable): string {
  for (const rule of table.chains.get('services') ?? []) {
    if (!rule.some((statement) => 'mangle' in statement)) continue;
    const other = rule.map((statement) => memberOf(statement, 'match')).find((match) => memberOf(match, 'op') === '!=');
    return other === undefined ? 'all' : `outside ${partsOf(memberOf(other, 'right')).join(',')}`;
  }
  return 'none';
}

function cidrsOf(table: NftTable): string[] {
  const rules = (table.chains.get('cluster-ips-check') ?? []).filter((rule) => rule.some((one) => 'drop' in one));
  return rules.flatMap((rule) => rule.flatMap((one) => partsOf(memberOf(memberOf(one, 'match'), 'right'))));
}
