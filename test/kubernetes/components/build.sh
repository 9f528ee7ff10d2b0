#!/bin/sh
# Kubernetes' components in one binary, from the Go module proxy, into .cache/kubernetes/HASH of what decides about them:
# some minutes on two CPUs, once. Prints the folder. What the compiler keeps (3 GB) is Go's own cache.
set -eu
cd "$(dirname "$0")"
hash=$(cat go.mod go.sum main.go build.sh | sha256sum | cut -c1-16)
cache=$(cd ../../.. && pwd)/.cache/kubernetes
bin=$cache/$hash
if [ ! -x "$bin/kube-apiserver" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/making.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
	minor=${version#v1.}
	flags="-s -w"
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
		flags="$flags -X $package.gitTreeState=clean -X $package.buildDate=2026-01-01T00:00:00Z"
	done
	echo "building Kubernetes $version" >&2
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$flags" -o "$work/components" . >&2
	for name in etcd kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
		ln -s components "$work/$name"
	done
	mv -T "$work" "$bin"
fi
echo "$bin"
