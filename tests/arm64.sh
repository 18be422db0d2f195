#!/bin/sh
# sh tests/arm64.sh [CTEST-ARGUMENT...]   builds for 64-bit ARM, and runs the unit tests under qemu-user
#
# But for those labelled "kernel": they ask the kernel for what qemu-user does not pass on.
set -eu

cd "$(dirname "$0")/.."
sh tests/install.sh build arm64
cmake --preset arm64 -DWARREN_WERROR=ON >/dev/null
cmake --build --preset arm64 -j "$(nproc)"
exec ctest --preset arm64 --no-tests=error -j "$(nproc)" -L unit -LE kernel "$@"
