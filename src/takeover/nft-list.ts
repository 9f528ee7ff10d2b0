/** What `nft -j list ruleset` prints, as far as kube-proxy's tables go. Anything else in it is passed over. */
export interface NftTable {
  readonly family: string;
  readonly name: string;
  /** Chain → its rules, each a list of statements. */
  readonly chains: ReadonlyMap<string, readonly NftRule[]>;
  /** Sets and maps → elements. */
  readonly sets: ReadonlyMap<string, NftSet>;
}

export type NftRule = readonly Statement[];

/** One key, what it matches or does → its arguments: {match: …}, {goto: {target}}, {dnat: …}, {drop: null}. */
export type Statement = Readonly<Record<string, unknown>>;

export interface NftSet {
  /** Seconds; null: elements stay. */
  readonly timeout: number | null;
  readonly elements: readonly NftElement[];
}

export interface NftElement {
  /** Parts of the key: ['10.96.0.1', 'tcp', '80']. */
  readonly key: readonly string[];
  /** Of a verdict map; null: of a set. */
  readonly verdict: Statement | null;
  readonly comment: string;
}

interface Entry {
  readonly family: string;
  readonly name: string;
  readonly table?: string;
  readonly chain?: string;
  readonly expr?: readonly Statement[];
  readonly elem?: readonly unknown[];
  readonly timeout?: number;
}

/** Throws a SyntaxError for what is no JSON. */
export function parseNftList(text: string): NftTable[] {
  const { nftables = [] } = JSON.parse(text) as { nftables?: readonly Record<string, Entry>[] };
  const tables = new Map<string, { table: Entry; chains: Map<string, NftRule[]>; sets: Map<string, NftSet> }>();
  const keyOf = (entry: Entry) => `${entry.family} ${entry.table ?? entry.name}`;
  for (const object of nftables) {
    const [[kind, entry] = ['', undefined]] = Object.entries(object);
    if (entry === undefined) continue;
    if (kind === 'table') tables.set(keyOf(entry), { table: entry, chains: new Map(), sets: new Map() });
    const into = tables.get(keyOf(entry));
    if (kind === 'chain') into?.chains.set(entry.name, []);
    else if (kind === 'rule') into?.chains.get(entry.chain ?? '')?.push(entry.expr ?? []);
    else if (kind === 'set' || kind === 'map') into?.sets.set(entry.name, setOf(entry));
  }
  return [...tables.values()].map(({ table: { family, name }, chains, sets }) => ({ family, name, chains, sets }));
}

function setOf({ timeout, elem = [] }: Entry): NftSet {
  return { timeout: timeout ?? null, elements: elem.map(elementOf) };
}

/** Of a set a key; of a map a pair of key and verdict. A key with a comment or a counter is wrapped. */
function elementOf(one: unknown): NftElement {
  const [wrapped, verdict] = Array.isArray(one) ? (one as [unknown, Statement]) : [one, null];
  const { val = wrapped, comment = '' } = (memberOf(wrapped, 'elem') ?? {}) as { val?: unknown; comment?: string };
  return { key: partsOf(val), verdict, comment };
}

/** '10.96.0.1', {concat: […]} and {prefix: {addr, len}} as texts. */
export function partsOf(value: unknown): string[] {
  const concat = memberOf(value, 'concat');
  if (Array.isArray(concat)) return concat.flatMap(partsOf);
  const prefix = memberOf(value, 'prefix') as { addr: string; len: number } | undefined;
  if (prefix !== undefined) return [`${prefix.addr}/${prefix.len}`];
  const set = memberOf(value, 'set');
  if (Array.isArray(set)) return set.flatMap(partsOf);
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
}

export function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
