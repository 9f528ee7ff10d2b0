import { type Generation, openGeneration } from '../kernel/generation.ts';
import { currentGeneration, pinDir } from '../kernel/pins.ts';
import { RefusedError } from '../kernel/refused.ts';

/**
 * Opens what is loaded below a pin directory. An agent may be replacing the generation at this moment: then it is looked
 * for again. Throws a RefusedError if there is none, or none that this release can read.
 */
export function openCurrent(path: string): Generation {
  const dir = pinDir(path);
  for (let before: string | undefined; ; ) {
    const hash = currentGeneration(dir);
    if (hash === undefined) {
      throw new RefusedError(`nothing is loaded below ${path}: start 'bpfsvc run', or name another --pin-dir`);
    }
    const generation = openGeneration(dir, hash);
    if (generation !== undefined) return generation;
    if (hash === before) {
      throw new RefusedError(
        `what is loaded below ${path} is of another release of bpfsvc: use the bpfsvc of that one`,
      );
    }
    before = hash;
  }
}
