#include "daemon/data/knock.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "daemon/base/clock.h"

struct knock {
	/* fixed at creation */
	uv_loop_t *loop;
	const struct identity *identity;
	/* of this one */
	struct pubkey coordinator;
	struct stream *stream; /* NULL: none is open */
	struct handshake handshake;
	uint64_t began_us, due_ms;
	struct knock_result result;
};

struct knock *knock_new(uv_loop_t *loop, const struct identity *identity)
{
	struct knock *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->loop = loop;
	k->identity = identity;
	k->due_ms = UINT64_MAX;
	return k;
}

static void end(struct knock *k, enum knock_state state, int error)
{
	k->result.state = state;
	k->result.error = error;
	k->due_ms = UINT64_MAX;
	handshake_wipe(&k->handshake);
	stream_close(k->stream);
	k->stream = NULL;
}

void knock_free(struct knock *k)
{
	if (!k)
		return;
	end(k, KNOCK_NOT_TRIED, 0);
	free(k);
}

static void on_connected(void *arg, struct stream *s)
{
	struct knock *k = arg;
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], data[WIRE_INIT_MAX_BYTES];
	uint64_t took_us = clock_now_us() - k->began_us;
	int len;

	k->result.connect_us = took_us < UINT32_MAX ? (uint32_t)took_us + 1 : UINT32_MAX;
	k->due_ms = clock_now_ms() + KNOCK_ANSWER_MS;
	timestamp_encode(timestamp, clock_wall_ms());
	len = handshake_initiate(&k->handshake, k->identity, HANDSHAKE_COORDINATOR, &k->coordinator,
				 1 + randombytes_uniform(UINT32_MAX), timestamp, NULL, data, sizeof(data));
	if (len < 0 || stream_send(s, data, (size_t)len, false) < 0)
		end(k, KNOCK_CLOSED, 0);
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct knock *k = arg;
	struct handshake_keys keys;
	int ret = handshake_finish(&k->handshake, k->identity, body, len, &keys, NULL);

	(void)s;
	sodium_memzero(&keys, sizeof(keys));
	/* One that has no cipher in common with us, or does not like our certificate, has said so under its key. */
	end(k, ret == 0 || ret == -ENOTSUP || ret == -EACCES ? KNOCK_OK : KNOCK_FOREIGN, 0);
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct knock *k = arg;

	(void)s;
	k->stream = NULL; /* it is gone by itself */
	if (reason == -EBADMSG)
		end(k, KNOCK_FOREIGN, 0);
	else if (k->result.connect_us)
		end(k, KNOCK_CLOSED, 0);
	else
		end(k, KNOCK_UNREACHABLE, reason);
}

static const struct stream_events events = {
	.on_connected = on_connected,
	.on_frame = on_frame,
	.on_closed = on_closed,
};

void knock_start(struct knock *k, const struct endpoint *to, const struct pubkey *coordinator,
		 const char *bind_interface, uint64_t now_ms)
{
	const struct stream_options options = { .timeout_ms = KNOCK_CONNECT_MS, .bind_interface = bind_interface };
	int ret;

	end(k, KNOCK_ASKING, 0);
	k->coordinator = *coordinator;
	k->result.connect_us = 0;
	k->began_us = clock_now_us();
	/* The stream ends by itself before that. */
	k->due_ms = now_ms + KNOCK_CONNECT_MS + KNOCK_ANSWER_MS;
	ret = stream_connect(&k->stream, k->loop, to, &options, &events, k);
	if (ret == 0)
		return;
	k->stream = NULL;
	end(k, KNOCK_UNREACHABLE, ret);
}

void knock_tick(struct knock *k, uint64_t now_ms)
{
	if (now_ms < k->due_ms)
		return;
	if (k->result.connect_us)
		end(k, KNOCK_SILENT, 0);
	else
		end(k, KNOCK_UNREACHABLE, -ETIMEDOUT);
}

uint64_t knock_next_ms(const struct knock *k)
{
	return k->due_ms;
}

const struct knock_result *knock_result(const struct knock *k)
{
	return &k->result;
}

const char *knock_state_name(enum knock_state s)
{
	static const char *const names[] = {
		[KNOCK_OK] = "ok",         [KNOCK_FOREIGN] = "foreign-answer",  [KNOCK_CLOSED] = "closed",
		[KNOCK_SILENT] = "silent", [KNOCK_UNREACHABLE] = "unreachable",
	};

	return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : NULL;
}
