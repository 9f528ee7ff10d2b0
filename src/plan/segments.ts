/** A run of slots of `backends`; count 0: none, an empty pool. */
export interface Segment {
  readonly start: number;
  readonly count: number;
}

export const noSegment: Segment = { start: 0, count: 0 };

/** A segment that rows of `frontends` point at. */
export interface LiveSegment extends Segment {
  /** Its slots' rows, one after the other, as hex; null: not known, so it equals no pool. */
  readonly content: string | null;
  /** Pools that point here, of all rows. */
  readonly references: number;
  /** It shares slots with another one, or has slots that do not exist: no slot is free when it goes. */
  readonly damaged: boolean;
}

/** What of `backends` is in use. A segment is never written while it is live or in quarantine. */
export interface Segments {
  readonly live: Map<string, LiveSegment>;
  /** No longer pointed at, but a program may still be reading: until an RCU grace period has passed. */
  readonly quarantine: Map<string, LiveSegment>;
  readonly holes: Holes;
}

/**
 * Runs of free slots, `starts[i]` up to `ends[i]`, ascending and apart; the last has no end. How many slots there are is
 * not known here: a place beyond them tells how many are needed.
 */
export interface Holes {
  readonly starts: number[];
  readonly ends: number[];
}

export function segmentKey({ start, count }: Segment): string {
  return `${start}+${count}`;
}

/**
 * From the pools that rows point at, each as often as it is pointed at. `rowsOf` gives the rows of a segment from its
 * start up to the first slot that does not exist.
 */
export function readSegments(pools: Iterable<Segment>, rowsOf: (segment: Segment) => readonly string[]): Segments {
  const segments: Segments = { live: new Map(), quarantine: new Map(), holes: { starts: [0], ends: [Infinity] } };
  const found = new Map<string, { segment: Segment; references: number }>();
  for (const segment of pools) {
    if (segment.count === 0) continue;
    const known = found.get(segmentKey(segment));
    if (known === undefined) found.set(segmentKey(segment), { segment, references: 1 });
    else known.references++;
  }
  const ascending = [...found].sort(([, a], [, b]) => a.segment.start - b.segment.start);
  const overlapping = findOverlapping(ascending.map(([, { segment }]) => segment));
  for (const [key, { segment, references }] of ascending) {
    const rows = rowsOf(segment);
    const damaged = rows.length < segment.count || overlapping.has(segment);
    segments.live.set(key, { ...segment, content: damaged ? null : rows.join(''), references, damaged });
    occupy(segments.holes, { start: segment.start, count: rows.length });
  }
  return segments;
}

function findOverlapping(ascending: readonly Segment[]): Set<Segment> {
  const overlapping = new Set<Segment>();
  let longest: Segment = noSegment;
  for (const segment of ascending) {
    if (segment.start < longest.start + longest.count) overlapping.add(segment).add(longest);
    if (segment.start + segment.count > longest.start + longest.count) longest = segment;
  }
  return overlapping;
}

/**
 * One more pool points at the segment. It may come back from quarantine: among the rows of one plan, the last that left
 * it may stand before the first that takes it up. `contentOf` is asked if it is new.
 */
export function acquire(segments: Segments, segment: Segment, contentOf: (segment: Segment) => string | null): void {
  if (segment.count === 0) return;
  const key = segmentKey(segment);
  const known = segments.live.get(key) ?? segments.quarantine.get(key);
  segments.quarantine.delete(key);
  if (known !== undefined) {
    segments.live.set(key, { ...known, references: known.references + 1 });
    return;
  }
  const { start, count } = segment;
  segments.live.set(key, { start, count, content: contentOf(segment), references: 1, damaged: false });
  occupy(segments.holes, segment);
}

/** One pool less points at it. The last one puts it into quarantine. */
export function release(segments: Segments, segment: Segment): void {
  const key = segmentKey(segment);
  const live = segments.live.get(key);
  if (live === undefined) return;
  const left = { ...live, references: live.references - 1 };
  if (left.references > 0) segments.live.set(key, left);
  else {
    segments.live.delete(key);
    if (!live.damaged) segments.quarantine.set(key, left);
  }
}

/** A grace period has passed for these, unless they have come back meanwhile, be it to leave again. */
export function endQuarantine(segments: Segments, ended: Iterable<LiveSegment>): void {
  for (const segment of ended) {
    const key = segmentKey(segment);
    if (segments.quarantine.get(key) !== segment) continue;
    segments.quarantine.delete(key);
    vacate(segments.holes, segment);
  }
}

/** Places for new segments, beside all that is in use: nothing is taken until `acquire`. */
export interface Places {
  take(count: number): Segment;
  /** Slots up to the last one in use, the new ones included. */
  end(): number;
}

/**
 * First fit. Holes are not looked at twice for one size: they only shrink here, so that a size that did not fit into
 * one never will.
 */
export function findPlaces({ holes }: Segments): Places {
  let copy: Holes | undefined;
  const firstFit = new Map<number, number>();
  return {
    take(count) {
      copy ??= { starts: [...holes.starts], ends: [...holes.ends] };
      const { starts, ends } = copy;
      let i = firstFit.get(count) ?? 0;
      while ((ends[i] ?? Infinity) - (starts[i] ?? 0) < count) i++;
      firstFit.set(count, i);
      const start = starts[i] ?? 0;
      starts[i] = start + count;
      return { start, count };
    },
    end() {
      return (copy ?? holes).starts.at(-1) ?? 0;
    },
  };
}

/** The index of the last hole that starts at or before `slot`, -1 if none. */
function holeBefore({ starts }: Holes, slot: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? 0) <= slot) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Takes the slots out of the holes; some may be taken already. */
function occupy(holes: Holes, { start, count }: Segment): void {
  if (count === 0) return;
  const end = start + count;
  let i = Math.max(holeBefore(holes, start), 0);
  while (i < holes.starts.length) {
    const [from, to] = [holes.starts[i] ?? 0, holes.ends[i] ?? Infinity];
    if (from >= end) return;
    const left: [number, number][] = [];
    if (from < start) left.push([from, Math.min(to, start)]);
    if (to > end) left.push([Math.max(from, end), to]);
    holes.starts.splice(i, 1, ...left.map(([low]) => low));
    holes.ends.splice(i, 1, ...left.map(([, high]) => high));
    i += left.length;
  }
}

/** Gives slots back that are all taken, and joins them with the holes beside them. */
function vacate(holes: Holes, { start, count }: Segment): void {
  const end = start + count;
  const before = holeBefore(holes, start);
  const joinsBefore = before >= 0 && holes.ends[before] === start;
  const joinsAfter = holes.starts[before + 1] === end;
  if (joinsBefore && joinsAfter) {
    holes.starts.splice(before + 1, 1);
    holes.ends.splice(before, 1);
  } else if (joinsBefore) holes.ends[before] = end;
  else if (joinsAfter) holes.starts[before + 1] = start;
  else {
    holes.starts.splice(before + 1, 0, start);
    holes.ends.splice(before + 1, 0, end);
  }
}
