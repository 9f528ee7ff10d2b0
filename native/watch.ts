import { addon, type Handle } from './addon.ts';

export type NetChange = 'link' | 'address' | 'route' | 'overrun';

/**
 * Calls back when links with their queueing disciplines, addresses or routes of the calling thread's network namespace change: once per kind for what
 * arrived together. 'overrun': changes were lost, read everything anew. It keeps the process alive until it is closed.
 */
export class NetWatch implements Disposable {
  readonly #open: Handle;

  constructor(onChange: (what: NetChange) => void) {
    this.#open = addon.watchOpen(onChange as (what: string) => void);
  }

  close(): void {
    addon.close(this.#open);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
