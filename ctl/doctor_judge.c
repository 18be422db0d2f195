#include "ctl/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/addr.h"

/* On a link smaller than this even what every path carries whole goes in pieces: 1280 and our 60 to 80 around it. */
#define UNDERLAY_MTU_LEAST 1360
#define WARN_DAYS 30 /* ahead */

static const json_t *at(const json_t *o, const char *a, const char *b)
{
	return json_object_get(json_object_get(o, a), b);
}

static void add(json_t *findings, const char *check, const char *state, const char *message, const char *mend)
{
	json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "state", state, "message",
						  message, "mend", mend));
}

static void judge_daemon(json_t *findings, const struct doctor_facts *f)
{
	const char *error = json_string_value(at(f->status, "config", "last_error"));
	char mend[128];

	snprintf(mend, sizeof(mend), "systemctl enable --now warren@%s", f->net ? f->net : "NET");
	if (!f->status)
		add(findings, "daemon", "bad", "the daemon does not answer", mend);
	else if (error)
		add(findings, "daemon", "bad", error, "warrenctl reload");
	else if (json_is_true(at(f->status, "config", "changed_on_disk")))
		add(findings, "daemon", "warn", "the configuration has changed since it was loaded",
		    "warrenctl reload");
	else
		add(findings, "daemon", "ok", "it runs, with the configuration that is on disk", NULL);
}

static void judge_tun(json_t *findings, const struct doctor_facts *f)
{
	switch (f->tun_error) {
	case 0:
		add(findings, "tun", "ok", "/dev/net/tun can be opened", NULL);
		return;
	case ENOENT:
		add(findings, "tun", "bad", "there is no /dev/net/tun (in a container: --device /dev/net/tun)",
		    "modprobe tun");
		return;
	case ENODEV:
	case ENXIO:
		add(findings, "tun", "bad", "the kernel has no TUN driver loaded", "modprobe tun");
		return;
	case EACCES:
	case EPERM:
		/* An ordinary user that asks is no proof; the daemon that has its interface is one. */
		if (json_is_true(at(f->status, "tun", "present")))
			add(findings, "tun", "ok", "the daemon has its interface", NULL);
		else
			add(findings, "tun", "bad",
			    "/dev/net/tun may not be opened (in a container: --device /dev/net/tun --cap-add NET_ADMIN)",
			    "chmod 0666 /dev/net/tun");
		return;
	default:
		add(findings, "tun", "bad", strerror(f->tun_error), "modprobe tun");
	}
}

/* ---------------------------------------------------------------- routes */

/* One line of /proc/net/route: "eth0 0000A8C0 00000000 0001 0 0 100 00FFFFFF ...", addresses as they lie in memory. */
static bool route4(const char *line, char device[static 32], struct prefix *p)
{
	unsigned destination, mask;
	uint8_t bytes[4];

	if (sscanf(line, "%31s %8x %*8x %*x %*d %*d %*d %8x", device, &destination, &mask) != 3)
		return false;
	memcpy(bytes, &destination, sizeof(bytes));
	ip_from_bytes(&p->ip, bytes, sizeof(bytes));
	p->bits = (uint8_t)__builtin_popcount(mask);
	return true;
}

/* "20010db8000000000000000000000000 20 0000... 00 0000... 00000400 00000001 00000000 00000001 eth0" */
static bool route6(const char *line, char device[static 32], struct prefix *p)
{
	char hex[33];
	uint8_t bytes[16];
	unsigned bits;

	if (sscanf(line, "%32s %2x %*32s %*2x %*32s %*8x %*8x %*8x %*8x %31s", hex, &bits, device) != 3 ||
	    strlen(hex) != 32 || bits > 128)
		return false;
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	memset(&p->ip, 0, sizeof(p->ip));
	p->ip.len = sizeof(bytes); /* a mapped prefix stays what it is */
	memcpy(p->ip.b, bytes, sizeof(bytes));
	p->bits = (uint8_t)bits;
	return true;
}

typedef bool route_fn(const char *line, char device[static 32], struct prefix *p);
typedef void each_route_fn(void *arg, const char *device, const struct prefix *p);

