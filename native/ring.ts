import { addon, type Handle } from './addon.ts';
import type { BpfMap } from './map.ts';

/**
 * Reads a map of type ringbuf as records arrive. It keeps the process alive until it is closed. The callback gets a
 * copy of each record; what it throws is an uncaught exception. A ring has one consumer: two readers share the records
 * between them at random.
 */
export class RingBuffer implements Disposable {
  readonly #open: Handle;

  constructor(map: BpfMap, onRecord: (record: Uint8Array) => void) {
    this.#open = addon.ringOpen(map.handle, onRecord);
  }

  close(): void {
    addon.close(this.#open);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
