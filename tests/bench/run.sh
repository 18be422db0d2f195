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

# Installs the VPNs that are missing, and sees to it that none of their services starts, now or later: n2n's, as Debian
# has it, would join a public network.
install_peers() {
	missing=""
	for package in $peers; do
		state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || state=""
		[ "$state" = "install ok installed" ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	policy=/usr/sbin/policy-rc.d made_policy=""
	if [ ! -e $policy ]; then
		made_policy=yes
		trap '$sudo rm -f $policy' EXIT
		trap 'exit 130' INT TERM
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod 755 $policy
	fi
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
	# shellcheck disable=SC2086 # one word a package
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing >&2
	for service in $missing; do
		[ ! -e "/etc/init.d/$service" ] || $sudo update-rc.d "$service" disable || echo "$service: disable its service by hand" >&2
	done
	[ -z "$made_policy" ] || $sudo rm -f $policy
	trap - EXIT INT TERM
}

if wants --help "$@" || wants -h "$@"; then
	exec python3 -B tests/bench/bench.py --help
fi
if [ -z "${WARREN_BUILD:-}" ]; then
	sh tests/install.sh build net
	echo "building"
	cmake --preset release >/dev/null
	cmake --build --preset release -j "$(nproc)" --target warrend warrenctl bench_udp_rate bench_floor >/dev/null
	WARREN_BUILD=$PWD/build/release
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo"
if wants --install "$@"; then
	install_peers
fi
exec $sudo env WARREN_BUILD="$WARREN_BUILD" python3 -B tests/bench/bench.py "$@"
