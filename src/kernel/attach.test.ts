import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { BpfLink, netnsCookie } from 'libbpf-ts';
import { makeSandbox } from '../../test/sandbox.ts';
import { attachHooks, detachAll } from './attach.ts';
import { classifyDevices, type Device, type Role } from './devices.ts';
import { detachFilters } from './filters.ts';
import type { Generation } from './generation.ts';
import { cgroupHooks, deviceHooks } from './hooks.ts';
import { loadGeneration } from './load.ts';
import { readNetwork } from './network.ts';
import { defaultSizes, encodeConfig, readObjects } from './objects.ts';
import { listLinkPins, makeDirectory, type PinDir, pinDir } from './pins.ts';

const box = makeSandbox();
const sizes = { ...defaultSizes, flows: 1024, half_open: 1024, socket_reverse: 1024, counters: 1024 };
let programs: Generation['programs'];

test.before(async () => {
  const dir = place('programs');
  const config = encodeConfig(netnsCookie());
  ({ programs } = await loadGeneration(dir, { objects: readObjects(), sizes, config }));
});
test.after.always(() => box.close());

function place(name: string): PinDir {
  const dir = pinDir(join(box.bpfFs, name));
  makeDirectory(dir.path);
  return dir;
}

async function device(name: string, role: Role): Promise<Device> {
  const { links } = await readNetwork();
  const ifindex = links.find((link) => link.name === name)?.ifindex;
  if (ifindex === undefined) throw new Error(`no device ${name}`);
  return { ifindex, name, role, hasLinkHeader: true, reason: '' };
}

function programAt(dir: PinDir, pin: string): number {
  using link = BpfLink.openPinned(join(dir.links, pin));
  return link.info().programId;
}

test.serial('attachHooks() attaches wires before pods and sockets, and ways back before ways there', async (t) => {
  const dir = place('order');
  box.addPod('order1');
  const devices = [await device('order1', 'pod'), { ...(await device('lo', 'wire')), name: 'wire' }];
  const { attached } = await attachHooks(dir, [...deviceHooks(devices), ...cgroupHooks(box.cgroup)], programs, 'tcx');
  t.deepEqual(attached.slice(0, 4), ['wire egress', 'wire ingress', 'order1 egress', 'order1 ingress']);
  t.deepEqual([attached[4], attached.at(-1)], [`sock_release of ${box.cgroup}`, `connect4 of ${box.cgroup}`]);
  t.is(attached.length, 15);
  t.is((await detachAll(dir)).length, 15);
  t.deepEqual(listLinkPins(dir), []);
});

test.serial('attachHooks() gives a device whose role changes its new program in place', async (t) => {
  const dir = place('role');
  box.addPod('role1');
  const pod = await device('role1', 'pod');
  const pin = `tcx-${pod.ifindex}-egress`;
  await attachHooks(dir, deviceHooks([pod]), programs, 'tcx');
  t.is(programAt(dir, pin), programs.to_pod.info.id);
  const { attached, repointed, detached } = await attachHooks(
    dir,
    deviceHooks([{ ...pod, role: 'wire' }]),
    programs,
    'tcx',
  );
  t.deepEqual(
    { attached, repointed, detached },
    {
      attached: [],
      repointed: ['role1 egress', 'role1 ingress'],
      detached: [],
    },
  );
  t.is(programAt(dir, pin), programs.to_wire.info.id);
});

