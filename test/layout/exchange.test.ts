/**
 * Round trips are symmetric and prove little alone: here the other side is a BPF program. The values are those of
 * exchange.bpf.c, as people would write them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type BpfMap, type BpfObject, loadObject, RingBuffer } from 'libbpf-ts';
import { rodataWith } from '../../src/kernel/elf.ts';
import {
  type Affinity,
  type AffinityKey,
  type Backend,
  type CidrKey,
  type Codec,
  type Config,
  type ConnectionsKey,
  type CounterKey,
  config,
  type Event,
  eventKind,
  type Flow,
  type FlowHint,
  type FlowKey,
  type Fragment,
  type FragmentKey,
  type Frontend,
  type FrontendKey,
  flowFlag,
  flowState,
  frontendFlag,
  hook,
  type MapLayout,
  maps,
  type RejectTokens,
  type RemovedBackendKey,
  type RoundKey,
  reason,
  type ServicePortName,
  type SocketKey,
  type SocketPeer,
  type SourceRangeKey,
  type Switches,
  scheduler,
  type TraceFilter,
  type Wire,
  wireFlag,
} from '../../src/layout.gen.ts';

const ipv6 = 'fd0102030405060708090a0b0c0d0e0f';
const ipv4 = '00000000000000000000ffff0a0b0c0d';
const bigId = 0x81828384;

const flowKey: FlowKey = {
  source: ipv6,
  destination: ipv4,
  sourcePort: 0x8182,
  destinationPort: 443,
  protocol: 6,
  hook: hook.to_wire,
  device: 0xa1b2,
};
const flow: Flow = {
  source: ipv4,
  destination: ipv6,
  sourcePort: 0x9192,
  destinationPort: 8443,
  servicePort: 0x41424344,
  state: flowState.replied | flowState.reset,
  flags: flowFlag.hairpin,
  nextHop: '021324354657',
  check: 0xf1f2f3f4,
  seen: 0x61626364,
};
const affinityKey: AffinityKey = { client: ipv4, servicePort: 0x41424344 };
const affinity: Affinity = { backend: ipv6, backendPort: 8080, seen: 0x61626364 };
const socketKey: SocketKey = { cookie: 0x8182838485868788n, address: ipv6, port: 53, protocol: 17 };
const socketPeer: SocketPeer = {
  address: ipv4,
  port: 5353,
  servicePort: 0x41424344,
  seen: 0x61626364,
  check: 0xf1f2f3f4,
};

const connectionsKey: ConnectionsKey = { address: ipv6, servicePort: 0x41424344, port: 0x8182 };

type Row<Map> = Map extends MapLayout<infer Key, infer Value> ? { key: Key; value: Value } : never;

/** What stands in each map. A map that is missing here does not compile. */
const rows: { [Name in keyof typeof maps]: Row<(typeof maps)[Name]> } = {
  frontends: {
    key: { address: ipv6, port: 0x8182, protocol: 17 } satisfies FrontendKey,
    value: {
      any: { start: 0x81828384, count: 0x11121314 },
      local: { start: 0x21222324, count: 0x31323334 },
      servicePort: 0x41424344,
      affinitySeconds: 0x51525354,
      flags: frontendFlag.local_only | frontendFlag.has_endpoint,
      scheduler: scheduler.maglev,
      check: 0xf1f2f3f4,
    } satisfies Frontend,
  },
  backends: { key: 5, value: { address: ipv4, port: 8080, flags: 0x83 } satisfies Backend },
  names: {
    key: bigId,
    value: { namespace: 'k8', service: 'dns', port: 'x', number: 53, protocol: 17 } satisfies ServicePortName,
  },
  service_cidrs: { key: { prefixLength: 128, address: ipv4 } satisfies CidrKey, value: bigId },
  switches: {
    key: 0,
    value: { nodeIpv4: ipv4, nodeIpv6: ipv6, podsAtTc: 1, hasRemovedBackends: 2 } satisfies Switches,
  },
  node_addresses: { key: ipv6, value: bigId },
  source_ranges: {
    key: { prefixLength: 160, servicePort: 0x41424344, source: ipv4 } satisfies SourceRangeKey,
    value: bigId,
  },
  wires: {
    key: bigId,
    value: { ipv4, ipv6, flags: wireFlag.pods | wireFlag.takes_frames, mac: '021324354657' } satisfies Wire,
  },
  pods: { key: bigId, value: bigId },
  route_mtus: { key: { prefixLength: 128, address: ipv4 } satisfies CidrKey, value: bigId },
  source_classes: { key: { prefixLength: 128, address: ipv4 } satisfies CidrKey, value: bigId },
  removed_backends: {
    key: { address: ipv6, servicePort: 0x41424344, port: 0x8182 } satisfies RemovedBackendKey,
    value: bigId,
  },
  flows: { key: flowKey, value: flow },
  half_open: { key: flowKey, value: flow },
  fragments: {
    key: {
      source: ipv6,
      destination: ipv4,
      id: 0x81828384,
      protocol: 17,
      hook: hook.to_wire,
      device: 0xa1b2,
    } satisfies FragmentKey,
    value: { sourcePort: 0x8182, destinationPort: 443 } satisfies Fragment,
  },
  rounds: {
    key: { servicePort: 0x41424344, local: 0x81, ipv6: 0x82 } satisfies RoundKey,
    value: 0x0182838485868788n,
  },
  socket_connections: { key: connectionsKey, value: bigId },
  flow_connections: { key: connectionsKey, value: bigId },
  counted_sockets: { key: 5, value: connectionsKey },
  reject_tokens: { key: 0, value: { filled: 0x0182838485868788n, left: bigId } satisfies RejectTokens },
  affinity: { key: affinityKey, value: affinity },
  udp_choices: { key: socketKey, value: socketPeer },
  socket_reverse: { key: socketKey, value: socketPeer },
  flows_before: { key: flowKey, value: flow },
  half_open_before: { key: flowKey, value: flow },
  affinity_before: { key: affinityKey, value: affinity },
  udp_choices_before: { key: socketKey, value: socketPeer },
  socket_reverse_before: { key: socketKey, value: socketPeer },
  flow_hints: { key: 5, value: { until: bigId, halfOpenUntil: 0x91929394 } satisfies FlowHint },
  counters: {
    key: { servicePort: 0x41424344, reason: reason.drop_untranslated } satisfies CounterKey,
    value: 0x0182838485868788n,
  },
  events: {
    key: null,
    value: {
      time: 0x0182838485868788n,
      asked: flowKey,
      source: ipv4,
      destination: ipv6,
      sourcePort: 0x9192,
      destinationPort: 8443,
      servicePort: 0x41424344,
      kind: eventKind.dropped,
      reason: reason.drop_untranslated,
      process: 0x51525354,
      command: 'nc',
    } satisfies Event,
  },
  trace_filter: {
    key: 0,
    value: {
      namespace: 'k8',
      service: 'dns',
      address: ipv4,
      kinds: eventKind.ended | eventKind.dropped,
      reason: reason.drop_untranslated,
      until: 0x61626364,
    } satisfies TraceFilter,
  },
};

