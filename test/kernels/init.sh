#!/bin/sh
# The first process of a guest: makes a machine of it, runs the tests, and ends it.
export PATH=/project/node_modules/.bin:/usr/sbin:/usr/bin HOME=/root NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
modprobe -a veth br_netfilter vxlan 8021q nf_conntrack
export NODE_OPTIONS=--import=/project/test/kernels/stripped.mjs NODE_COMPILE_CACHE=/tmp/compile-cache
cd /project || exit
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 -opost
node test/kernels/guest.ts
echo b >/proc/sysrq-trigger
