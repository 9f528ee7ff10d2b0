import { setImmediate } from 'node:timers/promises';
import type { BpfMap } from 'libbpf-ts';
import { counterKey, reason } from '../layout.gen.ts';
import { readRow, readRows } from './tables.ts';

/** Hex of one CPU's value. */
const CPU_DIGITS = 16;

/** Packets and connections by service port id and reason (a number of `reason`), summed over the CPUs. */
export async function readCounters(map: BpfMap): Promise<Map<number, Map<number, bigint>>> {
  const counters = new Map<number, Map<number, bigint>>();
  for (const [key, value] of await readRows(map)) {
    const { servicePort, reason: why } = counterKey.decode(key);
    const reasons = counters.get(servicePort) ?? new Map<number, bigint>();
    counters.set(servicePort, reasons.set(why, sumOfCpus(value)));
  }
  return counters;
}

/** One of them; 0 if nothing was counted. */
export function readCounter(map: BpfMap, servicePort: number, why: number): bigint {
  return sumOfCpus(readRow(map, counterKey.encode({ servicePort, reason: why })) ?? '');
}

function sumOfCpus(value: string): bigint {
  let sum = 0n;
  for (let at = 0; at < value.length; at += CPU_DIGITS)
    sum += Buffer.from(value.slice(at, at + CPU_DIGITS), 'hex').readBigUInt64LE();
  return sum;
}

/** Drops what was counted for service ports that are gone: whoever gets such an id next starts at zero. */
export async function forgetCounters(map: BpfMap, servicePorts: readonly number[]): Promise<void> {
  const reasons = Object.values(reason);
  for (let at = 0; at < servicePorts.length; at += 64) {
    const keys = servicePorts
      .slice(at, at + 64)
      .flatMap((servicePort) => reasons.map((why) => counterKey.encode({ servicePort, reason: why })));
    map.deleteBatch(Buffer.from(keys.join(''), 'hex'));
    await setImmediate();
  }
}

/** The same for all but the given service ports: what an agent that died did not get to, or flows still counted since. */
export async function keepCounters(map: BpfMap, servicePorts: ReadonlySet<number>): Promise<void> {
  const counted = [...(await readCounters(map)).keys()];
  await forgetCounters(
    map,
    counted.filter((id) => id !== 0 && !servicePorts.has(id)),
  );
}
