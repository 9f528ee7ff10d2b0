#!/bin/sh
# A program that reads a cluster's configuration as kind itself does, from kind's own module, into .cache/kind/VERSION: its
# parser is internal, so that it is built within a copy. Prints its path.
set -eu
cd "$(dirname "$0")"
VERSION=v0.30.0
folder=$(cd ../../.. && pwd)/.cache/kind/$VERSION
if [ ! -x "$folder/kind-config" ]; then
	echo "building kind's parser" >&2
	rm -rf "$folder"
	mkdir -p "$folder"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	module=$(GOFLAGS=-mod=mod go mod download -json "sigs.k8s.io/kind@$VERSION" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
	cp -r "$module/." "$work"
	chmod -R u+w "$work"
	mkdir -p "$work/pkg/cluster/internal/kindconfig"
	cp config.go.txt "$work/pkg/cluster/internal/kindconfig/main.go"
	(cd "$work" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$folder/kind-config" ./pkg/cluster/internal/kindconfig) >&2
fi
echo "$folder/kind-config"
