#include "daemon/peer/revocations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BARRED_MAX 16
#define WARN_MAX_S (30 * 86400)

struct revocations {
	struct verifykey network;
	uint8_t *list; /* NULL: none */
	size_t len;
	uint64_t epoch, issued_s, expires_s;
	struct { /* what is being fetched; total 0: the head has not come, epoch 0: nothing is */
		uint64_t source, epoch, asked_ms;
		unsigned n_asks; /* of the part that is waited for */
		uint8_t *data;
		size_t have, total;
	} fetch;
	struct {
		uint64_t source, until_ms;
	} barred[BARRED_MAX];
	unsigned next_barred;
};

struct revocations *revocations_new(const struct verifykey *network)
{
	struct revocations *r = calloc(1, sizeof(*r));

	if (r)
		r->network = *network;
	return r;
}

static void fetch_end(struct revocations *r)
{
	free(r->fetch.data);
	memset(&r->fetch, 0, sizeof(r->fetch));
}

void revocations_free(struct revocations *r)
{
	if (!r)
		return;
	fetch_end(r);
	free(r->list);
	free(r);
}

uint64_t revocations_epoch(const struct revocations *r)
{
	return r->epoch;
}

uint64_t revocations_expires_s(const struct revocations *r)
{
	return r->expires_s;
}

bool revocations_is_over(const struct revocations *r, uint64_t now_s)
{
	return r->expires_s && now_s >= r->expires_s + CERT_SKEW_S;
}

bool revocations_is_ending(const struct revocations *r, uint64_t now_s)
{
	uint64_t warn_s = (r->expires_s - r->issued_s) / 3;

	if (warn_s > WARN_MAX_S)
		warn_s = WARN_MAX_S;
	return r->expires_s && now_s + warn_s >= r->expires_s;
}

const uint8_t *revocations_list(const struct revocations *r, size_t *len)
{
	*len = r->len;
	return r->list;
}

bool revocations_name(const struct revocations *r, const struct pubkey *key, const struct cert_serial *serial)
{
	return revocation_names(r->list, key, serial);
}

int revocations_adopt(struct revocations *r, const uint8_t *data, size_t len)
{
	struct revocation_head h;
	uint8_t *copy;

	if (revocation_decode(&h, data, len) < 0 || !revocation_head_is_signed(&h, &r->network))
		return -EBADMSG;
	if (h.epoch <= r->epoch)
		return -EALREADY;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	free(r->list);
	r->list = copy;
	r->len = len;
	r->epoch = h.epoch;
	r->issued_s = h.issued_s;
	r->expires_s = h.expires_s;
	if (r->fetch.epoch <= r->epoch)
		fetch_end(r);
	return 0;
}

/* ---------------------------------------------------------------- fetching */

static bool is_barred(const struct revocations *r, uint64_t source, uint64_t now_ms)
{
	for (unsigned i = 0; i < BARRED_MAX; i++)
		if (r->barred[i].source == source && now_ms < r->barred[i].until_ms)
			return true;
	return false;
}

/* It did not deliver what it said it has. */
static void give_up(struct revocations *r, uint64_t now_ms)
{
	unsigned i = r->next_barred++ % BARRED_MAX;

	r->barred[i].source = r->fetch.source;
	r->barred[i].until_ms = now_ms + REVOCATIONS_BARRED_MS;
	fetch_end(r);
}

static struct wire_revocations ask(struct revocations *r, uint64_t now_ms)
{
	r->fetch.asked_ms = now_ms;
	r->fetch.n_asks++;
	return (struct wire_revocations){ .step = REVOCATION_ASK,
					  .epoch = r->fetch.epoch,
					  .offset = (uint32_t)r->fetch.have };
}

struct wire_revocations revocations_have(const struct revocations *r)
{
	return (struct wire_revocations){ .step = REVOCATION_HAVE, .epoch = r->epoch };
}

