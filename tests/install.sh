#!/bin/sh
# sh tests/install.sh [SET...]   installs the Debian packages of the sets that are missing, as root or through sudo
#
#   build   compiler, CMake and the libraries of both programs: what is installed if no set is named
#   net     namespaces, NAT and what is run inside them
#   check   clang with its sanitizers, cmocka, and the checkers of style
set -eu

build="gcc libc6-dev make cmake pkg-config libuv1-dev libsodium-dev liblz4-dev libconfuse-dev libjansson-dev
	libmnl-dev libsqlite3-dev uthash-dev libminiupnpc-dev"
[ "$(dpkg --print-architecture)" != amd64 ] || build="$build libipsec-mb-dev"
net="python3 iproute2 nftables conntrack procps iputils-ping tcpdump iperf3 util-linux
	miniupnpd-nftables tinyproxy-bin"
check="clang libclang-rt-14-dev llvm libcmocka-dev clang-format shellcheck mandoc git"

[ $# -gt 0 ] || set build
wanted=""
for set in "$@"; do
	case $set in
	build) wanted="$wanted $build" ;;
	net) wanted="$wanted $net" ;;
	check) wanted="$wanted $check" ;;
	*)
		echo "install.sh: no such set: $set (build, net or check)" >&2
		exit 64
		;;
	esac
done

missing=""
for package in $wanted; do
	state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || state=""
	[ "$state" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "install.sh: missing:$missing; run as root, or install sudo" >&2
		exit 77
	}
	sudo="sudo"
fi
echo "installing:$missing" >&2
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
# shellcheck disable=SC2086 # one word a package
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing >&2
