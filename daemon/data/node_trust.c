/* Certificates: who a peer is by its own, until when; and the revocation list, from whoever has a newer one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/files.h"
#include "daemon/data/node_control.h"

#define WARN_DAYS 30
#define DAY_S 86400

/* Sources of revocations: peers by their numbers, coordinators from here on. */
#define LINK_SOURCE (UINT64_C(1) << 63)

static uint64_t wall_s(void)
{
	return clock_wall_ms() / 1000;
}

/* ---------------------------------------------------------------- our own */

static int read_revocations(struct node *n)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	char path[4096];
	int len;

	snprintf(path, sizeof(path), "%s/" NODE_REVOCATIONS_FILE, n->state_dir);
	len = files_read(path, list, sizeof(list));
	if (len == -ENOENT)
		return 0;
	if (len >= 0)
		len = revocations_adopt(trust_revocations(n->trust), list, (size_t)len);
	if (len == 0)
		return 0;
	/* Without it the revoked would be let in again. */
	log_error(
		"%s: the list of revoked members cannot be used (%s): put back a copy, or remove it to go on with what others "
		"have",
		path, len == -EBADMSG ? "damaged, or of another network key" : strerror(-len));
	return len;
}

/* Addresses that the certificate does not have are not ours, whoever said so. */
static unsigned own_addresses(struct node *n, const struct prefix *addrs, unsigned n_addrs,
			      struct prefix out[static WIRE_ADDRS_MAX])
{
	const struct cert *own = trust_own(n->trust);
	unsigned kept = 0;

	for (unsigned i = 0; i < n_addrs; i++) {
		/* As wide as a coordinator's file may make a network: none shall have all our traffic by a wider one. */
		bool is_wide = addrs[i].bits < (addrs[i].ip.len == 4 ? 8 : 32);

		if (!own || (cert_has_addr(own, &addrs[i].ip) && !is_wide))
			out[kept++] = addrs[i];
	}
	return kept;
}

unsigned node_own_addresses(struct node *n, const struct link *l, const struct wire_registered *r,
			    struct prefix out[static WIRE_ADDRS_MAX])
{
	unsigned kept = own_addresses(n, r->addrs, r->n_addrs, out);

	if (kept != r->n_addrs) {
		counters_inc(node_counters(n), COUNTER_records_refused);
		log_error("coordinator %s: gives us an address that our certificate does not have; it is not used",
			  link_config(l)->name);
	}
	return kept;
}

static void log_validity(const struct cert *own)
{
	uint64_t now = wall_s();

	if (now + CERT_SKEW_S < own->not_before_s || (own->not_after_s && now >= own->not_after_s))
		log_error("certificate: it is not valid now: no peer will take it");
	else if (own->not_after_s && own->not_after_s - now < WARN_DAYS * DAY_S)
		log_warn("certificate: it expires in %u days", (unsigned)((own->not_after_s - now) / DAY_S));
}

int node_trust_start(struct node *n, const struct seckey *secret)
{
	char error[CONFIG_ERROR_BYTES];
	struct cert own;

	if (!config_has_network_key(n->config))
		return 0;
	n->trust = trust_new(&n->config->network_key, node_counters(n));
	if (!n->trust)
		return -ENOMEM;
	trust_require_fresh_list(n->trust);
	n->peers.is_certified = true;
	if (config_read_certificate(n->config, secret, &own, error) < 0) {
		log_error("%s", error);
		return -EINVAL;
	}
	trust_set_own(n->trust, &own);
	log_validity(&own);
	n->state.n_addrs = own_addresses(n, n->state.addrs, n->state.n_addrs, n->state.addrs);
	return read_revocations(n);
}

int node_trust_reload(struct node *n, const struct config *new_config, struct cert *own,
		      char error[static CONFIG_ERROR_BYTES])
{
	*own = (struct cert){ 0 };
	/* Another network key waits for a restart, and its certificate with it. */
	if (!n->trust || !verifykey_equal(&new_config->network_key, trust_network(n->trust)))
		return 0;
	return config_read_certificate(new_config, &n->identity.secret, own, error) < 0 ? -EINVAL : 0;
}

void node_trust_set_own(struct node *n, const struct cert *own, uint64_t now_ms)
{
	const struct cert *old = trust_own(n->trust);

	if (!own->n_addrs || memcmp(old->signature, own->signature, sizeof(own->signature)) == 0)
		return;
	trust_set_own(n->trust, own);
	log_validity(own);
	n->is_table_stale = true; /* the networks behind us */
	/* Coordinators are shown it now, peers with their next keys. */
	for (unsigned i = 0; i < n->n_links; i++)
		link_register_anew(n->links[i], now_ms);
}

