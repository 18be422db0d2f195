#include "ctl/grant.h"

#include <sodium.h>
#include <string.h>

#include "daemon/wire/text.h"

/* Takes the next word of a list with commas; false at its end. */
static bool next_word(const char **list, char *out, size_t capacity, bool *is_too_long)
{
	size_t len;

	*is_too_long = false;
	if (!*list || **list == '\0')
		return false;
	len = strcspn(*list, ",");
	*is_too_long = len >= capacity;
	snprintf(out, capacity, "%.*s", (int)len, *list);
	*list += len;
	*list += **list == ',';
	return true;
}

static int take_addrs(const struct ctl *ctl, struct cert *c)
{
	const char *list = ctl_value(ctl, "ip");
	char word[ADDR_TEXT_BYTES];
	bool is_bad;

	while (next_word(&list, word, sizeof(word), &is_bad)) {
		if (c->n_addrs == CERT_ADDRS_MAX)
			return ctl_usage(ctl, "at most 4 addresses fit in a certificate", "");
		if (is_bad || ip_from_text(&c->addrs[c->n_addrs], word) < 0 || !ip_is_sendable(&c->addrs[c->n_addrs]))
			return ctl_usage(ctl, "no address of a host: ", word);
		c->n_addrs++;
	}
	return EXIT_YES;
}

static int take_groups(const struct ctl *ctl, struct cert *c)
{
	const char *list = ctl_value(ctl, "group");
	bool is_bad;

	while (list && *list) {
		if (c->n_groups == CERT_GROUPS_MAX)
			return ctl_usage(ctl, "at most 8 groups fit in a certificate", "");
		next_word(&list, c->groups[c->n_groups], sizeof(c->groups[0]), &is_bad);
		if (is_bad || !wire_name_is_valid(c->groups[c->n_groups]))
			return ctl_usage(ctl, "no group's name (up to 31 of a-z 0-9 - .): ", c->groups[c->n_groups]);
		c->n_groups++;
	}
	return EXIT_YES;
}

static int take_routes(const struct ctl *ctl, struct cert *c)
{
	const char *list = ctl_value(ctl, "route");
	char word[ADDR_TEXT_BYTES];
	bool is_bad;

	while (next_word(&list, word, sizeof(word), &is_bad)) {
		struct prefix p, *out = &c->routes[c->n_routes];

		if (c->n_routes == CERT_ROUTES_MAX)
			return ctl_usage(ctl, "at most 8 routes fit in a certificate", "");
		if (is_bad || !strchr(word, '/') || prefix_from_text(&p, word) < 0)
			return ctl_usage(ctl, "no prefix such as 192.168.7.0/24: ", word);
		out->ip = prefix_network(&p);
		out->bits = p.bits;
		if (!ip_equal(&out->ip, &p.ip))
			return ctl_usage(ctl, "has bits set behind its length: ", word);
		c->n_routes++;
	}
	return EXIT_YES;
}

int ctl_grant(const struct ctl *ctl, const char *name, struct cert *c)
{
	int code;

	if (!wire_name_is_valid(name))
		return ctl_usage(ctl, "no member's name (up to 63 of a-z 0-9 - .): ", name);
	memcpy(c->name, name, strlen(name)); /* checked: it fits */
	randombytes_buf(c->serial.b, sizeof(c->serial.b));
	code = take_addrs(ctl, c);
	if (code == EXIT_YES)
		code = take_groups(ctl, c);
	if (code == EXIT_YES)
		code = take_routes(ctl, c);
	cert_normalise(c);
	return code;
}
