export interface Patience {
  /** The first pause, in milliseconds; each further one is twice as long. */
  readonly first: number;
  readonly longest: number;
}

/** Pauses between attempts, half as long to half as long again at random, so that the nodes of a cluster do not all ask at once. */
export interface Backoff {
  /** In milliseconds. */
  next(): number;
  reset(): void;
}

export function makeBackoff({ first, longest }: Patience, random: () => number = Math.random): Backoff {
  let pause = first;
  return {
    next() {
      const now = pause;
      pause = Math.min(pause * 2, longest);
      return now * (0.5 + random());
    },
    reset() {
      pause = first;
    },
  };
}
