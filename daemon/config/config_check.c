#include "daemon/config/config_check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "crypto/aead.h"

/* Points at the last place where `key` of an untitled section (or "" for none) was given, else at the first line. */
static void place(const struct config_load *l, const char *section, const char *key, const char **file, int *line)
{
	unsigned n = section[0] ? cfg_size(l->root, section) : 1;

	*file = l->c->path;
	*line = 1;
	for (unsigned i = 0; i < n; i++) {
		cfg_t *s = section[0] ? cfg_getnsec(l->root, section, i) : l->root;
		const struct config_text *t = config_check_text(s, key);

		if (t) {
			*file = t->file;
			*line = t->line;
		} else if (section[0] && *line == 1) {
			*file = config_source_file(s);
			*line = s->line;
		}
	}
}

static int fail(const struct config_load *l, const char *section, const char *key, const char *words)
{
	const char *file;
	int line;

	place(l, section, key, &file, &line);
	return config_fail(l->error, file, line, "%s%s%s %s", section, section[0] ? "." : "", key, words);
}

static int fail_in(const struct config_load *l, cfg_t *section, const char *key, const char *words)
{
	const struct config_text *t = config_check_text(section, key);

	return config_fail(l->error, t ? t->file : config_source_file(section), t ? t->line : section->line,
			   "%s \"%s\" %s", section->name, section->title, words);
}

/* ---------------------------------------------------------------- a peer */

static int check_coordinators(const struct config_load *l)
{
	for (unsigned i = 0; i < l->c->n_coordinators; i++) {
		const struct config_coordinator *c = &l->c->coordinators[i];
		cfg_t *section = cfg_getnsec(l->root, "coordinator", i);

		if (!config_check_text(section, "endpoint"))
			return fail_in(l, section, "endpoint", "has no endpoint");
		if (!config_check_text(section, "public_key"))
			return fail_in(l, section, "public_key", "has no public_key");
		for (unsigned j = 0; j < i; j++)
			if (c->port == l->c->coordinators[j].port &&
			    strcasecmp(c->host, l->c->coordinators[j].host) == 0)
				return fail_in(l, section, "endpoint", "has the endpoint of another coordinator");
	}
	if (l->c->n_coordinators == 0)
		return config_fail(l->error, l->c->path, 1,
				   "no coordinator: a peer needs at least one \"coordinator\" block");
	return 0;
}

static int check_peer(const struct config_load *l)
{
	char words[128], has[AEAD_OFFER_TEXT_BYTES];

	if (!(l->c->ciphers & aead_offer())) {
		snprintf(words, sizeof(words), "has none that this machine has, which is %s",
			 aead_offer_text(aead_offer(), has));
		return fail(l, "", "ciphers", words);
	}
	if (l->c->tun.name[0] == '\0')
		return fail(l, "tun", "name", "is empty");
	if (config_has_network_key(l->c) && !l->c->certificate_file)
		return fail(l, "", "network_key", "wants a certificate_file beside it");
	if (l->c->certificate_file && !config_has_network_key(l->c))
		return fail(l, "", "certificate_file", "wants the network_key beside it that the certificate is under");
	return check_coordinators(l);
}

/* ---------------------------------------------------------------- a coordinator */

static bool is_first_or_last(const struct prefix *p, const struct ip *ip)
{
	struct ip net = prefix_network(p);

	/* IPv6 has no broadcast; the first is its subnet-router anycast address (RFC 4291 2.6.1). */
	return ip_equal(&net, ip) || (ip->len == 4 && prefix_is_last(p, ip));
}

static const char *address_error(const struct prefix *p, const struct ip *ip, uint8_t len)
{
	if (ip_is_none(ip))
		return NULL;
	if (ip->len != len)
		return len == 4 ? "has an IPv6 address as its address (that is address6)" :
				  "has an IPv4 address as its address6 (that is address)";
	if (p->ip.len == 0)
		return "has an address of a family that the network has no prefix for";
	if (!prefix_contains(p, ip))
		return len == 4 ? "has an address outside of network.prefix" :
				  "has an address6 outside of network.prefix6";
	if (is_first_or_last(p, ip))
		return len == 4 ? "has the network's first or last address, which are reserved (network, broadcast)" :
				  "has the network's first address, which is reserved (anycast)";
	return NULL;
}

/* Members sorted by one field, to find what is there twice without comparing all pairs. */
typedef int compare_fn(const struct config_member *a, const struct config_member *b);

