#!/bin/sh
# sh tests/run.sh [CTEST-ARGUMENT...]   installs what is missing, builds, and runs every test
#
# Three builds: asan (clang, address and undefined) runs everything, tsan (clang, thread) what threads share, release (gcc)
# what measures memory and wake-ups, and the checks of the sources. One ctest run covers the three; its summary comes last.
# With CI set in the environment, a test that cannot run here counts as failed.
set -eu

cd "$(dirname "$0")/.."
sh tests/install.sh build net package check

skip=OFF
[ -z "${CI:-}" ] || skip=ON
jobs=$(nproc)

for preset in release asan tsan; do
	cmake --preset "$preset" -DWARREN_WERROR=ON -DWARREN_SKIP_FAILS=$skip >/dev/null
	cmake --build --preset "$preset" -j "$jobs"
done

suite=build/suite
mkdir -p $suite
printf 'subdirs("%s")\n' "$PWD/build/release" "$PWD/build/asan" "$PWD/build/tsan" >$suite/CTestTestfile.cmake

# Namespaces need root. clang 14's sanitizers do not start where addresses are randomised over more than 28 bits.
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo -E"
fixed=""
[ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -le 28 ] || fixed="setarch -R"
# One test more than cores: most wait more than they work, and those that measure run alone.
# shellcheck disable=SC2086 # words, or nothing
exec $sudo $fixed ctest --test-dir $suite --output-on-failure --no-tests=error -j $((jobs + 1)) -L suite "$@"
