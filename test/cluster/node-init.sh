#!/bin/bash
# PID 1 of a node: its own mounts, then containerd and the kubelet; reaps what is orphaned, because it is bash.
# Wants DIR (of this node), NODE, ADDRESSES, KUBECONFIG, CGROUPS (v1 or v2), LIBRARIES and a PATH.
set -euo pipefail
hostname "$NODE"
if [ "$CGROUPS" = v2 ]; then
	# the root here is the node's own cgroup; one that holds processes may not hand controllers down
	mount -t sysfs sysfs /sys
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir -p /sys/fs/cgroup/init
	echo 0 >/sys/fs/cgroup/init/cgroup.procs
else
	mkdir -p "$DIR/cgroup"
	mount --rbind /sys/fs/cgroup "$DIR/cgroup"
	mount -t sysfs sysfs /sys
	mount --rbind "$DIR/cgroup" /sys/fs/cgroup
	umount -l "$DIR/cgroup"
fi
mount -t bpf bpf /sys/fs/bpf
# /var/lib and /var/log of its own, made aside first: the folder of this node may be below them
for top in lib log; do
	mkdir -p "$DIR/top"
	mount -t tmpfs -o mode=755 tmpfs "$DIR/top"
	case $top in lib) folders='kubelet containerd cni' ;; log) folders='pods containers' ;; esac
	for folder in $folders; do
		mkdir -p "$DIR/var/$top/$folder" "$DIR/top/$folder"
		mount --bind "$DIR/var/$top/$folder" "$DIR/top/$folder"
	done
	mount --move "$DIR/top" "/var/$top"
done
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
LD_LIBRARY_PATH=$LIBRARIES containerd --config "$DIR/containerd.toml" &>"$DIR/containerd.log" &
until [ -e "$DIR/has-images" ]; do sleep 0.1; done
kubelet --config "$DIR/kubelet.yaml" --kubeconfig "$KUBECONFIG" --hostname-override "$NODE" --node-ip "$ADDRESSES" \
	--cert-dir /var/lib/kubelet/pki --node-labels "topology.kubernetes.io/zone=zone-$NODE" &>"$DIR/kubelet.log" &
while :; do wait -n || true; sleep 1; done
