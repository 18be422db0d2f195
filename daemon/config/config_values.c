#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "daemon/base/log.h"
#include "daemon/config/config_keys.h"

/* Digits only. */
static bool number_from_text(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
	uint64_t v = 0;

	if (text[0] == '\0')
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text) || v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	*out = v;
	return v >= min && v <= max;
}

const char *config_set_role(const struct config_key *k, void *field, const char *text, unsigned i)
{
	enum config_role *role = field;

	(void)k;
	(void)i;
	if (strcmp(text, "peer") == 0)
		*role = CONFIG_PEER;
	else if (strcmp(text, "coordinator") == 0)
		*role = CONFIG_COORDINATOR;
	else
		return "is neither peer nor coordinator";
	return NULL;
}

const char *config_name_error(const char *name)
{
	size_t len = strlen(name);

	if (len == 0)
		return "is empty";
	if (len > WIRE_NAME_MAX_BYTES)
		return "is longer than 63 characters";
	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) && name[i] != '-' &&
		    name[i] != '.')
			return "is no name: small letters, digits, \"-\" and \".\" make one";
	if (!isalnum((unsigned char)name[0]) || !isalnum((unsigned char)name[len - 1]))
		return "is no name: it begins and ends with a letter or digit";
	return NULL;
}

const char *config_set_name(const struct config_key *k, void *field, const char *text, unsigned i)
{
	const char *words = config_name_error(text);

	(void)i;
	if (!words)
		memcpy(memset(field, 0, k->size), text, strlen(text)); /* at most 63 of 64 */
	return words;
}

const char *config_set_path(const struct config_key *k, void *field, const char *text, unsigned i)
{
	char **path = field, *copy;
	uint8_t whole_key[KEY_BYTES];

	(void)i;
	if (k->is_secret && strlen(text) == KEY_TEXT_BYTES - 1 &&
	    pubkey_from_text((struct pubkey *)whole_key, text, KEY_TEXT_BYTES - 1) == 0) {
		key_wipe(whole_key, sizeof(whole_key));
		return "takes the name of a file that holds the key, not the key";
	}
	if (strlen(text) >= PATH_MAX)
		return "is too long for a file's name";
	copy = text[0] != '\0' ? strdup(text) : NULL;
	if (text[0] != '\0' && !copy)
		return "does not fit into memory";
	free(*path);
	*path = copy;
	return NULL;
}

const char *config_set_program(const struct config_key *k, void *field, const char *text, unsigned i)
{
	if (text[0] != '\0' && text[0] != '/')
		return "is no program's whole path: it begins with /";
	return config_set_path(k, field, text, i);
}

const char *config_set_log_level(const struct config_key *k, void *field, const char *text, unsigned i)
{
	enum log_level level;

	if (log_level_from_text(text, &level) < 0)
		return "is none of error, warn, info, debug";
	return config_set_path(k, field, text, i);
}

static const char *range_error(const struct config_key *k)
{
	if (k->max == UINT16_MAX)
		return "is no port: a number up to 65535";
	if (k->max == CONFIG_WORKERS_MAX)
		return "is no number from 0 to 8";
	if (k->min == 1280)
		return "is neither 0 nor a number from 1280 to 9000";
	return "is no number from 1 to 4294967295";
}

/* 0 is "automatic" where the least is above 1. */
static bool key_number(const struct config_key *k, uint64_t *v, const char *text)
{
	return number_from_text(v, text, k->min, k->max) || (k->min > 1 && strcmp(text, "0") == 0);
}

const char *config_set_uint(const struct config_key *k, void *field, const char *text, unsigned i)
{
	uint64_t v;

	(void)i;
	if (!key_number(k, &v, text))
		return range_error(k);
	*(unsigned *)field = (unsigned)v;
	return NULL;
}

const char *config_set_u32(const struct config_key *k, void *field, const char *text, unsigned i)
{
	uint64_t v;

	(void)i;
	if (!key_number(k, &v, text))
		return range_error(k);
	*(uint32_t *)field = (uint32_t)v;
	return NULL;
}

const char *config_set_u16(const struct config_key *k, void *field, const char *text, unsigned i)
{
	uint64_t v;

	(void)i;
	if (!key_number(k, &v, text))
		return range_error(k);
	*(uint16_t *)field = (uint16_t)v;
	return NULL;
}

