#include "tests/unit/certs.h"
#include "tests/unit/wire_checks.h"

static uint8_t list[REVOCATION_MAX_BYTES];

static struct pubkey key_of(uint16_t n)
{
	struct pubkey key = { { 1, (uint8_t)(n >> 8), (uint8_t)n } };

	return key;
}

static size_t list_of(unsigned n)
{
	struct pubkey *keys = calloc(n + 1, sizeof(*keys));
	size_t len;

	assert_non_null(keys);
	for (unsigned i = 0; i < n; i++)
		keys[i] = key_of((uint16_t)(n - i)); /* falling: it is the maker's to sort them */
	len = certs_revoke(list, 7, keys, n);
	free(keys);
	return len;
}

static void names_those_in_it_by_key_and_by_serial(void **state)
{
	struct signkey network = certs_network_key(0);
	struct revocation_entry entries[] = { { .serial = { { 5 } } }, { .key = key_of(3) } };
	struct cert_serial five = { { 5 } }, six = { { 6 } }, none = { { 0 } };
	struct pubkey three = key_of(3), four = key_of(4), zero = { { 0 } };
	struct verifykey public = certs_network(0);
	struct revocation_head h;
	int len = revocation_make(list, sizeof(list), 1, CERTS_NOW_S, 0, entries, 2, &network);

	(void)state;
	assert_int_equal(len, REVOCATION_HEAD_BYTES + 2 * REVOCATION_ENTRY_BYTES);
	assert_int_equal(revocation_decode(&h, list, (size_t)len), 0);
	assert_true(revocation_head_is_signed(&h, &public));
	assert_true(revocation_names(list, &three, &six));
	assert_true(revocation_names(list, &four, &five));
	assert_true(revocation_names(list, &zero, &five));
	assert_false(revocation_names(list, &four, &six));
	assert_false(revocation_names(list, &zero, &none)); /* "none" of an entry names nobody */
	assert_false(revocation_names(NULL, &three, &five));
}