static void each_route(const char *text, route_fn *parse, each_route_fn *fn, void *arg)
{
	while (text && *text) {
		char line[256], device[32];
		struct prefix p = { .bits = 0 };
		size_t len = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line) - 1), text);
		if (parse(line, device, &p))
			fn(arg, device, &p);
		text += len + (text[len] == '\n');
	}
}

struct overlap {
	const char *tun;
	struct prefix own;
	bool is_found;
	char device[32];
	struct prefix route;
};

/* Another way to a part of the mesh, as specific as ours or more, takes its packets away from us. */
static void look_for_overlap(void *arg, const char *device, const struct prefix *p)
{
	struct overlap *o = arg;

	if (o->is_found || strcmp(device, o->tun) == 0 || strcmp(device, "lo") == 0 || p->bits < o->own.bits ||
	    !prefix_overlaps(&o->own, p))
		return;
	o->is_found = true;
	snprintf(o->device, sizeof(o->device), "%s", device);
	o->route = *p;
}

static void find_overlap(struct overlap *o, const struct doctor_facts *f, const char *own)
{
	if (!own || o->is_found || prefix_from_text(&o->own, own) < 0)
		return;
	each_route(o->own.ip.len == 4 ? f->routes4 : f->routes6, o->own.ip.len == 4 ? route4 : route6, look_for_overlap,
		   o);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "?";
}

/* What keeps a network behind a peer from being used though the file names it, in words that go behind its name; NULL: nothing. */
static const char *unused_for(const json_t *route, char words[static 128])
{
	const char *state = text_of(route, "state"), *with = json_string_value(json_object_get(route, "with")),
		   *error = json_string_value(json_object_get(route, "error"));

	if (error && strcmp(state, "not forwarded") != 0)
		snprintf(words, 128, "cannot be set: %.100s", error);
	else if (strcmp(state, "no member") == 0)
		snprintf(words, 128, "is not used: no member of that name is known");
	else if (strcmp(state, "not certified") == 0)
		snprintf(words, 128, "is not used: no good certificate of the peer has it");
	else if (strcmp(state, "overlaps") == 0)
		snprintf(words, 128, "overlaps with %.100s", with ? with : "another");
	else
		return NULL;
	return words;
}

/* Of several peers with one prefix one stands by, which is what they were named for. */
static bool is_standing_by(const json_t *routes, const json_t *route)
{
	const char *with = json_string_value(json_object_get(route, "with"));
	const json_t *other;
	size_t i;

	json_array_foreach(routes, i, other)
		if (with && strcmp(text_of(other, "peer"), with) == 0 &&
		    json_equal(json_object_get(other, "prefix"), json_object_get(route, "prefix")))
			return true;
	return false;
}

static void judge_networks(json_t *findings, const struct doctor_facts *f)
{
	const json_t *routes = json_object_get(f->routes, "routes"), *route;
	char message[288], words[128];
	size_t i;

	json_array_foreach(routes, i, route) {
		if (is_standing_by(routes, route) || !unused_for(route, words))
			continue;
		snprintf(message, sizeof(message), "the network %.50s behind %.63s %s", text_of(route, "prefix"),
			 text_of(route, "peer"), words);
		add(findings, "routes", "warn", message, "warrenctl routes");
		return;
	}
	add(findings, "routes", "ok", "no other route leads to the mesh's addresses", NULL);
}

/* Other routes first to the mesh itself, then into the networks behind its peers. */
static void judge_routes(json_t *findings, const struct doctor_facts *f)
{
	struct overlap o = { .tun = json_string_value(at(f->status, "tun", "name")) };
	char message[256], mend[256], route[ADDR_TEXT_BYTES], own[ADDR_TEXT_BYTES];
	const json_t *item;
	bool is_network;
	size_t i;

	if (!o.tun || !f->routes4) {
		add(findings, "routes", "unknown", "without the daemon its addresses are not known", NULL);
		return;
	}
	json_array_foreach(json_object_get(f->status, "addresses"), i, item)
		find_overlap(&o, f, json_string_value(item));
	is_network = !o.is_found;
	json_array_foreach(json_object_get(f->routes, "routes"), i, item)
		if (strcmp(text_of(item, "state"), "in use") == 0)
			find_overlap(&o, f, text_of(item, "prefix"));
	if (!o.is_found) {
		judge_networks(findings, f);
		return;
	}
	o.route.ip = prefix_network(&o.route);
	o.own.ip = prefix_network(&o.own);
	prefix_to_text(&o.route, route);
	snprintf(message, sizeof(message), "the route %s through %s takes packets away from the mesh's %s", route,
		 o.device, prefix_to_text(&o.own, own));
	/* A part of a network behind a peer that this host reaches otherwise may well be meant so. */
	snprintf(mend, sizeof(mend), "ip route del %s dev %s", route, o.device);
	add(findings, "routes", is_network ? "warn" : "bad", message, mend);
}

