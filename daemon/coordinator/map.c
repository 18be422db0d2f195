/* `warrenctl map`: who is registered, from where, and which pairs were introduced and talk by what kind of path. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/coordinator/role_private.h"
#include "daemon/path/path.h"

/* What a document may hold (CONTROL_ANSWER_MAX_BYTES), and is made from within a tick of the loop. */
#define MAP_MEMBERS_MAX 2000
#define MAP_PAIRS_MAX 20000

static json_t *endpoint_or_null(const struct endpoint *e)
{
	char text[ADDR_TEXT_BYTES];

	return e && e->ip.len ? json_string(endpoint_to_text(e, text)) : json_null();
}

/* What the member says of its NAT; null where it said nothing. */
static json_t *nat(const struct member *m)
{
	const struct nat_facts *facts = &m->candidates.nat;
	bool is_ok = facts->flags & (NAT_UDP4_OK | NAT_UDP6_OK);

	if (!m->registration || !(facts->flags & NAT_TESTED))
		return json_null();
	return json_pack("{s:s, s:s, s:b}", "mapping", nat_mapping_name(facts->mapping), "filtering",
			 nat_filtering_name(facts->filtering), "udp_blocked",
			 !is_ok && (facts->flags & NAT_UDP_BLOCKED));
}

static json_t *member(const struct member *m, uint64_t now_ms)
{
	const struct registration *r = m->registration;
	const struct way *way = r ? bound_way(&r->bound, now_ms) : NULL;
	char text[ADDR_TEXT_BYTES];
	json_t *ips = json_array();

	if (m->address.len)
		json_array_append_new(ips, json_string(ip_to_text(&m->address, text)));
	if (m->address6.len)
		json_array_append_new(ips, json_string(ip_to_text(&m->address6, text)));
	return json_pack("{s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "name", m->name, "ips", ips, "online", r != NULL, "tcp",
			 endpoint_or_null(r ? &r->source : NULL), "udp", endpoint_or_null(way ? &way->peer : NULL),
			 "rtt_ms", r && m->rtt_us ? json_real(m->rtt_us / 1000.0) : json_null(), "nat", nat(m));
}

/* null: it said nothing of it. */
static json_t *path(const struct member *from, uint32_t to)
{
	static const struct {
		const char *kind, *transport;
	} names[] = {
		[CONTROL_PATH_NONE] = { "none", NULL },        [CONTROL_PATH_LAN] = { "lan", "udp" },
		[CONTROL_PATH_DIRECT] = { "direct", "udp" },   [CONTROL_PATH_TCP] = { "tcp", "tcp" },
		[CONTROL_PATH_RELAY_UDP] = { "relay", "udp" }, [CONTROL_PATH_RELAY_TCP] = { "relay", "tcp" },
	};
	uint8_t kind = introduced_path(&from->introduced, to);

	if (kind >= sizeof(names) / sizeof(names[0]))
		return json_null();
	return json_pack("{s:s, s:s?}", "kind", names[kind].kind, "transport", names[kind].transport);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct member *const *)a)->name, (*(const struct member *const *)b)->name);
}

/* Those it was introduced to and whose names come after its own, so that each pair comes once; or who forgot it meanwhile. */
static unsigned partners(const struct directory *d, const struct member *m,
			 const struct member *out[static INTRODUCED_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->introduced.n; i++) {
		const struct member *other = directory_by_id(d, m->introduced.v[i].id);

		if (other && (strcmp(m->name, other->name) < 0 || !introduced_has(&other->introduced, m->id)))
			out[n++] = other;
	}
	qsort(out, n, sizeof(out[0]), by_name);
	return n;
}

/* True: there were more. */
static bool add_pairs(const struct directory *d, json_t *pairs)
{
	const struct member *others[INTRODUCED_MAX], *m;

	for (unsigned i = 0; (m = directory_at(d, i)); i++) {
		unsigned n = partners(d, m, others);

		for (unsigned k = 0; k < n; k++) {
			if (json_array_size(pairs) == MAP_PAIRS_MAX)
				return true;
			json_array_append_new(pairs, json_pack("{s:s, s:s, s:o, s:o}", "a", m->name, "b",
							       others[k]->name, "a_path", path(m, others[k]->id),
							       "b_path", path(others[k], m->id)));
		}
	}
	return false;
}

json_t *document_map(const struct coordinator *c)
{
	json_t *members = json_array(), *pairs = json_array();
	uint64_t now_ms = clock_now_ms();
	const struct member *m;
	bool is_cut;
	char text[CLOCK_TEXT_BYTES];

	for (unsigned i = 0; i < MAP_MEMBERS_MAX && (m = directory_at(c->directory, i)); i++)
		json_array_append_new(members, member(m, now_ms));
	is_cut = add_pairs(c->directory, pairs) || directory_count(c->directory) > MAP_MEMBERS_MAX;
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b}", "schema", "warren.map/1", "time",
			 clock_text(now_ms, text), "net", c->service.network, "self", c->config->name, "members",
			 members, "pairs", pairs, "truncated", is_cut);
}