/* ---------------------------------------------------------------- peers */

static bool is_in_conflict(const struct peer *q, const struct cert *c)
{
	if (strcmp(q->name, c->name) == 0)
		return true;
	for (unsigned i = 0; i < q->n_addrs; i++)
		if (cert_has_addr(c, &q->addrs[i]))
			return true;
	return false;
}

/* One name, one address, one member: the newest certificate has them. What has shown none has no claim. */
static bool may_have(struct node *n, const struct peer *p, const struct cert *c)
{
	struct peer *q, *tmp;

	HASH_ITER(by_number, n->peers.by_number, q, tmp) {
		if (q != p && q->credential.is_good && q->credential.not_before_s > c->not_before_s &&
		    is_in_conflict(q, c))
			return false;
	}
	HASH_ITER(by_number, n->peers.by_number, q, tmp) {
		if (q != p && is_in_conflict(q, c))
			node_remove_peer(n, q);
	}
	return true;
}

/* Name and addresses are the certificate's from now on, and what goes by the name. */
static void take(struct node *n, struct peer *p, const struct cert *c,
		 void (*how)(struct peers *, struct peer *, const struct cert *))
{
	bool is_renamed = strcmp(p->name, c->name) != 0;

	how(&n->peers, p, c);
	if (is_renamed)
		node_apply_policy(n, p);
}

/* What the network key has signed exists, though it be revoked or of another time: people see it, and why it has no session. It has
 * no claim to its name or addresses. */
static void attest_refused(struct node *n, struct peer *p, const struct wire_trust *shown)
{
	struct peer *q, *tmp;
	struct cert c;

	if (p->attested.is_so || !trust_is_signed(n->trust, shown, &p->key, &c))
		return;
	HASH_ITER(by_number, n->peers.by_number, q, tmp) {
		if (q != p && q->attested.is_so && is_in_conflict(q, &c))
			return;
	}
	take(n, p, &c, peers_attest);
	p->attested.since_s = 0;
}

enum cert_verdict node_judge_certificate(struct node *n, struct peer *p, const struct wire_trust *shown)
{
	enum cert_verdict v;
	struct cert c;

	if (!n->trust)
		return CERT_GOOD;
	v = trust_judge(n->trust, shown, &p->key, wall_s(), &c);
	if (v == CERT_REVOKED || v == CERT_EXPIRED || v == CERT_NOT_YET || v == CERT_UNCHECKED)
		attest_refused(n, p, shown);
	if (v != CERT_GOOD)
		return v;
	/* An old initiation can be sent again after a restart of ours; its certificate must not undo a newer one. */
	if ((p->credential.is_good && c.not_before_s < p->credential.not_before_s) || !may_have(n, p, &c))
		return CERT_SUPERSEDED;
	take(n, p, &c, peers_take_certificate);
	p->epoch_there = shown->epoch;
	n->is_table_stale = true;
	node_routes_changed(n);
	return CERT_GOOD;
}

void node_untrusted(struct node *n, struct peer *p, bool is_news)
{
	const struct sessions *s = &p->sessions;

	if (is_news && s->refused_here)
		log_warn("peer %s: refused: its certificate %s", p->name, cert_verdict_text(s->refused_here));
	if (is_news && s->refused_there)
		log_warn("peer %s: refuses us: our certificate %s", p->name, cert_verdict_text(s->refused_there));
	node_routes_changed(n);
	node_unreachable(n, p->held);
	node_mark_peer(n, p);
}

void node_trust_tick_peer(struct node *n, struct peer *p, uint64_t now_ms)
{
	enum cert_verdict v;

	if (!p->credential.is_good)
		return;
	v = trust_judge_again(n->trust, &p->key, &p->credential.serial, p->credential.not_after_s, wall_s());
	if (v == CERT_GOOD)
		return;
	p->credential.is_good = false;
	sessions_revoke(&p->sessions, v, now_ms);
	node_routes_changed(n);
	node_mark_peer(n, p);
}

uint64_t node_trust_next_ms(const struct node *n, const struct peer *p, uint64_t now_ms)
{
	uint64_t end_s, list_s, now_s = wall_s();

	if (!p->credential.is_good)
		return UINT64_MAX;
	end_s = p->credential.not_after_s;
	list_s = revocations_expires_s(trust_revocations(n->trust));
	if (!end_s || (list_s && list_s < end_s))
		end_s = list_s;
	if (!end_s)
		return UINT64_MAX;
	end_s += CERT_SKEW_S;
	return end_s > now_s ? now_ms + (end_s - now_s) * 1000 : now_ms;
}

