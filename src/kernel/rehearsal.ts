import { type BpfMap, type BpfObject, loadObject } from 'libbpf-ts';
import {
  counterKey,
  type Flow,
  type Frontend,
  flow,
  flowKey,
  frontend,
  hook,
  maps as layouts,
  nodeAddress,
} from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';
import { checkOf } from '../plan/check.ts';
import { type TableName, type Tables, tableNames } from '../plan/tables.ts';
import { rodataWith } from './elf.ts';
import { record } from './generation.ts';
import type { Objects } from './objects.ts';
import { firstPacket, type Tuple } from './probe-packet.ts';
import { inheritedNames, type StateName, stateNames } from './sizes.ts';

/** Programs that a test run can be made of, here. */
export type RehearsedHook = 'from_pod' | 'to_pod' | 'from_wire' | 'to_wire';

/** What a test run came to. */
export interface Outcome {
  /** TC_ACT_... as unsigned: 0xffffffff goes on, 2 is dropped, 7 leaves by a redirect. */
  readonly verdict: number;
  readonly packet: Uint8Array;
  /** The packet's mark, as it goes on. */
  readonly mark: number;
  readonly counted: readonly Counted[];
  /** The flow that began with the packet. */
  readonly flow: Flow | null;
}

export interface Counted {
  /** Its id; 0: none. */
  readonly servicePort: number;
  /** A number of `reason`. */
  readonly reason: number;
}

/** A device of the calling thread's network namespace. */
export interface Via {
  readonly ifindex: number;
  /** '02:00:00:00:00:01' */
  readonly mac: string;
}

const loopback: Via = { ifindex: 1, mac: '00:00:00:00:00:00' };
/** struct __sk_buff */
const SKB_BYTES = 192;
const SKB_MARK = 8;
const SKB_IFINDEX = 40;

/** State maps of a moment's life. An LRU map of fewer rows would evict what a run has just put there. */
const SMALL = 1024;
/** A ring is whole pages. */
const RING = 65_536;

/** A backend takes so many at most, with the table that follows its pool: see src/plan/maglev.ts. */
const SLOTS = 129;

