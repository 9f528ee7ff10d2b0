/** The objects of a cluster as a story tells them. */
import { type Change, type Fields, keyOfObject, type Story, StoryError } from './story.ts';

/** By kind, namespace and name, in the order of the story. */
export type Objects = ReadonlyMap<string, Fields>;

/** As `kubectl replace`, `kubectl patch --type merge` and `kubectl delete` do it. Throws a StoryError. */
export function changed(objects: Objects, changes: readonly Change[], { file }: Pick<Story, 'file'>): Objects {
  const after = new Map(objects);
  for (const change of changes) {
    const key = change.op === 'put' ? keyOfObject(change.object) : change.key;
    const before = after.get(key);
    if (change.op === 'put') after.set(key, change.object);
    else if (before === undefined) throw new StoryError(`${file}:${change.line}: there is no ${key}`);
    else if (change.op === 'delete') after.delete(key);
    else after.set(key, merged(before, change.fields) as Fields);
  }
  return after;
}

/** RFC 7396: null takes a field away, lists are replaced as a whole. */
function merged(target: unknown, fields: unknown): unknown {
  if (!isMap(fields)) return fields;
  const result: Record<string, unknown> = isMap(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The other way round: objects, and the endpoints in them. */
export function reversed(objects: readonly Fields[]): Fields[] {
  return objects
    .map((object) =>
      Array.isArray(object.endpoints) ? { ...object, endpoints: object.endpoints.toReversed() } : object,
    )
    .reverse();
}
