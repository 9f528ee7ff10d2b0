import type { Problem } from '../model/service.ts';
import type { ObjectStore } from './objects.ts';

/** What a source of objects says at one time. */
export interface Snapshot {
  /** null: nothing was learnt yet, which is another thing than a cluster without Services. */
  readonly objects: ObjectStore | null;
  /** Of the source and of the shape of objects; what objects mean is for `parse`. */
  readonly problems: readonly Problem[];
  /** Everything was read from end to end at least once: what is not among the objects is really gone. */
  readonly synced: boolean;
}

export interface ObjectSource {
  close(): void;
}

/** Begins to watch. `onChange` gets the first snapshot before the promise resolves, then one whenever something changed. */
export type WatchObjects = (onChange: (snapshot: Snapshot) => void) => Promise<ObjectSource>;
