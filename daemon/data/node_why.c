/* `warrenctl paths` and `why`: what was tried with a peer, and the one cause of what came of it. */
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_control.h"

/* An initiation goes out at once; after this long without an answer it is worth naming. */
#define UNANSWERED_MS 5000
/* An initiation that was refused so lately says something of now: they are repeated every 5 s. */
#define STALE_MS 12000
/* Clocks that are kept are never so far apart. */
#define CLOCK_OFF_MS 60000

static bool has_family(const struct candidates *c, uint8_t ip_len)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->v[i].endpoint.ip.len == ip_len)
			return true;
	return false;
}

static void add_coordinator(struct why_facts *f, const struct link *l)
{
	enum registrar_fault fault = registrar_fault(link_registrar(l));
	int64_t skew_ms;

	f->no_coordinator &= !link_is_registered(l);
	f->is_key_refused |= fault == REGISTRAR_FAULT_KEY;
	f->is_version_refused |= fault == REGISTRAR_FAULT_VERSION;
	if (link_is_registered(l) && registrar_clock_skew(link_registrar(l), &skew_ms))
		f->is_clock_off |= llabs(skew_ms) >= CLOCK_OFF_MS;
}

static bool is_seen_at(const struct candidates *c, const struct ip *ip)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->v[i].kind == CANDIDATE_REFLEXIVE && ip_equal(&c->v[i].endpoint.ip, ip))
			return true;
	return false;
}

static bool is_same_nat(const struct candidates *here, const struct candidates *there)
{
	for (unsigned i = 0; i < here->n; i++)
		if (here->v[i].kind == CANDIDATE_REFLEXIVE && here->v[i].endpoint.ip.len == 4 &&
		    is_seen_at(there, &here->v[i].endpoint.ip))
			return true;
	return false;
}

enum why_cause node_judge(struct node *n, const struct peer *p)
{
	uint64_t now = clock_now_ms();
	struct why_facts f = {
		.here = n->here.nat,
		.has_there = p->has_there,
		.there = p->there.nat,
		.here_has_v4 = has_family(&n->here, 4),
		.here_has_v6 = has_family(&n->here, 16),
		.there_has_v4 = has_family(&p->there, 4),
		.there_has_v6 = has_family(&p->there, 16),
		.is_same_nat = is_same_nat(&n->here, &p->there),
		.is_offline = node_is_known_offline(n, p),
		.is_cached = peers_is_cached(p),
		.no_coordinator = true,
		.paths = p->paths,
	};

	for (unsigned i = 0; i < n->n_links; i++)
		add_coordinator(&f, n->links[i]);
	f.is_other_version = p->is_other_version;
	f.is_stale = p->sessions.stale_ms && now - p->sessions.stale_ms < STALE_MS;
	f.wanted_bytes = n->mtu + WIRE_SEALED_OVERHEAD_BYTES;
	f.is_relay_only = p->policy == PATH_POLICY_RELAY;
	f.is_idle = !p->paths || (!sessions_sendable(&p->sessions, now) && !p->sessions.attempt.is_active);
	f.handshake_unanswered = p->paths && p->sessions.attempt.is_active && !sessions_sendable(&p->sessions, now) &&
				 now - p->sessions.asked_since_ms >= UNANSWERED_MS;
	f.n_inside = (unsigned)__builtin_popcount(p->inside);
	f.is_certificate_refused =
		(p->sessions.refused_here || p->sessions.refused_there) && !sessions_sendable(&p->sessions, now);
	f.no_common_cipher = p->sessions.has_no_suite && !sessions_sendable(&p->sessions, now);
	return why_judge(&f);
}

bool node_is_refused(const struct peer *p, enum why_cause cause)
{
	bool is_untrusted = p->sessions.refused_here || p->sessions.refused_there;

	return cause == WHY_NO_COMMON_CIPHER || (cause == WHY_KEY_REFUSED && is_untrusted);
}

