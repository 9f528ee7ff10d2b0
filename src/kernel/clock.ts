/** Whole seconds of CLOCK_MONOTONIC, as the programs stamp rows and leases. */
export function bootSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n);
}
