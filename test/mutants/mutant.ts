/** One deliberate fault. It must turn some test red: a test that no fault can fail proves nothing. */
export interface Mutant {
  /** What goes wrong, in a few words. */
  readonly name: string;
  readonly file: string;
  /** Exact text that stands in the file once. */
  readonly find: string;
  readonly replace: string;
  /** Test files that must notice, as ava takes them. */
  readonly tests: readonly string[];
  /** What has to be built again to have the fault in it; source that Node runs as it is: null. */
  readonly rebuild: 'bpf' | 'native' | null;
}

/** The text with the fault. Throws if `find` is not there, or not once, or changes nothing. */
export function applyMutant({ name, file, find, replace }: Mutant, text: string): string {
  const places = text.split(find).length - 1;
  if (places !== 1) throw new Error(`mutant '${name}': its text stands in ${file} ${places} times`);
  if (find === replace) throw new Error(`mutant '${name}' changes nothing`);
  return text.replace(find, () => replace);
}
