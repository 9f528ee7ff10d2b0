import { existsSync, mkdirSync, readdirSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { netnsCookie } from 'libbpf-ts';
import { makeSandbox } from '../../test/sandbox.ts';
import { attachHooks } from './attach.ts';
import type { Device } from './devices.ts';
import { deviceHooks } from './hooks.ts';
import { loadGeneration } from './load.ts';
import { readNetwork } from './network.ts';
import { defaultSizes, encodeConfig, readObjects } from './objects.ts';
import { makeDirectory, pinDir } from './pins.ts';
import { RefusedError } from './refused.ts';
import { unload } from './unload.ts';

const box = makeSandbox();
test.after.always(() => box.close());

test('unload() touches nothing that is not on a BPF filesystem, and no directory that others use', async (t) => {
  const path = join(box.directory, 'somebody');
  mkdirSync(join(path, 'links'), { recursive: true });
  symlinkSync('release-7', join(path, 'current'));
  writeFileSync(join(path, 'links', 'theirs'), '');
  await t.throwsAsync(unload(path), { instanceOf: RefusedError, message: /is not on a BPF filesystem/ });
  await t.throwsAsync(unload(join(path, 'links', 'theirs')), { instanceOf: RefusedError });
  t.deepEqual([readdirSync(path), readdirSync(join(path, 'links'))], [['current', 'links'], ['theirs']]);
  mkdirSync(join(box.bpfFs, 'theirs'));
  await unload(box.bpfFs);
  t.true(existsSync(join(box.bpfFs, 'theirs')));
  rmdirSync(join(box.bpfFs, 'theirs'));
});

test('unload() tells devices by their names, and one that is gone by its pin', async (t) => {
  const dir = pinDir(join(box.bpfFs, 'named'));
  box.addPod('named1');
  box.addPod('gone1');
  const { links } = await readNetwork();
  const devices = ['named1', 'gone1'].map((name): Device => {
    const ifindex = links.find((link) => link.name === name)?.ifindex ?? 0;
    return { ifindex, name, role: 'pod', hasLinkHeader: true, reason: '' };
  });
  const wire = devices.map((device): Device => ({ ...device, role: 'wire' }));
  const config = encodeConfig(netnsCookie());
  const sizes = { ...defaultSizes, flows: 1024, half_open: 1024, socket_reverse: 1024, counters: 1024 };
  makeDirectory(dir.path);
  const { programs } = await loadGeneration(dir, { objects: readObjects(), sizes, config });
  await attachHooks(dir, deviceHooks(wire, new Set(devices.map(({ ifindex }) => ifindex))), programs, 'tcx');
  box.ip('link', 'del', 'gone1');
  const gone = devices[1]?.ifindex;
  t.deepEqual((await unload(dir.path)).links.sort(), [
    'named1 egress',
    'named1 ingress',
    'named1 xdp',
    `tcx-${gone}-egress`,
    `tcx-${gone}-ingress`,
    `xdp-${gone}`,
  ]);
});
