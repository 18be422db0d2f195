#!/bin/sh
# sh tests/demo.sh   two peers behind NATs of their own find each other, in network namespaces of this machine
set -eu

usage() {
	cat <<'END'
usage: sh tests/demo.sh [--nat KIND] [--keep]

Builds warren, puts a coordinator and two peers, each behind a NAT of its own, into network namespaces, pings from
one peer to the other, and shows how the path goes from the relay to a direct one. Ends with PASS (0) or FAIL (1).

  --nat KIND  the NAT in front of both peers: port (the default: masquerade), fullcone, symmetric, udpblocked, ...
              (python3 tests/net/natlab kinds lists them). Behind symmetric NATs the pair stays relayed: that is a PASS too.
  --keep      leaves everything running, and says how to enter each host and how to end it
END
}

nat=port keep=""
while [ $# -gt 0 ]; do
	case $1 in
	--nat)
		[ $# -gt 1 ] || {
			usage >&2
			exit 64
		}
		nat=$2
		shift
		;;
	--nat=*) nat=${1#--nat=} ;;
	--keep) keep=yes ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 64
		;;
	esac
	shift
done
case $nat in
sym* | udp* | tcp* | only*) expected=relay ;;
*) expected=direct ;;
esac

cd "$(dirname "$0")/.."
if [ -z "${WARREN_DEMO_BUILT:-}" ]; then
	sh tests/install.sh build net
	echo "building"
	cmake --preset release >/dev/null
	cmake --build --preset release -j "$(nproc)" --target warrend warrenctl >/dev/null
fi
if [ "$(id -u)" -ne 0 ]; then
	exec sudo WARREN_DEMO_BUILT=yes sh tests/demo.sh --nat "$nat" ${keep:+--keep}
fi

PATH=$PATH:/usr/sbin:/sbin
bin=$PWD/build/release
natlab=$PWD/tests/net/natlab
dir=$(mktemp -d /tmp/warren-demo.XXXXXX)
NL_ID="" result=FAIL

finish() {
	trap '' INT TERM
	if [ "$result" = FAIL ]; then
		for log in "$dir"/*.log; do
			[ -s "$log" ] && tail -n 15 "$log" | sed "s@^@  $(basename "$log" .log): @"
		done
	fi
	if [ -n "$keep" ] && [ -n "$NL_ID" ]; then
		cat <<END

Left running. To enter a host and to look around from there:
  coordinator  ip netns exec $NS_COORD sh    warrenctl: $bin/warrenctl -s $dir/coord.sock
  alice        ip netns exec $NS_A1 sh       warrenctl: $bin/warrenctl -s $dir/alice.sock
  bob          ip netns exec $NS_B1 sh       warrenctl: $bin/warrenctl -s $dir/bob.sock
Logs and configurations are in $dir. To end it:
  python3 $natlab down $NL_ID; rm -r $dir
END
	else
		[ -z "$NL_ID" ] || python3 -B "$natlab" down "$NL_ID" || true
		rm -rf "$dir"
	fi
	echo "$result"
	[ "$result" = PASS ] || exit 1
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ctl() {
	host=$1
	shift
	"$bin/warrenctl" -s "$dir/$host.sock" "$@"
}

# Puts a node's key and configuration into $dir; the body of the configuration comes from stdin.
node() {
	mkdir -m 0700 "$dir/$1.state"
	(
		umask 077
		cat - >"$dir/$1.conf" <<END
role = $2
name = "$1"
private_key_file = "$dir/$1.key"
control_socket = "$dir/$1.sock"
state_dir = "$dir/$1.state"
$(cat)
END
	)
}

key() {
	(
		umask 077
		"$bin/warrenctl" key gen >"$dir/$1.key"
	)
	"$bin/warrenctl" key pub <"$dir/$1.key"
}

start() {
	ip netns exec "$2" "$bin/warrend" --user root -c "$dir/$1.conf" >"$dir/$1.log" 2>&1 &
}

# Tries a command every tenth of a second until it succeeds; fails after so many seconds.
within() {
	tries=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

registered() {
	ctl coord status --json | grep -q "\"registrations\": *$1\\b"
}

# What alice says of her path to bob: "kind transport remote", nothing if there is none.
path() {
	ctl alice peers --json | tr -d '\n' | sed -n 's/.*"path": *{\([^}]*\)}.*/\1/p' | awk '
		function value(key) {
			return match($0, "\"" key "\": *\"[^\"]*\"") ? substr($0, RSTART, RLENGTH) : ""
		}
		{
			text = value("kind") " " value("transport") " " value("remote")
			gsub(/"[a-z]+": */, "", text)
			gsub(/"/, "", text)
			print text
		}'
}

echo "namespaces: a coordinator; alice and bob, each behind a NAT of kind $nat, 20 ms from everything"
variables=$(python3 -B "$natlab" up --site "a=$nat,delay=10" --site "b=$nat,delay=10")
eval "$variables"

coord=$(key coord) alice=$(key alice) bob=$(key bob)
node coord coordinator <<END
listen { address = "::"  port = 27700  alternate_port = 27701  tcp_ports = {27700, 443} }
network { name = "home"  prefix = "10.77.0.0/16" }
relay { enabled = true }
member "alice" { public_key = "$alice"  address = "10.77.0.2" }
member "bob" { public_key = "$bob"  address = "10.77.0.3" }
END
for name in alice bob; do
	node $name peer <<END
tun { name = "warren0" }
coordinator "c1" { endpoint = "$IP_COORD:27700"  public_key = "$coord" }
END
done

start coord "$NS_COORD"
within 5 ctl coord version
start alice "$NS_A1"
start bob "$NS_B1"
within 10 registered 2 || {
	echo "alice and bob did not register"
	exit 1
}
echo "registered: alice 10.77.0.2 (public address $PUB_A), bob 10.77.0.3 ($PUB_B)"

ip netns exec "$NS_A1" ping -n -i 0.2 -c 40 10.77.0.3 >"$dir/ping.out" 2>&1 &
ping=$!
last="" direct="" rounds=0
while [ $rounds -lt 80 ]; do
	now=$(path || true)
	if [ -n "$now" ] && [ "$now" != "$last" ]; then
		echo "alice to bob: ${last:-no path} -> $now"
		last=$now
	fi
	case $now in
	direct*)
		direct=yes
		[ $expected = relay ] || break
		;;
	esac
	rounds=$((rounds + 1))
	sleep 0.05
done
sleep 1
kill -INT $ping 2>/dev/null || true
wait $ping || true
grep -m 3 'time=' "$dir/ping.out" || true
tail -n 3 "$dir/ping.out" | sed '/^$/d'
relayed=$(ctl coord status --json | sed -n 's/.*"relay_forwarded_datagrams": *\([0-9]*\).*/\1/p')
echo "datagrams through the relay: ${relayed:-unknown}"

echo
ctl alice peers
if [ $expected = relay ]; then
	echo
	ctl alice why bob || [ $? -eq 2 ]
fi
echo

grep -q 'time=' "$dir/ping.out" || exit 1
[ "${relayed:-0}" -gt 0 ] || exit 1
case $expected:$last in
direct:direct*) [ -n "$direct" ] || exit 1 ;;
relay:relay*) ;;
*) exit 1 ;;
esac
result=PASS
