import test from 'ava';
import { type Change, type Clock, type Family, makeProgress } from './progress.ts';

/** A clock that stands until it is set; the steady one begins elsewhere. */
function handClock(): Clock & { seconds: number } {
  return {
    seconds: 1_800_000_000,
    wall() {
      return this.seconds * 1000;
    },
    steady() {
      return (this.seconds - 1_799_999_000) * 1000;
    },
  };
}

function change(name: string, families: readonly Family[] = [4, 6], more: Partial<Change> = {}): Change {
  return { name, families, isService: true, isEndpoints: false, ...more };
}

test('makeProgress() tells how long the oldest change of a family waits, from its arrival until the pass that wrote it', (t) => {
  const clock = handClock();
  const progress = makeProgress(clock);
  const ages = () => [progress.of(4).oldestPending, progress.of(6).oldestPending];
  t.deepEqual(ages(), [null, null]);
  progress.queued([change('a', [4])], []);
  clock.seconds += 10;
  progress.queued([change('b', [6]), change('a', [4])], []);
  t.deepEqual(ages(), [10_000, 0]);
  progress.begun();
  clock.seconds += 1;
  progress.queued([change('c', [6])], []);
  t.deepEqual(ages(), [11_000, 1000], 'what is under way waits, too');
  progress.ended(new Set());
  clock.seconds += 1;
  t.deepEqual(ages(), [null, 1000], 'what came meanwhile waits since then');
  progress.begun();
  progress.ended(new Set());
  t.deepEqual(ages(), [null, null]);
  t.like(progress.of(6), { lastQueued: (clock.seconds - 1) * 1000, lastApplied: clock.seconds * 1000 });
});

test('makeProgress() goes on counting for what a pass could not write, and for that alone', (t) => {
  const clock = handClock();
  const progress = makeProgress(clock);
  progress.queued([change('a', [4]), change('b', [6])], []);
  clock.seconds += 5;
  progress.begun();
  progress.ended(new Set(['b']));
  t.like(progress.of(4), { oldestPending: null, lastApplied: clock.seconds * 1000 });
  t.like(progress.of(6), { oldestPending: 5000, lastApplied: null });
  clock.seconds += 5;
  progress.begun();
  progress.ended('all');
  t.is(progress.of(6).oldestPending, 10_000, 'a pass that failed as a whole');
  t.is(progress.of(4).oldestPending, null);
  progress.begun();
  progress.ended(new Set());
  t.is(progress.of(6).oldestPending, null);
});

test('makeProgress() counts a repair that fails against both families', (t) => {
  const clock = handClock();
  const progress = makeProgress(clock);
  progress.begun();
  progress.ended(new Set(['']));
  clock.seconds += 3;
  t.deepEqual([progress.of(4).oldestPending, progress.of(6).oldestPending], [3000, 3000]);
});

test('makeProgress() counts changes, and Services that wait once each', (t) => {
  const progress = makeProgress(handClock());
  const endpoints = { isService: false, isEndpoints: true };
  progress.queued([change('a'), change('b', [4], endpoints)], []);
  progress.queued([change('a'), change('a', [4], endpoints)], []);
  progress.begun();
  progress.queued([change('a')], []);
  t.deepEqual(progress.services, { total: 3, pending: 1 });
  t.deepEqual(progress.endpoints, { total: 2, pending: 2 });
  progress.ended(new Set(['b']));
  t.deepEqual(progress.services, { total: 3, pending: 1 });
  t.deepEqual(progress.endpoints, { total: 2, pending: 1 });
});

test('makeProgress() tells from cause to kernel, of what changed since it began, once it is there', (t) => {
  const clock = handClock();
  const progress = makeProgress(clock);
  const told: [Family, number][] = [];
  progress.onProgrammed = (family, seconds) => told.push([family, seconds]);
  const before = (seconds: number) => (clock.seconds - seconds) * 1000;
  clock.seconds += 100;
  progress.queued(
    [change('a')],
    [
      { family: 4, at: before(2) },
      { family: 6, at: before(1) },
      { family: 4, at: before(101) },
    ],
  );
  progress.begun();
  progress.ended('all');
  t.deepEqual(told, []);
  clock.seconds += 3;
  progress.begun();
  progress.queued([], [{ family: 4, at: before(-5) }]);
  progress.ended(new Set());
  t.deepEqual(told, [
    [4, 5],
    [6, 4],
  ]);
  progress.begun();
  progress.ended(new Set());
  t.deepEqual(told.slice(2), [[4, 0]], 'a controller’s clock may be ahead');
});
