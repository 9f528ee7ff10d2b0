#!/bin/sh
# What of vagrant/ can be run without VMs and Docker: its Ruby and shell are read, the configuration for kind is by kind's own
# parser, and the steps that make a machine a node run in a Debian 12 of their own: packages and build on this machine's network, all
# that sets something in a network of its own. Not run: kubeadm (its packages are not Debian's) and what it begins.
set -eu
cd "$(dirname "$0")/../.."

suite=bookworm
mirror=http://deb.debian.org/debian
mkdir -p .cache/debian
base=.cache/debian/$suite.tar
if [ ! -e $base ]; then
	echo "fetching Debian $suite"
	debootstrap --variant=minbase --include=ca-certificates,ruby,shellcheck,systemd --make-tarball=$base.packages $suite "$(mktemp -d)" $mirror >.cache/debian/log
	mv $base.packages $base
fi

# not below this folder: whoever looks through it should not meet a whole system
root=$(mktemp -d)
chmod 755 "$root"
trap 'rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,ruby,shellcheck,systemd --unpack-tarball="$(pwd)/$base" $suite "$root" $mirror >.cache/debian/log
# what lives for minutes need not survive a loss of power
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
mkdir "$root/bpfsvc"
git ls-files -z --cached --others --exclude-standard | xargs -0 tar c | tar x -C "$root/bpfsvc"
# a network that reads along has a certificate of its own
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"

# Runs a command in the Debian, with what else unshare(1) shall take away.
inside() {
	flags=$1
	shift
	# shellcheck disable=SC2016,SC2086
	unshare --mount --pid --fork $flags sh -euc '
		root=$1; shift
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t sysfs -o ro sysfs "$root/sys"
		mount -t tmpfs tmpfs "$root/run"
		cp /etc/resolv.conf /etc/hosts "$root/etc/"
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
			SYSTEMD_OFFLINE=1 NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$@"' sh "$root" "$@"
}

step() {
	echo "  $*"
}

step shellcheck
inside --net shellcheck /bpfsvc/vagrant/provision.sh /bpfsvc/test/vagrant/run.sh /bpfsvc/test/vagrant/kind/build.sh /bpfsvc/deploy/monitoring/promtool/build.sh

step "the Vagrantfile: Ruby, and that each step exists"
inside --net ruby -wc /bpfsvc/vagrant/Vagrantfile
inside --net ruby /bpfsvc/test/vagrant/vagrantfile.rb /bpfsvc/vagrant/Vagrantfile >"$root/steps"
grep -q '^bpfsvc-2 once provision.sh worker 192.168.56.11$' "$root/steps"
while read -r machine when script name rest; do
	grep -q "^#   provision.sh $name " vagrant/provision.sh || { echo "$machine: $script $name $rest ($when): no such step" >&2; exit 1; }
done <"$root/steps"

step "the configuration for kind, by kind"
kind=$(test/vagrant/kind/build.sh)
[ "$("$kind" vagrant/kind.yaml)" = "bpfsvc dual none control-plane worker" ]

step "provision.sh packages"
inside "" /bpfsvc/vagrant/provision.sh packages
step "provision.sh image"
inside "" /bpfsvc/vagrant/provision.sh image

step "provision.sh settings, pods, address, route: twice, as after a reboot"
# shellcheck disable=SC2016
inside --net sh -euc '
	ip link add eth1 type veth peer name eth2 && ip link set eth2 up && ip link set eth1 up && ip address add 192.168.56.11/24 dev eth1
	for time in 1 2; do
		/bpfsvc/vagrant/provision.sh settings
		/bpfsvc/vagrant/provision.sh pods 10.244.1.0/24 fd00:10:244:1::/64
		/bpfsvc/vagrant/provision.sh address 192.168.56.11 fd00:56::11/64
		/bpfsvc/vagrant/provision.sh route 10.244.2.0/24 192.168.56.12 fd00:10:244:2::/64 fd00:56::12
	done
	[ "$(sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | xargs)" = "1 1" ]
	[ "$(ip -6 route get fd00:10:244:2::1 | grep -c "via fd00:56::12 dev eth1")" = 1 ]
	[ "$(ip route get 10.244.2.1 | grep -c "via 192.168.56.12 dev eth1")" = 1 ]
	/opt/bpfsvc/bin/bpfsvc version'

step "the CNI gives a pod its addresses and routes"
# shellcheck disable=SC2016
inside --net sh -euc '
	unshare --net sleep 60 & pod=$!
	sleep 1
	plugin=$(ruby -rjson -e "c = JSON.parse(File.read(%q(/etc/cni/net.d/10-pods.conflist))); puts JSON.dump(c[%q(plugins)][0].merge(%q(name) => c[%q(name)], %q(cniVersion) => c[%q(cniVersion)]))")
	export CNI_COMMAND=ADD CNI_CONTAINERID=pod CNI_NETNS=/proc/$pod/ns/net CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni
	ip link set lo up
	echo "$plugin" | /usr/lib/cni/ptp >/tmp/result.json
	ip route | grep -q "^10.244.1.2 dev veth"
	ip -6 route | grep -q "^fd00:10:244:1::2 dev veth"
	kill $pod'
echo "vagrant/: all that can be run here did"
