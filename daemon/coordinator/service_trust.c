/* Members by certificate: who may register, until when, and whom the revocation list names. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/files.h"
#include "daemon/base/log.h"
#include "daemon/coordinator/service_private.h"

#define REVOCATIONS_FILE "revocations"
#define SWEEP_MS 10000    /* expired certificates are out of all lists within this */
#define PRUNE_MS 86400000 /* between looks for invitations that need not be remembered */

static uint64_t wall_s(void)
{
	return clock_wall_ms() / 1000;
}

/* Of an invitation that was used and of one that ran out unused the member hears the same; the log tells them apart. What the store
 * cannot tell now is found out when it is to be noted. */
static enum cert_verdict judge(struct service *s, const struct registration *r, const struct wire_trust *shown,
			       struct cert *cert, const char **why)
{
	enum cert_verdict v = trust_judge(s->trust, shown, &r->key, wall_s(), cert);
	int ret = v == CERT_GOOD ? directory_may_spend(s->directory, cert, wall_s()) : 0;

	*why = cert_verdict_text(v);
	if (ret != -EKEYREJECTED && ret != -EKEYEXPIRED)
		return v;
	*why = ret == -EKEYREJECTED ? "is made of an invitation that another key used" :
				      "is made of an invitation that expired before it was used";
	return CERT_SPENT;
}

enum cert_verdict service_judge(struct service *s, const struct registration *r, const struct wire_trust *shown,
				struct cert *cert)
{
	char text[KEY_TEXT_BYTES], source[ADDR_TEXT_BYTES];
	const char *why;
	enum cert_verdict v = judge(s, r, shown, cert, &why);

	if (v != CERT_GOOD && bucket_take(&s->strangers, SERVICE_STRANGERS_PER_S, SERVICE_STRANGERS_BURST, r->heard_ms))
		log_info("control: key %s from %s is refused: its certificate %s", pubkey_to_text(&r->key, text),
			 endpoint_to_text(&r->source, source), why);
	return v;
}

/* Of two that come at once with one invitation both were judged before either was noted. */
static const char *spend(struct service *s, const struct cert *cert)
{
	int ret = directory_spend(s->directory, cert, wall_s());

	if (ret == 0)
		return NULL;
	if (ret == -EKEYREJECTED || ret == -EKEYEXPIRED) {
		log_warn("member %s: refused: its invitation was used by another key meanwhile, or has expired",
			 cert->name);
		return "its invitation was used before, or has expired";
	}
	log_error("member %s: refused: it cannot be noted that its invitation is used: %s", cert->name, strerror(-ret));
	return "the coordinator cannot note that its invitation is used";
}

struct member *service_admit(struct service *s, struct registration *r, const char **why)
{
	struct directory_changes displaced;
	struct member *m = NULL;
	const char *refusal;
	struct cert cert;
	int ret;

	*why = "its certificate cannot be used here";
	if (!r->cert)
		return NULL;
	cert = *r->cert;
	/* Revoked between its initiation and now? */
	if (trust_judge_again(s->trust, &r->key, &cert.serial, cert.not_after_s, wall_s()) != CERT_GOOD)
		return NULL;
	refusal = spend(s, &cert);
	if (refusal) {
		*why = refusal;
		return NULL;
	}
	ret = directory_admit(s->directory, &cert, &m, &displaced);
	if (displaced.lease_error)
		log_error(
			"member %s: its certificate cannot be kept: %s; a restart forgets it until it registers again",
			cert.name, strerror(-displaced.lease_error));
	service_removed(s, &displaced, "a newer certificate has its name or address");
	directory_changes_fini(&displaced);
	if (ret == -EEXIST)
		log_warn("member %s: refused: a newer certificate has its name or one of its addresses", cert.name);
	else if (ret == -EADDRNOTAVAIL && !m)
		log_warn("member %s: refused: no address of its certificate lies in this network's prefixes",
			 cert.name);
	else if (ret && !m)
		log_error("member %s: refused: %s", cert.name, strerror(-ret));
	return m;
}

static void send_to(struct registration *r, const struct wire_revocations *m)
{
	uint8_t message[WIRE_REVOCATIONS_MAX_BYTES];
	int len = wire_revocations_encode(message, sizeof(message), CONTROL_REVOCATIONS, m);

	if (len > 0)
		registration_send(r, message, (size_t)len, false);
}

void service_greet(struct service *s, struct registration *r)
{
	struct wire_revocations have;

	if (!s->trust || !revocations_epoch(trust_revocations(s->trust)))
		return;
	have = revocations_have(trust_revocations(s->trust));
	send_to(r, &have);
}

/* ---------------------------------------------------------------- who is a member no more */

