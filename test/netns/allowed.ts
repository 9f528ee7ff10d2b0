/** What the kernel may hold of each row (see lookups()) in the middle of changes: what it held before, or what was wanted since. */
export class Allowed {
  readonly #values = new Map<string, Set<string | undefined>>();

  constructor(held: ReadonlyMap<string, string>) {
    for (const [key, value] of held) this.#values.set(key, new Set([value]));
  }

  add(wanted: ReadonlyMap<string, string>): void {
    for (const key of wanted.keys()) if (!this.#values.has(key)) this.#values.set(key, new Set([undefined]));
    for (const [key, values] of this.#values) values.add(wanted.get(key));
  }

  /** Rows that are neither. */
  strangers(held: ReadonlyMap<string, string>): string[] {
    const keys = new Set([...held.keys(), ...this.#values.keys()]);
    return [...keys].filter((key) => !this.#values.get(key)?.has(held.get(key)));
  }
}
