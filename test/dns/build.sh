#!/bin/sh
# CoreDNS and a client with Go's resolver, into build/dns: from the Go module proxy, once. A few minutes on two CPUs.
set -eu
cd "$(dirname "$0")/../.."
version=v1.14.7
[ -e build/dns/coredns-$version ] && [ -e build/dns/resolve ] && exit 0
for program in coredns resolve; do
	mkdir -p build/dns/$program.src
	cp test/dns/$program.go build/dns/$program.src/main.go
	(
		cd build/dns/$program.src
		[ -e go.mod ] || go mod init $program
		[ $program = resolve ] || go get github.com/coredns/coredns@$version
		go mod tidy
		CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../$program .
	) >build/dns/$program.log 2>&1 || { cat build/dns/$program.log; exit 1; }
done
mv build/dns/coredns build/dns/coredns-$version
ln -sf coredns-$version build/dns/coredns
