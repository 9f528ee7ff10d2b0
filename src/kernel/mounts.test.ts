import test from 'ava';
import { bpfFsRoots, cgroupRoot, parseMounts } from './mounts.ts';

const hybrid = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
none /mnt/with\\040blank bpf rw 0 0
bpf /sys/fs/bpf bpf rw,mode=700 0 0
`;

test('cgroupRoot() finds version 2 beside version 1', (t) => {
  t.is(cgroupRoot(parseMounts(hybrid)), '/sys/fs/cgroup/unified');
});

test('cgroupRoot() is undefined where there is only version 1', (t) => {
  t.is(cgroupRoot(parseMounts('cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n')), undefined);
});

test('bpfFsRoots() gives the usual place first and reads escaped blanks', (t) => {
  t.deepEqual(bpfFsRoots(parseMounts(hybrid)), ['/sys/fs/bpf', '/mnt/with blank']);
});
