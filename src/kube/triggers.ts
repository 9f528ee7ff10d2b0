import { parseTimestamp } from './fields.ts';
import { type ObjectStore, objectKey, triggerTimeAnnotation } from './objects.ts';
import type { Parsed } from './parse.ts';

/** A change of endpoints, as its controller dates it. */
export interface Trigger {
  readonly family: 4 | 6;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Of the slices of `services` those that are not what they were in `before`, if they say when they changed. */
export function changeTriggers(parsed: Parsed, before: ObjectStore, services: Iterable<string>): readonly Trigger[] {
  const { slices } = parsed.memory.index;
  return [...services].flatMap((name) =>
    (slices.get(name) ?? []).flatMap((slice): Trigger[] => {
      const text = slice.metadata.annotations?.[triggerTimeAnnotation] ?? '';
      if (before.get(objectKey(slice)) === slice || parseTimestamp(text) === '') return [];
      return [{ family: slice.addressType === 'IPv6' ? 6 : 4, at: Date.parse(text) }];
    }),
  );
}
