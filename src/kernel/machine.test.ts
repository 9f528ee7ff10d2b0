import test from 'ava';
import { requireKernel, requirePermission } from './machine.ts';
import { features } from './probes.ts';
import { UnsupportedError } from './refused.ts';

test('requireKernel() accepts this kernel, and this process has permission', async (t) => {
  requirePermission();
  await t.notThrowsAsync(requireKernel());
});

for (const [major, minor] of [
  [5, 19],
  [6, 0],
] as const) {
  test(`requireKernel() refuses Linux ${major}.${minor} and names what is missing and since when it is there`, async (t) => {
    const release = { major, minor, text: `${major}.${minor}.0-test` };
    const error = await t.throwsAsync(requireKernel(release), { instanceOf: UnsupportedError });
    t.is(error?.minimumKernel, '6.1');
    t.regex(error?.message ?? '', /Linux 6\.1 or newer\), and this kernel is .*-test: boot a newer one$/);
  });
}

for (const { name, isThere } of features) {
  test(`features: this kernel has ${name}`, async (t) => {
    t.is(await isThere(), true);
  });
}
