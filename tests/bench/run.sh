#!/bin/sh
# sh tests/bench/run.sh [--install] [option...]   measures warren and the VPNs that are installed; --help says how
# sh tests/bench/run.sh --micro                   measures the parts alone: seal and open, look-up, handshake
#
# WARREN_BUILD names a build to measure instead of building the release here.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/packages.sh
. tests/packages.sh

peers="wireguard-go wireguard-tools nebula tinc n2n fastd openvpn openssl"
wants() {
	word=$1
	shift
	for argument in "$@"; do
		[ "$argument" != "$word" ] || return 0
	done
	return 1
}

# n2n's service, as Debian has it, would join a public network.
install_peers() {
	# shellcheck disable=SC2086 # one word a package
	missing=$(missing_of $peers)
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086
	install_without_services "$missing" $missing
}

if wants --help "$@" || wants -h "$@"; then
	exec python3 -B tests/bench/bench.py --help
fi
micro="bench_aead bench_table bench_handshake"
sets="build net" targets="warrend warrenctl bench_udp_rate bench_floor"
if wants --micro "$@"; then
	sets=build targets=$micro
fi
if [ -z "${WARREN_BUILD:-}" ]; then
	# shellcheck disable=SC2086 # one word a set
	sh tests/install.sh $sets
	echo "building"
	cmake --preset release >/dev/null
	# shellcheck disable=SC2086 # one word a target
	cmake --build --preset release -j "$(nproc)" --target $targets >/dev/null
	WARREN_BUILD=$PWD/build/release
fi
if wants --micro "$@"; then
	for program in $micro; do
		echo "== $program"
		"$WARREN_BUILD/tests/$program"
	done
	exit 0
fi
become_root || {
	echo "run.sh: run as root, or install sudo" >&2
	exit 77
}
if wants --install "$@"; then
	install_peers
fi
exec $sudo env WARREN_BUILD="$WARREN_BUILD" python3 -B tests/bench/bench.py "$@"
