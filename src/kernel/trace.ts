import { type PathLock, RingBuffer } from 'libbpf-ts';
import { type Event, event, reason, type TraceFilter, traceFilter, u32 } from '../layout.gen.ts';
import { noAddressHex } from '../model/address.ts';
import { bootSeconds } from './clock.ts';
import { readCounter } from './counters.ts';
import { type Generation, openGeneration } from './generation.ts';
import { lockTrace } from './lock.ts';
import { currentGeneration, makeDirectory, type PinDir } from './pins.ts';
import { RefusedError } from './refused.ts';

/** What the programs shall tell: all else they keep to themselves. */
export type Wanted = Omit<TraceFilter, 'until'>;

/** For so long programs go on telling after the last sign of a listener, should it die without turning them off. */
const LEASE_SECONDS = 10;
const RENEWAL_MS = 3000;

const silence: TraceFilter = {
  namespace: '',
  service: '',
  address: noAddressHex,
  kinds: 0,
  reason: 0,
  until: 0,
};

/**
 * Listens to what the programs below a pin directory tell, until it is closed; an agent need not run. It follows from one
 * generation to the next.
 */
export class Trace implements Disposable {
  readonly #dir: PinDir;
  readonly #lock: PathLock;
  readonly #wanted: Wanted;
  readonly #fail: (error: Error) => void;
  readonly #ring: RingBuffer;
  readonly #timer: NodeJS.Timeout;
  #generation: Generation;
  #lost: bigint;
  #isClosed = false;

  /**
   * Takes over `generation`. Throws a RefusedError that names the other listener if there is one. `onFailure` hears why
   * it cannot go on.
   */
  constructor(
    dir: PinDir,
    generation: Generation,
    wanted: Wanted,
    onEvent: (event: Event) => void,
    onFailure: (error: Error) => void,
  ) {
    makeDirectory(dir.trace);
    this.#lock = lockTrace(dir.trace);
    this.#dir = dir;
    this.#generation = generation;
    this.#wanted = wanted;
    this.#fail = onFailure;
    this.#lost = this.#lostEver();
    const begin = process.hrtime.bigint();
    this.#ring = new RingBuffer(generation.state.events, (record) => {
      const told = event.decode(Buffer.from(record).toString('hex'));
      // whoever was killed while listening has left what it did not read
      if (told.time >= begin && !this.#isClosed) onEvent(told);
    });
    this.#set({ ...wanted, until: bootSeconds() + LEASE_SECONDS });
    this.#timer = setInterval(() => this.#renew(), RENEWAL_MS);
  }

  /** The programs that tell now, and their tables. */
  get generation(): Generation {
    return this.#generation;
  }

  /** How many events were lost since this was asked last: they came faster than they were read. */
  takeLost(): bigint {
    const ever = this.#lostEver();
    const lost = ever - this.#lost;
    this.#lost = ever;
    return lost > 0n ? lost : 0n;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#set(silence);
    this.#ring.close();
    this.#lock.close();
    this.#generation[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #renew(): void {
    try {
      this.#follow();
      this.#set({ ...this.#wanted, until: bootSeconds() + LEASE_SECONDS });
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** A new generation has the same ring and filter, but tables of its own. */
  #follow(): void {
    const hash = currentGeneration(this.#dir);
    if (hash === this.#generation.hash) return;
    const next = hash === undefined ? undefined : openGeneration(this.#dir, hash);
    if (next?.state.events.info.id !== this.#generation.state.events.info.id) {
      next?.[Symbol.dispose]();
      throw new RefusedError(
        `what was loaded below ${this.#dir.path} is gone, or of another release now: there is nothing more to hear`,
      );
    }
    this.#generation[Symbol.dispose]();
    this.#generation = next;
  }

  #lostEver(): bigint {
    return readCounter(this.#generation.state.counters, 0, reason.event_lost);
  }

  #set(filter: TraceFilter): void {
    const { trace_filter: slot } = this.#generation.state;
    slot.update(Buffer.from(u32.encode(0), 'hex'), Buffer.from(traceFilter.encode(filter), 'hex'));
  }
}