static void no_bit_of_it_can_be_changed(void **state)
{
	size_t len = list_of(3);
	struct verifykey public = certs_network(0);
	struct revocation_head h;

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		list[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(revocation_decode(&h, list, len) == 0 && revocation_head_is_signed(&h, &public));
		list[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(revocation_decode(&h, list, len), 0);
	CHECK_STRICT(revocation_decode, struct revocation_head, list, len);
}

static void another_networks_is_none_of_ours(void **state)
{
	size_t len = list_of(1);
	struct verifykey other = certs_network(1);
	struct revocation_head h;

	(void)state;
	assert_int_equal(revocation_decode(&h, list, len), 0);
	assert_false(revocation_head_is_signed(&h, &other));
}

static void longest_list_is_made_and_one_more_is_not(void **state)
{
	static struct revocation_entry entries[REVOCATION_ENTRIES_MAX + 1];
	struct signkey network = certs_network_key(0);
	struct revocation_head h;
	size_t len = list_of(REVOCATION_ENTRIES_MAX);

	(void)state;
	assert_int_equal(len, REVOCATION_MAX_BYTES);
	assert_int_equal(revocation_decode(&h, list, len), 0);
	for (unsigned i = 0; i <= REVOCATION_ENTRIES_MAX; i++)
		entries[i].key = key_of((uint16_t)(i + 1));
	assert_int_equal(revocation_make(list, sizeof(list), 1, 0, 0, entries, REVOCATION_ENTRIES_MAX + 1, &network),
			 -ENOSPC);
}

static void doubles_are_dropped_and_nobody_is_no_entry(void **state)
{
	struct signkey network = certs_network_key(0);
	struct revocation_entry entries[] = { { .key = key_of(2) }, { .key = key_of(1) }, { .key = key_of(2) } };
	struct revocation_entry nobody[] = { { .key = key_of(2) }, { .key = { { 0 } } } };
	struct revocation_head h;
	int len = revocation_make(list, sizeof(list), 1, 0, 0, entries, 3, &network);

	(void)state;
	assert_int_equal(revocation_decode(&h, list, (size_t)len), 0);
	assert_int_equal(h.n_entries, 2);
	assert_int_equal(revocation_make(list, sizeof(list), 1, 0, 0, nobody, 2, &network), -EINVAL);
	assert_int_equal(revocation_make(list, sizeof(list), 0, 0, 0, entries, 2, &network), -EINVAL);
	assert_int_equal(revocation_make(list, 20, 1, 0, 0, entries, 2, &network), -ENOSPC);
}

static void end_is_signed_and_comes_after_the_beginning(void **state)
{
	struct signkey network = certs_network_key(0);
	struct revocation_entry entry = { .key = key_of(1) };
	struct verifykey public = certs_network(0);
	struct revocation_head h;
	int len = revocation_make(list, sizeof(list), 1, 1000, 1001, &entry, 1, &network);

	(void)state;
	assert_int_equal(revocation_decode(&h, list, (size_t)len), 0);
	assert_true(revocation_head_is_signed(&h, &public));
	assert_int_equal(h.issued_s, 1000);
	assert_int_equal(h.expires_s, 1001);
	h.expires_s = 0;
	assert_false(revocation_head_is_signed(&h, &public));
	assert_int_equal(revocation_make(list, sizeof(list), 1, 1000, 1000, &entry, 1, &network), -EINVAL);
	assert_int_equal(revocation_make(list, sizeof(list), 1, 1000, CERT_TIME_MAX, &entry, 1, &network), -EINVAL);
	/* What the maker would not write is not read either, whoever has signed it. */
	len = revocation_make(list, sizeof(list), 1, 1000, 1001, &entry, 1, &network);
	list[40] = 0xe8; /* 1001 to 1000 */
	assert_int_equal(revocation_decode(&h, list, (size_t)len), -EBADMSG);
	list[33] = 1;
	assert_int_equal(revocation_decode(&h, list, (size_t)len), -EBADMSG);
}

static void messages_come_back(void **state)
{
	struct wire_revocations m = { .step = REVOCATION_ASK, .epoch = UINT64_MAX, .offset = 9 }, back;
	uint8_t data[WIRE_REVOCATIONS_MAX_BYTES + 1], part[REVOCATION_PART_MAX_BYTES + 1] = { 3 };
	int len = wire_revocations_encode(data, sizeof(data), 15, &m);

	(void)state;
	assert_int_equal(len, 14);
	assert_int_equal(wire_revocations_decode(&back, 15, data, 14), 0);
	assert_int_equal(back.step, REVOCATION_ASK);
	assert_true(back.epoch == UINT64_MAX && back.offset == 9);
	assert_int_equal(wire_revocations_decode(&back, 16, data, 14), -EBADMSG);
	assert_int_equal(wire_revocations_decode(&back, 15, data, 13), -EBADMSG);
	assert_int_equal(wire_revocations_decode(&back, 15, data, 15), -EBADMSG); /* only a part has bytes */
	data[1] = 9;
	assert_int_equal(wire_revocations_decode(&back, 15, data, 14), -EBADMSG);
	m = (struct wire_revocations){ REVOCATION_PART, 1, 0, part, REVOCATION_PART_MAX_BYTES };
	len = wire_revocations_encode(data, sizeof(data), 15, &m);
	assert_int_equal(len, WIRE_REVOCATIONS_MAX_BYTES);
	assert_int_equal(wire_revocations_decode(&back, 15, data, (size_t)len), 0);
	assert_int_equal(back.len, REVOCATION_PART_MAX_BYTES);
	assert_int_equal(wire_revocations_decode(&back, 15, data, (size_t)len + 1), -EBADMSG);
	assert_int_equal(wire_revocations_decode(&back, 15, data, 14), -EBADMSG); /* and has some */
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_those_in_it_by_key_and_by_serial),
		cmocka_unit_test(no_bit_of_it_can_be_changed),
		cmocka_unit_test(another_networks_is_none_of_ours),
		cmocka_unit_test(longest_list_is_made_and_one_more_is_not),
		cmocka_unit_test(doubles_are_dropped_and_nobody_is_no_entry),
		cmocka_unit_test(end_is_signed_and_comes_after_the_beginning),
		cmocka_unit_test(messages_come_back),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
