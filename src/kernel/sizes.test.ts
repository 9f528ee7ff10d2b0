import test from 'ava';
import { defaultSizes } from './objects.ts';
import { chooseSizes, grow, LARGEST_MAP } from './sizes.ts';

test('chooseSizes() takes what was asked for, else what there is, else the default', (t) => {
  const sizes = chooseSizes({ ...defaultSizes, names: 100 }, { backends: 7, flows: 9 }, { flows: 50 }, {});
  t.is(sizes.names, 100);
  t.is(sizes.backends, 7);
  t.is(sizes.flows, 50);
});

test('chooseSizes() doubles until the plan fits, also what was asked for', (t) => {
  const sizes = chooseSizes(
    defaultSizes,
    { frontends: 100 },
    { backends: 10 },
    { frontends: 101, backends: 41, names: 1 },
  );
  t.is(sizes.frontends, 200);
  t.is(sizes.backends, 80);
  t.is(sizes.names, defaultSizes.names);
});

test('grow() leaves what fits exactly, and stops at the largest map', (t) => {
  t.is(grow(16, 16), 16);
  t.is(grow(16, Number.MAX_SAFE_INTEGER), LARGEST_MAP);
});