test.serial('attachHooks() gives devices without a link header programs of their own', async (t) => {
  const dir = place('headless');
  box.ip('tuntap', 'add', 'dev', 'tunnel1', 'mode', 'tun');
  box.ip('link', 'add', 'vxlan1', 'type', 'vxlan', 'id', '1', 'dstport', '4789', 'remote', '192.0.2.2');
  for (const name of ['tunnel1', 'vxlan1']) box.ip('link', 'set', name, 'up');
  const all = classifyDevices(await readNetwork(), { nodeAddresses: [], overrides: new Map() });
  const [tunnel, vxlan] = ['tunnel1', 'vxlan1'].map((name) => all.find((device) => device.name === name));
  if (tunnel === undefined || vxlan === undefined) throw new Error('no such device');
  await attachHooks(dir, deviceHooks([tunnel, vxlan]), programs, 'tcx');
  const at = (device: Device, way: string) => programAt(dir, `tcx-${device.ifindex}-${way}`);
  t.deepEqual(
    [at(tunnel, 'ingress'), at(tunnel, 'egress'), at(vxlan, 'ingress'), at(vxlan, 'egress')],
    [programs.from_wire_l3, programs.to_wire_l3, programs.from_wire, programs.to_wire].map(({ info }) => info.id),
  );
  await detachAll(dir);
  for (const name of ['tunnel1', 'vxlan1']) box.ip('link', 'del', name);
});

test.serial('attachHooks() takes a device that is gone for no error, and removes its pins', async (t) => {
  const dir = place('gone');
  box.addPod('gone1');
  const pod = await device('gone1', 'pod');
  await attachHooks(dir, deviceHooks([pod]), programs, 'tcx');
  box.ip('link', 'del', 'gone1');
  const still = await attachHooks(dir, deviceHooks([pod]), programs, 'tcx');
  t.deepEqual(still, { attached: [], repointed: [], detached: [], failed: [], left: [] });
  t.deepEqual(listLinkPins(dir), []);
});

test.serial('attachHooks() tells what it detaches from a device that is gone and no longer asked for', async (t) => {
  const dir = place('left');
  box.addPod('left1');
  const pod = await device('left1', 'pod');
  await attachHooks(dir, deviceHooks([pod]), programs, 'tcx');
  box.ip('link', 'del', 'left1');
  const { detached } = await attachHooks(dir, [], programs, 'tcx');
  t.deepEqual(detached, [`tcx-${pod.ifindex}-egress`, `tcx-${pod.ifindex}-ingress`]);
});

test.serial('attachHooks() moves to another cgroup when that is asked for', async (t) => {
  const dir = place('cgroup');
  const [first, second] = ['first', 'second'].map((name) => join(box.cgroup, name));
  mkdirSync(first ?? '');
  mkdirSync(second ?? '');
  await attachHooks(dir, cgroupHooks(first ?? ''), programs, 'tcx');
  const { attached, detached } = await attachHooks(dir, cgroupHooks(second ?? ''), programs, 'tcx');
  t.is(attached.length, 11);
  t.is(detached.length, 11);
  t.deepEqual(await attachHooks(dir, cgroupHooks(second ?? ''), programs, 'tcx'), {
    attached: [],
    repointed: [],
    detached: [],
    failed: [],
    left: [],
  });
  await detachAll(dir);
});

test.serial('attachHooks() reports a hook that is refused and goes on with the others', async (t) => {
  const dir = place('refused');
  const lo = await device('lo', 'wire');
  const hooks = deviceHooks([lo]);
  const bad = { ...programs, to_wire: programs.connect4 };
  const { attached, failed } = await attachHooks(dir, [...hooks, ...cgroupHooks(box.cgroup)], bad, 'tcx');
  t.deepEqual(
    failed.map(({ where }) => where),
    ['lo egress'],
  );
  t.is(attached.length, 12);
  await detachAll(dir);
});

