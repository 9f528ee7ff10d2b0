import { setImmediate } from 'node:timers/promises';
import { addon, type Handle } from './addon.ts';
import { type MapType, mapTypes, nameOf, numberOf } from './uapi.ts';

/** As the kernel tells it. `name` is cut by the kernel to 15 characters, `valueSize` is of one CPU. */
export interface MapInfo {
  id: number;
  type: MapType;
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
}

export interface MapOptions {
  type: MapType;
  /** At most 15 characters reach the kernel. */
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** BPF_F_... of map creation; BPF_F_NO_PREALLOC is 1 and lpm_trie requires it. */
  flags?: number;
  /** The template of array_of_maps and hash_of_maps. */
  innerMap?: BpfMap;
}

/** Rows packed back to back: key i is keys[i * keySize ...], value i is values[i * valueSize ...]. */
export interface Rows {
  count: number;
  keys: Uint8Array;
  values: Uint8Array;
}

const updateModes = { any: 0, noexist: 1, exist: 2 } as const;
export type UpdateMode = keyof typeof updateModes;

/**
 * An open map. Keys and values are raw bytes in the kernel's layout; their lengths are checked against the kernel's
 * own sizes before each call (BpfError EINVAL). Calls are synchronous: one costs about a microsecond.
 * Close it (`using`); a closed one answers every call with BpfError EBADF.
 */
export class BpfMap implements Disposable {
  /** Only for this package. */
  readonly handle: Handle;
  /** Asked from the kernel when the map was opened. */
  readonly info: MapInfo;
  /** Bytes of a looked up or updated value: for per-CPU maps round8(info.valueSize) times the possible CPUs. */
  readonly valueSize: number;

  /** Only for this package: use create(), openPinned() or loadObject(). */
  constructor(open: Handle) {
    const { type, lookupSize, ...facts } = addon.mapInfo(open);
    this.handle = open;
    this.info = { ...facts, type: nameOf(mapTypes, type) };
    this.valueSize = lookupSize;
  }

  static create(options: MapOptions): BpfMap {
    const { type, name, keySize, valueSize, maxEntries, flags = 0, innerMap } = options;
    const number = numberOf(mapTypes, type, 'map type');
    return new BpfMap(addon.mapCreate(number, name, keySize, valueSize, maxEntries, flags, innerMap?.handle));
  }

  /** BpfError ENOENT: nothing is pinned there. EINVAL: it is a program or a link. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(addon.mapOpen(path));
  }

  /** undefined: no such key. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    return addon.mapLookup(this.handle, key);
  }

  /** BpfError E2BIG: full. EEXIST, ENOENT: the mode was not met. */
  update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): void {
    addon.mapUpdate(this.handle, key, value, updateModes[mode]);
  }

  /** Puts a map into an array_of_maps or hash_of_maps. Blocks for an RCU grace period (10 ms). */
  updateInner(key: Uint8Array, inner: BpfMap): void {
    addon.mapUpdateInner(this.handle, key, inner.handle);
  }

  /** false: it was not there. */
  delete(key: Uint8Array): boolean {
    return addon.mapDelete(this.handle, key);
  }

  /** The key after this one in the kernel's order, the first for undefined; undefined: that was the last. */
  nextKey(key: Uint8Array | undefined): Uint8Array | undefined {
    return addon.mapNextKey(this.handle, key);
  }

  /**
   * All rows, `chunk` at a time with a turn of the event loop between. Of an array that is every slot, of a map that
   * changes meanwhile each row that stays is seen, and one may be seen twice. More than `chunk` rows come at once
   * only if a single hash bucket holds more.
   */
  async *entries(chunk = 1024): AsyncGenerator<Rows> {
    const { keySize } = this.info;
    const cursor = new Uint8Array(Math.max(4, keySize));
    let read: typeof addon.mapRead = addon.mapRead;
    let room = chunk;
    let first = true;
    for (;;) {
      const keys = new Uint8Array(room * keySize);
      const values = new Uint8Array(room * this.valueSize);
      const { count, state } = read(this.handle, cursor, first, keys, values);
      if (state === 'grow') {
        room *= 2;
        continue;
      }
      if (state === 'unsupported') {
        read = addon.mapWalk;
        continue;
      }
      first = false;
      if (count > 0)
        yield { count, keys: keys.subarray(0, count * keySize), values: values.subarray(0, count * this.valueSize) };
      if (state === 'end') return;
      await setImmediate();
    }
  }

  /**
   * Writes rows packed back to back and returns how many that were. A refused row ends it: BpfError with `done`, the
   * number of rows written before it. Give about 1,024 rows a call and the event loop a turn between calls: a
   * million rows at once block it for a second.
   */
  updateBatch(keys: Uint8Array, values: Uint8Array): number {
    return addon.mapUpdateBatch(this.handle, keys, values);
  }

  /** Deletes keys packed back to back; those that are not there are passed over. Returns how many were deleted. */
  deleteBatch(keys: Uint8Array): number {
    return addon.mapDeleteBatch(this.handle, keys);
  }

  /** BpfError EEXIST: the path is taken. The directory must be on a bpffs. Unpin with node:fs unlink. */
  pin(path: string): void {
    addon.pin(this.handle, path);
  }

  close(): void {
    addon.close(this.handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
