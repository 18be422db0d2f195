#!/bin/sh
# The sources are as .clang-format writes them, the shell scripts pass shellcheck, the manual pages mandoc.
set -eu
cd "$1"
for tool in clang-format shellcheck mandoc; do
	command -v $tool >/dev/null || {
		echo "no $tool"
		exit 77
	}
done
bad=0
find daemon ctl tun crypto tests -name '*.[ch]' -print0 | xargs -0 -r clang-format --dry-run -Werror || bad=1
find tests conf -name '*.sh' -print0 | xargs -0 -r shellcheck || bad=1
shellcheck -s sh -e SC2034 conf/openrc/warren || bad=1 # variables that openrc-run reads
shellcheck .ci/run .ci/arm64 conf/deb/postinst conf/deb/prerm conf/deb/postrm || bad=1
find daemon ctl -name '*.[1-8]' -print0 | xargs -0 -r mandoc -T lint -W warning || bad=1
exit $bad
