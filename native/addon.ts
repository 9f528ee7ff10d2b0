import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { BpfError } from './error.ts';

/** An open descriptor inside the addon, with the object's name for errors. Only the addon looks into it. */
export interface Handle {
  readonly opaque: unique symbol;
}

export interface RawMapInfo {
  id: number;
  type: number;
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  lookupSize: number;
}

export interface RawProgramInfo {
  id: number;
  type: number;
  name: string;
  tag: string;
  loadedAt: bigint;
  mapIds: number[];
  verifiedInstructions: number;
  translatedBytes: number;
}

export interface RawLinkInfo {
  id: number;
  type: number;
  programId: number;
  ifindex: number;
  attachType: number;
  cgroupId: bigint;
}

/** `more`: rows, and there may be others; `end`: rows, the last; `grow`: a hash bucket is longer than the room given. */
export interface RawRows {
  count: number;
  state: 'more' | 'end' | 'grow' | 'unsupported';
}

export interface RawMapOption {
  name: string;
  /** undefined: none; null is refused, as anything that is no handle. */
  reuse: Handle | null | undefined;
  maxEntries: number;
}

/** The functions of src/*.c. They check types, sizes and liveness; names and shapes for people are made above. */
interface Addon {
  useErrorClass(errorClass: typeof BpfError): void;
  possibleCpus: number;
  libbpfVersion(): string;
  dropCode(): void;
  close(handle: Handle): void;
  pin(handle: Handle, path: string): void;

  mapCreate(
    type: number,
    name: string,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    flags: number,
    inner: Handle | undefined,
  ): Handle;
  mapOpen(path: string): Handle;
  mapInfo(map: Handle): RawMapInfo;
  mapLookup(map: Handle, key: Uint8Array): Uint8Array | undefined;
  mapUpdate(map: Handle, key: Uint8Array, value: Uint8Array, flags: number): void;
  mapUpdateInner(map: Handle, key: Uint8Array, inner: Handle): void;
  mapDelete(map: Handle, key: Uint8Array): boolean;
  mapNextKey(map: Handle, key: Uint8Array | undefined): Uint8Array | undefined;
  mapRead(map: Handle, cursor: Uint8Array, first: boolean, keys: Uint8Array, values: Uint8Array): RawRows;
  mapWalk(map: Handle, cursor: Uint8Array, first: boolean, keys: Uint8Array, values: Uint8Array): RawRows;
  mapUpdateBatch(map: Handle, keys: Uint8Array, values: Uint8Array): number;
  mapDeleteBatch(map: Handle, keys: Uint8Array): number;

  programOpen(path: string): Handle;
  programInfo(program: Handle): RawProgramInfo;
  programLoad(type: number, attachType: number, instructions: Uint8Array): Handle;
  programRun(
    program: Handle,
    data: Uint8Array | undefined,
    dataOutSize: number,
    context: Uint8Array | undefined,
    repeat: number,
  ): { retval: number; data: Uint8Array; context: Uint8Array; nanoseconds: number };

  objectLoad(
    elf: Uint8Array,
    name: string,
    maps: RawMapOption[],
    rodata: Uint8Array | undefined,
    programs: string[] | undefined,
  ): Promise<{ maps: Record<string, Handle>; programs: Record<string, Handle> }>;

  linkAttach(
    program: Handle,
    ifindex: number,
    cgroup: string | undefined,
    attachType: number,
    flags: number,
    hook: string,
  ): Promise<Handle>;
  linkOpen(path: string): Handle;
  linkInfo(link: Handle): RawLinkInfo;
  linkUpdate(link: Handle, program: Handle): Promise<void>;
  linkDetach(link: Handle): Promise<void>;

  clsactAttach(
    ifindex: number,
    egress: boolean,
    handle: number,
    priority: number,
    program: Handle,
    name: string,
  ): Promise<void>;
  clsactQuery(
    ifindex: number,
    egress: boolean,
    handle: number,
    priority: number,
  ): Promise<{ programId: number; name: string } | undefined>;
  clsactDetach(ifindex: number, egress: boolean, handle: number, priority: number): Promise<boolean>;

  netLinks(): Promise<unknown[]>;
  netAddresses(): Promise<unknown[]>;
  netRoutes(): Promise<unknown[]>;
  netQdiscs(): Promise<unknown[]>;
  genericFamily(name: string): Promise<number[]>;
  xdpFeatures(family: number): Promise<{ ifindex: number; features: number }[]>;
  listSockets(family: number, protocol: number, states: number, remotePort: number): Promise<unknown[]>;
  destroySocket(
    family: number,
    protocol: number,
    localAddress: string,
    localPort: number,
    remoteAddress: string,
    remotePort: number,
    ifindex: number,
    cookie: bigint,
  ): Promise<boolean>;
  watchOpen(onChange: (what: string) => void): Handle;
  ringOpen(map: Handle, onRecord: (record: Uint8Array) => void): Handle;

  netnsCookie(): bigint;
  setNetns(path: string): void;
  unshareNetns(): void;
  netRequest(type: number, flags: number, body: Uint8Array): void;
  tryConnect(family: number, type: number, protocol: number, mark: number, address: string, port: number): number;
  synchronizeRcu(): Promise<void>;
  bpfFsMount(path: string): void;
  isBpfFs(path: string): boolean;
  lockPath(path: string): Handle | undefined;
}

const built: URL = new URL('./build/libbpf-ts.node', import.meta.url);

function load(): Addon {
  try {
    const addon: Addon = createRequire(import.meta.url)(fileURLToPath(built));
    addon.useErrorClass(BpfError);
    return addon;
  } catch (cause) {
    throw new Error(`libbpf-ts: cannot load ${fileURLToPath(built)}; build it with \`make -C native\``, { cause });
  }
}

export const addon: Addon = load();
