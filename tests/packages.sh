#!/bin/sh
# . tests/packages.sh   for the scripts here that install Debian packages

# Sets `sudo` to what makes commands root's, or to nothing. False: there is no way.
become_root() {
	sudo=""
	[ "$(id -u)" -ne 0 ] || return 0
	command -v sudo >/dev/null || return 1
	sudo="sudo"
}

# missing_of PACKAGE[:ARCHITECTURE]...   those that are not installed, for this architecture if none is named
missing_of() {
	native=$(dpkg --print-architecture)
	for package in "$@"; do
		case $package in
		*:*) architecture=${package#*:} ;;
		*) architecture=$native ;;
		esac
		# A line for each architecture that it is known for.
		dpkg-query -W -f '${Architecture} ${Status}\n' "$package" 2>/dev/null |
			grep -qxE "($architecture|all) install ok installed" || printf ' %s' "$package"
	done
}

# install_without_services "SERVICE..." PACKAGE...
# No service of theirs is started, and those that are named are not started later either.
install_without_services() {
	services=$1 policy=/usr/sbin/policy-rc.d made_policy=""
	shift
	if [ ! -e $policy ]; then
		made_policy=yes
		trap '$sudo rm -f $policy' EXIT
		trap 'exit 130' INT TERM
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod 755 $policy
	fi
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" >&2
	for service in $services; do
		# Under systemd too, be that running or not.
		[ ! -e "/etc/init.d/$service" ] || $sudo update-rc.d "$service" disable || echo "$service: disable its service by hand" >&2
	done
	[ -z "$made_policy" ] || $sudo rm -f $policy
	trap - EXIT INT TERM
}