enum revocations_result revocations_heard(struct revocations *r, uint64_t source, uint64_t epoch, uint64_t now_ms,
					  struct wire_revocations *reply)
{
	if (epoch < r->epoch) {
		*reply = revocations_have(r);
		return REVOCATIONS_REPLY;
	}
	if (epoch == r->epoch || is_barred(r, source, now_ms))
		return REVOCATIONS_QUIET;
	/* A fetch under way goes on, but for a yet newer list of the same source. */
	if (r->fetch.epoch && (r->fetch.source != source || r->fetch.epoch >= epoch))
		return REVOCATIONS_QUIET;
	fetch_end(r);
	r->fetch.source = source;
	r->fetch.epoch = epoch;
	*reply = ask(r, now_ms);
	return REVOCATIONS_REPLY;
}

static enum revocations_result on_ask(const struct revocations *r, const struct wire_revocations *m,
				      struct wire_revocations *reply)
{
	if (m->epoch != r->epoch) { /* ours is another meanwhile */
		*reply = revocations_have(r);
		return r->epoch > m->epoch ? REVOCATIONS_REPLY : REVOCATIONS_QUIET;
	}
	if (m->offset >= r->len)
		return REVOCATIONS_QUIET;
	*reply = (struct wire_revocations){ .step = REVOCATION_PART,
					    .epoch = r->epoch,
					    .offset = m->offset,
					    .data = r->list + m->offset,
					    .len = r->len - m->offset };
	if (reply->len > REVOCATION_PART_MAX_BYTES)
		reply->len = REVOCATION_PART_MAX_BYTES;
	return REVOCATIONS_REPLY;
}

/* The first part begins with the head: what follows is worth fetching if that is the network key's. */
static bool begin(struct revocations *r, const struct wire_revocations *m)
{
	struct revocation_head h;

	if (revocation_head_decode(&h, m->data, m->len) < 0 || h.epoch != m->epoch ||
	    !revocation_head_is_signed(&h, &r->network))
		return false;
	r->fetch.total = revocation_length(&h);
	r->fetch.data = malloc(r->fetch.total);
	return r->fetch.data != NULL;
}

static enum revocations_result on_part(struct revocations *r, uint64_t source, const struct wire_revocations *m,
				       uint64_t now_ms, struct wire_revocations *reply)
{
	if (!r->fetch.epoch || source != r->fetch.source || m->epoch != r->fetch.epoch || m->offset != r->fetch.have)
		return REVOCATIONS_QUIET; /* not asked for, or there already */
	if ((m->offset == 0 && !begin(r, m)) || m->len > r->fetch.total - r->fetch.have) {
		give_up(r, now_ms);
		return REVOCATIONS_QUIET;
	}
	memcpy(r->fetch.data + r->fetch.have, m->data, m->len);
	r->fetch.have += m->len;
	r->fetch.n_asks = 0;
	if (r->fetch.have < r->fetch.total) {
		*reply = ask(r, now_ms);
		return REVOCATIONS_REPLY;
	}
	if (revocations_adopt(r, r->fetch.data, r->fetch.total) == 0)
		return REVOCATIONS_NEWS;
	if (r->fetch.epoch)
		give_up(r, now_ms);
	return REVOCATIONS_QUIET;
}

enum revocations_result revocations_on_message(struct revocations *r, uint64_t source, const struct wire_revocations *m,
					       uint64_t now_ms, struct wire_revocations *reply)
{
	switch (m->step) {
	case REVOCATION_HAVE:
		return revocations_heard(r, source, m->epoch, now_ms, reply);
	case REVOCATION_ASK:
		return on_ask(r, m, reply);
	case REVOCATION_PART:
		return on_part(r, source, m, now_ms, reply);
	}
	return REVOCATIONS_QUIET;
}

bool revocations_tick(struct revocations *r, uint64_t now_ms, uint64_t *source, struct wire_revocations *question)
{
	if (now_ms < revocations_next_ms(r))
		return false;
	if (r->fetch.n_asks >= REVOCATIONS_ASKS_MAX) {
		give_up(r, now_ms);
		return false;
	}
	*source = r->fetch.source;
	*question = ask(r, now_ms);
	return true;
}

uint64_t revocations_next_ms(const struct revocations *r)
{
	return r->fetch.epoch ? r->fetch.asked_ms + REVOCATIONS_ASK_AGAIN_MS : UINT64_MAX;
}
