import test from 'ava';
import { bpfFsRoots, cgroupRoot, parseMounts } from './mounts.ts';

const hybrid = `30 23 0:26 / /sys/fs/cgroup ro,nosuid shared:8 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu
32 30 0:28 / /sys/fs/cgroup/unified rw shared:10 master:3 - cgroup2 cgroup2 rw
33 23 0:29 / /mnt/with\\040blank rw - bpf none rw
34 23 0:30 / /sys/fs/bpf rw - bpf bpf rw,mode=700
`;

test('cgroupRoot() finds version 2 beside version 1', (t) => {
  t.is(cgroupRoot(parseMounts(hybrid)), '/sys/fs/cgroup/unified');
});

test('cgroupRoot() is undefined where there is only version 1', (t) => {
  t.is(cgroupRoot(parseMounts('31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n')), undefined);
});

const own = (root: string) => `41 30 0:28 ${root} /sys/fs/cgroup ro - cgroup2 cgroup rw\n`;
const given = (root: string) => `40 30 0:28 ${root} /host/cgroup ro - cgroup2 cgroup2 rw\n`;

test("cgroupRoot() prefers its node's hierarchy to a container's own part of it", (t) => {
  t.is(cgroupRoot(parseMounts(own('/') + given('/../../..'))), '/host/cgroup');
  t.is(cgroupRoot(parseMounts(own('/kubepods/pod1/c1') + given('/'))), '/host/cgroup');
  t.is(cgroupRoot(parseMounts(own('/'))), '/sys/fs/cgroup');
});

test('bpfFsRoots() gives the usual place first and reads escaped blanks', (t) => {
  t.deepEqual(bpfFsRoots(parseMounts(hybrid)), ['/sys/fs/bpf', '/mnt/with blank']);
});
