/* The file of cached peers: what was written is read, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/mac.h"
#include "daemon/data/cache.h"

static uint8_t file[CACHE_MAX_BYTES + 1];

struct seen {
	unsigned n;
	struct cache_head head;
	struct cache_peer first, last;
};

static void see(void *arg, const struct cache_head *head, const struct cache_peer *p)
{
	struct seen *s = arg;

	if (s->n++ == 0)
		s->first = *p;
	s->last = *p;
	s->head = *head;
}

static struct cache_head head_of(unsigned n_coordinators)
{
	struct cache_head h = { .n_coordinators = n_coordinators };

	memset(h.own.b, 1, sizeof(h.own.b));
	memset(h.network.b, 2, sizeof(h.network.b));
	for (unsigned i = 0; i < n_coordinators; i++)
		memset(h.coordinators[i].b, 0x10 + (int)i, sizeof(h.coordinators[i].b));
	return h;
}

/* Everything as long as it can be. */
static struct cache_peer longest_peer(unsigned number)
{
	struct cache_peer p = { .n_addrs = WIRE_ADDRS_MAX,
				.flags = CACHE_HAS_ENDPOINTS | CACHE_IN_CONTACT,
				.known_at = 0x0f,
				.endpoints = { .n = WIRE_CANDIDATES_MAX } };
	char text[ADDR_TEXT_BYTES];

	memset(p.key.b, 0xff, sizeof(p.key.b));
	memcpy(p.key.b, &number, sizeof(number));
	memset(p.name, 'a', WIRE_NAME_MAX_BYTES);
	for (unsigned i = 0; i < WIRE_ADDRS_MAX; i++) {
		snprintf(text, sizeof(text), "fd77::%x:%x", number, i);
		assert_int_equal(ip_from_text(&p.addrs[i], text), 0);
	}
	for (unsigned i = 0; i < WIRE_CANDIDATES_MAX; i++) {
		snprintf(text, sizeof(text), "[2001:db8::%x]:%u", i + 1, 1000 + i);
		p.endpoints.v[i].kind = CANDIDATE_HOST;
		assert_int_equal(endpoint_from_text(&p.endpoints.v[i].endpoint, text), 0);
	}
	return p;
}

static struct cache_peer shortest_peer(void)
{
	struct cache_peer p = { .n_addrs = 1, .name = "b", .known_at = 1 };

	assert_int_equal(ip_from_text(&p.addrs[0], "10.77.0.3"), 0);
	return p;
}

static size_t write_two(void)
{
	struct cache_head head = head_of(CONFIG_COORDINATORS_MAX);
	struct cache_peer a = longest_peer(1), b = shortest_peer();
	struct cache_writer w;

	cache_begin(&w, file, &head);
	cache_add(&w, &a);
	cache_add(&w, &b);
	return cache_end(&w);
}

static void sign_again(size_t len)
{
	hash_bytes(file + CACHE_HEAD_BYTES - CACHE_HASH_BYTES, file + CACHE_HEAD_BYTES, len - CACHE_HEAD_BYTES);
}

static int decode(size_t len, struct seen *s)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees what is read past its end */
	int ret;

	assert_non_null(exact);
	memcpy(exact, file, len);
	*s = (struct seen){ 0 };
	ret = cache_decode(exact, len, see, s);
	free(exact);
	return ret;
}

static void what_was_written_is_read(void **state)
{
	struct cache_peer a = longest_peer(1), b = shortest_peer();
	struct cache_head head = head_of(CONFIG_COORDINATORS_MAX);
	size_t len = write_two();
	struct seen s;

	(void)state;
	assert_int_equal(decode(len, &s), 0);
	assert_int_equal(s.n, 2);
	assert_memory_equal(&s.head, &head, sizeof(head));
	assert_memory_equal(&s.first.key, &a.key, sizeof(a.key));
	assert_string_equal(s.first.name, a.name);
	assert_int_equal(s.first.n_addrs, a.n_addrs);
	assert_memory_equal(s.first.addrs, a.addrs, sizeof(a.addrs));
	assert_int_equal(s.first.flags, a.flags);
	assert_int_equal(s.first.known_at, a.known_at);
	assert_int_equal(s.first.endpoints.n, a.endpoints.n);
	assert_true(endpoint_equal(&s.first.endpoints.v[15].endpoint, &a.endpoints.v[15].endpoint));
	assert_string_equal(s.last.name, b.name);
	assert_int_equal(s.last.endpoints.n, 0);
	assert_int_equal(s.last.flags, 0);
}

static void no_peers_is_a_file_too(void **state)
{
	struct cache_head head = head_of(0);
	struct cache_writer w;
	struct seen s;

	(void)state;
	cache_begin(&w, file, &head);
	assert_int_equal(decode(cache_end(&w), &s), 0);
	assert_int_equal(s.n, 0);
}

