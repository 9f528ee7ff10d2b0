import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, config, maps } from '../layout.gen.ts';
import { type TableName, tableNames } from '../plan/tables.ts';
import { RefusedError } from './refused.ts';
import { type Sizes, type StateName, stateNames } from './sizes.ts';

/** The compiled programs, as bytes of their ELF files. */
export interface Objects {
  readonly tc: Uint8Array;
  readonly wire: Uint8Array;
  readonly connect: Uint8Array;
  readonly xdp: Uint8Array;
}

/** The compiled programs that came with this release. */
export function readObjects(directory: string = fileURLToPath(new URL('../../build/bpf/', import.meta.url))): Objects {
  const read = (name: string): Uint8Array => {
    try {
      return readFileSync(join(directory, `${name}.bpf.o`));
    } catch (error) {
      throw new RefusedError(`cannot read the compiled BPF programs (${(error as Error).message}): run 'make build'`);
    }
  };
  return { tc: read('tc'), wire: read('wire'), connect: read('connect'), xdp: read('xdp') };
}

/** For so long a UDP flow may be idle. */
export const UDP_SECONDS = 180;

/** How long flows may be idle: the kernel's own conntrack defaults where it has one. */
export const lifetimes: Pick<
  Config,
  'tcpEstablishedSeconds' | 'tcpHalfClosedSeconds' | 'tcpClosingSeconds' | 'halfOpenSeconds' | 'udpSeconds'
> = {
  tcpEstablishedSeconds: 86_400,
  tcpHalfClosedSeconds: 3600,
  tcpClosingSeconds: 30,
  halfOpenSeconds: 60,
  udpSeconds: UDP_SECONDS,
};

/** What of the programs is settled when they are loaded. */
export interface Settings {
  /** The kernel tells the source address of a route. */
  readonly fibSource: boolean;
  /** Some wire may be one of pods. */
  readonly wiresOfPods: boolean;
  /** They serve nobody, but tell what they would do. */
  readonly rehearses: boolean;
  /** `--masquerade-all` */
  readonly masqueradeAll: boolean;
  /** The bit of a packet's mark, 0 to 31, that then says that its source is to be replaced. */
  readonly masqueradeBit: number;
  /** Flows between two pods of this node may go around its stack. */
  readonly bypass: boolean;
}

/** kube-proxy's own, which no CNI takes. */
export const MASQUERADE_BIT = 14;

/** The read-only settings of the programs, as hex. */
export function encodeConfig(hostNetnsCookie: bigint, settings: Partial<Settings> = {}): string {
  const { fibSource = true, wiresOfPods = false, rehearses = false, bypass = false } = settings;
  const { masqueradeAll = false, masqueradeBit = MASQUERADE_BIT } = settings;
  return config.encode({
    hostNetnsCookie,
    ...lifetimes,
    takesOver: 0,
    fibSource: fibSource ? 1 : 0,
    wiresOfPods: wiresOfPods ? 1 : 0,
    rehearses: rehearses ? 1 : 0,
    masqueradeMark: masqueradeAll ? 2 ** masqueradeBit : 0,
    bypass: bypass ? 1 : 0,
  });
}

/** Rows that each map has room for, if nobody says otherwise. */
export const defaultSizes: Sizes = Object.fromEntries(
  [...tableNames, ...stateNames].map((name) => [name, maps[name].maxEntries]),
) as Sizes;

/** 'names:1a2b3c4d backends:… ' of all maps: kept with each generation, so that a release knows what it can read. */
export const layoutText: string = [...tableNames, ...stateNames].map(layoutTextOf).join(' ');

/** The part of a generation's layout text that is about one map. */
export function layoutTextOf(name: TableName | StateName): string {
  return `${name}:${maps[name].layout}`;
}

/** What a generation is called: it changes with the programs, the sizes of maps and the settings. */
export function generationHash(objects: Objects, sizes: Sizes, configHex: string): string {
  const text = Object.entries(sizes).sort(([a], [b]) => (a < b ? -1 : 1));
  return hash(objects.tc, objects.wire, objects.connect, objects.xdp, JSON.stringify(text), configHex).slice(0, 16);
}

function hash(...parts: (string | Uint8Array)[]): string {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(String(part.length)).update(part);
  return sum.digest('hex');
}
