#include "daemon/wire/join.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/mac.h"
#include "daemon/wire/text.h"

#define PREFIX_LENGTH (sizeof(JOIN_URL_PREFIX) - 1)

bool join_host_is_valid(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:%";
	size_t len = strnlen(host, JOIN_HOST_MAX_BYTES + 1);

	return len > 0 && len <= JOIN_HOST_MAX_BYTES && strspn(host, allowed) == len;
}

static bool is_valid(const struct join *j)
{
	struct cert_network network;
	struct verifykey key;

	if (!wire_name_is_valid(j->network) || j->n_coordinators == 0 || j->n_coordinators > JOIN_COORDINATORS_MAX)
		return false;
	for (unsigned i = 0; i < j->n_coordinators; i++)
		if (!join_host_is_valid(j->coordinators[i].host) || j->coordinators[i].port == 0)
			return false;
	cert_network_of(&network, &j->network_key);
	verifykey_of(&key, &j->seed);
	return memcmp(network.b, j->invitation.network.b, sizeof(network.b)) == 0 &&
	       verifykey_equal(&key, &j->invitation.invitation_key);
}

static void check_of(uint8_t out[static JOIN_CHECK_BYTES], const uint8_t *data, size_t len)
{
	uint8_t hash[32];

	hash_bytes(hash, data, len);
	memcpy(out, hash, JOIN_CHECK_BYTES);
}

int join_encode(uint8_t out[static JOIN_MAX_BYTES], const struct join *j)
{
	struct writer w = writer_of(out, JOIN_MAX_BYTES);
	uint8_t invitation[CERT_MAX_BYTES], check[JOIN_CHECK_BYTES];
	int len = cert_invitation_encode(invitation, sizeof(invitation), &j->invitation);

	if (len < 0 || !is_valid(j))
		return -EINVAL;
	writer_u8(&w, JOIN_VERSION);
	writer_put(&w, j->network_key.b, sizeof(j->network_key.b));
	wire_text_write(&w, j->network);
	writer_u8(&w, (uint8_t)j->n_coordinators);
	for (unsigned i = 0; i < j->n_coordinators; i++) {
		const struct join_coordinator *c = &j->coordinators[i];

		writer_put(&w, c->key.b, sizeof(c->key.b));
		wire_text_write(&w, c->host);
		writer_be16(&w, c->port);
	}
	writer_put(&w, j->seed.b, sizeof(j->seed.b));
	writer_be16(&w, (uint16_t)len);
	writer_put(&w, invitation, (size_t)len);
	check_of(check, out, writer_len(&w));
	writer_put(&w, check, sizeof(check));
	return writer_finish(&w);
}

static void coordinators_read(struct reader *r, struct join *j)
{
	j->n_coordinators = reader_u8(r);
	for (unsigned i = 0; i < j->n_coordinators && i < JOIN_COORDINATORS_MAX; i++) {
		struct join_coordinator *c = &j->coordinators[i];

		reader_copy(r, c->key.b, sizeof(c->key.b));
		wire_text_read(r, c->host, sizeof(c->host));
		c->port = reader_be16(r);
	}
}

static bool is_whole(const uint8_t *data, size_t len)
{
	uint8_t check[JOIN_CHECK_BYTES];

	if (len < JOIN_CHECK_BYTES || len > JOIN_MAX_BYTES)
		return false;
	check_of(check, data, len - JOIN_CHECK_BYTES);
	return sodium_memcmp(check, data + len - JOIN_CHECK_BYTES, sizeof(check)) == 0;
}

int join_decode(struct join *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct join j = { .n_coordinators = 0 };
	const uint8_t *invitation;
	int ret = -EBADMSG;
	size_t n;

	if (!is_whole(data, len))
		return -EBADMSG;
	if (reader_u8(&r) != JOIN_VERSION)
		return -EPROTONOSUPPORT;
	reader_copy(&r, j.network_key.b, sizeof(j.network_key.b));
	wire_name_read(&r, j.network);
	coordinators_read(&r, &j);
	reader_copy(&r, j.seed.b, sizeof(j.seed.b));
	n = reader_be16(&r);
	invitation = reader_take(&r, n);
	reader_skip(&r, JOIN_CHECK_BYTES);
	if (invitation && reader_at_end(&r) && cert_invitation_decode(&j.invitation, invitation, n) == 0 &&
	    is_valid(&j)) {
		*out = j;
		ret = 0;
	}
	key_wipe(&j.seed, sizeof(j.seed));
	return ret;
}

const char *join_to_url(const struct join *j, char out[static JOIN_URL_BYTES])
{
	uint8_t data[JOIN_MAX_BYTES];
	int len = join_encode(data, j);

	if (len < 0)
		return NULL;
	memcpy(out, JOIN_URL_PREFIX, PREFIX_LENGTH);
	sodium_bin2base64(out + PREFIX_LENGTH, JOIN_URL_BYTES - PREFIX_LENGTH, data, (size_t)len,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	key_wipe(data, sizeof(data));
	return out;
}

int join_from_url(struct join *out, const char *text, size_t len)
{
	uint8_t data[JOIN_MAX_BYTES];
	size_t n;
	int ret;

	if (len < PREFIX_LENGTH || len >= JOIN_URL_BYTES || memcmp(text, JOIN_URL_PREFIX, PREFIX_LENGTH) != 0)
		return -EBADMSG;
	text += PREFIX_LENGTH;
	len -= PREFIX_LENGTH;
	if (sodium_base642bin(data, sizeof(data), text, len, NULL, &n, NULL,
			      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return -EBADMSG;
	ret = join_decode(out, data, n);
	key_wipe(data, sizeof(data));
	return ret;
}
