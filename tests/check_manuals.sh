#!/bin/sh
# Each command and option of warrenctl is in its manual page, each key of the configuration in its section of warren.conf(5),
# with the word that says whether a reload applies it; and the examples in conf/ name only keys that there are.
set -eu
cd "$1"
bad=0

complain() {
	echo "$1"
	bad=1
}

# The rows of the table of commands begin with { "name", "operands"; options are { "name", 'c' or 0.
rows=$(sed -n '/^const struct ctl_command/,/^};/p' ctl/commands.c)
commands=$(printf '%s\n' "$rows" | sed -n 's/^\t{ "\([a-z-]*\)",.*/\1/p')
[ "$(printf '%s\n' "$commands" | wc -l)" -ge 10 ] || complain "the table of commands in ctl/commands.c was not understood"
for command in $commands; do
	grep -qE "^\.It Cm $command( |$)" ctl/warrenctl.8 || complain "warrenctl(8) lacks the command $command"
done
options=$(cat ctl/commands.c ctl/options.c | grep -oE "\{ \"[a-z-]+\", ('[a-z]'|0), (NULL|\"[]A-Z=[]+\")" | sed 's/^{ "\([a-z-]*\)".*/\1/')
[ "$(printf '%s\n' "$options" | wc -l)" -ge 14 ] || complain "the tables of options in ctl/ were not understood"
for option in $options; do
	grep -qE "Fl -$option( |$)" ctl/warrenctl.8 || complain "warrenctl(8) lacks the option --$option"
done

# KEY("section", "key", ...), COORDINATOR("key", ...), MEMBER("key", ...) -> section, key, reload or restart.
keys=$(sed -n -e '/^static const struct config_key keys/,/^};/{
	s/.*KEY("\([a-z]*\)", "\([a-z0-9_]*\)".*RELOAD.*/\1:\2:reload/p;t
	s/.*KEY("\([a-z]*\)", "\([a-z0-9_]*\)".*/\1:\2:restart/p;t
	s/.*OF_PEER("\([a-z0-9_]*\)".*/peer:\1:reload/p;t
	s/.*COORDINATOR("\([a-z0-9_]*\)".*/coordinator:\1:reload/p;t
	s/.*MEMBER("\([a-z0-9_]*\)".*/member:\1:reload/p
}' daemon/config/config_keys.c)
[ "$(printf '%s\n' "$keys" | wc -l)" -ge 25 ] || complain "the table of keys in daemon/config/config_keys.c was not understood"
documented=$(awk '/^\.S[hs] / { section = ($2 == "Section") ? $3 : "" }
	/^\.It Ic / { print section ":" $3 ":" $6 }' daemon/config/warren.conf.5)
for key in $keys; do
	printf '%s\n' "$documented" | grep -qxF "$key" || complain "warren.conf(5) lacks $key"
done
for key in $documented; do
	printf '%s\n' "$keys" | grep -qxF "$key" || complain "warren.conf(5) documents $key, which the daemon does not have"
done

for role in peer coordinator; do
	grep -qE "^role = $role\$" "conf/$role.conf" || complain "conf/$role.conf is no $role's"
done
for word in $(sed -e 's/#.*//' -e 's/"[^"]*"//g' conf/*.conf | grep -oE '[a-z_0-9]+ *=' | tr -d ' ='); do
	printf '%s\n' "$keys" | grep -q ":$word:" || complain "conf/ uses $word, which is no key"
done
exit $bad
