import test from 'ava';
import { makeTables } from '../../test/tables.ts';
import { backend, type Frontend, frontend, frontendKey, servicePortName, u32 } from '../layout.gen.ts';
import { emptyTables } from '../plan/tables.ts';
import { liveSlots, readSettledTables, readTables } from './tables.ts';

const none = { start: 0, count: 0 };

function row(port: number, pools: Pick<Frontend, 'any' | 'local'>): [key: string, value: string] {
  const key = frontendKey.encode({ address: '00'.repeat(16), port, protocol: 6 });
  return [key, frontend.encode({ ...pools, servicePort: port, affinitySeconds: 0, flags: 0, scheduler: 0, check: 0 })];
}

function slot(port: number): string {
  return backend.encode({ address: '11'.repeat(16), port, flags: 0 });
}

const bytes = (hex: string) => Buffer.from(hex, 'hex');

test('readTables() reads what was written, and of backends only the slots that a pool covers', async (t) => {
  const maps = makeTables();
  const [key, value] = row(80, { any: { start: 3, count: 2 }, local: { start: 9, count: 1 } });
  const name = servicePortName.encode({ namespace: 'a', service: 'b', port: '', number: 80, protocol: 6 });
  maps.frontends.update(bytes(key), bytes(value));
  maps.names.update(bytes(u32.encode(7)), bytes(name));
  for (const at of [2, 3, 4, 5, 9]) maps.backends.update(bytes(u32.encode(at)), bytes(slot(at)));
  const tables = await readTables(maps);
  t.deepEqual(tables, {
    ...emptyTables(),
    frontends: new Map([[key, value]]),
    names: new Map([[u32.encode(7), name]]),
    backends: new Map([3, 4, 9].map((at) => [u32.encode(at), slot(at)])),
    switches: new Map([[u32.encode(0), '00'.repeat(36)]]),
  });
  t.deepEqual(await readSettledTables(maps), tables);
});

test('liveSlots() gives each slot once, in order, and none beyond the map', (t) => {
  const rows = new Map([
    row(1, { any: { start: 5, count: 3 }, local: { start: 6, count: 1 } }),
    row(2, { any: { start: 0, count: 2 }, local: none }),
    row(3, { any: { start: 14, count: 100 }, local: none }),
  ]);
  t.deepEqual(liveSlots(rows, 16), [0, 1, 5, 6, 7, 14, 15]);
});

test('readTables() reads many rows', async (t) => {
  const maps = makeTables();
  for (let port = 1; port <= 5000; port += 1) {
    const [key, value] = row(port, { any: { start: port, count: 1 }, local: none });
    maps.frontends.update(bytes(key), bytes(value));
    maps.backends.update(bytes(u32.encode(port)), bytes(slot(port)));
  }
  const tables = await readTables(maps);
  t.is(tables.frontends.size, 5000);
  t.is(tables.backends.size, 5000);
  t.is(tables.backends.get(u32.encode(4321)), slot(4321));
});
