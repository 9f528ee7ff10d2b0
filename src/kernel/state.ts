import { setImmediate } from 'node:timers/promises';
import { BpfError, BpfMap } from 'libbpf-ts';
import { maps } from '../layout.gen.ts';
import type { Generation } from './generation.ts';
import { listStatePins, type PinDir, removePin, type StatePin } from './pins.ts';
import { type StateName, stateNames } from './sizes.ts';

/**
 * Copies the rows that `to` does not have: what it has is newer. Rows that the programs add meanwhile may be missed, so a
 * swap copies before and after. Returns how many were copied; a full map ends it.
 */
export async function copyRows(from: BpfMap, to: BpfMap): Promise<number> {
  let copied = 0;
  for await (const { count, keys, values } of from.entries()) {
    for (let i = 0; i < count; i += 1) {
      const key = keys.subarray(i * from.info.keySize, (i + 1) * from.info.keySize);
      if (to.lookup(key) !== undefined) continue;
      const outcome = insert(to, key, values.subarray(i * from.valueSize, (i + 1) * from.valueSize));
      if (outcome === 'full') return copied;
      if (outcome === 'inserted') copied += 1;
    }
    await setImmediate();
  }
  return copied;
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

/** Copies into the state maps of a generation what those of another hold that it does not share. */
export async function copyState(from: Generation, to: Generation): Promise<number> {
  let copied = 0;
  for (const name of stateNames) {
    if (from.state[name].info.id !== to.state[name].info.id) copied += await copyRows(from.state[name], to.state[name]);
  }
  return copied;
}

/**
 * Removes the pins of state maps that the generation does not use, after taking over their rows: the youngest flows of a
 * swap, or of a crash in the middle of one, are there. Returns the names of the pins.
 */
export async function takeOverState(dir: PinDir, generation: Generation): Promise<string[]> {
  for (const { pin, name } of unusedPins(dir, generation)) {
    using map = BpfMap.openPinned(pin.path);
    if (name && fits(pin, name, map, generation.state[name])) await copyRows(map, generation.state[name]);
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
