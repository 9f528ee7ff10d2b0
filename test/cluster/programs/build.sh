#!/bin/sh
# What the nodes' images and the tests are made of, from the Go module proxy, into .cache/cluster/HASH of what decides about
# it: upstream's e2e.test and agnhost, ginkgo, CoreDNS. Some minutes on two CPUs, once. Prints the folder.
set -eu
cd "$(dirname "$0")"
components=../../kubernetes/components
hash=$(cat go.mod go.sum coredns.go build.sh $components/go.mod $components/go.sum | sha256sum | cut -c1-16)
cache=$(cd ../../.. && pwd)/.cache/cluster
out=$cache/$hash
if [ ! -x "$out/e2e.test" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/making.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	export CGO_ENABLED=0
	flags='-trimpath -buildvcs=false'
	echo "building CoreDNS and ginkgo" >&2
	go build $flags -ldflags '-s -w' -o "$work/coredns" ./coredns.go >&2
	go build $flags -ldflags '-s -w' -o "$work/ginkgo" github.com/onsi/ginkgo/v2/ginkgo >&2
	cd $components
	version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
	minor=${version#v1.}
	set -- -s -w
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		set -- "$@" -X "$package.gitVersion=$version" -X "$package.gitMajor=1" -X "$package.gitMinor=${minor%%.*}"
	done
	echo "building the tests of Kubernetes $version and their servers" >&2
	for image in agnhost regression-issue-74839; do
		go build $flags -ldflags "$*" -o "$work/$image" "k8s.io/kubernetes/test/images/$image" >&2
	done
	source=$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)
	cp "$source/build/pause/linux/pause.c" "$source"/test/images/agnhost/porter/localhost.* "$work"
	chmod u+w "$work"/*
	go test -c $flags -ldflags "$*" -o "$work/e2e.test" k8s.io/kubernetes/test/e2e >&2
	mv -T "$work" "$out"
fi
echo "$out"
