# What a person types here. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

MACHINE := $(shell uname -m)
BIN := $(CURDIR)/node_modules/.bin
NODE := $(BIN)/node
export PATH := $(BIN):$(PATH)

CLANG ?= clang
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -ffile-prefix-map=$(CURDIR)=. \
	-I/usr/include/$(MACHINE)-linux-gnu -I bpf
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,build/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
BPF_HEADERS := $(wildcard bpf/*.h)

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

##@ Run it

.PHONY: demo
demo: build ## Two nodes, real pods and servers, plain YAML: watch Services answer (under a minute)
	@$(SUDO) $(NODE) demo/run.ts

.PHONY: build
build: bin/bpfsvc build/js/main.js $(BPF_OBJECTS) native ## Compile the programs, the addon and the agent; leaves bin/bpfsvc

.PHONY: image
image: $(BPF_OBJECTS) build/.image-needs ## The container image, without Docker: build/image/bpfsvc-ARCH.tar (ARCH=amd64 or arm64; IMAGE=name:tag)
	@$(NODE) deploy/image/run.ts $(or $(ARCH),native) $(IMAGE)

.PHONY: cluster
cluster: build build/.cluster ## A real Kubernetes of two nodes on this machine, bpfsvc its only proxy, to play with (needs go; the first time minutes)
	@$(CLUSTER_PROGRAMS)
	@$(SUDO) env PATH="$$PATH" PROXY="$(PROXY)" $(NODE) test/cluster/main.ts up

.PHONY: cluster-down
cluster-down: | setup ## Takes it away
	@$(SUDO) $(NODE) test/cluster/main.ts down

##@ Check it

.PHONY: test
test: build ## Everything: lint, types, unit, kernel and packet tests, with one closing summary
	@$(SUDO) $(NODE) test/run.ts

.PHONY: test-unit
test-unit: build ## Only the pure code
	@$(NODE) test/run.ts unit

.PHONY: test-native
test-native: build ## Only the libbpf binding
	@$(SUDO) $(NODE) test/run.ts native

.PHONY: test-kernel
test-kernel: build ## Only maps, programs and generations, on this kernel
	@$(SUDO) $(NODE) test/run.ts kernel

.PHONY: test-netns
test-netns: build ## Only real packets between namespaces
	@$(SUDO) $(NODE) test/run.ts netns

.PHONY: test-kernels
test-kernels: build build/.emulator ## Boot Debian's kernels 6.1, 6.12, 6.18 and the newest, emulated, and test there (slow)
	@$(NODE) --disable-warning=ExperimentalWarning test/kernels/run.ts $(KERNELS)

.PHONY: test-dns
test-dns: build ## Cluster DNS with a real CoreDNS and Go's resolver too (needs go; the first time it builds for minutes)
	@test/dns/build.sh
	@$(SUDO) env COREDNS=$(CURDIR)/build/dns/coredns GO_RESOLVE=$(CURDIR)/build/dns/resolve PATH="$$PATH" \
		ava --timeout=120s test/netns/dns.test.ts

.PHONY: test-api
test-api: build ## The agent against a real kube-apiserver, etcd and controllers (needs go; the first time it builds for minutes)
	@bin=$$(test/kubernetes/components/build.sh) && \
		$(SUDO) env KUBERNETES_BIN="$$bin" PATH="$$PATH" ava --timeout=300s test/kubernetes/*.test.ts

.PHONY: test-cluster
test-cluster: build build/.cluster ## Real clusters: our tests, then upstream's e2e (PROXY=nftables: under kube-proxy, E2E="proxy dns": parts of it)
	@$(CLUSTER_PROGRAMS)
	@ours=0; [ -n "$(filter-out bpfsvc,$(PROXY))" ] || \
		$(SUDO) env PATH="$$PATH" ava --timeout=600s test/cluster/cluster.test.ts || ours=1; \
		$(SUDO) env PATH="$$PATH" PROXY="$(PROXY)" $(NODE) test/cluster/e2e.ts $(E2E) && exit $$ours

.PHONY: test-image
test-image: build image ## The image, made twice for each machine, and its container by runc, with each capability taken away once
	@$(SUDO) env PATH="$$PATH" CLANG=$(CLANG) ava --serial --timeout=600s test/deploy/image.test.ts test/deploy/container.test.ts

.PHONY: test-deploy
test-deploy: build ## Chart, base and RBAC against a real API server (needs go; the first time it builds for minutes)
	@bin=$$(test/kubernetes/components/build.sh) && helm=$$(test/deploy/helm/build.sh) && \
		$(SUDO) env KUBERNETES_BIN="$$bin" HELM="$$helm" PATH="$$PATH" ava --serial --timeout=300s test/deploy/chart.test.ts test/deploy/rbac.test.ts

.PHONY: test-alerts
test-alerts: ## Alert rules, played by promtool over made-up hours (needs go; the first time it builds for minutes)
	@promtool=$$(deploy/monitoring/promtool/build.sh) && cd deploy/monitoring && \
		"$$promtool" check rules --lint=all --lint-fatal alerts.yaml && "$$promtool" test rules alerts.test.yaml

.PHONY: test-vagrant
test-vagrant: ## What of vagrant/ runs without VMs: Ruby, kind's own parser, the node's steps in a Debian 12 (root, needs go and debootstrap; slow)
	@$(SUDO) test/vagrant/run.sh

.PHONY: test-install
test-install: build image build/.cluster ## The chart's DaemonSet as the only proxy of a real cluster, updated under load (needs go)
	@$(CLUSTER_PROGRAMS)
	@helm=$$(test/deploy/helm/build.sh) && \
		$(SUDO) env HELM="$$helm" PATH="$$PATH" ava --timeout=600s test/cluster/daemon-set.test.ts

.PHONY: lint
lint: setup ## Formatting, lint and types
	@$(NODE) test/run.ts lint

.PHONY: mutants
mutants: build ## Put in known faults, one at a time; each must turn a test red
	@$(SUDO) $(NODE) test/mutants/run.ts

.PHONY: fuzz
fuzz: build ## Random worlds and packets: the programs against a second reading of the rules (MINUTES=n, else 10; SEED=n)
	@$(SUDO) $(NODE) test/fuzz/run.ts --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: build ## Side by side with direct, iptables and nftables, as ratios (JSON=file keeps the figures)
	@$(SUDO) $(NODE) bench/run.ts $(if $(JSON),--json $(JSON))

.PHONY: bench-cluster
bench-cluster: build ## A real API server with 10,000 Services: bpfsvc beside kube-proxy (JSON=file; needs go, builds for minutes once)
	@bin=$$(test/kubernetes/components/build.sh) && \
		$(SUDO) env KUBERNETES_BIN="$$bin" PATH="$$PATH" $(NODE) bench/cluster/run.ts $(if $(JSON),--json $(JSON))

##@ Change it

.PHONY: gen
gen: $(BPF_OBJECTS) ## Regenerate src/layout.gen.ts from the BTF of the compiled programs
	@$(NODE) bpf/layout.ts $(BPF_OBJECTS) > build/layout.gen.ts
	@mv build/layout.gen.ts src/layout.gen.ts

.PHONY: manifests
manifests: setup ## Render deploy/base from the chart (needs go)
	@helm=$$(test/deploy/helm/build.sh) && HELM="$$helm" $(NODE) deploy/render.ts

.PHONY: format
format: setup ## Format everything in place
	@biome check --write .
	@clang-format -i bpf/*.c bpf/*.h

.PHONY: clean
clean: ## Remove what was built (not the installed packages)
	rm -rf build bin native/build

##@ What the above need

.PHONY: setup
setup: build/.packages node_modules/.package-lock.json ## Install Debian's packages and npm's, once

# COMMAND-or-FILE:PACKAGE. apt runs only if something is missing.
NEEDS := $(CLANG):clang llvm-strip:llvm clang-format:clang-format cc:gcc npm:npm ip:iproute2 nsenter:util-linux \
	openssl:openssl nft:nftables iptables:iptables tcpdump:tcpdump ethtool:ethtool ping:iputils-ping /usr/include/bpf/libbpf.h:libbpf-dev \
	/usr/include/linux/bpf.h:linux-libc-dev

CLUSTER_NEEDS := /usr/include/stdlib.h:libc6-dev curl:curl

# built by who types, not by root
CLUSTER_PROGRAMS := { test/cluster/programs/runtime.sh && test/kubernetes/components/build.sh && test/cluster/programs/build.sh; } >/dev/null

EMULATOR_NEEDS := qemu-system-$(MACHINE):qemu-system-x86 cpio:cpio /usr/sbin/depmod:kmod \
	/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring

IMAGE_NEEDS := $(CLANG):clang llvm-strip:llvm ld.lld:lld dpkg-deb:dpkg runc:runc qemu-aarch64-static:qemu-user-static \
	/usr/share/containers/seccomp.json:golang-github-containers-common \
	/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring

define install
	@mkdir -p build
	@missing=; for need in $(1); do thing=$${need%%:*}; \
		case $$thing in /*) [ -e $$thing ];; *) command -v $$thing >/dev/null;; esac || missing="$$missing $${need#*:}"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
		$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing >build/apt.log 2>&1 || { cat build/apt.log; exit 1; }; fi
endef

build/.packages: Makefile
	$(call install,$(NEEDS))
	@touch $@

build/.emulator: Makefile | build/.packages
	$(call install,$(EMULATOR_NEEDS))
	@touch $@

build/.image-needs: Makefile | build/.packages
	$(call install,$(IMAGE_NEEDS))
	@touch $@

build/.cluster: Makefile | build/.packages
	@command -v go >/dev/null || { echo "make cluster needs go (1.26 or newer): https://go.dev/dl"; exit 1; }
	$(call install,$(CLUSTER_NEEDS))
	@touch $@

node_modules/.package-lock.json: package-lock.json package.json native/package.json | build/.packages
	@# not `npm ci`: it insists on binaries for platforms that some registries do not carry
	@npm install --no-save --no-fund --no-audit --loglevel=error
	@# npm 9 drops the link together with the Node of the other architecture, which has one of that name
	@[ -e $(NODE) ] || (cd $(BIN) && ln -s ../node-linux-*/bin/node node)
	@touch $@

