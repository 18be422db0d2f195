#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "daemon/peer/handshake.h"
#include "tests/unit/dataplane.h"

struct session_pair session_pair_new(uint32_t near_index, bool near_is_initiator, uint64_t now_ms)
{
	struct handshake_keys keys = { .suite = AEAD_CHACHA20_POLY1305 }, mirrored;
	struct session_pair pair;

	memcpy(keys.send, &near_index, sizeof(near_index));
	memcpy(keys.recv, &near_index, sizeof(near_index));
	keys.send[31] = 1;
	keys.recv[31] = 2;
	mirrored = keys;
	memcpy(mirrored.send, keys.recv, sizeof(keys.send));
	memcpy(mirrored.recv, keys.send, sizeof(keys.recv));
	pair.near = session_new(&keys, near_index, near_index + 1, near_is_initiator, now_ms, NULL);
	pair.far = session_new(&mirrored, near_index + 1, near_index, !near_is_initiator, now_ms, NULL);
	assert_non_null(pair.near);
	assert_non_null(pair.far);
	return pair;
}

void session_pair_free(struct session_pair *pair)
{
	session_unref(pair->near);
	session_unref(pair->far);
	*pair = (struct session_pair){ 0 };
}

struct link_pair link_pair_new(uint32_t near_index)
{
	uint8_t up[32] = { 1 }, down[32] = { 2 }, tag_up[SHORT_KEY_BYTES] = { 3 }, tag_down[SHORT_KEY_BYTES] = { 4 };
	struct link_pair pair;

	memcpy(up + 4, &near_index, sizeof(near_index));
	memcpy(down + 4, &near_index, sizeof(near_index));
	memcpy(tag_up + 4, &near_index, sizeof(near_index));
	memcpy(tag_down + 4, &near_index, sizeof(near_index));
	pair.near = relay_link_new(up, down, tag_up, tag_down, near_index, near_index + 1, NULL);
	pair.coordinator = relay_link_new(down, up, tag_down, tag_up, near_index + 1, near_index, NULL);
	assert_non_null(pair.near);
	assert_non_null(pair.coordinator);
	return pair;
}

void link_pair_free(struct link_pair *pair)
{
	relay_link_unref(pair->near);
	relay_link_unref(pair->coordinator);
	*pair = (struct link_pair){ 0 };
}

struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_from_text(&ip, text), 0);
	return ip;
}

struct endpoint endpoint_of(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_from_text(&ep, text), 0);
	return ep;
}

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

size_t packet_make(uint8_t out[static PACKET_MAX_BYTES], const char *src, const char *dst, uint16_t port, size_t len)
{
	struct ip from = ip_of(src), to = ip_of(dst);
	size_t total = PACKET_HEADERS_BYTES + len;
	uint32_t sum = 0;

	assert_true(total <= PACKET_MAX_BYTES);
	memset(out, 0, PACKET_HEADERS_BYTES);
	out[0] = 0x45;
	put_be16(out + 2, total);
	out[8] = 64;
	out[9] = 17;
	memcpy(out + 12, from.b, 4);
	memcpy(out + 16, to.b, 4);
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)out[i] << 8 | out[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put_be16(out + 10, ~(sum + (sum >> 16)) & 0xffff);
	put_be16(out + 20, 7000);
	put_be16(out + 22, port);
	put_be16(out + 24, 8 + len); /* and no UDP checksum */
	return total;
}

int datagram_open(struct session *s, uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_sealed h;
	int ret = wire_sealed_decode(&h, data, len);

	if (ret < 0)
		return ret;
	return h.index == s->local_index ? session_open(s, &h, data, len, now_ms) : -ENOENT;
}
