import test from 'ava';
import { enterNewNetns, loadFixture, makeVeth, refusalOf, run } from './fixtures/playground.ts';
import { type BpfObject, type BpfProgram, clsactAttach, clsactDetach, clsactQuery, type Filter } from './index.ts';

const netns = enterNewNetns();
let object: BpfObject;
let programs: Record<'count_packet' | 'pass_packet' | 'count_frame', BpfProgram>;

test.before(async () => {
  object = await loadFixture('packet');
  programs = object.programs as typeof programs;
});
test.after.always(() => netns[Symbol.dispose]());

const slot = { handle: 0xb5, priority: 49 };

for (const direction of ['ingress', 'egress'] as const)
  test.serial(`a filter at ${direction} is attached, found, replaced in place and detached`, async (t) => {
    const { ifindex, name } = await makeVeth();
    const filter: Filter = { ifindex, direction, ...slot };
    t.is(await clsactQuery(filter), undefined);
    t.false(await clsactDetach(filter));

    await clsactAttach(filter, programs.count_packet, 'first');
    t.deepEqual(await clsactQuery(filter), { programId: programs.count_packet.info.id, name: 'first' });
    await clsactAttach(filter, programs.pass_packet, 'second');
    t.deepEqual(await clsactQuery(filter), { programId: programs.pass_packet.info.id, name: 'second' });

    const shown = run('tc', 'filter', 'show', 'dev', name, direction);
    t.is(shown.match(/handle/g)?.length, 1);
    t.regex(shown, /pref 49 bpf .*handle 0xb5 second direct-action/);
    t.is(run('tc', 'filter', 'show', 'dev', name, direction === 'ingress' ? 'egress' : 'ingress'), '');

    t.true(await clsactDetach(filter));
    t.false(await clsactDetach(filter));
    t.is(await clsactQuery(filter), undefined);
  });

test.serial('a filter in another slot is not ours', async (t) => {
  const { ifindex } = await makeVeth();
  const filter: Filter = { ifindex, direction: 'egress', ...slot };
  await clsactAttach(filter, programs.count_packet, 'mine');
  for (const other of [
    { ...filter, handle: 1 },
    { ...filter, priority: 50 },
    { ...filter, direction: 'ingress' as const },
  ]) {
    t.is(await clsactQuery(other), undefined);
    t.false(await clsactDetach(other));
  }
  t.is((await clsactQuery(filter))?.name, 'mine');
});

test.serial('a qdisc that is there already is used', async (t) => {
  const { ifindex, name } = await makeVeth();
  run('tc', 'qdisc', 'add', 'dev', name, 'clsact');
  await clsactAttach({ ifindex, direction: 'egress', ...slot }, programs.count_packet, 'mine');
  t.is((await clsactQuery({ ifindex, direction: 'egress', ...slot }))?.name, 'mine');
});

test.serial('the filter holds the program when that is closed', async (t) => {
  const { ifindex } = await makeVeth();
  const filter: Filter = { ifindex, direction: 'egress', ...slot };
  const other = await loadFixture('packet', { programs: ['pass_packet'] });
  const { id } = (other.programs.pass_packet as BpfProgram).info;
  await clsactAttach(filter, other.programs.pass_packet as BpfProgram, 'held');
  other.close();
  t.deepEqual(await clsactQuery(filter), { programId: id, name: 'held' });
});

test.serial('a device that is gone has no filter, and takes none', async (t) => {
  const filter: Filter = { ifindex: 999_999, direction: 'ingress', ...slot };
  t.is(await clsactQuery(filter), undefined);
  t.false(await clsactDetach(filter));
  const { code, call, object } = await refusalOf(clsactAttach(filter, programs.count_packet, 'x'));
  t.deepEqual(
    { code, call, object },
    { code: 'ENODEV', call: 'clsact_attach', object: 'device 999999 clsact ingress' },
  );
});

test.serial('a program of another type is refused in the words of the kernel', async (t) => {
  const { ifindex, name } = await makeVeth();
  const filter: Filter = { ifindex, direction: 'ingress', ...slot };
  const { code, object } = await refusalOf(clsactAttach(filter, programs.count_frame, 'x'));
  t.deepEqual({ code, object }, { code: 'EINVAL', object: `device ${name} clsact ingress` });
});

test.serial('a slot without handle or with a priority out of range is refused', async (t) => {
  const filter: Filter = { ifindex: 1, direction: 'ingress', ...slot };
  for (const wrong of [{ handle: 0 }, { priority: 0 }, { priority: 65536 }])
    t.is((await refusalOf(clsactQuery({ ...filter, ...wrong }))).code, 'EINVAL');
});
