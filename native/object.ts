import { addon } from './addon.ts';
import { BpfMap } from './map.ts';
import { BpfProgram } from './program.ts';

export interface LoadOptions {
  /** For errors, and the prefix of the kernel's names of .rodata, .data and .bss. */
  name?: string;
  /**
   * Per map of the object: an open one to use instead (type, key size, value size and flags must agree; its number of
   * entries may differ), or another number of entries. A name that the object does not have is BpfError ENOENT.
   */
  maps?: Record<string, { reuse: BpfMap } | { maxEntries: number }>;
  /** The whole initial content of .rodata. Another size than the object's is BpfError EINVAL. */
  rodata?: Uint8Array;
  /** Only these are loaded; all if missing. A name that the object does not have is BpfError ENOENT. */
  programs?: string[];
}

/**
 * What a loaded object gave: its maps (the internal ones as '.rodata', '.data', '.bss') and the programs that were
 * loaded, by their names in the source. Each is a handle of its own: of a reused map too, the one given stays open.
 */
export class BpfObject implements Disposable {
  readonly maps: Record<string, BpfMap>;
  readonly programs: Record<string, BpfProgram>;

  /** Only for this package: use loadObject(). */
  constructor(maps: Record<string, BpfMap>, programs: Record<string, BpfProgram>) {
    this.maps = maps;
    this.programs = programs;
  }

  /** Closes all of its maps and programs. Pinned and attached ones live on in the kernel. */
  close(): void {
    for (const map of Object.values(this.maps)) map.close();
    for (const program of Object.values(this.programs)) program.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens and loads a compiled object (the bytes of the ELF file) in a worker thread: verification takes 100 ms and more.
 * A refusal is a BpfError whose `log` has libbpf's and the verifier's words; nothing of the object stays then.
 *
 * SEC("tc") programs carry no expected attach type, so that one program serves both directions of tcx and clsact.
 */
export async function loadObject(elf: Uint8Array, options: LoadOptions = {}): Promise<BpfObject> {
  const maps = Object.entries(options.maps ?? {}).map(([name, option]) =>
    'reuse' in option
      ? { name, reuse: option.reuse?.handle ?? null, maxEntries: 0 }
      : { name, reuse: undefined, maxEntries: option.maxEntries },
  );
  const loaded = await addon.objectLoad(elf, options.name ?? 'object', maps, options.rodata, options.programs);
  return new BpfObject(
    mapValues(loaded.maps, (open) => new BpfMap(open)),
    mapValues(loaded.programs, (open) => new BpfProgram(open)),
  );
}

function mapValues<From, To>(record: Record<string, From>, to: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, to(value)]));
}
