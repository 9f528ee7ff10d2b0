/** One deliberate fault. It must turn some test red: a test that no fault can fail proves nothing. */
export interface Mutant {
  /** What goes wrong, in a few words. */
  readonly name: string;
  readonly file: string;
  /** Exact text that stands in the file once. */
  readonly find: string;
  readonly replace: string;
  /** The test files that must notice, as ava takes them. */
  readonly tests: string;
}

/** Faults of one file that the same tests must notice. */
export function faults(
  file: string,
  tests: string,
  list: readonly (readonly [name: string, find: string, replace: string])[],
): Mutant[] {
  return list.map(([name, find, replace]) => ({ name, file, find, replace, tests }));
}

/** What has to be built again to have the fault in it; null: nothing, Node runs the source. */
export function rebuildOf({ file }: Mutant): 'bpf' | 'native' | null {
  if (!/\.[ch]$/.test(file)) return null;
  return file.startsWith('native/') ? 'native' : 'bpf';
}

/** The text with the fault. Throws if `find` is not there, or not once, or changes nothing. */
export function applyMutant({ name, file, find, replace }: Mutant, text: string): string {
  const places = text.split(find).length - 1;
  if (places !== 1) throw new Error(`mutant '${name}': its text stands in ${file} ${places} times`);
  if (find === replace) throw new Error(`mutant '${name}' changes nothing`);
  return text.replace(find, () => replace);
}