const char *config_set_bool(const struct config_key *k, void *field, const char *text, unsigned i)
{
	int v = cfg_parse_boolean(text);

	(void)k;
	(void)i;
	if (v < 0)
		return "is neither true nor false";
	*(bool *)field = v == 1;
	return NULL;
}

const char *config_set_auto_off(const struct config_key *k, void *field, const char *text, unsigned i)
{
	(void)k;
	(void)i;
	if (strcmp(text, "auto") != 0 && strcmp(text, "off") != 0)
		return "is neither auto nor off";
	*(bool *)field = strcmp(text, "auto") == 0;
	return NULL;
}

const char *const config_compression_words[] = { "off", "auto", "on" };
const char *const config_path_words[] = { "auto", "direct", "relay" };

/* The value is the word's place: enums begin at 0. */
static bool set_word(void *field, const char *text, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0) {
			*(unsigned *)field = i;
			return true;
		}
	return false;
}
static_assert(sizeof(enum config_compression) == sizeof(unsigned) && sizeof(enum config_path) == sizeof(unsigned),
	      "set_word writes them");

const char *config_set_compression(const struct config_key *k, void *field, const char *text, unsigned i)
{
	(void)k;
	(void)i;
	return set_word(field, text, config_compression_words, 3) ? NULL : "is neither off, auto nor on";
}

const char *config_set_path_policy(const struct config_key *k, void *field, const char *text, unsigned i)
{
	(void)k;
	(void)i;
	return set_word(field, text, config_path_words, 3) ? NULL : "is neither auto, direct nor relay";
}

const char *config_set_cipher(const struct config_key *k, void *field, const char *text, unsigned i)
{
	uint16_t *ciphers = field;
	int suite = aead_suite_from_name(text);

	(void)k;
	if (suite <= AEAD_NONE || suite >= AEAD_SUITE_COUNT)
		return "is no cipher: aes-256-gcm and chacha20-poly1305 are";
	if (i == 0)
		*ciphers = 0;
	*ciphers = (uint16_t)(*ciphers | 1u << suite);
	return NULL;
}

const char *config_set_ip(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct ip ip;

	(void)k;
	(void)i;
	if (ip_from_text(&ip, text) < 0)
		return "is no IP address";
	*(struct ip *)field = ip;
	return NULL;
}

/* k->min is the length of the family's addresses. "auto" stays for the caller, who knows the network's name. */
const char *config_set_prefix(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct prefix p = { 0 };
	struct ip net;

	(void)i;
	if (strcmp(text, "none") != 0 && (k->min != 16 || strcmp(text, "auto") != 0)) {
		if (!strchr(text, '/') || prefix_from_text(&p, text) < 0)
			return k->min == 4 ? "is no IPv4 prefix such as 10.77.0.0/16" :
					     "is no IPv6 prefix such as fd12:3456:789a::/64, nor auto, nor none";
		if (p.ip.len != k->min)
			return k->min == 4 ? "is no IPv4 prefix (IPv6 goes to prefix6)" :
					     "is no IPv6 prefix (IPv4 goes to prefix)";
		net = prefix_network(&p);
		if (!ip_equal(&net, &p.ip))
			return "has bits set behind its length";
		if (!ip_is_sendable(&p.ip) || ip_is_link_local(&p.ip))
			return "is a prefix with a meaning of its own, which no network can have";
		if (p.bits < (k->min == 4 ? 8 : 32) || p.bits > (k->min == 4 ? 30 : 120))
			return k->min == 4 ? "has a length outside of /8 to /30" :
					     "has a length outside of /32 to /120";
	}
	*(struct prefix *)field = p;
	return NULL;
}

/* So wide that they are "everything", or the better half of it. */
#define ROUTE_LEAST_BITS4 8
#define ROUTE_LEAST_BITS6 16

const char *config_route_error(const struct prefix *p)
{
	if (p->bits == 0)
		return "is everything: no peer is a way to the whole Internet";
	if (p->bits < (p->ip.len == 4 ? ROUTE_LEAST_BITS4 : ROUTE_LEAST_BITS6))
		return "is too wide: /8 is the widest of IPv4, /16 of IPv6";
	if (!ip_is_sendable(&p->ip) || ip_is_link_local(&p->ip))
		return "is a prefix with a meaning of its own, which no network can have";
	return NULL;
}

