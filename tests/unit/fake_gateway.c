#include "tests/unit/fake_gateway.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/bytes.h"

size_t fake_pcp_answer(uint8_t out[static PCP_MAP_BYTES], const struct pcp_request *q, uint8_t result,
		       uint32_t lifetime_s, uint32_t epoch_s, const struct ip *external, uint16_t external_port)
{
	struct writer w = writer_of(out, PCP_MAP_BYTES);

	writer_u8(&w, 2);
	writer_u8(&w, (uint8_t)(0x80 | q->opcode));
	writer_u8(&w, 0);
	writer_u8(&w, result);
	writer_be32(&w, lifetime_s);
	writer_be32(&w, epoch_s);
	writer_zero(&w, 12);
	if (q->opcode == PCP_MAP) {
		writer_put(&w, q->nonce, sizeof(q->nonce));
		writer_u8(&w, q->protocol);
		writer_zero(&w, 3);
		writer_be16(&w, q->internal_port);
		writer_be16(&w, external_port);
		if (external->len == 4) {
			writer_zero(&w, 10);
			writer_be16(&w, 0xffff);
		}
		writer_put(&w, external->b, external->len);
	}
	return writer_len(&w);
}

size_t fake_natpmp_answer(uint8_t out[static NATPMP_RESPONSE_MAX_BYTES], const struct natpmp_request *q,
			  uint16_t result, uint32_t lifetime_s, uint32_t epoch_s, const struct ip *external,
			  uint16_t external_port)
{
	struct writer w = writer_of(out, NATPMP_RESPONSE_MAX_BYTES);

	writer_u8(&w, 0);
	writer_u8(&w, (uint8_t)(128 + q->opcode));
	writer_be16(&w, result);
	writer_be32(&w, epoch_s);
	if (q->opcode == NATPMP_ADDRESS) {
		writer_put(&w, external->b, 4);
	} else {
		writer_be16(&w, q->internal_port);
		writer_be16(&w, external_port);
		writer_be32(&w, lifetime_s);
	}
	return writer_len(&w);
}

/* ---------------------------------------------------------------- the portmap's side */

static void on_send(void *arg, const struct endpoint *to, const uint8_t *data, size_t len)
{
	struct fake *f = arg;
	struct fake_datagram *d = &f->queue[f->n_queue++];

	assert_true(f->n_queue <= FAKE_QUEUE_MAX && len <= sizeof(d->data));
	d->to = *to;
	d->len = len;
	memcpy(d->data, data, len);
}

static void on_upnp(void *arg, const struct portmap_upnp_job *job)
{
	struct fake *f = arg;

	assert_false(f->has_job);
	f->has_job = true;
	f->job = *job;
	f->n_upnp++;
}

static void on_changed(void *arg)
{
	struct fake *f = arg;

	f->n_changed++;
}

static const struct portmap_env env = { on_send, on_upnp, on_changed };

void fake_start(struct fake *f)
{
	static const uint8_t seed[PORTMAP_SEED_BYTES] = { 1 };

	*f = (struct fake){ .now_ms = 1000000000, .has_pcp = true };
	assert_int_equal(ip_from_text(&f->outer, "9.0.0.1"), 0);
	f->pm = portmap_new(&env, f, seed);
	assert_non_null(f->pm);
	f->born_ms = f->now_ms - 5000000;
}

void fake_stop(struct fake *f)
{
	portmap_free(f->pm);
}

void fake_connect(struct fake *f)
{
	struct ip gateway, local;

	assert_int_equal(ip_from_text(&gateway, "192.168.1.1"), 0);
	assert_int_equal(ip_from_text(&local, "192.168.1.2"), 0);
	portmap_set_gateway(f->pm, &gateway, 0, &local, f->now_ms);
}

void fake_forget(struct fake *f)
{
	f->born_ms = f->now_ms;
}

/* ---------------------------------------------------------------- the gateway's side */

void fake_deliver(struct fake *f, const char *from, const void *data, size_t len)
{
	struct endpoint ep;

	assert_int_equal(endpoint_from_text(&ep, from), 0);
	portmap_on_datagram(f->pm, &ep, data, len, f->now_ms);
}

static void from_gateway(struct fake *f, const uint8_t *data, size_t len)
{
	char text[ADDR_TEXT_BYTES];
	struct endpoint ep = { .ip = *portmap_gateway(f->pm), .port = PCP_PORT };

	fake_deliver(f, endpoint_to_text(&ep, text), data, len);
}

static uint32_t granted_s(const struct fake *f, uint32_t asked_s)
{
	return f->life_s && f->life_s < asked_s ? f->life_s : asked_s;
}