const settings: Config = {
  hostNetnsCookie: 0x8182838485868788n,
  tcpEstablishedSeconds: 0x11121314,
  tcpHalfClosedSeconds: 0x21222324,
  tcpClosingSeconds: 0x31323334,
  halfOpenSeconds: 0x41424344,
  udpSeconds: 0x51525354,
  takesOver: 0x61626364,
  fibSource: 0x71727374,
  wiresOfPods: 0x91929394,
  rehearses: 0xa1a2a3a4,
  masqueradeMark: 0xb1b2b3b4,
  bypass: 0xc1c2c3c4,
};

const noRow = 1000;

interface Exchange {
  readonly name: string;
  readonly map: MapLayout<unknown, unknown>;
  readonly key: unknown;
  readonly value: unknown;
}

const exchanges: Exchange[] = Object.entries(rows).flatMap(([name, row]) => {
  const map = maps[name as keyof typeof maps] as MapLayout<unknown, unknown>;
  return map.type === 'ringbuf' || map.type === 'sk_storage' ? [] : { name, map, ...row };
});

const folder = mkdtempSync(join(tmpdir(), 'exchange-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const elf = compile();

function compile(): Buffer {
  const object = join(folder, 'exchange.bpf.o');
  const include = `-I/usr/include/${arch() === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const args = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Werror', include, '-I', 'bpf'];
  const source = 'test/layout/exchange.bpf.c';
  const { status, stderr } = spawnSync('clang', [...args, '-c', source, '-o', object], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return readFileSync(object);
}

/** The fixture with private, small maps. */
function load(rodata: Buffer = rodataWith(elf, 'config', bytes(config.encode(settings)))): Promise<BpfObject> {
  const small = exchanges.filter(({ map }) => map.maxEntries > 64).map(({ name }) => [name, { maxEntries: 64 }]);
  return loadObject(elf, { name: 'exchange', maps: Object.fromEntries(small), rodata });
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

/** One slot a CPU: all hold the value, so it does not matter on which one the program runs. */
function rowFor(map: BpfMap, value: string): Buffer {
  return Buffer.concat(Array.from({ length: map.valueSize / (value.length / 2) }, () => bytes(value)));
}

function run(object: BpfObject, program: string): number {
  const found = object.programs[program];
  if (found === undefined) throw new Error(`no program ${program}`);
  return found.testRun({ data: Buffer.alloc(64) }).retval;
}

function mapOf(object: BpfObject, name: string): BpfMap {
  const map = object.maps[name];
  if (map === undefined) throw new Error(`no map ${name}`);
  return map;
}

test('every map is exchanged', (t) => {
  t.deepEqual(Object.keys(rows).sort(), Object.keys(maps).sort());
});

for (const { name, map, key, value } of exchanges) {
  test(`${name}: TypeScript reads what a program wrote`, async (t) => {
    using object = await load();
    t.is(run(object, `write_${name}`), 0);
    const found: { key: unknown; value: unknown }[] = [];
    const open = mapOf(object, name);
    for await (const { count, keys, values } of open.entries())
      for (let i = 0; i < count; i++) {
        const at = (rows: Uint8Array, each: number, size: number): string =>
          Buffer.from(rows).toString('hex', i * each, i * each + size);
        const cpus = Array.from({ length: Math.floor(open.valueSize / map.valueSize) }, (_, cpu) =>
          at(values.subarray(cpu * map.valueSize), open.valueSize, map.valueSize),
        );
        const written = cpus.find((cpu) => /[^0]/.test(cpu));
        if (written !== undefined)
          found.push({ key: map.key.decode(at(keys, map.keySize, map.keySize)), value: map.value.decode(written) });
      }
    t.deepEqual(found, [{ key, value }]);
  });

  test(`${name}: a program reads what TypeScript wrote`, async (t) => {
    using object = await load();
    const open = mapOf(object, name);
    if (!map.type.endsWith('array')) t.is(run(object, `read_${name}`), noRow);
    open.update(bytes(map.key.encode(key)), rowFor(open, map.value.encode(value)));
    t.is(run(object, `read_${name}`), 0);
  });

  test(`${name}: the program sees each wrong byte`, async (t) => {
    using object = await load();
    const open = mapOf(object, name);
    const row = bytes(map.value.encode(value));
    const text = textOf(map.value);
    for (let at = 0; at < row.length; at++) {
      if (text.has(at)) continue;
      const wrong = Buffer.from(row);
      wrong.writeUInt8(wrong.readUInt8(at) ^ 0x10, at);
      open.update(bytes(map.key.encode(key)), rowFor(open, wrong.toString('hex')));
      const answer = run(object, `read_${name}`);
      t.true(answer > 0 && answer < noRow, `byte ${at}: ${answer}`);
    }
  });
}

test('events: TypeScript reads what a program told', async (t) => {
  using object = await load();
  const told = new Promise<Uint8Array>((resolve) => {
    const ring = new RingBuffer(mapOf(object, 'events'), (record) => {
      ring.close();
      resolve(record);
    });
  });
  t.is(run(object, 'write_events'), 0);
  t.deepEqual(maps.events.value.decode(Buffer.from(await told).toString('hex')), rows.events.value);
});

/** Bytes of char arrays: the program looks at some of them only. */
function textOf(codec: Codec<unknown>): Set<number> {
  if (codec === (maps.names.value as Codec<unknown>)) return new Set(Array(192).keys());
  return new Set(codec === (maps.trace_filter.value as Codec<unknown>) ? Array(128).keys() : []);
}

test('config: TypeScript reads what the compiler wrote, and a program what TypeScript wrote', async (t) => {
  const { udpSeconds } = settings;
  const compiled = rodataWith(elf, 'config', bytes(config.encode({ ...settings, udpSeconds: udpSeconds + 1 })));
  using wrong = await load(compiled);
  t.is(run(wrong, 'read_config'), 6, 'udp_seconds is the sixth field');

  using untouched = await loadObject(elf, { name: 'exchange', maps: { flows: { maxEntries: 64 } } });
  t.is(run(untouched, 'read_config'), 0);
  const rodata = mapOf(untouched, '.rodata').lookup(Buffer.alloc(4));
  t.true(Buffer.from(rodata ?? []).includes(bytes(config.encode(settings))));

  using object = await load();
  t.is(run(object, 'read_config'), 0);
});
