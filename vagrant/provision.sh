#!/bin/sh
# Makes a Debian 12 machine a node of a small cluster without kube-proxy. Each step may be run again.
#
#   provision.sh packages                             from Debian
#   provision.sh settings                             of the kernel
#   provision.sh pods CIDR4 CIDR6                     containerd, and a CNI with these addresses
#   provision.sh address ADDRESS4 ADDRESS6/LENGTH     the second one, to the device of the first
#   provision.sh route CIDR4 VIA4 CIDR6 VIA6          to the other node's pods
#   provision.sh kubernetes ADDRESS4 ADDRESS6         kubeadm and kubelet, with these node addresses
#   provision.sh image                                bpfsvc's, from the sources, into containerd
#   provision.sh control-plane ADDRESS4 ADDRESS6      begins the cluster, and gives it bpfsvc
#   provision.sh worker SERVER                        joins the one at this address
#
# SOURCES: the folder of bpfsvc's sources, by default the one above this script.
set -eu

KUBERNETES_MINOR=v1.36
POD_CIDRS=10.244.0.0/16,fd00:10:244::/56
SERVICE_CIDRS=10.96.0.0/16,fd00:10:96::/112
# for two machines that nobody else reaches
TOKEN=bpfsvc.0123456789abcdef

SOURCES=${SOURCES:-$(cd "$(dirname "$0")/.." && pwd)}
BUILD=/opt/bpfsvc
export DEBIAN_FRONTEND=noninteractive

install() {
	apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

packages() {
	apt-get update -qq
	install ca-certificates containerd containernetworking-plugins curl git iproute2 make procps rsync sudo
}

# What kubelet's preflight asks for, and what a router of pods needs. The CNI is ptp: no bridge, no br_netfilter.
settings() {
	cat >/etc/sysctl.d/90-pods.conf <<-'END'
		net.ipv4.ip_forward = 1
		net.ipv6.conf.all.forwarding = 1
	END
	sysctl -q -p /etc/sysctl.d/90-pods.conf
}

pods() {
	container_runtime
	pod_network "$1" "$2"
}

container_runtime() {
	mkdir -p /etc/containerd
	containerd config default | sed -e 's/SystemdCgroup = false/SystemdCgroup = true/' \
		-e 's|bin_dir = .*|bin_dir = "/usr/lib/cni"|' >/etc/containerd/config.toml
	systemctl enable -q containerd
	systemctl restart containerd
}

# One veth pair for each pod, a /32 and a /128 route to it, no masquerade: nodes route each other's pods.
pod_network() {
	mkdir -p /etc/cni/net.d
	cat >/etc/cni/net.d/10-pods.conflist <<-END
		{
		  "cniVersion": "0.4.0",
		  "name": "pods",
		  "plugins": [
		    {
		      "type": "ptp",
		      "ipam": {
		        "type": "host-local",
		        "ranges": [[{ "subnet": "$1" }], [{ "subnet": "$2" }]],
		        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
		      }
		    },
		    { "type": "portmap", "capabilities": { "portMappings": true } }
		  ]
		}
	END
}

address() {
	device=$(ip -o -4 address show to "$1" | awk '{ print $2; exit }')
	ip address replace "$2" dev "${device:?no device has $1}" nodad
}

route() {
	ip route replace "$1" via "$2"
	ip route replace "$3" via "$4"
}

kubernetes() {
	repository=https://pkgs.k8s.io/core:/stable:/$KUBERNETES_MINOR/deb
	keyring=/etc/apt/keyrings/kubernetes.asc
	mkdir -p /etc/apt/keyrings
	curl -fsSL "$repository/Release.key" -o "$keyring"
	echo "deb [signed-by=$keyring] $repository/ /" >/etc/apt/sources.list.d/kubernetes.list
	apt-get update -qq
	install kubeadm kubectl kubelet
	echo "KUBELET_EXTRA_ARGS=--node-ip=$1,$2" >/etc/default/kubelet
	swapoff -a
	sed -i '/\sswap\s/d' /etc/fstab
}

# In a copy: packages for this machine do not belong into a folder that others share.
image() {
	mkdir -p $BUILD
	rsync -a --delete --exclude /.git --exclude node_modules --exclude /build --exclude /bin --exclude /.cache \
		--exclude '*.node' "$SOURCES/" $BUILD/
	make -C $BUILD image
	import
}

# A container runtime that does not run yet takes no images.
import() {
	[ ! -S /run/containerd/containerd.sock ] || ctr -n k8s.io images import $BUILD/build/image/bpfsvc-"$(dpkg --print-architecture)".tar
}

control_plane() {
	export KUBECONFIG=/etc/kubernetes/admin.conf
	[ -e "$KUBECONFIG" ] || kubeadm init --skip-phases=addon/kube-proxy --token "$TOKEN" --token-ttl 0 \
		--apiserver-advertise-address "$1" --pod-network-cidr "$POD_CIDRS" --service-cidr "$SERVICE_CIDRS"
	install_bpfsvc "$1"
	install_for_people
}

# The API server by its real address: its ClusterIP is served by nobody before bpfsvc does.
install_bpfsvc() {
	overlay=$BUILD/build/cluster
	mkdir -p $overlay
	cat >$overlay/kustomization.yaml <<-END
		resources: [../../deploy/base]
		patches:
		  - target: { kind: ConfigMap, name: bpfsvc }
		    patch: |
		      - { op: add, path: /data/apiServerHost, value: "$1" }
		      - { op: add, path: /data/apiServerPort, value: "6443" }
	END
	kubectl apply -k $overlay
}

# kubectl for whoever logs in.
install_for_people() {
	install_config /root
	! id vagrant >/dev/null 2>&1 || install_config "$(getent passwd vagrant | cut -d: -f6)"
}

install_config() {
	mkdir -p "$1/.kube"
	cp /etc/kubernetes/admin.conf "$1/.kube/config"
	chown -R --reference="$1" "$1/.kube"
}

worker() {
	[ -e /etc/kubernetes/kubelet.conf ] ||
		kubeadm join "$1:6443" --token "$TOKEN" --discovery-token-unsafe-skip-ca-verification
}

step=${1:?which step}
shift
case $step in
	packages | settings | pods | address | route | kubernetes | image | worker) "$step" "$@" ;;
	control-plane) control_plane "$@" ;;
	*)
		echo "no step $step" >&2
		exit 2
		;;
esac
