#!/bin/sh
# sh tests/install.sh [SET...]   installs the Debian packages of the sets that are missing, as root or through sudo
#
#   build   compiler, CMake and the libraries of both programs: what is installed if no set is named
#   net     namespaces, NAT and what is run inside them
#   package what makes the Debian package, looks at it and tries it
#   check   clang with its sanitizers, cmocka, and the checkers of style
#   arm64   the cross compiler, the libraries of "build" for it, and qemu-user
set -eu
# shellcheck source=tests/packages.sh
. "$(dirname "$0")/packages.sh"

build="gcc libc6-dev make cmake pkg-config libuv1-dev libsodium-dev liblz4-dev libconfuse-dev libjansson-dev
	libmnl-dev libsqlite3-dev uthash-dev libminiupnpc-dev libqrencode-dev systemtap-sdt-dev"
[ "$(dpkg --print-architecture)" != amd64 ] || build="$build libipsec-mb-dev"
net="python3 iproute2 nftables conntrack procps iputils-ping tcpdump iperf3 util-linux
	miniupnpd-nftables tinyproxy-bin coturn stun-client python3-jsonschema python3-prometheus-client"
package="dpkg-dev file lintian systemd"
check="clang libclang-rt-14-dev llvm libcmocka-dev clang-format shellcheck mandoc git"
arm64="gcc-aarch64-linux-gnu qemu-user-static libc6-dev:arm64 libcmocka-dev:arm64"
for library in $build; do
	case $library in
	libc6-dev | libipsec-mb-dev) ;;
	lib*-dev) arm64="$arm64 $library:arm64" ;;
	esac
done

[ $# -gt 0 ] || set build
wanted=""
for set in "$@"; do
	case $set in
	build) wanted="$wanted $build" ;;
	net) wanted="$wanted $net" ;;
	check) wanted="$wanted $check" ;;
	package) wanted="$wanted $package" ;;
	arm64) wanted="$wanted $arm64" ;;
	*)
		echo "install.sh: no such set: $set (build, net, package, check or arm64)" >&2
		exit 64
		;;
	esac
done

# shellcheck disable=SC2086 # one word a package
missing=$(missing_of $wanted)
[ -n "$missing" ] || exit 0
become_root || {
	echo "install.sh: missing:$missing; run as root, or install sudo" >&2
	exit 77
}
echo "installing:$missing" >&2
case $missing in
*:arm64*) $sudo dpkg --add-architecture arm64 ;;
esac
services=""
for package in $missing; do
	case $package in
	coturn) services="$services coturn" ;;
	miniupnpd-nftables) services="$services miniupnpd" ;;
	esac
done
# shellcheck disable=SC2086
install_without_services "$services" $missing