static void count_default(void *arg, const char *device, const struct prefix *p)
{
	(void)device;
	*(unsigned *)arg += p->bits == 0;
}

static void judge_rp_filter(json_t *findings, const struct doctor_facts *f)
{
	unsigned n_defaults = 0;

	each_route(f->routes4, route4, count_default, &n_defaults);
	if (f->rp_filter < 0)
		add(findings, "rp_filter", "unknown", "net.ipv4.conf cannot be read", NULL);
	else if (f->rp_filter == 1 && n_defaults > 1)
		add(findings, "rp_filter", "warn",
		    "the reverse path filter is strict and there are several ways out: what comes in by another than the first is dropped",
		    "sysctl -w net.ipv4.conf.all.rp_filter=2");
	else
		add(findings, "rp_filter", "ok",
		    f->rp_filter == 1 ? "strict, with one way out" : "the reverse path filter drops nothing of ours",
		    NULL);
}

/* The first network of that family that this node forwards for; NULL: none. */
static const char *network_behind(const struct doctor_facts *f, uint8_t ip_len)
{
	const json_t *route;
	size_t i;

	json_array_foreach(json_object_get(f->routes, "routes"), i, route) {
		const char *text = text_of(route, "prefix");
		struct prefix p;

		if (strcmp(text_of(route, "state"), "own") == 0 && prefix_from_text(&p, text) == 0 &&
		    p.ip.len == ip_len)
			return text;
	}
	return NULL;
}

static void judge_forwarding(json_t *findings, const struct doctor_facts *f)
{
	const char *behind4 = network_behind(f, 4), *behind6 = network_behind(f, 16);
	bool is_off4 = behind4 && f->forwarding4 == 0, is_off6 = behind6 && f->forwarding6 == 0;
	char message[160];

	if (is_off4 || is_off6) {
		snprintf(message, sizeof(message), "off, and this node is to forward for the network %.50s behind it",
			 is_off4 ? behind4 : behind6);
		add(findings, "forwarding", "bad", message,
		    is_off4 ? "sysctl -w net.ipv4.ip_forward=1" : "sysctl -w net.ipv6.conf.all.forwarding=1");
	} else if (f->forwarding4 < 0)
		add(findings, "forwarding", "unknown", "net.ipv4.ip_forward cannot be read", NULL);
	else if (f->forwarding4)
		add(findings, "forwarding", "ok", "on", NULL);
	else
		add(findings, "forwarding", "ok", "off, which a node that speaks for itself only does not need",
		    "sysctl -w net.ipv4.ip_forward=1");
}

/* ---------------------------------------------------------------- the firewall */

/* Does an expression anywhere in the rule name the word, as a set's element or alone? */
static bool mentions(const json_t *v, const char *word, json_int_t number)
{
	const json_t *inner;
	const char *key;
	size_t i;

	if (json_is_string(v))
		return word && strcmp(json_string_value(v), word) == 0;
	if (json_is_integer(v))
		return number && json_integer_value(v) == number;
	json_array_foreach(v, i, inner)
		if (mentions(inner, word, number))
			return true;
	inner = json_object_get(v, "range");
	if (number && json_array_size(inner) == 2 && json_integer_value(json_array_get(inner, 0)) <= number &&
	    json_integer_value(json_array_get(inner, 1)) >= number)
		return true;
	json_object_foreach((json_t *)(uintptr_t)v, key, inner)
		if (mentions(inner, word, number))
			return true;
	return false;
}