/* What is worth saying of one path. */
static json_t *note_of(const struct path *path)
{
	char text[64];

	if (path->is_lossy)
		return json_string("left for its loss, measured on");
	if (!path_addr_is_direct(&path->addr) || path->n_answered || !path->n_sent)
		return json_null();
	if (path->addr.kind == PATH_TCP)
		snprintf(text, sizeof(text), "%u tries, no connection", path->n_sent);
	else
		snprintf(text, sizeof(text), "%u probes, 0 answers", path->n_sent);
	return json_string(text);
}

static json_t *path_row(struct node *n, const struct peer *p, const struct path *path)
{
	json_t *row = node_json_path(n, p, &path->addr);

	json_object_set_new(
		row, "candidate",
		json_string(path_addr_is_direct(&path->addr) ? candidate_kind_name(path->candidate) : "relay"));
	json_object_set_new(row, "state", json_string(path_state_name(path->state)));
	json_object_set_new(row, "rtt_ms", node_json_ms(path->rtt_us));
	json_object_set_new(row, "jitter_ms", node_json_ms(path->jitter_us));
	json_object_set_new(row, "loss_ratio", node_json_loss(path));
	json_object_set_new(row, "mtu",
			    path->mtu_bytes ? json_integer(path->mtu_bytes - WIRE_SEALED_OVERHEAD_BYTES) : json_null());
	json_object_set_new(row, "sent", json_integer(path->n_sent));
	json_object_set_new(row, "answered", json_integer(path->n_answered));
	json_object_set_new(row, "since", node_json_time(path->since_ms));
	json_object_set_new(row, "note", note_of(path));
	return row;
}

/* A candidate that is left alone, and why. */
static json_t *inside_row(struct node *n, const struct peer *p, const struct candidate *c)
{
	const struct path path = { .addr = { .kind = candidate_is_tcp(c->kind) ? PATH_TCP : PATH_UDP,
					     .endpoint = c->endpoint },
				   .candidate = c->kind };
	json_t *row = path_row(n, p, &path);
	char name[IF_NAMESIZE], text[64];
	const char *link = node_inside_link(n, &c->endpoint.ip, name);

	snprintf(text, sizeof(text), "not used: the way there leads into %s", link ? link : "an overlay");
	json_object_set_new(row, "note", json_string(text));
	return row;
}

static json_t *path_rows(struct node *n, const struct peer *p)
{
	json_t *rows = json_array();

	for (unsigned i = 0; p->paths && i < path_set_count(p->paths); i++)
		json_array_append_new(rows, path_row(n, p, path_set_at(p->paths, i)));
	for (unsigned i = 0; i < p->there.n; i++)
		if (p->inside >> i & 1)
			json_array_append_new(rows, inside_row(n, p, &p->there.v[i]));
	return rows;
}

static json_t *peer_paths(struct node *n, const struct peer *p)
{
	uint64_t next = p->paths ? path_set_next_round_ms(p->paths) : UINT64_MAX;

	return json_pack("{s:s, s:o, s:o, s:o}", "peer", p->name, "paths", path_rows(n, p), "last_round",
			 p->paths ? node_json_time(path_set_last_round_ms(p->paths)) : json_null(), "next_round",
			 next != UINT64_MAX ? node_json_time(next) : json_null());
}

void node_cmd_paths(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	json_t *doc, *list;
	struct peer *only = NULL;

	if (json_object_get(args, "peer")) {
		only = node_peer_of(n, req, args);
		if (!only)
			return;
	}
	doc = json_object();
	list = json_array();
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (only ? p == only : p->paths && peers_is_listed(&n->peers, p))
			json_array_append_new(list, peer_paths(n, p));
	json_object_set_new(doc, "schema", json_string("warren.paths/1"));
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	json_object_set_new(doc, "self", json_string(n->name));
	json_object_set_new(doc, "peers", list);
	control_reply_take(req, doc);
}

