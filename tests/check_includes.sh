#!/bin/sh
# No source reaches upwards: see check_includes.py. First, that the check sees a fault when there is one.
set -eu
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/daemon/wire" "$work/daemon/net"
: >"$work/daemon/net/udp.h"
printf '#include <uv.h>\n#include "daemon/net/udp.h"\n' >"$work/daemon/wire/up.c"
if python3 "$root/tests/check_includes.py" "$work" >"$work/out"; then
	echo "check_includes.py passes an include that points up"
	exit 1
fi
grep -q '1: daemon/wire/ may not use libuv' "$work/out"
grep -q '2: daemon/wire/ may not include daemon/net/' "$work/out"

python3 "$root/tests/check_includes.py" "$root"
