import type { Problem } from '../../model/service.ts';
import { sameValue } from '../equality.ts';
import { LayeredMap } from '../layered-map.ts';
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
  /** As somebody may have read them. */
  let settled: ObjectStore = new Map();
  /** What is otherwise since then; undefined is gone. */
  let changes = new Map<string, KubeObject | undefined>();
  const problems = new Map<string, readonly Problem[]>();

  const present = (key: string): KubeObject | undefined => (changes.has(key) ? changes.get(key) : settled.get(key));

  function settle(): ObjectStore {
    settled = LayeredMap.over(settled, changes);
    changes = new Map();
    return settled;
  }

  function put(key: string, object: KubeObject | undefined): void {
    if (present(key) === object) return;
    changes.set(key, object);
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
    const before = present(objectKey(object));
    return before !== undefined && sameValue(before, object) ? before : object;
  };

  return {
    apply(reading, isDeleted) {
      for (const object of reading.objects) {
        put(objectKey(object), isDeleted ? undefined : same(object));
        report(objectKey(object), isDeleted ? [] : reading.problems);
      }
      for (const key of reading.refused) {
        if (isDeleted) put(key, undefined);
        report(key, isDeleted ? [] : [...reading.problems, ...(present(key) === undefined ? [] : [kept(key)])]);
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
            const before = found.get(key) ?? present(key);
            if (before === undefined || isDeleted) found.delete(key);
            else found.set(key, before);
            const own = reading.problems.filter((problem) => problem.object === key);
            faults.set(key, isDeleted ? [] : [...own, ...(before === undefined ? [] : [kept(key)])]);
          }
        },
        end() {
          for (const [key, object] of settle()) if (object.kind === kind && !found.has(key)) put(key, undefined);
          for (const key of problems.keys()) if (key.startsWith(`${kind} `)) report(key, faults.get(key) ?? []);
          for (const [key, object] of found) put(key, object);
          for (const [key, problem] of faults) report(key, problem);
        },
      };
    },
    objects: settle,
    problems: () => [...problems.values()].flat(),
  };
}

function kept(object: string): Problem {
  return { object, reason: 'its last good state stays in use' };
}