static int by_key(const struct config_member *a, const struct config_member *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

static int by_address(const struct config_member *a, const struct config_member *b)
{
	return ip_compare(&a->address, &b->address);
}

static int by_address6(const struct config_member *a, const struct config_member *b)
{
	return ip_compare(&a->address6, &b->address6);
}

static int sort_compare(const void *a, const void *b, void *compare)
{
	const struct config_member *x = *(const struct config_member *const *)a;
	const struct config_member *y = *(const struct config_member *const *)b;
	int ret = (*(compare_fn **)compare)(x, y);

	return ret ? ret : (x > y) - (x < y); /* by place: the later one is to blame */
}

static const struct config_member *find_twice(const struct config_load *l, compare_fn *compare, size_t skip_none_at,
					      const struct config_member **sorted, const struct config_member **first)
{
	for (unsigned i = 0; i < l->c->n_members; i++)
		sorted[i] = &l->c->members[i];
	qsort_r(sorted, l->c->n_members, sizeof(*sorted), sort_compare, &compare);
	for (unsigned i = 1; i < l->c->n_members; i++) {
		if (compare(sorted[i - 1], sorted[i]) != 0)
			continue;
		if (skip_none_at && ip_is_none((const struct ip *)((const char *)sorted[i] + skip_none_at)))
			continue;
		*first = sorted[i - 1];
		return sorted[i];
	}
	return NULL;
}

static int check_twice(const struct config_load *l, const char *key, compare_fn *compare, size_t skip_none_at)
{
	const struct config_member **sorted = calloc(l->c->n_members + 1, sizeof(*sorted));
	const struct config_member *first = NULL, *again;
	int ret = 0;

	if (!sorted)
		return config_fail(l->error, l->c->path, 0, "out of memory");
	again = find_twice(l, compare, skip_none_at, sorted, &first);
	if (again) {
		cfg_t *section = cfg_getnsec(l->root, "member", (unsigned)(again - l->c->members));
		const struct config_text *t = config_check_text(section, key);

		/* No key is secret here, but a long one hides what matters. */
		ret = config_fail(l->error, t->file, t->line, "member \"%s\" has the %s%s%s of member \"%s\"",
				  again->name, key, skip_none_at ? " " : "", skip_none_at ? t->text : "", first->name);
	}
	free(sorted);
	return ret;
}

static int check_members(const struct config_load *l)
{
	for (unsigned i = 0; i < l->c->n_members; i++) {
		const struct config_member *m = &l->c->members[i];
		cfg_t *section = cfg_getnsec(l->root, "member", i);
		const char *words;

		if (!config_check_text(section, "public_key"))
			return fail_in(l, section, "public_key", "has no public_key");
		words = address_error(&l->c->network.prefix, &m->address, 4);
		if (words)
			return fail_in(l, section, "address", words);
		words = address_error(&l->c->network.prefix6, &m->address6, 16);
		if (words)
			return fail_in(l, section, "address6", words);
	}
	if (check_twice(l, "public_key", by_key, 0) < 0 ||
	    check_twice(l, "address", by_address, offsetof(struct config_member, address)) < 0 ||
	    check_twice(l, "address6", by_address6, offsetof(struct config_member, address6)) < 0)
		return -1;
	return 0;
}

/* The last of several "network" blocks may be a drop-in's that gives one key only. */
static bool is_given(const struct config_load *l, const char *section, const char *key)
{
	for (unsigned i = 0; i < cfg_size(l->root, section); i++)
		if (config_check_text(cfg_getnsec(l->root, section, i), key))
			return true;
	return false;
}

static int check_coordinator(const struct config_load *l)
{
	const struct config *c = l->c;

	if (cfg_size(l->root, "network") == 0)
		return config_fail(l->error, c->path, 1, "no network: a coordinator needs a \"network\" block");
	if (c->network.name[0] == '\0')
		return fail(l, "network", "name", "is missing");
	if (!is_given(l, "network", "prefix"))
		return fail(l, "network", "prefix", "is missing (\"none\" for a network with IPv6 only)");
	if (c->network.prefix.ip.len == 0 && c->network.prefix6.ip.len == 0)
		return fail(l, "network", "prefix6", "is none and so is network.prefix: there would be no addresses");
	if (c->listen.port == 0)
		return fail(l, "listen", "port", "is 0: a coordinator must be found where its members look");
	if (c->listen.alternate_port == c->listen.port)
		return fail(l, "listen", "alternate_port", "is the same as listen.port (0: none)");
	if (!ip_is_none(&c->listen.alternate_address)) {
		const struct ip *address = &c->listen.address, *alternate = &c->listen.alternate_address;

		if (!ip_is_sendable(alternate) && !ip_is_loopback(alternate))
			return fail(l, "listen", "alternate_address", "is no address of a host");
		if (ip_equal(address, alternate))
			return fail(l, "listen", "alternate_address", "is the same as listen.address");
		if (address->len == 4 ?
			    alternate->len != 4 :
			    !ip_is_unspecified(address) && !ip_is_none(address) && alternate->len != address->len)
			return fail(l, "listen", "alternate_address", "is of another family than listen.address");
	}
	if (c->relay.rate_total < c->relay.rate_per_peer)
		return fail(l, "relay", is_given(l, "relay", "rate_total") ? "rate_total" : "rate_per_peer",
			    "does not fit: rate_total is less than rate_per_peer");
	if (config_has_network_key(c) && c->n_members > 0)
		return fail_in(l, cfg_getnsec(l->root, "member", 0), "public_key",
			       "has no place beside network_key: certificates say who is a member");
	return check_members(l);
}

int config_check(const struct config_load *l)
{
	struct sockaddr_un address;
	const struct ip *listen = &l->c->listen.address;

	if (l->c->name[0] == '\0')
		return fail(l, "", "name", "is missing");
	if (strlen(l->c->control_socket) >= sizeof(address.sun_path))
		return fail(l, "", "control_socket", "is too long for a socket: 107 bytes is the most");
	if (!ip_is_none(listen) && !ip_is_unspecified(listen) && !ip_is_sendable(listen) && !ip_is_loopback(listen))
		return fail(l, "listen", "address", "is no address of a host");
	return l->c->role == CONFIG_PEER ? check_peer(l) : check_coordinator(l);
}
