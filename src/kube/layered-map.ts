/** More entries than this stand on a map before it is made anew. */
const MOST = 256;

/**
 * A map that never changes, made of another one with a few entries of its own on top: of 20,000 entries one can change without a
 * copy of the others. It goes through its entries in the order of the map below; new ones follow.
 */
export class LayeredMap<Value> implements ReadonlyMap<string, Value> {
  readonly #below: ReadonlyMap<string, Value>;
  /** undefined: that entry is gone. */
  readonly #above: ReadonlyMap<string, Value | undefined>;
  readonly size: number;

  private constructor(below: ReadonlyMap<string, Value>, above: ReadonlyMap<string, Value | undefined>, size: number) {
    this.#below = below;
    this.#above = above;
    this.size = size;
  }

  /** `map` with `changes`; undefined takes an entry away. */
  static over<Value>(
    map: ReadonlyMap<string, Value>,
    changes: ReadonlyMap<string, Value | undefined>,
  ): ReadonlyMap<string, Value> {
    if (changes.size === 0) return map;
    const [below, present] = map instanceof LayeredMap ? [map.#below, map.#above] : [map, undefined];
    if (changes.size + (present?.size ?? 0) > MOST) return flat(map, changes);
    const above = new Map<string, Value | undefined>(present);
    let { size } = map;
    for (const [key, value] of changes) {
      size += Number(value !== undefined) - Number(map.has(key));
      above.set(key, value);
    }
    return new LayeredMap(below, above, size);
  }

  /** Keys under which two maps do not hold the very same value. Quick for two that have the same map below. */
  static differing<Value>(a: ReadonlyMap<string, Value>, b: ReadonlyMap<string, Value>): Set<string> {
    const keys = new Set<string>();
    if (a === b) return keys;
    const [below, other] = [a, b].map((map) => (map instanceof LayeredMap ? map.#below : map));
    const isShared = below === other;
    for (const map of [a, b]) {
      const mine = !isShared ? map : map instanceof LayeredMap ? map.#above : [];
      for (const [key] of mine) if (a.get(key) !== b.get(key)) keys.add(key);
    }
    return keys;
  }

  get(key: string): Value | undefined {
    return this.#above.has(key) ? this.#above.get(key) : this.#below.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  *entries(): MapIterator<[string, Value]> {
    for (const [key, value] of this.#below) {
      const own = this.#above.has(key) ? this.#above.get(key) : value;
      if (own !== undefined) yield [key, own];
    }
    for (const [key, value] of this.#above) if (value !== undefined && !this.#below.has(key)) yield [key, value];
    return undefined;
  }

  *keys(): MapIterator<string> {
    for (const [key] of this.entries()) yield key;
    return undefined;
  }

  *values(): MapIterator<Value> {
    for (const [, value] of this.entries()) yield value;
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[string, Value]> {
    return this.entries();
  }

  forEach(callback: (value: Value, key: string, map: ReadonlyMap<string, Value>) => void): void {
    for (const [key, value] of this) callback(value, key, this);
  }
}

function flat<Value>(
  map: ReadonlyMap<string, Value>,
  changes: ReadonlyMap<string, Value | undefined>,
): Map<string, Value> {
  const next = new Map(map);
  for (const [key, value] of changes) {
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  return next;
}
