import test from 'ava';
import { Alarm } from './alarm.ts';

test('Alarm.retry() waits longer each time, ten seconds at most, and quickly again after calm', (t) => {
  using alarm = new Alarm();
  const waits = Array.from({ length: 9 }, () => alarm.retry(() => {}));
  t.deepEqual(waits, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]);
  alarm.calm();
  t.is(
    alarm.retry(() => {}),
    0.1,
  );
});

test('Alarm.wait() returns after rings before and during it, however many, and waits for the next', async (t) => {
  using alarm = new Alarm();
  alarm.ring();
  alarm.ring();
  await alarm.wait();
  let woken = false;
  const next = alarm.wait().then(() => {
    woken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.false(woken);
  alarm.ring();
  await next;
  t.true(woken);
});

test('Alarm.retry() and every() do their work before they ring', async (t) => {
  using alarm = new Alarm();
  const done: string[] = [];
  alarm.retry(() => done.push('retry'));
  await alarm.wait();
  t.deepEqual(done, ['retry']);
  alarm.every(1, () => done.push('every'));
  await alarm.wait();
  t.true(done.includes('every'));
});
