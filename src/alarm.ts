import { setTimeout as sleep } from 'node:timers/promises';

/** Changes that arrive together become one. */
const SETTLE_MS = 5;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;

/** What wakes a loop: events as they come, the clock, and tries that are made again with growing patience. */
export class Alarm implements Disposable {
  readonly #timers = new Set<NodeJS.Timeout>();
  #rung = Promise.withResolvers<void>();
  #retryMs = FIRST_RETRY_MS;

  ring(): void {
    this.#rung.resolve();
  }

  /** Waits until it has rung since the last wait, and then for what comes right behind. */
  async wait(): Promise<void> {
    await this.#rung.promise;
    await sleep(SETTLE_MS);
    this.#rung = Promise.withResolvers();
  }

  every(milliseconds: number, before: () => void): void {
    const timer = setInterval(() => {
      before();
      this.ring();
    }, milliseconds);
    this.#timers.add(timer);
  }

  /** Rings after a while, each time after a longer one. Returns how long, in seconds. */
  retry(before: () => void): number {
    const milliseconds = this.#retryMs;
    this.#retryMs = Math.min(milliseconds * 2, LAST_RETRY_MS);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      before();
      this.ring();
    }, milliseconds);
    this.#timers.add(timer);
    return milliseconds / 1000;
  }

  /** All went well: the next retry is a quick one again. */
  calm(): void {
    this.#retryMs = FIRST_RETRY_MS;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