static json_t *side_json(const struct nat_facts *nat, bool has_v6)
{
	const char *udp = NULL;

	if (nat->flags & (NAT_UDP4_OK | NAT_UDP6_OK))
		udp = "ok";
	else if (nat->flags & NAT_UDP_BLOCKED)
		udp = "blocked";
	return json_pack("{s:o, s:o, s:s?, s:b}", "mapping", node_json_mapping(nat), "filtering",
			 node_json_filtering(nat), "udp", udp, "ipv6", has_v6);
}

/* What was spent on a search through NATs that change ports, and what came of it; null: none was ever needed. */
static json_t *search_json(const struct node *n, const struct peer *p)
{
	const struct punch_history *h = &p->punches;
	bool is_running = !punch_is_idle(&n->punch) && n->punch_peer == p->number;

	if (!h->begun_ms)
		return json_null();
	return json_pack("{s:s, s:b, s:s, s:o, s:o, s:i, s:i, s:i}", "method", punch_method_name(h->method), "is_asker",
			 h->was_asker, "result",
			 is_running   ? "running" :
			 h->was_found ? "found" :
					"nothing",
			 "since", node_json_time(h->begun_ms), "next",
			 is_running || h->was_found ? json_null() : node_json_time(h->next_ms), "searches",
			 h->n_searches, "sockets", h->n_sockets, "probes", h->n_probes);
}

/* What there is to say of a certificate in place of the cause's own words. */
static json_t *certificate_text(const struct peer *p, enum why_cause cause, const char **fix)
{
	const struct sessions *s = &p->sessions;

	if (cause != WHY_KEY_REFUSED || (!s->refused_here && !s->refused_there))
		return json_string(why_text(cause));
	if (s->refused_here == CERT_UNCHECKED || s->refused_there == CERT_UNCHECKED)
		*fix = "sign the list of revoked members anew: warrenctl node refresh, at a coordinator";
	else
		*fix = s->refused_here ?
			       "give the peer a new certificate: warrenctl cert sign" :
			       "give this node a new certificate: warrenctl cert sign, certificate_file, reload";
	return s->refused_here ?
		       json_sprintf("we refuse the peer: its certificate %s", cert_verdict_text(s->refused_here)) :
		       json_sprintf("the peer refuses us: our certificate %s", cert_verdict_text(s->refused_there));
}

void node_cmd_why(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	struct peer *p = node_peer_of(n, req, args);
	uint64_t now = clock_now_ms();
	enum why_cause cause;
	struct path_addr addr = { .kind = PATH_NONE };
	const char *fix;
	json_t *doc;

	if (!p)
		return;
	cause = node_judge(n, p);
	fix = why_fix(cause);
	if (p->paths && sessions_sendable(&p->sessions, now))
		addr = node_path_of(n, p);
	doc = json_object();
	json_object_set_new(doc, "schema", json_string("warren.why/1"));
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	json_object_set_new(doc, "peer", json_string(p->name));
	json_object_set_new(doc, "state",
			    json_string(addr.kind != PATH_NONE                                   ? "up" :
					node_is_known_offline(n, p) || node_is_refused(p, cause) ? "down" :
					peers_is_cached(p)                                       ? "cached" :
												   "idle"));
	json_object_set_new(doc, "path", node_json_path(n, p, &addr));
	json_object_set_new(doc, "cause", why_name(cause) ? json_string(why_name(cause)) : json_null());
	json_object_set_new(doc, "text", certificate_text(p, cause, &fix));
	json_object_set_new(doc, "fix", fix ? json_string(fix) : json_null());
	json_object_set_new(doc, "here", side_json(&n->here.nat, has_family(&n->here, 16)));
	json_object_set_new(doc, "there",
			    p->has_there ? side_json(&p->there.nat, has_family(&p->there, 16)) : json_null());
	json_object_set_new(doc, "search", search_json(n, p));
	json_object_set_new(doc, "tried", path_rows(n, p));
	control_reply_take(req, doc);
}
