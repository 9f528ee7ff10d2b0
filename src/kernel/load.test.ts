import { join } from 'node:path';
import test from 'ava';
import { netnsCookie } from 'libbpf-ts';
import { makeSandbox } from '../../test/sandbox.ts';
import { config, type FlowHint, maps } from '../layout.gen.ts';
import { bootSeconds } from './clock.ts';
import type { Generation } from './generation.ts';
import { loadGeneration } from './load.ts';
import { defaultSizes, encodeConfig, readObjects } from './objects.ts';
import { listStatePins, makeDirectory, pinDir, removePin } from './pins.ts';

const box = makeSandbox();
test.after.always(() => box.close());

function hintOf({ state }: Generation, slot: number): FlowHint {
  const row = state.flow_hints.lookup(Buffer.from(maps.flow_hints.key.encode(slot), 'hex'));
  return maps.flow_hints.value.decode(Buffer.from(row ?? []).toString('hex'));
}

test('a generation whose map of hints is new, beside flows that are not, hints everywhere', async (t) => {
  const dir = pinDir(join(box.bpfFs, 'hints'));
  makeDirectory(dir.path);
  const recipe = {
    objects: readObjects(),
    sizes: { ...defaultSizes, flows: 1024 },
    config: encodeConfig(netnsCookie()),
  };
  using first = await loadGeneration(dir, recipe);
  t.deepEqual(hintOf(first, 5), { until: 0, halfOpenUntil: 0 }, 'from nothing there is none');
  for (const { name, path } of listStatePins(dir)) if (name === 'flow_hints') removePin(path);
  using second = await loadGeneration(dir, { ...recipe, sizes: { ...recipe.sizes, frontends: 32_768 } });
  const { tcpEstablishedSeconds } = config.decode(recipe.config);
  for (const slot of [0, 5, maps.flow_hints.maxEntries - 1]) {
    const { until, halfOpenUntil } = hintOf(second, slot);
    t.true(until > bootSeconds() + tcpEstablishedSeconds - 60, 'as long as a flow may be idle');
    t.is(halfOpenUntil, until);
  }
});
