import { setImmediate } from 'node:timers/promises';
import { BpfError, BpfMap, possibleCpus, synchronizeRcu } from 'libbpf-ts';
import { config, maps } from '../layout.gen.ts';
import { bootSeconds } from './clock.ts';
import type { Generation } from './generation.ts';
import { listStatePins, type PinDir, removePin, type StatePin } from './pins.ts';
import { inheritedNames, type StateName, stateNames } from './sizes.ts';

const BPF_F_NO_COMMON_LRU = 2;

/** Tells from a row's value when it was last used, in seconds of the monotonic clock. */
type Seen = (value: Uint8Array) => number;

/**
 * Copies the rows that `to` does not have: what it has is newer. A row that programs delete from `from`, and then from `to`,
 * meanwhile does not come back. Returns how many were copied; a full map ends it. An LRU map is never full but evicts, so
 * that of rows with a stamp only the youngest are copied, and a quarter is left for what programs put there meanwhile.
 */
export async function copyRows(from: BpfMap, to: BpfMap, seen?: Seen): Promise<number> {
  let copied = 0;
  for (const [i, { key, value }] of (await rowsToCopy(from, to, seen)).entries()) {
    if (i % 1024 === 1023) await setImmediate();
    if (to.lookup(key) !== undefined) continue;
    const outcome = insert(to, key, value);
    if (outcome === 'full') return copied;
    if (outcome === 'there') continue;
    if (from.lookup(key) === undefined) to.delete(key);
    else copied += 1;
  }
  return copied;
}

/** With a stamp, oldest first: what is evicted all the same is the oldest. */
async function rowsToCopy(from: BpfMap, to: BpfMap, seen: Seen = () => 0) {
  const { keySize } = from.info;
  const rows: { key: Uint8Array; value: Uint8Array; stamp: number }[] = [];
  for await (const { count, keys, values } of from.entries()) {
    for (let i = 0; i < count; i += 1) {
      const value = values.subarray(i * from.valueSize, (i + 1) * from.valueSize);
      rows.push({ key: keys.subarray(i * keySize, (i + 1) * keySize), value, stamp: seen(value) });
    }
    await setImmediate();
  }
  return rows.sort((a, b) => a.stamp - b.stamp).slice(-roomForCopies(to));
}

/** A map with lists by CPU puts what one thread writes into one of them. */
function roomForCopies({ info }: BpfMap): number {
  if (info.type !== 'lru_hash') return info.maxEntries;
  return Math.ceil((0.75 * info.maxEntries) / (info.flags & BPF_F_NO_COMMON_LRU ? possibleCpus : 1));
}

function seenOf(name: StateName): Seen | undefined {
  const inherited = inheritedNames.find((one) => one === name);
  if (inherited === undefined) return undefined;
  const { value } = maps[inherited];
  return (bytes) => value.decode(Buffer.from(bytes).toString('hex')).seen;
}

function insert(map: BpfMap, key: Uint8Array, value: Uint8Array): 'inserted' | 'there' | 'full' {
  try {
    map.update(key, value, 'noexist');
    return 'inserted';
  } catch (error) {
    if (error instanceof BpfError && error.code === 'EEXIST') return 'there';
    if (error instanceof BpfError && error.code === 'E2BIG') return 'full';
    throw error;
  }
}

/**
 * Hints at flows everywhere, as in a map of hints that is new beside flows that are not: programs would take those for none.
 * `settings`: what the programs are loaded with, as hex. Each packet pays with a look-up until the longest lifetime is over.
 */
export function hintEverywhere(hints: BpfMap, settings: string): void {
  const { tcpEstablishedSeconds, udpSeconds } = config.decode(settings);
  const until = (bootSeconds() + 1 + Math.max(tcpEstablishedSeconds, udpSeconds)) >>> 0;
  const { key, value } = maps.flow_hints;
  const slots = Array.from({ length: hints.info.maxEntries }, (_, slot) => key.encode(slot));
  const row = value.encode({ until, halfOpenUntil: until });
  hints.updateBatch(Buffer.from(slots.join(''), 'hex'), Buffer.from(row.repeat(slots.length), 'hex'));
}

/** Before anybody counts there: what is counted between this and the swap is lost. Nothing happens if it is one map. */
export async function copyCounters(from: Generation, to: Generation): Promise<void> {
  const [old, next] = [from.state.counters, to.state.counters];
  if (old.info.id !== next.info.id) await copyRows(old, next);
}

/**
 * Removes the pins of state maps that the generation does not use, after taking over their rows: the youngest flows of a
 * swap, or of a crash in the middle of one, are there. Returns the names of the pins.
 */
export async function takeOverState(dir: PinDir, generation: Generation): Promise<string[]> {
  const unused = unusedPins(dir, generation);
  /* A program that was just replaced may still be at work on them. */
  if (unused.length > 0) await synchronizeRcu();
  for (const { pin, name } of unused) {
    using map = BpfMap.openPinned(pin.path);
    if (name && fits(pin, name, map, generation.state[name])) await copyRows(map, generation.state[name], seenOf(name));
  }
  return dropState(dir, generation);
}

/** Removes the pins of state maps that the generation does not use, and their rows with them. */
export function dropState(dir: PinDir, generation: Generation): string[] {
  return unusedPins(dir, generation).map(({ pin }) => {
    removePin(pin.path);
    return `${pin.name}-${pin.layout}-${pin.size}`;
  });
}

function unusedPins(dir: PinDir, generation: Generation): { pin: StatePin; name: StateName | undefined }[] {
  return listStatePins(dir).flatMap((pin) => {
    const name = stateNames.find((one) => one === pin.name);
    using map = BpfMap.openPinned(pin.path);
    return name && generation.state[name].info.id === map.info.id ? [] : [{ pin, name }];
  });
}

function fits(pin: StatePin, name: StateName, from: BpfMap, to: BpfMap): boolean {
  return pin.layout === maps[name].layout && from.info.keySize === to.info.keySize && from.valueSize === to.valueSize;
}