static void file_has_a_limit_that_it_keeps(void **state)
{
	struct cache_head head = head_of(CONFIG_COORDINATORS_MAX);
	struct cache_writer w;
	struct cache_peer last = longest_peer(CACHE_PEERS_MAX - 1);
	struct seen s;
	size_t len;

	(void)state;
	cache_begin(&w, file, &head);
	for (unsigned i = 0; i < CACHE_PEERS_MAX + 5; i++) {
		struct cache_peer p = longest_peer(i);

		assert_int_equal(cache_has_room(&w), i < CACHE_PEERS_MAX);
		cache_add(&w, &p);
	}
	len = cache_end(&w);
	assert_in_range(len, 1, CACHE_MAX_BYTES);
	assert_int_equal(decode(len, &s), 0);
	assert_int_equal(s.n, CACHE_PEERS_MAX);
	assert_memory_equal(&s.last.key, &last.key, KEY_BYTES);
}

static void every_cut_and_every_flipped_bit_is_seen(void **state)
{
	size_t len = write_two();
	struct seen s;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		assert_int_equal(decode(cut, &s), cut < 16 ? -EPROTONOSUPPORT : -EBADMSG);
		assert_int_equal(s.n, 0);
	}
	assert_int_equal(decode(len + 1, &s), -EBADMSG);
	for (size_t bit = 0; bit < len * 8; bit++) {
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(decode(len, &s), bit < 128 ? -EPROTONOSUPPORT : -EBADMSG);
		assert_int_equal(s.n, 0);
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(decode(len, &s), 0);
}

/* The hash is no secret: whoever can write the file can make it. */
static void under_a_good_hash_bounds_hold_all_the_same(void **state)
{
	size_t head = CACHE_HEAD_BYTES + KEY_BYTES + CERT_NETWORK_BYTES,
	       count = head + 1 + CONFIG_COORDINATORS_MAX * KEY_BYTES, name = count + 2 + KEY_BYTES, len = write_two();
	const struct {
		size_t at;
		uint8_t to;
	} faults[] = {
		{ head, CONFIG_COORDINATORS_MAX + 1 },
		{ count, 0xff },
		{ count + 1, 1 }, /* bytes are left */
		{ count + 1, 3 }, /* one is missing */
		{ name, 0 },
		{ name + 1, '\n' },
		{ name + 1 + WIRE_NAME_MAX_BYTES, 0 },
		{ name + 1 + WIRE_NAME_MAX_BYTES, WIRE_ADDRS_MAX + 1 },
		{ name + 2 + WIRE_NAME_MAX_BYTES, 5 },                          /* an address of 5 bytes */
		{ name + 2 + WIRE_NAME_MAX_BYTES + WIRE_ADDRS_MAX * 17, 0x83 }, /* an unknown flag */
		{ name + 3 + WIRE_NAME_MAX_BYTES + WIRE_ADDRS_MAX * 17, 0x10 }, /* a fifth coordinator */
		{ name + 4 + WIRE_NAME_MAX_BYTES + WIRE_ADDRS_MAX * 17 + 12, 17 },
	};
	struct seen s;

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		uint8_t was = file[faults[i].at];

		assert_int_not_equal(was, faults[i].to);
		file[faults[i].at] = faults[i].to;
		sign_again(len);
		assert_int_equal(decode(len, &s), -EBADMSG);
		assert_int_equal(s.n, 0);
		file[faults[i].at] = was;
	}
	sign_again(len);
	assert_int_equal(decode(len, &s), 0);
}

static void endpoint_that_must_not_be_sent_to_is_left_out(void **state)
{
	struct cache_head head = head_of(1);
	struct cache_peer p = shortest_peer();
	struct cache_writer w;
	struct seen s;

	(void)state;
	p.flags = CACHE_HAS_ENDPOINTS;
	p.endpoints.n = 2;
	p.endpoints.v[0].kind = p.endpoints.v[1].kind = CANDIDATE_HOST;
	endpoint_from_text(&p.endpoints.v[0].endpoint, "224.0.0.1:5000");
	endpoint_from_text(&p.endpoints.v[1].endpoint, "198.51.100.1:5000");
	cache_begin(&w, file, &head);
	cache_add(&w, &p);
	assert_int_equal(decode(cache_end(&w), &s), 0);
	assert_int_equal(s.last.endpoints.n, 1);
	assert_int_equal(s.last.endpoints.v[0].endpoint.ip.b[0], 198);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(no_peers_is_a_file_too),
		cmocka_unit_test(file_has_a_limit_that_it_keeps),
		cmocka_unit_test(every_cut_and_every_flipped_bit_is_seen),
		cmocka_unit_test(under_a_good_hash_bounds_hold_all_the_same),
		cmocka_unit_test(endpoint_that_must_not_be_sent_to_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