const char *config_set_route_list(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct config_routes *list = field;
	struct prefix p = { 0 };
	const char *words;
	struct ip net;

	(void)k;
	if (!strchr(text, '/') || prefix_from_text(&p, text) < 0)
		return "is no prefix such as 192.168.7.0/24 or fd12:3456:789a:7::/64";
	net = prefix_network(&p);
	if (!ip_equal(&net, &p.ip))
		return "has bits set behind its length";
	words = config_route_error(&p);
	if (words)
		return words;
	if (i == 0)
		memset(list, 0, sizeof(*list));
	for (unsigned j = 0; j < list->n; j++)
		if (prefix_equal(&list->v[j], &p))
			return "is there twice";
	if (list->n == CONFIG_ROUTES_MAX)
		return "is one prefix too many: 8 may be given";
	list->v[list->n++] = p;
	return NULL;
}

const char *config_set_port_list(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct config *c = (struct config *)((char *)field - k->offset);
	uint64_t port;

	if (i == 0)
		c->listen.n_tcp_ports = 0;
	if (!number_from_text(&port, text, 1, UINT16_MAX))
		return "is no port: a number from 1 to 65535";
	for (unsigned j = 0; j < c->listen.n_tcp_ports; j++)
		if (c->listen.tcp_ports[j] == port)
			return "is there twice";
	if (c->listen.n_tcp_ports == CONFIG_TCP_PORTS_MAX)
		return "is one port too many: 8 may be given";
	c->listen.tcp_ports[c->listen.n_tcp_ports++] = (uint16_t)port;
	return NULL;
}

const char *config_set_interface(const struct config_key *k, void *field, const char *text, unsigned i)
{
	size_t len = strlen(text);

	(void)i;
	if (len >= k->size)
		return "is no interface's name: it is longer than 15 characters";
	for (size_t j = 0; j < len; j++)
		if (!isgraph((unsigned char)text[j]) || strchr("/:%\"'\\", text[j]))
			return "is no interface's name";
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return "is no interface's name";
	memcpy(memset(field, 0, k->size), text, len);
	return NULL;
}

const char *config_set_rate(const struct config_key *k, void *field, const char *text, unsigned i)
{
	static const struct {
		const char *name;
		uint64_t bits;
	} units[] = { { "kbit", 1000 }, { "Mbit", 1000000 }, { "Gbit", 1000000000 } };
	size_t digits = strspn(text, "0123456789");
	char number[16];
	uint64_t v;

	(void)k;
	(void)i;
	if (digits < sizeof(number)) {
		memcpy(number, text, digits);
		number[digits] = '\0';
		text += digits;
		text += strspn(text, " ");
		for (size_t j = 0; j < sizeof(units) / sizeof(units[0]); j++)
			if (strcasecmp(text, units[j].name) == 0 && number_from_text(&v, number, 1, 1000000000)) {
				*(uint64_t *)field = v * units[j].bits;
				return NULL;
			}
	}
	return "is no rate such as 500kbit, 20Mbit or 1Gbit";
}

const char *config_set_pubkey(const struct config_key *k, void *field, const char *text, unsigned i)
{
	static const struct pubkey zero;
	struct pubkey key;

	(void)k;
	(void)i;
	if (pubkey_from_text(&key, text, strlen(text)) < 0 || pubkey_equal(&key, &zero))
		return "is no public key: 44 characters of base64, as warrenctl key pub prints them";
	*(struct pubkey *)field = key;
	return NULL;
}

const char *config_set_verifykey(const struct config_key *k, void *field, const char *text, unsigned i)
{
	static const struct verifykey zero;
	struct verifykey key;

	(void)k;
	(void)i;
	if (verifykey_from_text(&key, text, strlen(text)) < 0 || verifykey_equal(&key, &zero))
		return "is no network key: 44 characters of base64, as warrenctl key pub --network prints them";
	*(struct verifykey *)field = key;
	return NULL;
}