const ofOneRow: ReadonlySet<string> = new Set<TableName>(['switches']);
/** Arrays: a slot that is not written is not asked for. */
const slotted: ReadonlySet<string> = new Set<TableName>(['backends', 'switches']);
const remembering = [
  'flows',
  'half_open',
  'fragments',
  'affinity',
  'udp_choices',
  'socket_reverse',
  'rounds',
  'socket_connections',
  'flow_connections',
  'counters',
] as const;

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const hexOf = (data: Uint8Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');

/**
 * The programs that ship, on maps of their own: nothing is pinned, nothing of what is attached is touched. A program is loaded
 * when it is first asked for. Runs take place in the network namespace of the calling thread, where the packet comes in by
 * loopback.
 */
export class Rehearsal implements Disposable {
  readonly #objects: Objects;
  readonly #config: string;
  readonly #holder: BpfObject;
  readonly #loaded = new Map<string, Promise<BpfObject>>();

  private constructor(objects: Objects, config: string, holder: BpfObject) {
    this.#objects = objects;
    this.#config = config;
    this.#holder = holder;
  }

  /**
   * `config`: struct config as hex; `room`: rows that each table has room for at least. Throws a BpfError if the kernel
   * refuses.
   */
  static async open(objects: Objects, config: string, tables: Tables, room = 1): Promise<Rehearsal> {
    const holder = await loadObject(objects.tc, { name: 'maps', maps: sizesFor(tables, room), programs: [] });
    const rehearsal = new Rehearsal(objects, config, holder);
    for (const name of tableNames) rehearsal.#write(name, tables);
    return rehearsal;
  }

  /** Other tables instead, and nothing remembered of what was asked before. BpfError E2BIG: there is no room. */
  replace(tables: Tables): void {
    for (const name of [...tableNames, ...remembering]) if (!slotted.has(name)) this.forget(name);
    for (const name of tableNames) this.#write(name, tables);
  }

  /** Takes all rows out of a map. */
  forget(name: TableName | StateName): void {
    const map = this.map(name);
    const keys: Uint8Array[] = [];
    for (let key = map.nextKey(undefined); key !== undefined; key = map.nextKey(key)) keys.push(key);
    if (keys.length > 0) map.deleteBatch(Buffer.concat(keys));
  }

  #write(name: TableName, tables: Tables): void {
    const rows = tables[name];
    const keys = bytes([...rows.keys()].join(''));
    if (rows.size > 0) this.map(name).updateBatch(keys, bytes([...rows.values()].join('')));
  }

  /** Lets packets use what is for the node's own sockets: where these cannot be asked, packets stand for them. */
  offerLocalhost({ node_addresses: rows }: Tables): void {
    for (const key of rows.keys()) this.map('node_addresses').update(bytes(key), bytes(nodeAddress.encode(0)));
  }

  /** One of the maps that its programs share. */
  map(name: TableName | StateName): BpfMap {
    const map = this.#holder.maps[name];
    if (map === undefined) throw new Error(`the compiled objects do not have '${name}'`);
    return map;
  }

  /** Some programs of an object, on these maps; `config` other than its own where it is given. */
  async load(object: keyof Objects, programs: readonly string[], config: string = this.#config): Promise<BpfObject> {
    const key = `${object} ${programs.join(' ')} ${config}`;
    const loading = this.#loaded.get(key) ?? this.#load(object, programs, config);
    this.#loaded.set(key, loading);
    return await loading;
  }

  async #load(name: keyof Objects, programs: readonly string[], config: string): Promise<BpfObject> {
    const shared = [...tableNames, ...stateNames, ...inheritedNames.map((one) => `${one}_before`)];
    const reused = shared.flatMap((map) => {
      const there = this.#holder.maps[map];
      return there === undefined ? [] : [[map, { reuse: there }] as const];
    });
    const rodata = rodataWith(this.#objects[name], 'config', bytes(config));
    return await loadObject(this.#objects[name], {
      name,
      maps: Object.fromEntries(reused),
      rodata,
      programs: [...programs],
    });
  }

  /** What becomes of the first packet of a connection at a hook; `via`: the device that it comes in by, unless loopback. */
  async run(at: RehearsedHook, tuple: Tuple, via: Via = loopback): Promise<Outcome> {
    const outcome = await this.pass(at, firstPacket(tuple, via.mac), 0, via);
    return { ...outcome, flow: this.#flowOf(at, tuple, via) };
  }

  /** Begins to load what will be asked, each in a thread of its own; what is wrong with it shows when it is asked. */
  prepare(hooks: Iterable<RehearsedHook>): void {
    for (const hook of hooks) this.load(...objectOf(hook)).catch(() => {});
  }

  /** What becomes of a packet as another hook left it; of its flow nothing is said. */
  async pass(at: RehearsedHook, packet: Uint8Array, mark: number, via: Via = loopback): Promise<Outcome> {
    const object = await this.load(...objectOf(at));
    const program = object.programs[at];
    if (program === undefined) throw new Error(`the compiled objects do not have '${at}'`);
    const context = Buffer.alloc(SKB_BYTES);
    context.writeUInt32LE(mark, SKB_MARK);
    context.writeUInt32LE(via.ifindex, SKB_IFINDEX);
    const { retval, data, context: left } = program.testRun({ data: packet, context });
    const marked = Buffer.from(left.buffer, left.byteOffset, left.byteLength).readUInt32LE(SKB_MARK);
    return { verdict: retval, packet: data, mark: marked, counted: this.takeCounted(), flow: null };
  }

  /** What was counted since it was last asked. */
  takeCounted(): Counted[] {
    const counters = this.map('counters');
    const counted: Counted[] = [];
    for (;;) {
      const key = counters.nextKey(undefined);
      if (key === undefined) return counted;
      counted.push(counterKey.decode(hexOf(key)));
      counters.delete(key);
    }
  }

  #flowOf(at: RehearsedHook, tuple: Tuple, { ifindex }: Via): Flow | null {
    const { sourcePort, destinationPort, protocol } = tuple;
    const key = flowKey.encode({
      source: addressToHex(tuple.source),
      destination: addressToHex(tuple.destination),
      sourcePort,
      destinationPort,
      protocol,
      hook: hook[at],
      device: at === 'from_pod' || at === 'to_pod' ? ifindex & 0xffff : 0,
    });
    const row = this.map('half_open').lookup(bytes(key));
    return row === undefined ? null : flow.decode(hexOf(row));
  }

  /** The row of `frontends` with this key (hex); null: there is none. */
  frontend(key: string): Frontend | null {
    const row = this.map('frontends').lookup(bytes(key));
    return row === undefined ? null : frontend.decode(hexOf(row));
  }

  setFrontend(key: string, row: Frontend): void {
    const unchecked = frontend.encode({ ...row, check: 0 });
    const check = checkOf(key, unchecked.slice(0, -8));
    this.map('frontends').update(bytes(key), bytes(frontend.encode({ ...row, check })));
  }

  close(): void {
    this.#holder.close();
    for (const loading of this.#loaded.values()) {
      loading.then(
        (object) => object.close(),
        () => {},
      );
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function objectOf(hook: RehearsedHook): [object: 'tc' | 'wire', programs: readonly string[]] {
  return [hook === 'from_pod' || hook === 'to_pod' ? 'tc' : 'wire', [hook]];
}

function sizesFor(tables: Tables, room: number): Record<string, { maxEntries: number }> {
  const tableSizes = record(tableNames, (name) => ({
    maxEntries: Math.max(roomFor(name, tables), ofOneRow.has(name) ? 1 : name === 'backends' ? room * SLOTS : room),
  }));
  const stateSizes = record(stateNames, (name) => {
    const { type, maxEntries } = layouts[name];
    return { maxEntries: Math.min(type === 'ringbuf' ? RING : SMALL, maxEntries) };
  });
  const none = Object.fromEntries(inheritedNames.map((name) => [`${name}_before`, { maxEntries: 1 }]));
  return { ...tableSizes, ...stateSizes, ...none };
}

function roomFor(name: TableName, tables: Tables): number {
  if (name !== 'backends') return Math.max(1, tables[name].size);
  const slots = [...tables.backends.keys()].map((key) => Buffer.from(key, 'hex').readUInt32LE());
  return 1 + slots.reduce((most, slot) => Math.max(most, slot), 0);
}
