#include "tests/fuzz/fuzz.h"
#include "daemon/wire/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct endpoint from = { .ip = { 4, { 192, 0, 2, 1 } }, .port = 32853 };
	struct stun_message m, answer;
	uint8_t reply[STUN_REPLY_MAX_BYTES];
	int n;

	if (stun_decode(&m, data, len) < 0)
		return 0;
	must(stun_is(data, len) && m.n_unknown <= STUN_UNKNOWN_MAX);
	if (m.class == STUN_RESPONSE)
		must(ip_is_sendable(&m.mapped.ip) && m.mapped.port != 0);
	must(ip_is_none(&m.other.ip) || (ip_is_sendable(&m.other.ip) && m.other.port != 0 && m.class == STUN_RESPONSE));
	if (m.class != STUN_REQUEST)
		return 0;
	n = stun_reply_encode(reply, &m, &from);
	if (m.is_classic) { /* its answers are for its clients to read */
		must(n >= 20 && memcmp(reply + 4, data + 4, 16) == 0);
		return 0;
	}
	must(n > 0 && stun_decode(&answer, reply, (size_t)n) == 0);
	must(memcmp(answer.id, m.id, sizeof(m.id)) == 0);
	must(answer.class == (m.n_unknown > 0 ? STUN_ERROR : STUN_RESPONSE));
	must(answer.class == STUN_ERROR || endpoint_equal(&answer.mapped, &from));
	return 0;
}