static bool is_of_chain(const json_t *rule, const json_t *chain)
{
	static const char *const keys[] = { "family", "table" };

	for (size_t i = 0; i < 2; i++)
		if (!json_equal(json_object_get(rule, keys[i]), json_object_get(chain, keys[i])))
			return false;
	return json_equal(json_object_get(rule, "chain"), json_object_get(chain, "name"));
}

/* Rules of chains that are jumped to are not followed: one that speaks of us anywhere is taken to let us in. */
static bool is_let_in(const json_t *ruleset, const json_t *chain, const char *tun, json_int_t port)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(ruleset, "nftables"), i, item) {
		const json_t *rule = json_object_get(item, "rule");

		if (!rule)
			continue;
		if (mentions(json_object_get(rule, "expr"), tun, port))
			return true;
		/* All that comes is accepted, or another chain decides. */
		if (is_of_chain(rule, chain) && json_array_size(json_object_get(rule, "expr")) == 1)
			return true;
	}
	return false;
}

static bool is_dropping(const json_t *chain, const char *hook)
{
	const char *h = json_string_value(json_object_get(chain, "hook")),
		   *policy = json_string_value(json_object_get(chain, "policy"));

	return h && policy && strcmp(h, hook) == 0 && strcmp(policy, "drop") == 0;
}

static void judge_firewall(json_t *findings, const struct doctor_facts *f)
{
	const char *tun = json_string_value(at(f->status, "tun", "name"));
	json_int_t port = json_integer_value(at(f->status, "underlay", "port"));
	char message[256], mend[256];
	const json_t *item;
	size_t i;

	if (!f->ruleset) {
		add(findings, "firewall", "unknown", "the packet filter's rules cannot be read (nft, as root)", NULL);
		return;
	}
	json_array_foreach(json_object_get(f->ruleset, "nftables"), i, item) {
		const json_t *chain = json_object_get(item, "chain");
		bool is_tun_shut, is_port_shut;

		if (!chain || !is_dropping(chain, "input"))
			continue;
		is_tun_shut = tun && !is_let_in(f->ruleset, chain, tun, 0);
		is_port_shut = port && !is_let_in(f->ruleset, chain, NULL, port);
		if (!is_tun_shut && !is_port_shut)
			continue;
		snprintf(message, sizeof(message),
			 "chain %.60s of table %.60s drops what comes in, and no rule lets in %s",
			 text_of(chain, "name"), text_of(chain, "table"),
			 is_tun_shut ? "packets of the tunnel" : "UDP to the daemon's port, which peers try first");
		if (is_tun_shut)
			snprintf(mend, sizeof(mend), "nft insert rule %s %s %s iifname %s accept",
				 text_of(chain, "family"), text_of(chain, "table"), text_of(chain, "name"), tun);
		else
			snprintf(mend, sizeof(mend), "nft insert rule %s %s %s udp dport %d accept",
				 text_of(chain, "family"), text_of(chain, "table"), text_of(chain, "name"), (int)port);
		add(findings, "firewall", is_tun_shut ? "bad" : "warn", message, mend);
		return;
	}
	add(findings, "firewall", "ok", "no chain drops what comes in for us", NULL);
}

/* ---------------------------------------------------------------- clock, MTU, UDP */

static void judge_clock(json_t *findings, const struct doctor_facts *f)
{
	if (f->clock_is_synchronised < 0)
		add(findings, "clock", "unknown", "the kernel does not say", NULL);
	else if (!f->clock_is_synchronised)
		add(findings, "clock", "warn", "nothing keeps the clock right", "timedatectl set-ntp true");
	else
		add(findings, "clock", "ok", "it is kept right", NULL);
}

