import { type Write, writeTo } from '../src/kernel/apply.ts';

/** Writers of rows of which every tenth is refused, with all that stand behind it in its batch. */
export function unreliable(): { writer: (maps: Parameters<typeof writeTo>[0]) => Write; refused: () => number } {
  let rows = 0;
  let refused = 0;
  const writer = (maps: Parameters<typeof writeTo>[0]): Write => {
    const write = writeTo(maps);
    return (batch) => {
      const index = batch.steps.findIndex(() => {
        rows += 1;
        return rows % 10 === 0;
      });
      if (index < 0) return write(batch);
      refused += 1;
      const { done, error } = write({ ...batch, steps: batch.steps.slice(0, index) });
      return { done, error: error ?? new Error('one in ten') };
    };
  };
  return { writer, refused: () => refused };
}
