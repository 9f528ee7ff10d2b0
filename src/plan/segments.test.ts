import test from 'ava';
import fc from 'fast-check';
import {
  acquire,
  endQuarantine,
  findPlaces,
  noSegment,
  readSegments,
  release,
  type Segment,
  type Segments,
  segmentKey,
} from './segments.ts';

const known = () => 'content';
const rowsOf = ({ count }: Segment) => Array.from({ length: count }, (_, i) => `${i};`);
const empty = (): Segments => readSegments([], rowsOf);
const at = (start: number, count: number): Segment => ({ start, count });

function take(segments: Segments, count: number): Segment {
  const place = findPlaces(segments).take(count);
  acquire(segments, place, known);
  return place;
}

test('findPlaces() takes the first hole that is large enough', (t) => {
  const segments = readSegments([at(2, 2), at(5, 5), at(13, 1)], rowsOf);
  const places = findPlaces(segments);
  t.is(places.end(), 14);
  t.deepEqual(places.take(3), at(10, 3));
  t.deepEqual(places.take(1), at(0, 1));
  t.deepEqual(places.take(1), at(1, 1));
  t.deepEqual(places.take(1), at(4, 1));
  t.deepEqual(places.take(1), at(14, 1));
  t.deepEqual(places.take(100), at(15, 100));
  t.is(places.end(), 115);
});

test('findPlaces() takes nothing for good', (t) => {
  const segments = readSegments([at(0, 4)], rowsOf);
  t.deepEqual(findPlaces(segments).take(2), at(4, 2));
  t.deepEqual(findPlaces(segments).take(2), at(4, 2));
  t.is(findPlaces(segments).end(), 4);
});

test('release() keeps the slots from use until the grace period has ended', (t) => {
  const segments = empty();
  const first = take(segments, 3);
  take(segments, 1);
  release(segments, first);
  t.deepEqual(take(segments, 3), at(4, 3));
  endQuarantine(segments, [...segments.quarantine.values()]);
  t.deepEqual(take(segments, 3), at(0, 3));
});

test('release() frees a segment only when nothing points at it', (t) => {
  const segments = readSegments([at(0, 3), at(0, 3)], rowsOf);
  release(segments, at(0, 3));
  t.is(segments.quarantine.size, 0);
  release(segments, at(0, 3));
  t.is(segments.quarantine.size, 1);
  t.is(segments.live.size, 0);
  release(segments, at(0, 3));
  t.is(segments.quarantine.size, 1);
});

test('acquire() takes a segment back from quarantine, content and all', (t) => {
  const segments = empty();
  const segment = take(segments, 3);
  release(segments, segment);
  const grace = [...segments.quarantine.values()];
  acquire(segments, segment, () => t.fail('not asked'));
  t.is(segments.live.get(segmentKey(segment))?.content, 'content');
  endQuarantine(segments, grace);
  t.deepEqual(take(segments, 1), at(3, 1));

  release(segments, segment);
  endQuarantine(segments, grace);
  t.is(segments.quarantine.size, 1, 'freed again since: that grace period is not for it');
});

test('acquire(), release() know no empty segment', (t) => {
  const segments = readSegments([noSegment, at(7, 0)], () => t.fail('not asked'));
  acquire(segments, noSegment, () => t.fail('not asked'));
  release(segments, noSegment);
  t.is(segments.live.size + segments.quarantine.size, 0);
  t.is(findPlaces(segments).end(), 0);
});

test('readSegments() trusts no content of segments that share slots, and never gives these slots away', (t) => {
  const segments = readSegments([at(0, 4), at(2, 4), at(10, 1), at(5, 2)], rowsOf);
  const contents = [...segments.live.values()].map(({ start, content }) => [start, content]);
  t.deepEqual(contents, [
    [0, null],
    [2, null],
    [5, null],
    [10, '0;'],
  ]);
  for (const segment of [at(0, 4), at(2, 4), at(5, 2)]) release(segments, segment);
  t.is(segments.quarantine.size, 0);
  t.deepEqual(take(segments, 3), at(7, 3));
});

test('readSegments() counts of a segment beyond the end only the slots that exist, and does not use them again', (t) => {
  const segments = readSegments([at(0, 1), at(6, 4_000_000_000), at(4_000_000_000, 9)], ({ start }) =>
    start === 0 ? ['x'] : start === 6 ? ['x', 'y'] : [],
  );
  t.is(findPlaces(segments).end(), 8);
  for (const segment of [...segments.live.values()]) release(segments, segment);
  t.deepEqual([...segments.quarantine.keys()], ['0+1']);
});

/** First fit by trying every slot. */
function firstFit(taken: ReadonlySet<number>, count: number): number {
  for (let start = 0; ; start++) {
    let length = 0;
    while (length < count && !taken.has(start + length)) length++;
    if (length === count) return start;
  }
}

type Action = { readonly take: number[] } | { readonly release: number } | { readonly grace: boolean };

const anyAction: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ take: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }) }),
  fc.record({ release: fc.nat(20) }),
  fc.record({ grace: fc.boolean() }),
);

test('findPlaces() is first fit, and never in a live segment or one in quarantine', (t) => {
  fc.assert(
    fc.property(fc.array(anyAction, { maxLength: 40 }), (actions) => {
      const segments = empty();
      const taken = new Set<number>();
      let live: Segment[] = [];
      for (const action of actions) {
        if ('take' in action) {
          const places = findPlaces(segments);
          for (const count of action.take) {
            const place = places.take(count);
            t.is(place.start, firstFit(taken, count));
            for (let slot = place.start; slot < place.start + count; slot++) taken.add(slot);
            live.push(place);
            acquire(segments, place, known);
          }
          t.is(places.end(), Math.max(0, ...taken) + (taken.size > 0 ? 1 : 0));
        } else if ('release' in action) {
          const [gone] = live.splice(action.release, 1);
          if (gone !== undefined) release(segments, gone);
        } else {
          for (const { start, count } of segments.quarantine.values()) {
            for (let slot = start; slot < start + count; slot++) taken.delete(slot);
          }
          endQuarantine(segments, [...segments.quarantine.values()]);
        }
        t.is(segments.live.size, live.length);
      }
      const again = readSegments(live, rowsOf);
      endQuarantine(segments, [...segments.quarantine.values()]);
      t.deepEqual(again.holes, segments.holes);
      live = [];
    }),
  );
});
