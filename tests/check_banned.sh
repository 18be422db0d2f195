#!/bin/sh
# Calls that no source of the programs makes: unbounded copies, shells, stack of a size from outside, variable-time compares.
set -eu
root=$1
banned='(alloca|sprintf|vsprintf|strcpy|strcat|stpcpy|gets|system|popen|tmpnam|mktemp|rand|random|strtok|atoi|atol)'

# Prints the banned calls of the files given, comments and strings left out; true if there is one.
search() {
	for file in "$@"; do
		sed -e 's@"\([^"\\]\|\\.\)*"@""@g' -e 's@//.*@@' -e 's@/\*.*\*/@@' -e 's@/\*.*@@' -e 's@^ \*.*@@' "$file" |
			grep -nE "(^|[^a-zA-Z0-9_>.])${banned}[[:space:]]*\(" | sed "s@^@$file:@"
	done | grep .
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'void f(char *d)\n{\n\tstrcpy(d, "x");\n}\n' >"$work/bad.c"
printf '/* not strcpy(d, s) */\nvoid f(void)\n{\n\tputs("system(3)");\n\tmy_system(1);\n}\n' >"$work/good.c"
search "$work/bad.c" >/dev/null || {
	echo "the check does not see strcpy"
	exit 1
}
if search "$work/good.c"; then
	echo "the check sees what is not there"
	exit 1
fi

cd "$root"
# shellcheck disable=SC2046 # no file of ours has a blank in its name
if search $(find daemon ctl tun crypto -name '*.[ch]'); then
	echo "banned calls"
	exit 1
fi
# Decoders and everything behind them meet what the network sends: no assertion may stand there.
if grep -rnE '(^|[^a-z_])assert[[:space:]]*\(' daemon ctl tun crypto --include='*.c' --include='*.h'; then
	echo "assert() on a path that the network can reach"
	exit 1
fi
# Elsewhere it would end the program where a table finds no memory.
if grep -rn '<uthash\.h>' daemon ctl tun crypto tests --include='*.c' --include='*.h' | grep -v '^daemon/base/hash\.h:'; then
	echo "uthash.h: include daemon/base/hash.h instead"
	exit 1
fi
if git rev-parse --git-dir >/dev/null 2>&1 &&
	git ls-files | grep -vE '^(daemon|ctl|tun|crypto|tests|conf)/|^(CMakeLists\.txt|CMakePresets\.json|README\.md|LICENSE|CHANGELOG\.md|\..*)$'; then
	echo "files that do not belong at the top level"
	exit 1
fi