void node_trust_settle_peer(struct peer *p)
{
	const struct sessions *s = &p->sessions;

	if (!s->current && !s->previous && !s->next)
		p->credential.is_good = false;
}

bool node_judge_record(struct node *n, unsigned coordinator, const struct wire_member *record, struct cert *out)
{
	struct wire_trust shown = { .is_shown = true, .len = record->cert_len };
	enum cert_verdict v;
	struct pubkey key;

	static_assert(sizeof(shown.cert) >= CERT_MAX_BYTES, "a record's is no longer");
	if (!n->trust || record->cert_len == 0)
		return false;
	memcpy(shown.cert, record->cert, record->cert_len);
	memcpy(key.b, record->key, sizeof(key.b));
	v = trust_judge(n->trust, &shown, &key, wall_s(), out);
	/* Whom an expired list keeps out is to be seen, with the reason. */
	if (v == CERT_GOOD || (v == CERT_UNCHECKED && trust_is_signed(n->trust, &shown, &key, out)))
		return true;
	counters_inc(node_counters(n), COUNTER_records_refused);
	log_debug("coordinator %s: hands on for %s a certificate that %s", link_config(n->links[coordinator])->name,
		  record->name, cert_verdict_text(v));
	return false;
}

/* Does it agree with what certificates say: its own, as handed on (NULL: none), or those seen before? */
static bool is_borne_out(const struct node *n, const struct wire_member *record, const struct cert *own)
{
	const struct peer *p, *other;
	struct pubkey key;
	bool is_good;

	memcpy(key.b, record->key, sizeof(key.b));
	p = peers_by_key(&n->peers, &key);
	if (own)
		is_good = strcmp(own->name, record->name) == 0;
	else
		is_good = !p || !p->attested.is_so ||
			  (strcmp(p->name, record->name) == 0 && p->n_addrs >= record->n_addrs);
	for (unsigned i = 0; i < record->n_addrs; i++) {
		other = own ? NULL : peers_by_addr(&n->peers, &record->addrs[i]);
		is_good &= own ? cert_has_addr(own, &record->addrs[i]) : !other || other == p || !other->attested.is_so;
	}
	return is_good;
}

void node_check_record(struct node *n, unsigned coordinator, const struct wire_member *record, const struct cert *own)
{
	if (!n->trust || is_borne_out(n, record, own))
		return;
	counters_inc(node_counters(n), COUNTER_records_refused);
	log_debug("coordinator %s: says of %s what certificates say otherwise",
		  link_config(n->links[coordinator])->name, record->name);
}

/* ---------------------------------------------------------------- revocations */

static void send_to_peer(struct node *n, struct peer *p, const struct wire_revocations *m)
{
	struct path_addr to = node_path_of(n, p);
	uint8_t body[WIRE_REVOCATIONS_MAX_BYTES];
	int len = wire_revocations_encode(body, sizeof(body), SESSION_REVOCATIONS, m);

	if (len > 0)
		node_send_session(n, p, &to, body, (size_t)len);
}

static void send_to_link(struct link *l, const struct wire_revocations *m)
{
	uint8_t message[WIRE_REVOCATIONS_MAX_BYTES];
	int len = wire_revocations_encode(message, sizeof(message), CONTROL_REVOCATIONS, m);

	if (len > 0)
		link_send(l, message, (size_t)len);
}

static void send_to(struct node *n, uint64_t source, const struct wire_revocations *m)
{
	struct peer *p;

	if (source >= LINK_SOURCE) {
		if (source - LINK_SOURCE < n->n_links)
			send_to_link(n->links[source - LINK_SOURCE], m);
		return;
	}
	p = peers_by_number(&n->peers, source);
	if (p && p->paths)
		send_to_peer(n, p, m);
}

static void on_news(struct node *n, uint64_t source)
{
	struct revocations *r = trust_revocations(n->trust);
	struct wire_revocations have = revocations_have(r);
	uint64_t now = clock_now_ms();

	log_info("revocations: list %llu is in force", (unsigned long long)revocations_epoch(r));
	node_save_revocations(n);
	node_routes_changed(n);
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		sessions_forget_refusal(&p->sessions); /* it may have been for the list before */
		node_trust_tick_peer(n, p, now);
		if (p->settled_index && p->number != source)
			send_to_peer(n, p, &have);
	}
	for (unsigned i = 0; i < n->n_links; i++)
		if (LINK_SOURCE + i != source && link_is_registered(n->links[i]))
			send_to_link(n->links[i], &have);
}

static void act(struct node *n, uint64_t source, enum revocations_result result, const struct wire_revocations *reply)
{
	if (result == REVOCATIONS_REPLY)
		send_to(n, source, reply);
	else if (result == REVOCATIONS_NEWS)
		on_news(n, source);
	node_due(n, revocations_next_ms(trust_revocations(n->trust)));
}

