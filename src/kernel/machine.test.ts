import test from 'ava';
import { missingCapabilities, requireKernel, requirePermission } from './machine.ts';
import { features } from './probes.ts';
import { RefusedError, UnsupportedError } from './refused.ts';

test('requireKernel() accepts this kernel, and this process has permission', async (t) => {
  requirePermission();
  await t.notThrowsAsync(requireKernel());
});

const status = (effective: string) => `Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`;

for (const { effective, missing } of [
  { effective: '000001ffffffffff', missing: [] },
  { effective: '000000c000001000', missing: [] },
  { effective: '0000000000201000', missing: [] },
  { effective: '000000c000000000', missing: ['CAP_NET_ADMIN'] },
  { effective: '0000004000001000', missing: ['CAP_BPF'] },
  { effective: '0000008000001000', missing: ['CAP_PERFMON'] },
  { effective: '0000000000000000', missing: ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON'] },
]) {
  test(`requirePermission() with the capabilities ${effective} misses ${missing.join(', ') || 'none'}`, (t) => {
    t.deepEqual(missingCapabilities(status(effective)), missing);
    if (missing.length === 0) return t.notThrows(() => requirePermission(status(effective)));
    const error = t.throws(() => requirePermission(status(effective)), { instanceOf: RefusedError });
    t.true(error?.message.includes(`, ${missing.join(' and ')} is missing: `), error?.message);
  });
}

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
