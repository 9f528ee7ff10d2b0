/**
 * The programs that ship, loaded with private maps for a test: nothing is attached or pinned. Rows are made here from
 * people's words with the generated codecs alone, so that a fault in src/plan cannot hide one in bpf/.
 */
import { readFileSync } from 'node:fs';
import { type BpfObject, type BpfProgram, type LoadOptions, loadObject, type TestResult } from 'libbpf-ts';
import { rodataWith } from '../src/kernel/elf.ts';
import {
  config,
  type Flow,
  type FlowKey,
  type Frontend,
  frontendFlag,
  maps,
  nodeAddressFlag,
  reason,
  type Segment,
  type Switches,
  scheduler,
  sourceClass,
  wireFlag,
} from '../src/layout.gen.ts';
import { addressToHex } from '../src/model/address.ts';
import type { Scheduler } from '../src/model/scheduler.ts';
import { checkOf } from '../src/plan/check.ts';
import { type BackendText, slotsOf } from './slots.ts';

export const TCP = 6;
export const UDP = 17;

/** A verdict of tc, or of a redirect, as a test run returns it. */
export const verdict = { unspec: 0xffffffff, shot: 2, redirect: 7 } as const;
export const xdpVerdict = { pass: 2, tx: 3, redirect: 4 } as const;

export type { BackendText };

export interface FrontendFacts {
  readonly address: string;
  readonly port: number;
  readonly protocol: number;
  readonly servicePort: number;
  readonly any: readonly BackendText[];
  readonly local?: readonly BackendText[];
  readonly affinitySeconds?: number;
  readonly scheduler?: Scheduler;
  readonly flags?: number;
  /** An externalIP or load balancer IP: ports that are no Service's are not ours. */
  readonly external?: boolean;
}

/** Seconds as the programs stamp them. */
export function nowSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n);
}

const bytes = (hex: string) => Buffer.from(hex, 'hex');

/** One of the objects, loaded, with what a test does to its maps. */
export class Programs implements Disposable {
  readonly object: BpfObject;
  #nextSlot = 0;

  constructor(object: BpfObject) {
    this.object = object;
  }

  map(name: string): BpfObject['maps'][string] {
    const map = this.object.maps[name];
    if (map === undefined) throw new Error(`no map ${name}`);
    return map;
  }

  program(name: string): BpfProgram {
    const found = this.object.programs[name];
    if (found === undefined) throw new Error(`no program ${name}`);
    return found;
  }

  /**
   * `ifindex`: the device, of the calling thread's network namespace, that the frame passes; loopback unless given. `mark`: its.
   * `from`: the device by which it came in; 0: it was sent here.
   */
  run(program: string, frame: Uint8Array, ifindex?: number, mark = 0, from = 0): TestResult {
    const found = this.program(program);
    if (ifindex === undefined) return found.testRun({ data: frame });
    const context = Buffer.alloc(192); // struct __sk_buff
    context.writeUInt32LE(mark, 8);
    context.writeUInt32LE(from, 36);
    context.writeUInt32LE(ifindex, 40);
    return found.testRun({ data: frame, context });
  }

  /** The same for a program of XDP. */
  runXdp(program: string, frame: Uint8Array, ifindex: number, repeat = 1): TestResult {
    const found = this.object.programs[program];
    if (found === undefined) throw new Error(`no program ${program}`);
    const context = Buffer.alloc(24); // struct xdp_md
    context.writeUInt32LE(frame.length, 4);
    context.writeUInt32LE(ifindex, 12);
    return found.testRun({ data: frame, context, repeat });
  }

