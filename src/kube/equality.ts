/** Deep equality of plain values, arrays and maps; maps are equal in whatever order. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameValue(item, b[i]));
  if (a instanceof Map) return b instanceof Map && a.size === b.size && sameEntries(a, (key) => b.get(key));
  const other = b as Record<string, unknown>;
  const keys = Object.keys(a);
  if (Array.isArray(b) || b instanceof Map || keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && sameValue((a as Record<string, unknown>)[key], other[key]));
}

function sameEntries(entries: Iterable<[unknown, unknown]>, other: (key: unknown) => unknown): boolean {
  for (const [key, value] of entries) if (!sameValue(value, other(key))) return false;
  return true;
}
