import type { Problem } from '../../model/service.ts';
import { sameValue } from '../equality.ts';
import { type Kind, type KubeObject, type ObjectStore, objectKey } from '../objects.ts';
import type { Reading } from '../reader.ts';

/** The objects of all kinds that are watched, and what is wrong with them. */
export interface ApiStore {
  /** Does what a watch event says. */
  apply(reading: Reading, isDeleted: boolean): void;
  /** A listing of one kind that is under way: nothing of it counts before its end. */
  list(kind: Kind): Listing;
  /** What there is now; the next change makes another one. */
  objects(): ObjectStore;
  problems(): readonly Problem[];
}

export interface Listing {
  apply(reading: Reading, isDeleted: boolean): void;
  /** What the listing did not have is gone. */
  end(): void;
}

/** `onChange` is told when there is something else than before, and only then. */
export function makeApiStore(onChange: () => void): ApiStore {
  let objects = new Map<string, KubeObject>();
  /** Somebody reads them: they may not be changed any more. */
  let isShared = false;
  const problems = new Map<string, readonly Problem[]>();

  function own(): Map<string, KubeObject> {
    if (isShared) objects = new Map(objects);
    isShared = false;
    return objects;
  }

  function put(object: KubeObject): void {
    const key = objectKey(object);
    if (objects.get(key) === object) return;
    own().set(key, object);
    onChange();
  }

  function remove(key: string): void {
    if (!objects.has(key)) return;
    own().delete(key);
    onChange();
  }

  function report(key: string, found: readonly Problem[]): void {
    if (found.length === 0 && !problems.has(key)) return;
    if (found.length === 0) problems.delete(key);
    else problems.set(key, found);
    onChange();
  }

  /** What is equal to what there was is that very object: nobody has to look at it again. */
  const same = (object: KubeObject): KubeObject => {
    const before = objects.get(objectKey(object));
    return before !== undefined && sameValue(before, object) ? before : object;
  };

  return {
    apply(reading, isDeleted) {
      for (const object of reading.objects) {
        if (isDeleted) remove(objectKey(object));
        else put(same(object));
        report(objectKey(object), isDeleted ? [] : reading.problems);
      }
      for (const key of reading.refused) {
        if (isDeleted) remove(key);
        report(key, isDeleted ? [] : [...reading.problems, ...(objects.has(key) ? [kept(key)] : [])]);
      }
    },
    list(kind) {
      const found = new Map<string, KubeObject>();
      const faults = new Map<string, readonly Problem[]>();
      return {
        apply(reading, isDeleted) {
          for (const object of reading.objects) {
            const key = objectKey(object);
            if (isDeleted) found.delete(key);
            else found.set(key, same(object));
            faults.set(key, isDeleted ? [] : reading.problems.filter((problem) => problem.object === key));
          }
          for (const key of reading.refused) {
            const before = found.get(key) ?? objects.get(key);
            if (before === undefined || isDeleted) found.delete(key);
            else found.set(key, before);
            const own = reading.problems.filter((problem) => problem.object === key);
            faults.set(key, isDeleted ? [] : [...own, ...(before === undefined ? [] : [kept(key)])]);
          }
        },
        end() {
          for (const [key, object] of objects) if (object.kind === kind && !found.has(key)) remove(key);
          for (const key of problems.keys()) if (key.startsWith(`${kind} `)) report(key, faults.get(key) ?? []);
          for (const object of found.values()) put(object);
          for (const [key, problem] of faults) report(key, problem);
        },
      };
    },
    objects() {
      isShared = true;
      return objects;
    },
    problems: () => [...problems.values()].flat(),
  };
}

function kept(object: string): Problem {
  return { object, reason: 'its last good state stays in use' };
}
