/* What a gateway may answer: the decoders of PCP and NAT-PMP, and a portmap that waits for such answers.
 *
 * The input is a sequence of datagrams, each behind one byte: its low 6 bits are its length, bit 6 lets a second pass first, bit 7 an
 * hour. A copy of the first request's nonce is put into what could be a PCP mapping, since no fuzzer guesses it. */
#include <netinet/in.h>

#include "tests/fuzz/fuzz.h"
#include "daemon/path/portmap.h"
#include "daemon/wire/natpmp.h"
#include "daemon/wire/pcp.h"

static uint8_t nonce[PCP_NONCE_BYTES];
static unsigned n_sent;

static void on_send(void *arg, const struct endpoint *to, const uint8_t *data, size_t len)
{
	(void)arg;
	must(to->port == PCP_PORT && len <= PCP_REQUEST_MAX_BYTES);
	if (len >= PCP_MAP_BYTES)
		memcpy(nonce, data + 24, sizeof(nonce));
	n_sent++;
}

static void on_upnp(void *arg, const struct portmap_upnp_job *job)
{
	(void)arg;
	must(job->n >= 1 && job->n <= PORTMAP_MAX);
}

static void on_changed(void *arg)
{
	(void)arg;
}

static const struct portmap_env env = { on_send, on_upnp, on_changed };

static void check_decoders(const uint8_t *data, size_t len)
{
	struct pcp_response pcp;
	struct natpmp_response natpmp;

	if (pcp_response_decode(&pcp, data, len) == 0) {
		must(len >= PCP_HEADER_BYTES && pcp_result_text(pcp.result));
		if (pcp.opcode == PCP_MAP && pcp.result == PCP_SUCCESS && pcp.lifetime_s > 0)
			must(pcp.external_port != 0 && ip_is_sendable(&pcp.external));
	}
	if (natpmp_response_decode(&natpmp, data, len) == 0) {
		must(len <= NATPMP_RESPONSE_MAX_BYTES && natpmp_result_text(natpmp.result));
		must(ip_is_none(&natpmp.external) || ip_is_sendable(&natpmp.external));
	}
}

static void check_state(const struct portmap *pm)
{
	for (unsigned i = 0; i < portmap_count(pm); i++) {
		const struct portmap_mapping *m = portmap_at(pm, i);

		must(!m->is_granted || (m->external.port != 0 && ip_is_sendable(&m->external.ip)));
		must(!m->is_granted || m->renew_ms <= m->expires_ms);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t seed[PORTMAP_SEED_BYTES] = { 7 };
	struct endpoint gateway = { .ip = { 4, { 192, 168, 1, 1 } }, .port = PCP_PORT };
	struct ip local = { 4, { 192, 168, 1, 2 } };
	uint64_t now_ms = 1000000, until_ms;
	struct portmap *pm;

	check_decoders(data, len);
	pm = portmap_new(&env, NULL, seed);
	must(pm != NULL);
	n_sent = 0;
	portmap_add(pm, IPPROTO_UDP, 27700, now_ms);
	portmap_add(pm, IPPROTO_TCP, 27700, now_ms);
	portmap_set_gateway(pm, &gateway.ip, 0, &local, now_ms);
	for (int i = 0; i < 48 && len > 0; i++) {
		uint8_t copy[64], head = data[0];
		size_t n = head & 63;

		data++;
		len--;
		n = n < len ? n : len;
		memcpy(copy, data, n);
		if (n >= PCP_MAP_BYTES && copy[1] == (0x80 | PCP_MAP))
			memcpy(copy + 24, nonce, sizeof(nonce));
		data += n;
		len -= n;
		until_ms = now_ms + (head & 0x40 ? 1000u : 0) + (head & 0x80 ? 3600000u : 0);
		while (portmap_next_ms(pm) <= until_ms) {
			now_ms = portmap_next_ms(pm) > now_ms ? portmap_next_ms(pm) : now_ms + 1;
			portmap_tick(pm, now_ms);
		}
		now_ms = now_ms > until_ms ? now_ms : until_ms;
		portmap_on_datagram(pm, &gateway, copy, n, now_ms);
		check_state(pm);
	}
	/* Three kinds of requests for each of the mappings every four seconds, and the questions whether anybody is there. */
	must(n_sent <= 64 + (now_ms - 1000000) / 1000 * 4);
	portmap_free(pm);
	return 0;
}
