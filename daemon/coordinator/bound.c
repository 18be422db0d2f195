#include "daemon/coordinator/bound.h"

#include <sodium.h>

static bool challenge_matches(const struct bound *b, const struct wire_bind *request, const struct way *from)
{
	return b->challenge && endpoint_equal(&b->challenged.peer, &from->peer) &&
	       sodium_memcmp(&b->challenge, &request->challenge, sizeof(b->challenge)) == 0;
}

static uint64_t proven_until_ms(const struct wire_bind *request, uint64_t now_ms)
{
	if (request->time_ds == BIND_TIME_NEVER)
		return UINT64_MAX;
	return now_ms + (request->time_ds ? request->time_ds * UINT64_C(250) : BOUND_PROVEN_MS);
}

bool bound_request(struct bound *b, const struct wire_bind *request, const struct way *from, uint64_t fresh,
		   uint64_t now_ms, struct wire_bind *reply)
{
	bool has_moved = false;

	*reply = (struct wire_bind){ .type = BIND_REPLY, .token = request->token, .observed = from->peer };
	if (request->flags & BIND_NO_MOVE)
		return false;
	if (challenge_matches(b, request, from)) {
		b->is_bound = has_moved = true;
		b->challenge = 0;
	} else if (!bound_is_source(b, &from->peer)) {
		/* A repeated request gets the same challenge: the answer to the first may be on its way. */
		if (!b->challenge || !endpoint_equal(&b->challenged.peer, &from->peer))
			b->challenge = fresh;
		b->challenged = *from;
		reply->challenge = b->challenge;
		return false;
	}
	b->way = *from;
	b->proven_until_ms = proven_until_ms(request, now_ms);
	reply->flags = BIND_BOUND;
	return has_moved;
}

const struct way *bound_way(const struct bound *b, uint64_t now_ms)
{
	return b->is_bound && now_ms < b->proven_until_ms ? &b->way : NULL;
}

bool bound_is_source(const struct bound *b, const struct endpoint *from)
{
	return b->is_bound && endpoint_equal(&b->way.peer, from);
}
