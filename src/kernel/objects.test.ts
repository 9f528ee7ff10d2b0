import test from 'ava';
import { config } from '../layout.gen.ts';
import { encodeConfig, type Settings } from './objects.ts';

for (const [settings, mark] of [
  [{}, 0],
  [{ masqueradeBit: 5 }, 0],
  [{ masqueradeAll: true }, 0x4000],
  [{ masqueradeAll: true, masqueradeBit: 0 }, 1],
  [{ masqueradeAll: true, masqueradeBit: 31 }, 0x8000_0000],
] as const satisfies readonly [Partial<Settings>, number][]) {
  test(`encodeConfig() ${JSON.stringify(settings)} marks packets with ${mark.toString(16)}`, (t) => {
    t.is(config.decode(encodeConfig(1n, settings)).masqueradeMark, mark);
  });
}
