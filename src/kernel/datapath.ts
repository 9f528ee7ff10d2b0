import type { PathLock } from 'libbpf-ts';
import type { Rows } from '../plan/tables.ts';
import { type AgentNote, writeAgentNote } from './agent-note.ts';
import { attachHooks } from './attach.ts';
import { type Attached, joinAttached } from './attached.ts';
import type { Device } from './devices.ts';
import { type Generation, openGeneration, pinnedNames, pinnedSizes } from './generation.ts';
import { cgroupHooks, deviceHooks, type Hook, type Mechanism } from './hooks.ts';
import { loadGeneration } from './load.ts';
import { lockPinDir } from './lock.ts';
import { generationHash, type Objects } from './objects.ts';
import {
  currentGeneration,
  listGenerations,
  makeDirectory,
  type PinDir,
  pinDir,
  removeGeneration,
  setCurrentGeneration,
} from './pins.ts';
import { inheritedNames, type Sizes } from './sizes.ts';
import { copyCounters, dropState, takeOverState } from './state.ts';
import { pinnedXdp } from './xdp.ts';

export interface DatapathOptions {
  /** A directory on a BPF filesystem; it is made if missing. */
  readonly pinDir: string;
  /** A cgroup2 directory. */
  readonly cgroup: string;
  readonly objects: Objects;
  /** struct config as hex */
  readonly config: string;
  readonly mechanism: Mechanism;
}

/**
 * What is loaded, pinned and attached below one pin directory, and the lock that makes it ours. Closing it leaves all of
 * that at work.
 *
 * `current` names a generation only after that was filled, and links are pointed at its programs afterwards: whatever
 * moment a crash picks, the next start has but to point links at `current` and to sweep the rest.
 */
export class Datapath implements Disposable {
  readonly #lock: PathLock;
  readonly #options: DatapathOptions;
  readonly #dir: PinDir;
  #generation: Generation | undefined;
  #hooks: readonly Hook[] = [];
  #podsAtTc = false;

  private constructor(options: DatapathOptions, lock: PathLock) {
    this.#options = options;
    this.#dir = pinDir(options.pinDir);
    this.#lock = lock;
    const hash = currentGeneration(this.#dir);
    this.#generation = hash === undefined ? undefined : openGeneration(this.#dir, hash);
  }

  /** Takes the lock and opens the current generation. Throws a RefusedError if somebody else holds the lock. */
  static open(options: DatapathOptions): Datapath {
    makeDirectory(options.pinDir);
    const lock = lockPinDir(options.pinDir);
    try {
      return new Datapath(options, lock);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** Who runs here, for those who ask. */
  leaveNote(note: AgentNote): void {
    writeAgentNote(this.#dir, note);
  }

  /** undefined: none yet, or only one that another release laid out otherwise. */
  get generation(): Generation | undefined {
    return this.#generation;
  }

  /** Does at least one pod's device run our programs, as far as the last round of attaching knows? */
  get podsAtTc(): boolean {
    return this.#podsAtTc;
  }

  /** The devices at which XDP is ours, by ifindex. */
  get xdpDevices(): Set<number> {
    return pinnedXdp(this.#dir);
  }

  /** The sizes of what is pinned, also if it is another release's. */
  pinnedSizes(): Partial<Sizes> {
    const hash = currentGeneration(this.#dir);
    return this.#generation?.sizes ?? (hash === undefined ? {} : pinnedSizes(this.#dir, hash));
  }

  /** Service port ids and whose they are, of what is pinned: a new generation must not give them another meaning. */
  async pinnedNames(): Promise<Rows> {
    const hash = currentGeneration(this.#dir);
    return hash === undefined ? new Map() : await pinnedNames(this.#dir, hash);
  }

  /** Would a generation of these sizes be another one than the current? */
  isCurrent(sizes: Sizes): boolean {
    return this.#generation?.hash === generationHash(this.#options.objects, sizes, this.#options.config);
  }

  /**
   * Attaches the current generation to the cgroup and to these devices, `xdp` by their ifindex, and nothing else. With no generation of ours
   * there is nothing to attach, and what another release attached stays.
   */
  async attach(devices: readonly Device[], xdp: ReadonlySet<number> = new Set()): Promise<Attached | undefined> {
    this.#hooks = [...deviceHooks(devices, xdp), ...cgroupHooks(this.#options.cgroup)];
    return await this.#attachCurrent();
  }

  /**
   * Loads a generation beside the current one, has it filled, and takes the old one's place with it. If `fill` throws,
   * the old one stays in charge and nothing of the new one remains. undefined as from `attach`.
   *
   * Where a state map changes its size, this is done twice, and `fill` is called twice: the programs of the first generation
   * also find the rows of the old maps, and when these are copied the second one follows, which need not. A copy alone
   * would miss what the old programs write before the last of them is replaced.
   */
  async replace(sizes: Sizes, fill: (next: Generation) => Promise<void>): Promise<Attached | undefined> {
    /* What a replacement left that ended halfway: what it did not copy yet is in no map that is copied below. */
    await this.sweep();
    const old = this.#generation;
    const inherits = old !== undefined && inheritedNames.some((name) => old.sizes[name] !== sizes[name]);
    const first = inherits ? await this.#replaceOnce(sizes, fill, old) : undefined;
    return joinAttached(first, await this.#replaceOnce(sizes, fill));
  }

  async #replaceOnce(
    sizes: Sizes,
    fill: (next: Generation) => Promise<void>,
    before?: Generation,
  ): Promise<Attached | undefined> {
    const { objects, config } = this.#options;
    const next = await loadGeneration(this.#dir, { objects, sizes, config }, before);
    const old = this.#generation;
    try {
      await fill(next);
      if (old) await copyCounters(old, next);
    } catch (error) {
      next[Symbol.dispose]();
      removeGeneration(this.#dir, next.hash);
      if (old) dropState(this.#dir, old);
      throw error;
    }
    setCurrentGeneration(this.#dir, next.hash);
    this.#generation = next;
    const attached = await this.#attachCurrent();
    await this.sweep();
    old?.[Symbol.dispose]();
    return attached;
  }

  /** Removes what crashes and swaps leave: other generations and the state maps that only they used. */
  async sweep(): Promise<string[]> {
    if (this.#generation === undefined) return [];
    const removed = await takeOverState(this.#dir, this.#generation);
    for (const hash of listGenerations(this.#dir)) {
      if (hash === this.#generation.hash) continue;
      removeGeneration(this.#dir, hash);
      removed.push(`generation-${hash}`);
    }
    return removed;
  }

  close(): void {
    this.#generation?.[Symbol.dispose]();
    this.#generation = undefined;
    this.#lock.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #attachCurrent(): Promise<Attached | undefined> {
    if (this.#generation === undefined) return undefined;
    const attached = await attachHooks(this.#dir, this.#hooks, this.#generation.programs, this.#options.mechanism);
    const failed = new Set(attached.failed.map(({ where }) => where));
    this.#podsAtTc = this.#hooks.some(({ program, where }) => program === 'from_pod' && !failed.has(where));
    return attached;
  }
}