  /** A segment with these backends, and with the table that the scheduler needs. */
  pool(backends: readonly BackendText[], by: Scheduler = 'random'): Segment {
    const start = this.#nextSlot;
    const slots = slotsOf(backends, by);
    const keys = slots.map(() => maps.backends.key.encode(this.#nextSlot++));
    if (slots.length > 0) this.map('backends').updateBatch(bytes(keys.join('')), bytes(slots.join('')));
    return { start: slots.length ? start : 0, count: backends.length };
  }

  /** A frontend with its pools, and the row that says its address is a Service's. */
  serve(facts: FrontendFacts): void {
    const { servicePort, local = [], scheduler: by = 'random', affinitySeconds = 0 } = facts;
    const hasEndpoint = facts.any.length > 0 || local.length > 0;
    this.setFrontend(facts.address, facts.port, facts.protocol, {
      ...{ any: this.pool(facts.any, by), local: this.pool(local, by) },
      ...{ servicePort, affinitySeconds, scheduler: scheduler[by] },
      flags: facts.flags ?? (hasEndpoint ? frontendFlag.has_endpoint : 0),
    });
    const none = { start: 0, count: 0 };
    const flags = facts.external ? frontendFlag.external_address : frontendFlag.address;
    this.setFrontend(facts.address, 0, 0, { any: none, local: none, servicePort, affinitySeconds: 0, flags });
  }

  setFrontend(
    address: string,
    port: number,
    protocol: number,
    { scheduler: number = scheduler.random, ...rest }: Omit<Frontend, 'check' | 'scheduler'> & Partial<Frontend>,
    spoil = 0,
  ): void {
    const row = { ...rest, scheduler: number };
    const key = maps.frontends.key.encode({ address: addressToHex(address), port, protocol });
    const value = maps.frontends.value.encode({ ...row, check: 0 });
    const check = (checkOf(key, value.slice(0, -8)) ^ spoil) >>> 0;
    this.map('frontends').update(bytes(key), bytes(maps.frontends.value.encode({ ...row, check })));
  }

  removeFrontend(address: string, port: number, protocol: number): void {
    this.map('frontends').delete(bytes(maps.frontends.key.encode({ address: addressToHex(address), port, protocol })));
  }

  /** A frontend on a port of every node address of one family. */
  serveNodePort(family: 4 | 6, facts: Omit<FrontendFacts, 'address'>): void {
    const address = family === 4 ? '::ffff:0.0.0.0' : '::';
    const flags = facts.flags ?? (facts.any.length > 0 ? frontendFlag.has_endpoint : 0);
    const { port, protocol, servicePort, affinitySeconds = 0, scheduler: by = 'random' } = facts;
    const [any, local] = [this.pool(facts.any, by), this.pool(facts.local ?? [], by)];
    const row = { any, local, servicePort, affinitySeconds, flags, scheduler: scheduler[by] };
    this.setFrontend(address, port, protocol, row);
  }

  addNodeAddress(address: string): void {
    const flags = ['127.0.0.1', '::1'].includes(address) ? nodeAddressFlag.localhost : 0;
    const key = maps.node_addresses.key.encode(addressToHex(address));
    this.map('node_addresses').update(bytes(key), bytes(maps.node_addresses.value.encode(flags)));
  }

  /** A device that leads out of the node; the kernel tells its source addresses. */
  addWire(
    ifindex: number,
    ipv4 = '::',
    ipv6 = '::',
    ofPods = false,
    xdp: { mac?: string; takesFrames?: boolean; returnsFrames?: boolean; routeMtus?: boolean } = {},
  ): void {
    const { mac = '00:00:00:00:00:00', takesFrames = false, returnsFrames = true, routeMtus = false } = xdp;
    const row = {
      ipv4: addressToHex(ipv4),
      ipv6: addressToHex(ipv6),
      flags:
        (ofPods ? wireFlag.pods : 0) |
        (takesFrames ? wireFlag.takes_frames : 0) |
        (returnsFrames ? wireFlag.returns_frames : 0) |
        (routeMtus ? wireFlag.route_mtus : 0),
      mac: mac.replaceAll(':', ''),
    };
    this.map('wires').update(bytes(maps.wires.key.encode(ifindex)), bytes(maps.wires.value.encode(row)));
  }

  /** Who sources count as at a wire; `bits` of 128, so IPv4 + 96. */
  addSourceClass(source: string, bits: number, are: keyof typeof sourceClass): void {
    const key = maps.source_classes.key.encode({ prefixLength: bits, address: addressToHex(source) });
    this.map('source_classes').update(bytes(key), bytes(maps.source_classes.value.encode(sourceClass[are])));
  }

  /** A route whose mtu the kernel does not tell; `bits` of 128, so IPv4 + 96. */
  addRouteMtu(destination: string, bits: number, mtu: number): void {
    const key = maps.route_mtus.key.encode({ prefixLength: bits, address: addressToHex(destination) });
    this.map('route_mtus').update(bytes(key), bytes(maps.route_mtus.value.encode(mtu)));
  }

  /** A pod's device that flows may enter around the stack, or no longer. */
  setPod(ifindex: number, takes = true): void {
    const key = bytes(maps.pods.key.encode(ifindex));
    if (takes) this.map('pods').update(key, bytes(maps.pods.value.encode(1)));
    else this.map('pods').delete(key);
  }

  /** `bits` of 128, so IPv4 + 96. */
  addSourceRange(servicePort: number, source: string, bits: number): void {
    const key = maps.source_ranges.key.encode({ prefixLength: 32 + bits, servicePort, source: addressToHex(source) });
    this.map('source_ranges').update(bytes(key), bytes(maps.source_ranges.value.encode(1)));
  }

  /** A backend that no longer serves for a service port; the switch is the caller's to turn. */
  removeBackend(servicePort: number, [address, port]: BackendText): void {
    const key = maps.removed_backends.key.encode({ address: addressToHex(address), servicePort, port });
    this.map('removed_backends').update(bytes(key), bytes(maps.removed_backends.value.encode(nowSeconds())));
  }

  setSwitches(switches: Omit<Switches, 'hasRemovedBackends'> & Partial<Switches>): void {
    const row = maps.switches.value.encode({ hasRemovedBackends: 0, ...switches });
    this.map('switches').update(bytes(maps.switches.key.encode(0)), bytes(row));
  }

  addServiceCidr(address: string, prefixLength: number): void {
    const key = maps.service_cidrs.key.encode({ prefixLength, address: addressToHex(address) });
    this.map('service_cidrs').update(bytes(key), bytes(maps.service_cidrs.value.encode(1)));
  }

  /** All rows of `flows` or `half_open`. */
  async flows(name: 'flows' | 'half_open'): Promise<{ key: FlowKey; row: Flow }[]> {
    const { key, value } = maps[name];
    const found: { key: FlowKey; row: Flow }[] = [];
    for await (const rows of this.map(name).entries()) {
      for (let i = 0; i < rows.count; i++) {
        found.push({
          key: key.decode(slice(rows.keys, i, key.size)),
          row: value.decode(slice(rows.values, i, value.size)),
        });
      }
    }
    return found;
  }

  /** Writes a flow row back with other mutable parts. */
  setFlow(name: 'flows' | 'half_open', key: FlowKey, row: Flow): void {
    this.map(name).update(bytes(maps[name].key.encode(key)), bytes(maps[name].value.encode(row)));
  }

  dropFlow(name: 'flows' | 'half_open', key: FlowKey): void {
    this.map(name).delete(bytes(maps[name].key.encode(key)));
  }

  count(servicePort: number, name: keyof typeof reason): bigint {
    const key = bytes(maps.counters.key.encode({ servicePort, reason: reason[name] }));
    const perCpu = this.map('counters').lookup(key);
    let sum = 0n;
    for (let at = 0; at < (perCpu?.length ?? 0); at += 8) sum += Buffer.from(perCpu as Uint8Array).readBigUInt64LE(at);
    return sum;
  }

  [Symbol.dispose](): void {
    this.object.close();
  }
}

/** The programs of XDP on the maps of others. */
export async function loadXdp(beside: Programs): Promise<Programs> {
  const elf = readFileSync(new URL('../build/bpf/xdp.bpf.o', import.meta.url));
  const shared = Object.entries(beside.object.maps).filter(([map]) => !map.startsWith('.'));
  const options = Object.fromEntries(shared.map(([map, reuse]) => [map, { reuse }]));
  const rodata = rodataWith(elf, 'config', bytes(settings(0n, 0, 1)));
  return new Programs(await loadObject(elf, { name: 'xdp', maps: options, rodata }));
}

function settings(
  hostNetnsCookie: bigint,
  takesOver: number,
  fibSource: number,
  masqueradeMark = 0,
  bypass = 0,
): string {
  return config.encode({
    hostNetnsCookie,
    tcpEstablishedSeconds: 86_400,
    tcpHalfClosedSeconds: 3600,
    tcpClosingSeconds: 30,
    halfOpenSeconds: 60,
    udpSeconds: 180,
    takesOver,
    fibSource,
    wiresOfPods: 1,
    rehearses: 0,
    masqueradeMark,
    bypass,
  });
}

/** As in src/kernel/sizes.ts: written down again, so that a fault there cannot hide here. */
const inherited: ReadonlySet<string> = new Set(['flows', 'half_open', 'affinity', 'udp_choices', 'socket_reverse']);

function slice(all: Uint8Array, index: number, size: number): string {
  return Buffer.from(all.buffer, all.byteOffset + index * size, size).toString('hex');
}

/**
 * Loads build/bpf/NAME.bpf.o; `sizes` makes maps smaller or larger, `hostNetnsCookie` says which sockets are the node's.
 * With `before`, it shares the service tables of those programs, and follows them with state maps of its own.
 */
export async function loadPrograms(
  name: 'tc' | 'wire' | 'connect',
  sizes: Readonly<Record<string, number>> = {},
  hostNetnsCookie = 0n,
  before?: Programs,
  fibSource = 1,
  masqueradeMark = 0,
  bypass = 0,
): Promise<Programs> {
  const elf = readFileSync(new URL(`../build/bpf/${name}.bpf.o`, import.meta.url));
  const options: NonNullable<LoadOptions['maps']> = Object.fromEntries(
    Object.entries(sizes).map(([map, maxEntries]) => [map, { maxEntries }]),
  );
  for (const [map, reuse] of Object.entries(before?.object.maps ?? {})) {
    if (!map.startsWith('.') && !map.endsWith('_before'))
      options[inherited.has(map) ? `${map}_before` : map] = { reuse };
  }
  return new Programs(
    await loadObject(elf, {
      name,
      maps: options,
      rodata: rodataWith(
        elf,
        'config',
        bytes(settings(hostNetnsCookie, before ? 1 : 0, fibSource, masqueradeMark, bypass)),
      ),
    }),
  );
}