static bool is_host_name(const char *host)
{
	size_t label = 0;

	for (const char *p = host; *p; p++) {
		if (*p == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
			return false;
		if (++label > 63)
			return false;
	}
	return host[0] != '\0';
}

/* An address that could be one of a coordinator: loopback too, which tests and tunnels use. */
static bool is_reachable(const struct ip *ip)
{
	return ip_is_sendable(ip) || ip_is_loopback(ip);
}

/* Writes the host without brackets, zeroes behind it. With a default, the port may be left out. NULL, or the words. */
static const char *split_endpoint(char host[static CONFIG_HOST_BYTES], uint16_t *port, const char *text,
				  uint64_t default_port)
{
	bool is_bracketed = text[0] == '[';
	const char *begin = is_bracketed ? text + 1 : text;
	const char *end = is_bracketed ? strchr(text, ']') : strrchr(text, ':');
	char copy[CONFIG_HOST_BYTES] = { 0 };
	uint64_t number = default_port;
	bool has_port = end && (!is_bracketed || end[1] != '\0');
	struct ip ip;

	if (!end && default_port && !is_bracketed)
		end = begin + strlen(begin);
	if (!end || (is_bracketed && has_port && end[1] != ':') || (!has_port && !default_port))
		return "has no port: HOST:PORT is wanted, or [IPV6]:PORT";
	if (has_port && !number_from_text(&number, is_bracketed ? end + 2 : end + 1, 1, UINT16_MAX))
		return "has no port from 1 to 65535 after the colon";
	if ((size_t)(end - begin) > 253)
		return "has a host's name that is too long";
	memcpy(copy, begin, (size_t)(end - begin));
	if (!is_bracketed && strchr(copy, ':'))
		return "is not clear: an IPv6 address goes in brackets, [IPV6]:PORT";
	if (ip_from_text(&ip, copy) == 0) {
		if (!is_reachable(&ip) || is_bracketed != (strchr(copy, ':') != NULL))
			return "has an address that nothing can be sent to";
	} else if (is_bracketed || !is_host_name(copy) || copy[strspn(copy, "0123456789.")] == '\0') {
		return "has neither a host's name nor an IP address before the port";
	}
	memcpy(host, copy, sizeof(copy));
	*port = (uint16_t)number;
	return NULL;
}

const char *config_set_endpoint(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct config_coordinator *c = (void *)((char *)field - k->offset);

	(void)i;
	return split_endpoint(c->host, &c->port, text, 0);
}

const char *config_set_endpoint_list(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct config_endpoints *list = field;
	struct config_endpoint e = { 0 };
	const char *words = split_endpoint(e.host, &e.port, text, k->min);

	if (words)
		return words;
	if (i == 0)
		memset(list, 0, sizeof(*list));
	for (unsigned j = 0; j < list->n; j++)
		if (list->v[j].port == e.port && strcasecmp(list->v[j].host, e.host) == 0)
			return "is there twice";
	if (list->n == CONFIG_ENDPOINTS_MAX)
		return "is one endpoint too many: 4 may be given";
	list->v[list->n++] = e;
	return NULL;
}

/* http://HOST:PORT, as others write a proxy down. A login in it, as they may, would be a secret in a file that others can read. */
const char *config_set_proxy(const struct config_key *k, void *field, const char *text, unsigned i)
{
	static const char scheme[] = "http://";
	struct config_endpoint e = { 0 };
	char authority[CONFIG_HOST_BYTES + 16];
	size_t len = strlen(text);
	const char *words = NULL;

	(void)k;
	(void)i;
	if (strchr(text, '@'))
		return "holds a user or a password: they go into a file that proxy_auth_file names";
	if (len > 0) {
		if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
			return "is no HTTP proxy: http://HOST:PORT is wanted, or \"\" for none";
		text += sizeof(scheme) - 1;
		len -= sizeof(scheme) - 1;
		len -= len > 0 && text[len - 1] == '/';
		if (len >= sizeof(authority))
			return "has a host's name that is too long";
		memcpy(authority, text, len);
		authority[len] = '\0';
		words = split_endpoint(e.host, &e.port, authority, 0);
	}
	if (!words)
		*(struct config_endpoint *)field = e;
	return words;
}

/* A path, or an address of the loopback: whoever can read these knows who talks to whom. */
const char *config_set_metrics_listen(const struct config_key *k, void *field, const char *text, unsigned i)
{
	struct config_metrics_listen *m = field;
	struct endpoint at = { .port = 0 };
	size_t len = strlen(text);

	(void)k;
	(void)i;
	if (len >= sizeof(m->path))
		return "is too long for a socket's path";
	if (text[0] != '/' && len > 0) {
		if (endpoint_from_text(&at, text) < 0 || at.port == 0)
			return "is neither a path, which begins with /, nor an address and port";
		if (!ip_is_loopback(&at.ip))
			return "is no address of the loopback (127.0.0.1:9586, [::1]:9586)";
		len = 0;
	}
	memset(m, 0, sizeof(*m)); /* padding too: it is compared whole */
	memcpy(m->path, text, len);
	m->address.ip = at.ip;
	m->address.port = at.port;
	return NULL;
}