static void on_pcp(struct fake *f, struct reader *r, uint32_t epoch_s)
{
	struct pcp_request q = { .opcode = (enum pcp_opcode)reader_u8(r) };
	uint8_t out[PCP_MAP_BYTES], result = PCP_SUCCESS;
	const struct ip *external;
	uint16_t port = 0;

	reader_skip(r, 2);
	q.lifetime_s = reader_be32(r);
	ip_from_bytes(&q.client, reader_take(r, 16), 16);
	assert_true(ip_equal(&q.client, portmap_local(f->pm)));
	if (q.opcode == PCP_MAP) {
		reader_copy(r, q.nonce, sizeof(q.nonce));
		q.protocol = reader_u8(r);
		reader_skip(r, 3);
		q.internal_port = reader_be16(r);
		q.external_port = reader_be16(r);
		ip_from_bytes(&q.external, reader_take(r, 16), 16);
		if (reader_left(r) == 4) {
			assert_int_equal(reader_be32(r), 0x02000000);
			q.prefer_failure = true;
		}
		f->n_pcp_map++;
		f->n_removed += q.lifetime_s == 0;
		result = f->pcp_result;
		port = f->shift && !q.prefer_failure ? (uint16_t)(q.internal_port + f->shift) : q.external_port;
		if (q.prefer_failure && f->has_no_options)
			result = PCP_UNSUPPORTED_OPTION;
		else if (q.prefer_failure && (f->all_taken || (f->taken && port == f->taken)))
			result = PCP_CANNOT_PROVIDE_EXTERNAL;
		f->last_pcp = q;
	} else {
		assert_int_equal(q.opcode, PCP_ANNOUNCE);
		f->n_announce++;
	}
	assert_true(reader_at_end(r));
	if (!f->has_pcp) {
		/* As RFC 6886 section 3.5 has it. */
		static const uint8_t unsupported[8] = { 0, 128, 0, NATPMP_UNSUPPORTED_VERSION };

		if (f->has_natpmp)
			from_gateway(f, unsupported, sizeof(unsupported));
		return;
	}
	external = q.client.len == 16 ? &q.client : &f->outer;
	from_gateway(f, out,
		     fake_pcp_answer(out, &q, result, result ? f->error_life_s : granted_s(f, q.lifetime_s), epoch_s,
				     external, port));
}

static void on_natpmp(struct fake *f, struct reader *r, uint32_t epoch_s)
{
	struct natpmp_request q = { .opcode = (enum natpmp_opcode)reader_u8(r) };
	uint8_t out[NATPMP_RESPONSE_MAX_BYTES];

	if (q.opcode != NATPMP_ADDRESS) {
		reader_skip(r, 2);
		q.internal_port = reader_be16(r);
		q.external_port = reader_be16(r);
		q.lifetime_s = reader_be32(r);
		f->n_natpmp_map++;
		f->n_removed += q.lifetime_s == 0;
		f->last_natpmp = q;
	} else {
		f->n_address++;
	}
	assert_true(reader_at_end(r));
	if (!f->has_natpmp) {
		/* As RFC 6887 appendix A has it. */
		static const uint8_t unsupported[24] = { 2, 0x80, 0, PCP_UNSUPPORTED_VERSION };

		if (f->has_pcp)
			from_gateway(f, unsupported, sizeof(unsupported));
		return;
	}
	from_gateway(f, out,
		     fake_natpmp_answer(out, &q, q.opcode == NATPMP_ADDRESS ? NATPMP_SUCCESS : f->natpmp_result,
					granted_s(f, q.lifetime_s), epoch_s, &f->outer,
					(uint16_t)(q.internal_port + f->shift)));
}

void fake_finish_upnp(struct fake *f)
{
	struct portmap_upnp_job job = f->job;

	assert_true(f->has_job);
	f->has_job = false;
	if (!f->has_upnp || f->is_deaf)
		job.error = "no IGD answers";
	else
		job.external = f->outer;
	for (unsigned i = 0; i < job.n; i++) {
		struct portmap_upnp_item *item = &job.items[i];

		item->error = f->upnp_error;
		f->n_removed += item->lifetime_s == 0;
		item->external_port = (uint16_t)(item->internal_port + f->shift);
		item->lifetime_s = granted_s(f, item->lifetime_s);
	}
	portmap_on_upnp(f->pm, &job, f->now_ms);
}

void fake_settle(struct fake *f)
{
	portmap_tick(f->pm, f->now_ms);
	for (int i = 0; i < 100 && (f->n_queue > 0 || (f->has_job && !f->holds_upnp)); i++) {
		struct fake_datagram queue[FAKE_QUEUE_MAX];
		unsigned n = f->n_queue;

		memcpy(queue, f->queue, n * sizeof(queue[0]));
		f->n_queue = 0;
		for (unsigned k = 0; k < n; k++) {
			struct reader r = reader_of(queue[k].data, queue[k].len);
			uint32_t epoch_s = (uint32_t)((f->now_ms - f->born_ms) / 1000);

			assert_true(ip_equal(&queue[k].to.ip, portmap_gateway(f->pm)));
			assert_int_equal(queue[k].to.port, PCP_PORT);
			if (f->is_deaf)
				continue;
			if (reader_u8(&r) == 2)
				on_pcp(f, &r, epoch_s);
			else
				on_natpmp(f, &r, epoch_s);
		}
		if (f->has_job && !f->holds_upnp)
			fake_finish_upnp(f);
	}
	assert_int_equal(f->n_queue, 0);
}

void fake_run(struct fake *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;
	unsigned n_at_one_instant = 0;

	fake_settle(f);
	while (portmap_next_ms(f->pm) <= end_ms) {
		uint64_t next_ms = portmap_next_ms(f->pm);

		n_at_one_instant = next_ms <= f->now_ms ? n_at_one_instant + 1 : 0;
		assert_true(n_at_one_instant < 10); /* else it would never sleep */
		if (next_ms > f->now_ms)
			f->now_ms = next_ms;
		fake_settle(f);
	}
	f->now_ms = end_ms;
}

const char *fake_external(const struct fake *f, uint8_t protocol, uint16_t port)
{
	static char text[ADDR_TEXT_BYTES];
	const struct portmap_mapping *m = portmap_find(f->pm, protocol, port);

	assert_non_null(m);
	return m->is_granted ? endpoint_to_text(&m->external, text) : NULL;
}