build/bpf/%.bpf.o: bpf/%.bpf.c $(BPF_HEADERS) Makefile | setup
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@
	@llvm-strip -g $@

.PHONY: native
native: | setup
	@$(MAKE) --no-print-directory -s -C native

# Node could run the sources as they are, but strips their types at each start, for 30 MB and 200 ms.
build/js/main.js: $(shell find src native -name '*.ts' ! -name '*.test.ts') package.json Makefile | setup
	@rm -rf $(@D) && mkdir -p $(@D)/build
	@esbuild src/main.ts src/kube/chunk-worker.ts libbpf-ts=native/index.ts --bundle --splitting --platform=node --format=esm --target=node24 \
		--packages=external --alias:libbpf-ts=./native/index.ts --entry-names=[name] --outdir=$(@D) --log-level=warning
	@ln -s ../../../native/build/libbpf-ts.node $(@D)/build/

bin/bpfsvc: Makefile | setup
	@mkdir -p bin
	@printf '%s\n' '#!/bin/sh' '# made by make build: the CLI, with the Node that the project brings; the settings spare memory' \
		'root=$$(dirname "$$(dirname "$$(readlink -f "$$0")")")' 'export MALLOC_ARENA_MAX=1' \
		'exec "$$root/node_modules/.bin/node" --max-semi-space-size=1 --optimize-for-size "$$root/build/js/main.js" "$$@"' > $@
	@chmod +x $@

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
