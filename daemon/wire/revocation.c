#include "daemon/wire/revocation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/mac.h"
#include "daemon/base/bytes.h"

#define SIGNED_BYTES (REVOCATION_HEAD_BYTES - SIGNATURE_BYTES)

static const char purpose[] = "warren-revoke-1";

static_assert(sizeof(struct revocation_entry) == REVOCATION_ENTRY_BYTES, "entries are compared as bytes");

size_t revocation_length(const struct revocation_head *h)
{
	return REVOCATION_HEAD_BYTES + (size_t)h->n_entries * REVOCATION_ENTRY_BYTES;
}

static void head_write(struct writer *w, const struct revocation_head *h)
{
	writer_u8(w, REVOCATION_VERSION);
	writer_put(w, h->network.b, sizeof(h->network.b));
	writer_be64(w, h->epoch);
	writer_be64(w, h->issued_s);
	writer_be64(w, h->expires_s);
	writer_be32(w, h->n_entries);
	writer_put(w, h->hash, sizeof(h->hash));
}

static bool are_times_good(uint64_t issued_s, uint64_t expires_s)
{
	return issued_s < CERT_TIME_MAX && (expires_s == 0 || (expires_s > issued_s && expires_s < CERT_TIME_MAX));
}

int revocation_head_decode(struct revocation_head *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len < REVOCATION_HEAD_BYTES ? len : REVOCATION_HEAD_BYTES);
	struct revocation_head h = { 0 };
	uint8_t version = reader_u8(&r);

	reader_copy(&r, h.network.b, sizeof(h.network.b));
	h.epoch = reader_be64(&r);
	h.issued_s = reader_be64(&r);
	h.expires_s = reader_be64(&r);
	h.n_entries = reader_be32(&r);
	reader_copy(&r, h.hash, sizeof(h.hash));
	reader_copy(&r, h.signature, sizeof(h.signature));
	if (!reader_at_end(&r) || version != REVOCATION_VERSION || h.epoch == 0 ||
	    !are_times_good(h.issued_s, h.expires_s) || h.n_entries > REVOCATION_ENTRIES_MAX)
		return -EBADMSG;
	*out = h;
	return 0;
}

bool revocation_head_is_signed(const struct revocation_head *h, const struct verifykey *network)
{
	uint8_t body[SIGNED_BYTES];
	struct writer w = writer_of(body, sizeof(body));
	struct cert_network own;

	cert_network_of(&own, network);
	head_write(&w, h);
	return memcmp(own.b, h->network.b, sizeof(own.b)) == 0 &&
	       sign_is_good(h->signature, network, purpose, body, sizeof(body));
}

static bool is_zero(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	while (len > 0 && b[len - 1] == 0)
		len--;
	return len == 0;
}

struct revocation_entry revocation_entry_at(const uint8_t *list, uint32_t i)
{
	struct revocation_entry e;

	memcpy(&e, list + REVOCATION_HEAD_BYTES + (size_t)i * REVOCATION_ENTRY_BYTES, sizeof(e));
	return e;
}

int revocation_decode(struct revocation_head *out, const uint8_t *data, size_t len)
{
	struct revocation_entry before, e;
	struct revocation_head h;
	uint8_t hash[32];

	if (revocation_head_decode(&h, data, len) < 0 || len != revocation_length(&h))
		return -EBADMSG;
	hash_bytes(hash, data + REVOCATION_HEAD_BYTES, len - REVOCATION_HEAD_BYTES);
	if (memcmp(hash, h.hash, sizeof(hash)) != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < h.n_entries; i++, before = e) {
		e = revocation_entry_at(data, i);
		if (is_zero(&e, sizeof(e)) || (i > 0 && memcmp(&before, &e, sizeof(e)) >= 0))
			return -EBADMSG;
	}
	*out = h;
	return 0;
}

bool revocation_names(const uint8_t *list, const struct pubkey *key, const struct cert_serial *serial)
{
	struct revocation_head h;

	if (!list || revocation_head_decode(&h, list, REVOCATION_HEAD_BYTES) < 0)
		return false;
	for (uint32_t i = 0; i < h.n_entries; i++) {
		struct revocation_entry e = revocation_entry_at(list, i);

		if (memcmp(e.serial.b, serial->b, sizeof(e.serial.b)) == 0 && !is_zero(e.serial.b, sizeof(e.serial.b)))
			return true;
		if (memcmp(e.key.b, key->b, sizeof(e.key.b)) == 0 && !is_zero(e.key.b, sizeof(e.key.b)))
			return true;
	}
	return false;
}

static int compare_entries(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct revocation_entry));
}

/* Returns how many are left, -EINVAL if one of them names nobody. */
static int sort_entries(struct revocation_entry *entries, uint32_t n)
{
	uint32_t kept = 0;

	qsort(entries, n, sizeof(*entries), compare_entries);
	for (uint32_t i = 0; i < n; i++) {
		if (is_zero(&entries[i], sizeof(entries[i])))
			return -EINVAL;
		if (kept == 0 || compare_entries(&entries[kept - 1], &entries[i]) != 0)
			entries[kept++] = entries[i];
	}
	return kept > REVOCATION_ENTRIES_MAX ? -ENOSPC : (int)kept;
}

int revocation_make(uint8_t *out, size_t capacity, uint64_t epoch, uint64_t issued_s, uint64_t expires_s,
		    struct revocation_entry *entries, uint32_t n, const struct signkey *network)
{
	struct revocation_head h = { .epoch = epoch, .issued_s = issued_s, .expires_s = expires_s };
	struct writer w = writer_of(out, capacity);
	int kept = sort_entries(entries, n), ret;
	struct verifykey public;

	if (kept < 0)
		return kept;
	if (epoch == 0 || !are_times_good(issued_s, expires_s))
		return -EINVAL;
	h.n_entries = (uint32_t)kept;
	if (capacity < revocation_length(&h))
		return -ENOSPC;
	verifykey_of(&public, network);
	cert_network_of(&h.network, &public);
	hash_bytes(h.hash, entries, (size_t)kept * REVOCATION_ENTRY_BYTES);
	head_write(&w, &h);
	ret = sign_make(h.signature, network, purpose, out, SIGNED_BYTES);
	if (ret < 0)
		return ret;
	writer_put(&w, h.signature, sizeof(h.signature));
	writer_put(&w, entries, (size_t)kept * REVOCATION_ENTRY_BYTES);
	return writer_finish(&w);
}

/* ---------------------------------------------------------------- between nodes */

int wire_revocations_encode(uint8_t *out, size_t capacity, uint8_t type, const struct wire_revocations *m)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, type);
	writer_u8(&w, (uint8_t)m->step);
	writer_be64(&w, m->epoch);
	writer_be32(&w, m->offset);
	if (m->step == REVOCATION_PART)
		writer_put(&w, m->data, m->len);
	return writer_finish(&w);
}

int wire_revocations_decode(struct wire_revocations *out, uint8_t type, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_revocations m = { 0 };
	uint8_t step;

	if (reader_u8(&r) != type)
		return -EBADMSG;
	step = reader_u8(&r);
	m.epoch = reader_be64(&r);
	m.offset = reader_be32(&r);
	if (!reader_ok(&r) || step < REVOCATION_HAVE || step > REVOCATION_PART || m.offset > REVOCATION_MAX_BYTES)
		return -EBADMSG;
	m.step = (enum revocation_step)step;
	if (m.step == REVOCATION_PART) {
		m.len = reader_left(&r);
		m.data = reader_take(&r, m.len);
		if (m.len == 0 || m.len > REVOCATION_PART_MAX_BYTES)
			return -EBADMSG;
	}
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}
