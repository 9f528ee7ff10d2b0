/** Who a service port id stands for. */
export interface PortName {
  /** 'namespace/name' */
  readonly owner: string;
  /** '' for the one port of a Service that has no name. */
  readonly port: string;
  /** IPPROTO_TCP and the like. */
  readonly protocol: number;
}

/** Service port ids, 1 to 2^32-1, and who has them. */
export interface Ids {
  readonly byId: Map<number, PortName>;
  readonly byName: Map<string, number>;
}

export function emptyIds(): Ids {
  return { byId: new Map(), byName: new Map() };
}

export function learnId(ids: Ids, id: number, name: PortName): void {
  forgetId(ids, id);
  ids.byId.set(id, name);
  ids.byName.set(nameText(name), id);
}

export function forgetId(ids: Ids, id: number): void {
  const name = ids.byId.get(id);
  if (name === undefined) return;
  ids.byId.delete(id);
  if (ids.byName.get(nameText(name)) === id) ids.byName.delete(nameText(name));
}

/**
 * The id of a name: the one it has, in `held` or else `fresh`; else a hash of the name, or the next id upward that nobody
 * has, which is noted in `fresh`. So one name has the same id on every node and in every generation, but for the rare
 * collision.
 */
export function idOf(held: Ids, fresh: Ids, name: PortName): number {
  const text = nameText(name);
  const known = held.byName.get(text) ?? fresh.byName.get(text);
  if (known !== undefined) return known;
  let id = hash(text) || 1;
  while (held.byId.has(id) || fresh.byId.has(id)) id = id === 0xffffffff ? 1 : id + 1;
  learnId(fresh, id, name);
  return id;
}

/** Joined, since text that is added up piece by piece keeps its pieces. */
function nameText({ owner, port, protocol }: PortName): string {
  return [owner, ' ', port, '/', protocol].join('');
}

/** FNV-1a over the characters, then murmur3's finisher: names differ in their last characters, ids in all bits. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
