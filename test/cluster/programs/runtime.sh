#!/bin/sh
# A container runtime and what goes into the images, from the distribution's packages, unpacked into .cache/cluster/HASH and not
# installed: nothing of this machine changes. Prints the folder.
set -eu
cd "$(dirname "$0")"
hash=$(cat runtime.sh /etc/os-release | sha256sum | cut -c1-16)
cache=$(cd ../../.. && pwd)/.cache/cluster
out=$cache/runtime-$hash
if [ ! -d "$out" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/making.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$work/packages/partial" "$work/root"
	# with --reinstall those that are installed come too, and of what they need only what is missing
	fetch() {
		apt-get install --reinstall --download-only -y -qq --no-install-recommends -o Debug::NoLocking=1 \
			-o APT::Sandbox::User=root -o Dir::Cache::archives="$work/packages" \
			containerd runc containernetworking-plugins \
			busybox-static dash bash netcat-openbsd curl wget iproute2 bind9-dnsutils >"$work/log" 2>&1
	}
	echo "fetching containerd, runc and CNI plugins" >&2
	fetch || { apt-get update -qq >&2 && fetch; } || { cat "$work/log" >&2; exit 1; }
	for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
	mv -T "$work/root" "$out"
fi
echo "$out"
