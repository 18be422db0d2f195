#include "tests/unit/member_double.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

void member_double_init(struct member_double *d, const struct seckey *secret, uint64_t boot_id)
{
	memset(d, 0, sizeof(*d));
	identity_init(&d->identity, secret, NULL, aead_offer(), 0);
	d->boot_id = boot_id;
}

void member_double_fini(struct member_double *d)
{
	relay_link_unref(d->link);
	handshake_wipe(&d->handshake);
	identity_fini(&d->identity);
	memset(d, 0, sizeof(*d));
}

size_t member_double_begin(struct member_double *d, const struct pubkey *coordinator, uint8_t *out, size_t capacity)
{
	static uint64_t wall_ms = UINT64_C(1700000000000);
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES];
	int len;

	relay_link_unref(d->link);
	d->link = NULL;
	d->has_channel = false;
	d->index = randombytes_random() | 1;
	memset(&d->registered, 0, sizeof(d->registered));
	member_double_forget(d);
	timestamp_encode(timestamp, wall_ms += 1000);
	len = handshake_initiate(&d->handshake, &d->identity, HANDSHAKE_COORDINATOR, coordinator, d->index, timestamp,
				 NULL, out, capacity);
	return len < 0 ? 0 : (size_t)len;
}

size_t member_double_seal(struct member_double *d, const uint8_t *message, size_t len,
			  uint8_t out[static WIRE_FRAME_MAX_BYTES])
{
	return channel_seal(&d->channel, out, message, len);
}

size_t member_double_register(struct member_double *d, uint8_t out[static WIRE_FRAME_MAX_BYTES])
{
	struct wire_register m = { .version = WIRE_VERSION, .boot_id = d->boot_id, .index = d->index };
	uint8_t message[256];
	int len = wire_register_encode(message, sizeof(message), &m);

	return len < 0 ? 0 : member_double_seal(d, message, (size_t)len, out);
}

static int take_message(struct member_double *d, const uint8_t *data, size_t len)
{
	int type = wire_control_type_of(data, len);

	if (type < 0)
		return -EBADMSG;
	if (type == CONTROL_REGISTERED) {
		const struct handshake_keys *k = &d->keys;

		if (wire_registered_decode(&d->registered, data, len) < 0)
			return -EBADMSG;
		d->link = relay_link_new(k->udp_send, k->udp_recv, k->tag_send, k->tag_recv, d->index,
					 d->registered.index, d);
	}
	if (type == CONTROL_PING || d->n_kept == MEMBER_DOUBLE_KEPT)
		return 0;
	memcpy(d->kept[d->n_kept].data, data, len);
	d->kept[d->n_kept++].len = len;
	return 0;
}

int member_double_take(struct member_double *d, uint8_t *body, size_t len)
{
	int ret;

	if (!d->has_channel) {
		ret = handshake_finish(&d->handshake, &d->identity, body, len, &d->keys, NULL);
		if (ret < 0)
			return ret;
		channel_init(&d->channel, d->keys.send, d->keys.recv);
		d->has_channel = true;
		return 0;
	}
	ret = channel_open(&d->channel, body, body, len);
	return ret < 0 ? ret : take_message(d, body, (size_t)ret);
}

int member_double_find(const struct member_double *d, int type, unsigned from)
{
	for (unsigned i = from; i < d->n_kept; i++) {
		if (wire_control_type_of(d->kept[i].data, d->kept[i].len) == type)
			return (int)i;
	}
	return -1;
}

unsigned member_double_count(const struct member_double *d, int type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->n_kept; i++)
		n += wire_control_type_of(d->kept[i].data, d->kept[i].len) == type;
	return n;
}

void member_double_forget(struct member_double *d)
{
	d->n_kept = 0;
}
