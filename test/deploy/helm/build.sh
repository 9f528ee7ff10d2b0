#!/bin/sh
# helm, from the Go module proxy, into .cache/helm/HASH of what decides about it: some minutes on two CPUs, once. Prints its path.
set -eu
cd "$(dirname "$0")"
hash=$(cat go.mod go.sum build.sh | sha256sum | cut -c1-16)
cache=$(cd ../../.. && pwd)/.cache/helm
if [ ! -x "$cache/$hash/helm" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/making.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	echo "building helm $(go list -m -f '{{.Version}}' helm.sh/helm/v3)" >&2
	# which Kubernetes it takes itself to be for when it has no API server to ask
	chart=helm.sh/helm/v3/pkg/chartutil
	minor=$(go list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
	CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X $chart.k8sVersionMajor=1 -X $chart.k8sVersionMinor=$minor" -o "$work/helm" helm.sh/helm/v3/cmd/helm >&2
	mv -T "$work" "$cache/$hash"
fi
echo "$cache/$hash/helm"
