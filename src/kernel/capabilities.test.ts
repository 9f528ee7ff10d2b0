import test from 'ava';
import { mayMount, missingCapabilities, requireCapabilities } from './capabilities.ts';
import { RefusedError } from './refused.ts';

const status = (effective: string) => `Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`;

for (const { effective, missing } of [
  { effective: '000001ffffffffff', missing: [] },
  { effective: '000000c000001000', missing: [] },
  { effective: '0000000000201000', missing: [] },
  { effective: '0000000000200000', missing: ['CAP_NET_ADMIN'] },
  { effective: '000000c000000000', missing: ['CAP_NET_ADMIN'] },
  { effective: '0000004000001000', missing: ['CAP_BPF'] },
  { effective: '0000008000001000', missing: ['CAP_PERFMON'] },
  { effective: '0000000000000000', missing: ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON'] },
]) {
  test(`requireCapabilities() of ${effective} misses ${missing.join(', ') || 'none'}`, (t) => {
    t.deepEqual(missingCapabilities(status(effective)), missing);
    if (missing.length === 0) return t.notThrows(() => requireCapabilities(status(effective)));
    const error = t.throws(() => requireCapabilities(status(effective)), { instanceOf: RefusedError });
    t.true(error?.message.includes(`, ${missing.join(' and ')} is missing: `), error?.message);
  });
}

test('mayMount() is a matter of CAP_SYS_ADMIN', (t) => {
  t.true(mayMount(status('0000000000200000')));
  t.false(mayMount(status('000000c000001000')));
});