static bool is_over(void *arg, const struct member *m)
{
	struct service *s = arg;

	return trust_judge_again(s->trust, &m->key, &m->serial, m->not_after_s, wall_s()) != CERT_GOOD;
}

static void expel(struct service *s)
{
	struct directory_changes gone;

	if (directory_expel(s->directory, is_over, s, &gone) < 0)
		return; /* at the next look */
	service_removed(s, &gone, "its certificate has expired or is revoked");
	if (gone.n_removed)
		forward_changed(s->forward);
	directory_changes_fini(&gone);
}

static void push(struct service *s)
{
	struct wire_revocations have = revocations_have(trust_revocations(s->trust));
	struct member *m;

	for (uint32_t id = 0; (m = directory_next(s->directory, id)); id = m->id + 1)
		if (m->registration)
			send_to(m->registration, &have);
}

/* Tried again with each sweep until it is written; said once. */
static void save_list(struct service *s)
{
	size_t len;
	const uint8_t *list = revocations_list(trust_revocations(s->trust), &len);
	bool was_unsaved = s->is_list_unsaved;
	int ret = files_replace(s->state_dir, REVOCATIONS_FILE, list, len);

	s->is_list_unsaved = ret < 0;
	if (ret < 0 && !was_unsaved)
		log_error("%s/" REVOCATIONS_FILE
			  ": cannot be written: %s; until it is, a restart would go back to an older list",
			  s->state_dir, strerror(-ret));
	else if (ret == 0 && was_unsaved)
		log_info("%s/" REVOCATIONS_FILE ": is written now", s->state_dir);
}

static void on_news(struct service *s)
{
	log_info("revocations: list %llu is in force",
		 (unsigned long long)revocations_epoch(trust_revocations(s->trust)));
	save_list(s);
	expel(s);
	push(s);
}

int service_revoke(struct service *s, const uint8_t *list, size_t len, uint64_t now_ms)
{
	int ret = s->trust ? revocations_adopt(trust_revocations(s->trust), list, len) : -EOPNOTSUPP;

	(void)now_ms;
	if (ret == 0)
		on_news(s);
	return ret;
}

void service_on_revocations(struct service *s, struct registration *r, const uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_revocations m, reply;

	if (wire_revocations_decode(&m, CONTROL_REVOCATIONS, data, len) < 0) {
		counters_inc(s->counters, COUNTER_control_bad_frame);
		return;
	}
	if (!s->trust)
		return;
	switch (revocations_on_message(trust_revocations(s->trust), r->member->id, &m, now_ms, &reply)) {
	case REVOCATIONS_REPLY:
		send_to(r, &reply);
		break;
	case REVOCATIONS_NEWS:
		on_news(s);
		break;
	case REVOCATIONS_QUIET:
		break;
	}
}

int service_read_revocations(struct service *s)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	char path[4096];
	int len;

	snprintf(path, sizeof(path), "%s/" REVOCATIONS_FILE, s->state_dir);
	len = files_read(path, list, sizeof(list));
	if (len == -ENOENT)
		return 0;
	return len < 0 ? len : revocations_adopt(trust_revocations(s->trust), list, (size_t)len);
}

static bool is_good(void *arg, const struct cert *cert)
{
	struct service *s = arg;

	return !revocations_name(trust_revocations(s->trust), &cert->member, &cert->serial) &&
	       cert_verify(cert, trust_network(s->trust), NULL, wall_s()) == CERT_GOOD;
}

int service_restore(struct service *s)
{
	return directory_restore(s->directory, is_good, s);
}

/* ---------------------------------------------------------------- time */

void service_tick(struct service *s, uint64_t now_ms)
{
	struct wire_revocations ask;
	struct member *m;
	uint64_t source;
	size_t len;

	if (!s->trust)
		return;
	if (revocations_tick(trust_revocations(s->trust), now_ms, &source, &ask)) {
		m = directory_by_id(s->directory, (uint32_t)source);
		if (m && m->registration)
			send_to(m->registration, &ask);
	}
	if (now_ms < s->sweep_ms)
		return;
	s->sweep_ms = now_ms + SWEEP_MS;
	if (s->is_list_unsaved)
		save_list(s);
	expel(s);
	if (now_ms < s->prune_ms)
		return;
	s->prune_ms = now_ms + PRUNE_MS;
	directory_prune_spent(s->directory, revocations_list(trust_revocations(s->trust), &len), wall_s());
}

uint64_t service_next_ms(const struct service *s)
{
	uint64_t next = s->trust ? revocations_next_ms(trust_revocations(s->trust)) : UINT64_MAX;

	return !s->trust ? UINT64_MAX : next < s->sweep_ms ? next : s->sweep_ms;
}
