#!/bin/sh
# sh tests/bench/run.sh [--install] [option...]   measures warren and the VPNs that are installed; --help says how
#
# WARREN_BUILD names a build to measure instead of building the release here.
set -eu
cd "$(dirname "$0")/../.."

peers="wireguard-go wireguard-tools nebula tinc n2n fastd openvpn openssl"
wants() {
	word=$1
	shift
	for argument in "$@"; do
		[ "$argument" != "$word" ] || return 0
	done
	return 1
}

if wants --help "$@" || wants -h "$@"; then
	exec python3 -B tests/bench/bench.py --help
fi
if [ -z "${WARREN_BUILD:-}" ]; then
	sh tests/install.sh build net
	echo "building"
	cmake --preset release >/dev/null
	cmake --build --preset release -j "$(nproc)" >/dev/null
	WARREN_BUILD=$PWD/build/release
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo"
if wants --install "$@"; then
	# As Debian has them their services have no network to serve; what is measured is started here, in namespaces.
	# shellcheck disable=SC2086 # one word a package
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $peers >&2
fi
exec $sudo env WARREN_BUILD="$WARREN_BUILD" python3 -B tests/bench/bench.py "$@"
