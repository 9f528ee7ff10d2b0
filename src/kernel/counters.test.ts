import test from 'ava';
import { BpfMap, possibleCpus } from 'libbpf-ts';
import { counterKey, maps, reason } from '../layout.gen.ts';
import { forgetCounters, keepCounters, readCounters } from './counters.ts';

function makeCounters(): BpfMap {
  const { keySize, valueSize } = maps.counters;
  return BpfMap.create({ type: 'percpu_hash', name: 'counters', keySize, valueSize, maxEntries: 1000, flags: 1 });
}

function count(map: BpfMap, servicePort: number, why: number, perCpu: bigint): void {
  const value = Buffer.alloc(8 * possibleCpus);
  for (let cpu = 0; cpu < possibleCpus; cpu += 1) value.writeBigUInt64LE(perCpu, 8 * cpu);
  map.update(Buffer.from(counterKey.encode({ servicePort, reason: why }), 'hex'), value);
}

test('readCounters() sums over the CPUs', async (t) => {
  const map = makeCounters();
  count(map, 1, reason.connected_pod, 2n ** 40n);
  count(map, 1, reason.drop_malformed, 3n);
  count(map, 2, reason.connected_socket, 5n);
  const cpus = BigInt(possibleCpus);
  const read = await readCounters(map);
  t.is(read.size, 2);
  t.is(read.get(1)?.get(reason.connected_pod), 2n ** 40n * cpus);
  t.is(read.get(1)?.get(reason.drop_malformed), 3n * cpus);
  t.is(read.get(2)?.get(reason.connected_socket), 5n * cpus);
});

test('forgetCounters() drops every reason of the given service ports and no other', async (t) => {
  const map = makeCounters();
  for (let id = 1; id <= 200; id += 1) count(map, id, reason.connected_pod, 1n);
  count(map, 5, reason.drop_untranslated, 1n);
  await forgetCounters(
    map,
    Array.from({ length: 199 }, (_, i) => i + 1),
  );
  t.deepEqual([...(await readCounters(map)).keys()], [200]);
});

test('keepCounters() drops what nobody has a name for, and not what is of no Service', async (t) => {
  const map = makeCounters();
  for (const id of [0, 1, 2, 3]) count(map, id, reason.drop_untranslated, 1n);
  await keepCounters(map, new Set([2, 4]));
  t.deepEqual([...(await readCounters(map)).keys()].sort(), [0, 2]);
});