static void judge_mtu(json_t *findings, const struct doctor_facts *f)
{
	const char *tun = json_string_value(at(f->status, "tun", "name"));
	int wanted = (int)json_integer_value(at(f->status, "tun", "mtu"));
	char message[160], mend[128];

	if (tun && f->tun_mtu && wanted && f->tun_mtu != wanted) {
		snprintf(message, sizeof(message), "somebody changed the MTU of %.20s from %d to %d", tun, wanted,
			 f->tun_mtu);
		snprintf(mend, sizeof(mend), "ip link set %.20s mtu %d", tun, wanted);
		add(findings, "mtu", "bad", message, mend);
	} else if (f->underlay_mtu && f->underlay_mtu < UNDERLAY_MTU_LEAST) {
		snprintf(message, sizeof(message), "the way out has an MTU of %d: packets of the mesh go in pieces",
			 f->underlay_mtu);
		add(findings, "mtu", "warn", message, "ip link set DEVICE mtu 1500, if the link carries that");
	} else {
		add(findings, "mtu", tun ? "ok" : "unknown",
		    tun ? "as the daemon set it" : "without the daemon it is not known", NULL);
	}
}

static void judge_udp(json_t *findings, const struct doctor_facts *f)
{
	const json_t *coordinator = json_array_get(json_object_get(f->netcheck, "coordinators"), 0);
	const char *endpoint = json_string_value(json_object_get(coordinator, "endpoint"));
	char message[256];

	if (!f->netcheck)
		add(findings, "udp", "unknown", "only a peer's daemon knows", NULL);
	else if (json_is_true(json_object_get(f->netcheck, "udp_blocked"))) {
		snprintf(message, sizeof(message),
			 "no UDP comes back from %.100s: a firewall on the way, or before it, drops it",
			 endpoint ? endpoint : "any coordinator");
		add(findings, "udp", "bad", message, "nft insert rule inet filter output meta l4proto udp accept");
	} else if (json_is_true(at(f->netcheck, "udp4", "ok")) || json_is_true(at(f->netcheck, "udp6", "ok")))
		add(findings, "udp", "ok", "a coordinator answers over UDP", NULL);
	else
		add(findings, "udp", "unknown", "no coordinator has answered yet", "warrenctl netcheck");
}

/* ---------------------------------------------------------------- trust */

/* Days from the daemon's clock until then; false: never. */
static bool days_until(const json_t *status, const json_t *end, double *days)
{
	double seconds;

	if (!ctl_age(json_object_get(status, "time"), end, &seconds))
		return false;
	*days = seconds / 86400;
	return true;
}

static void judge_end(json_t *findings, const struct doctor_facts *f, const char *check, const json_t *end,
		      const char *what, const char *mend)
{
	char message[160];
	double days;

	if (!days_until(f->status, end, &days)) {
		snprintf(message, sizeof(message), "%s does not expire", what);
		add(findings, check, "ok", message, NULL);
		return;
	}
	if (days > 0)
		snprintf(message, sizeof(message), "%s expires in %.0f days", what, days);
	else
		snprintf(message, sizeof(message), "%s has expired", what);
	add(findings, check,
	    days <= 0        ? "bad" :
	    days < WARN_DAYS ? "warn" :
			       "ok",
	    message, days < WARN_DAYS ? mend : NULL);
}

/* Under a network key: what has an end, and whose end nobody here would notice before. */
static void judge_trust(json_t *findings, const struct doctor_facts *f)
{
	const json_t *certificate = json_object_get(f->status, "certificate"), *list;

	if (json_is_object(certificate))
		judge_end(findings, f, "certificate", json_object_get(certificate, "not_after"),
			  "this node's certificate",
			  "warrenctl cert sign NAME, where the network key is; warrenctl reload here");
	list = json_is_object(certificate) ? json_object_get(certificate, "revocations_expire") :
					     json_object_get(f->status, "revocations_expire");
	if (json_is_string(list))
		judge_end(findings, f, "revocations", list, "the list of revoked members",
			  "warrenctl node refresh, where the network key is");
}

json_t *doctor_judge(const struct doctor_facts *f)
{
	json_t *findings = json_array();

	judge_daemon(findings, f);
	judge_tun(findings, f);
	judge_rp_filter(findings, f);
	judge_forwarding(findings, f);
	judge_firewall(findings, f);
	judge_clock(findings, f);
	judge_mtu(findings, f);
	judge_routes(findings, f);
	judge_udp(findings, f);
	judge_trust(findings, f);
	return findings;
}