for (const mechanism of ['tcx', 'clsact'] as const) {
  test.serial(
    `attachHooks() gives wires XDP beside ${mechanism}: in place, taken off, gone with its device`,
    async (t) => {
      const dir = place(`xdp${mechanism}`);
      const name = `xdp${mechanism}`;
      box.addPod(name);
      const wire = await device(name, 'wire');
      const on = deviceHooks([wire], new Set([wire.ifindex]));
      const { attached } = await attachHooks(dir, on, programs, mechanism);
      t.deepEqual(attached.toSorted(), [`${name} egress`, `${name} ingress`, `${name} xdp`]);
      t.regex(box.ip('link', 'show', name), / xdp /);
      const other = await loadGeneration(place(`xdp${mechanism}2`), {
        objects: readObjects(),
        sizes,
        config: encodeConfig(netnsCookie()),
      });
      const swapped = await attachHooks(dir, on, other.programs, mechanism);
      t.deepEqual([swapped.attached, swapped.detached, swapped.repointed.includes(`${name} xdp`)], [[], [], true]);
      t.is(programAt(dir, `xdp-${wire.ifindex}`), other.programs.from_wire_xdp.info.id);
      const off = await attachHooks(dir, deviceHooks([wire]), other.programs, mechanism);
      t.deepEqual(off.detached, [`xdp-${wire.ifindex}`]);
      t.notRegex(box.ip('link', 'show', name), / xdp /);
      await attachHooks(dir, on, programs, mechanism);
      box.ip('link', 'del', name);
      await attachHooks(dir, [], programs, mechanism);
      t.deepEqual(listLinkPins(dir), []);
      other[Symbol.dispose]();
    },
  );
}

test.serial('attachHooks() leaves an XDP program of somebody else alone, and says so', async (t) => {
  const dir = place('taken');
  box.addPod('taken1');
  const wire = await device('taken1', 'wire');
  const hooks = deviceHooks([wire], new Set([wire.ifindex]));
  for (const mode of ['native', 'generic'] as const) {
    using theirs = await BpfLink.attach({ kind: 'xdp', ifindex: wire.ifindex, mode }, programs.from_wire_xdp);
    const { failed, left } = await attachHooks(dir, hooks, programs, 'tcx');
    t.deepEqual([failed, left], [[], [{ where: 'taken1 xdp', reason: 'somebody else has an XDP program there' }]]);
    t.is(theirs.info().ifindex, wire.ifindex);
    await theirs.detach();
  }
  t.deepEqual((await attachHooks(dir, hooks, programs, 'tcx')).attached, ['taken1 xdp']);
  await detachAll(dir);
});

test.serial('attachHooks() does without XDP where the driver has none', async (t) => {
  const dir = place('driver');
  box.ip('link', 'add', 'bridge9', 'type', 'bridge');
  const wire = await device('bridge9', 'wire');
  const { failed, left } = await attachHooks(dir, deviceHooks([wire], new Set([wire.ifindex])), programs, 'tcx');
  t.deepEqual([failed, left], [[], [{ where: 'bridge9 xdp', reason: 'the driver refuses it: EOPNOTSUPP' }]]);
  await detachAll(dir);
  box.ip('link', 'del', 'bridge9');
});

test.serial('attachHooks() uses clsact filters where told so: attached, replaced in place, detached', async (t) => {
  const dir = place('clsact');
  box.addPod('clsact1');
  const pod = await device('clsact1', 'pod');
  const hooks = [...deviceHooks([pod]), ...cgroupHooks(box.cgroup)];
  const first = await attachHooks(dir, hooks, programs, 'clsact');
  t.deepEqual(first.attached.slice(0, 2), ['clsact1 egress', 'clsact1 ingress']);
  t.is(listLinkPins(dir).length, 11);
  t.deepEqual(await attachHooks(dir, hooks, programs, 'clsact'), {
    attached: [],
    repointed: [],
    detached: [],
    failed: [],
    left: [],
  });
  const wire = await attachHooks(dir, deviceHooks([{ ...pod, role: 'wire' }]), programs, 'clsact');
  t.deepEqual(wire.repointed, ['clsact1 egress', 'clsact1 ingress']);
  t.regex(box.ip('-d', 'link', 'show', 'clsact1'), /clsact1/);
  t.deepEqual(await detachFilters(), ['clsact1 ingress', 'clsact1 egress']);
  t.deepEqual(await detachFilters(), []);
});
