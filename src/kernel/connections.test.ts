import test from 'ava';
import { BpfMap } from 'libbpf-ts';
import {
  connections,
  connectionsKey,
  type Flow,
  flow,
  flowFlag,
  flowKey,
  flowState,
  hook,
  maps,
} from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';
import { bootSeconds } from './clock.ts';
import { readConnections, recountFlows } from './connections.ts';
import type { StateName } from './sizes.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const names = ['flows', 'half_open', 'flow_connections', 'socket_connections'] as const;

function makeState(): Record<StateName, BpfMap> {
  const made = names.map((name) => {
    const { type, keySize, valueSize, flags } = maps[name];
    return [name, BpfMap.create({ type: type as 'hash', name, keySize, valueSize, maxEntries: 1024, flags })];
  });
  return Object.fromEntries(made) as Record<StateName, BpfMap>;
}

/** Stamps go around, and this machine may have begun lately. */
const secondsAgo = (seconds: number): number => (bootSeconds() - seconds) >>> 0;

const keyOf = (backend: string): string =>
  connectionsKey.encode({ address: addressToHex(backend), servicePort: 7, port: 8080 });

function setCount(map: BpfMap, backend: string, count: number): void {
  map.update(bytes(keyOf(backend)), bytes(connections.encode(count >>> 0)));
}

/** Both rows of a flow to this backend. */
function addFlow(map: BpfMap, backend: string, port: number, more: Partial<Flow> = {}, protocol = 6): void {
  const key = { ...flowKey.decode('00'.repeat(flowKey.size)), protocol, hook: hook.from_pod, sourcePort: port };
  const row = { ...flow.decode('00'.repeat(flow.size)), servicePort: 7, seen: bootSeconds(), state: flowState.replied };
  const there = { ...row, destination: addressToHex(backend), destinationPort: 8080, flags: flowFlag.counted, ...more };
  map.update(bytes(flowKey.encode(key)), bytes(flow.encode(there)));
  const back = { ...there, destination: row.destination, flags: there.flags | flowFlag.reply };
  map.update(bytes(flowKey.encode({ ...key, hook: hook.to_pod })), bytes(flow.encode(back)));
}

/** By backend, in their order. */
async function sorted(state: Record<StateName, BpfMap>): Promise<[key: string, count: number][]> {
  return [...(await readConnections(state))].sort(([a], [b]) => (a < b ? -1 : 1));
}

test('readConnections() is what the programs see: sockets and flows, none below zero', async (t) => {
  const state = makeState();
  setCount(state.socket_connections, '10.0.0.1', 3);
  setCount(state.flow_connections, '10.0.0.1', 4);
  setCount(state.flow_connections, '10.0.0.2', -2);
  t.deepEqual(await sorted(state), [
    [keyOf('10.0.0.1'), 7],
    [keyOf('10.0.0.2'), 0],
  ]);
});

test('recountFlows() finds what was evicted or idle for too long, and what nobody counted', async (t) => {
  const state = makeState();
  const { flows, half_open: halfOpen, flow_connections: counts } = state;
  for (let port = 1; port <= 3; port++) addFlow(flows, '10.0.0.1', port);
  addFlow(halfOpen, '10.0.0.1', 3); // it was confirmed, and its first rows are still there
  addFlow(halfOpen, '10.0.0.1', 4);
  addFlow(flows, '10.0.0.1', 5, { flags: 0 }); // made before the Service had this scheduler
  addFlow(flows, '10.0.0.2', 6, { state: flowState.client_fin | flowState.backend_fin });
  addFlow(flows, '10.0.0.2', 7, { state: flowState.replied | flowState.reset });
  addFlow(flows, '10.0.0.2', 8, { seen: secondsAgo(181) }, 17);
  addFlow(flows, '10.0.0.2', 9, { seen: secondsAgo(181) });
  addFlow(flows, '10.0.0.2', 10, { seen: secondsAgo(61), state: 0 });
  addFlow(halfOpen, '10.0.0.2', 11, { seen: secondsAgo(61) });
  addFlow(flows, '10.0.0.2', 12, { seen: secondsAgo(3601), state: flowState.replied | flowState.client_fin });
  addFlow(flows, '10.0.0.2', 13, { seen: secondsAgo(86_401) });
  setCount(counts, '10.0.0.1', 9);
  setCount(counts, '10.0.0.3', -1);
  t.is(await recountFlows(state, () => true), 2);
  t.deepEqual(await sorted(state), [
    [keyOf('10.0.0.1'), 4],
    [keyOf('10.0.0.2'), 1],
    [keyOf('10.0.0.3'), 0],
  ]);
  t.is(await recountFlows(state, () => true), 0);
});

test('recountFlows() leaves a count alone that changed while it looked, if that explains the difference', async (t) => {
  const state = makeState();
  addFlow(state.flows, '10.0.0.1', 1);
  addFlow(state.flows, '10.0.0.1', 2);
  setCount(state.flow_connections, '10.0.0.1', 1);
  const { entries } = state.half_open;
  state.half_open.entries = function (...args) {
    setCount(state.flow_connections, '10.0.0.1', 3);
    return entries.apply(this, args);
  };
  t.is(await recountFlows(state, () => true), 0);
  t.is((await readConnections(state)).get(keyOf('10.0.0.1')), 3);
});

test('recountFlows() forgets whom nobody can choose once nothing is left there, and never corrects sockets', async (t) => {
  const state = makeState();
  const { flows, flow_connections: counts, socket_connections: sockets } = state;
  addFlow(flows, '10.0.0.1', 1);
  setCount(counts, '10.0.0.1', 1);
  setCount(counts, '10.0.0.2', 0);
  setCount(sockets, '10.0.0.3', 2);
  setCount(sockets, '10.0.0.4', 0);
  setCount(sockets, '10.0.0.5', 0);
  await recountFlows(state, (key) => key === keyOf('10.0.0.5'));
  t.deepEqual(await sorted(state), [
    [keyOf('10.0.0.1'), 1],
    [keyOf('10.0.0.3'), 2],
    [keyOf('10.0.0.5'), 0],
  ]);
});