void node_revocations_met(struct node *n, struct peer *p, uint64_t now_ms)
{
	struct wire_revocations reply;

	/* Whoever has the older list asks. */
	if (n->trust && p->epoch_there > revocations_epoch(trust_revocations(n->trust)))
		act(n, p->number,
		    revocations_heard(trust_revocations(n->trust), p->number, p->epoch_there, now_ms, &reply), &reply);
}

void node_revocations_registered(struct node *n, struct link *l)
{
	struct wire_revocations have;

	if (!n->trust)
		return;
	have = revocations_have(trust_revocations(n->trust));
	send_to_link(l, &have);
}

static int on_message(struct node *n, uint64_t source, uint8_t type, const uint8_t *data, size_t len)
{
	struct wire_revocations m, reply;

	if (wire_revocations_decode(&m, type, data, len) < 0)
		return -EBADMSG;
	if (n->trust)
		act(n, source, revocations_on_message(trust_revocations(n->trust), source, &m, clock_now_ms(), &reply),
		    &reply);
	return 0;
}

int node_revocations_from_peer(struct node *n, struct peer *p, const uint8_t *body, size_t len)
{
	return on_message(n, p->number, SESSION_REVOCATIONS, body, len);
}

int node_revocations_from_link(struct node *n, const struct link *l, const uint8_t *data, size_t len)
{
	return on_message(n, LINK_SOURCE + link_number(l), CONTROL_REVOCATIONS, data, len);
}

void node_trust_tick(struct node *n, uint64_t now_ms)
{
	struct wire_revocations ask;
	uint64_t source;

	if (n->trust && revocations_tick(trust_revocations(n->trust), now_ms, &source, &ask))
		send_to(n, source, &ask);
}

uint64_t node_trust_due_ms(const struct node *n)
{
	return n->trust ? revocations_next_ms(trust_revocations(n->trust)) : UINT64_MAX;
}

/* ---------------------------------------------------------------- what people see */

static void note_validity(const struct node *n, const struct cert *own, json_t *notices)
{
	struct revocations *r = trust_revocations(n->trust);
	uint64_t now = wall_s();

	if (revocations_name(r, &n->identity.public, &own->serial))
		json_array_append_new(notices, json_string("our certificate is revoked: no member talks to this node"));
	else if (now + CERT_SKEW_S < own->not_before_s)
		json_array_append_new(notices, json_string("our certificate is not valid yet: is the clock right?"));
	else if (own->not_after_s && now >= own->not_after_s)
		json_array_append_new(notices,
				      json_string("our certificate has expired: no member talks to this node"));
	else if (own->not_after_s && own->not_after_s - now < WARN_DAYS * DAY_S)
		json_array_append_new(notices, json_sprintf("our certificate expires in %u days",
							    (unsigned)((own->not_after_s - now) / DAY_S)));
}

/* Before a certificate's end, or a list's, there is something to be done by somebody. */
static void note_list(const struct node *n, json_t *notices)
{
	const struct revocations *r = trust_revocations(n->trust);
	uint64_t now = wall_s(), end = revocations_expires_s(r);

	if (revocations_is_over(r, now))
		json_array_append_new(
			notices,
			json_string(
				"the list of revoked members has expired, and no newer one has come: nobody is let in"));
	else if (revocations_is_ending(r, now))
		json_array_append_new(notices,
				      json_sprintf("the list of revoked members expires in %u hours: is there a "
						   "newer one (warrenctl node refresh)?",
						   (unsigned)(end > now ? (end - now) / 3600 : 0)));
}

json_t *node_json_trust(struct node *n, json_t *notices)
{
	const struct cert *own = trust_own(n->trust);
	char key[KEY_TEXT_BYTES];
	uint64_t wall_to_now, list_end_s;

	if (!own)
		return json_null();
	note_validity(n, own, notices);
	note_list(n, notices);
	/* node_json_time() takes the other clock's time; it may be the past of this boot. */
	wall_to_now = clock_now_ms() - clock_wall_ms();
	list_end_s = revocations_expires_s(trust_revocations(n->trust));
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:I, s:o}", "network_key", verifykey_to_text(trust_network(n->trust), key),
		"name", own->name, "not_before", node_json_time(own->not_before_s * 1000 + wall_to_now), "not_after",
		own->not_after_s ? node_json_time(own->not_after_s * 1000 + wall_to_now) : json_null(), "revocations",
		(json_int_t)revocations_epoch(trust_revocations(n->trust)), "revocations_expire",
		list_end_s ? node_json_time(list_end_s * 1000 + wall_to_now) : json_null());
}
