#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/coordinator/directory.h"
#include "tests/unit/certs.h"

#define MEMBERS_MAX 80

/* Addresses that stand for registrations: the directory keeps the pointer and never follows it. */
static uint64_t placeholders[2];

struct fixture {
	char dir[64], path[96];
	struct store *store;
	struct directory *directory;
	struct config config;
	struct config_member members[MEMBERS_MAX];
	struct directory_changes changes; /* of the last load */
};

static struct pubkey key(unsigned n)
{
	struct pubkey k = { { (uint8_t)n, 0x55 } };

	return k;
}

static struct ip ip(const char *text)
{
	struct ip out = { 0 };

	if (text)
		assert_int_equal(ip_from_text(&out, text), 0);
	return out;
}

static void open_store(struct fixture *f)
{
	char error[512];

	if (store_open(&f->store, f->path, error, sizeof(error)))
		fail_msg("%s", error);
	f->directory = directory_new(f->store, 1000);
	assert_non_null(f->directory);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/warren_directory_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
	f->config.members = f->members;
	assert_int_equal(prefix_from_text(&f->config.network.prefix, "10.77.0.0/24"), 0);
	assert_int_equal(prefix_from_text(&f->config.network.prefix6, "fd12:3456:789a::/64"), 0);
	open_store(f);
	*state = f;
	return 0;
}

static void close_all(struct fixture *f)
{
	directory_changes_fini(&f->changes);
	directory_free(f->directory);
	store_close(f->store);
	f->directory = NULL;
	f->store = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_all(f);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void add(struct fixture *f, unsigned n, const char *name, const char *address)
{
	struct config_member *m = &f->members[f->config.n_members++];

	*m = (struct config_member){ .key = key(n), .address = ip(address) };
	snprintf(m->name, sizeof(m->name), "%s", name);
}

static void load(struct fixture *f)
{
	directory_changes_fini(&f->changes);
	assert_int_equal(directory_load(f->directory, &f->config, &f->changes), 0);
}

static struct member *member(struct fixture *f, unsigned n)
{
	struct pubkey k = key(n);

	return directory_by_key(f->directory, &k);
}

static void check_address(const struct ip *is, const char *text)
{
	struct ip expected = ip(text);

	assert_true(ip_equal(is, &expected));
}

static void members_are_found_by_key_name_id_and_both_addresses(void **state)
{
	struct fixture *f = *state;
	struct ip v4 = ip("10.77.0.9"), v6 = ip("fd12:3456:789a::9"), nobody = ip("10.77.0.77");
	struct member *m;

	add(f, 1, "alice", NULL);
	add(f, 2, "bob", "10.77.0.9");
	load(f);
	m = member(f, 2);
	assert_non_null(m);
	assert_int_equal(m->id, 9);
	assert_ptr_equal(directory_by_name(f->directory, "bob"), m);
	assert_ptr_equal(directory_by_id(f->directory, 9), m);
	assert_ptr_equal(directory_by_address(f->directory, &v4), m);
	assert_ptr_equal(directory_by_address(f->directory, &v6), m);
	assert_null(directory_by_name(f->directory, "bo"));
	assert_null(directory_by_id(f->directory, 0));
	assert_null(directory_by_address(f->directory, &nobody));
	assert_null(member(f, 3));
	check_address(&member(f, 1)->address, "10.77.0.1");
	check_address(&member(f, 1)->address6, "fd12:3456:789a::1");
	assert_int_equal(directory_count(f->directory), 2);
}

static void allocation_skips_fixed_addresses_wherever_they_stand_in_the_file(void **state)
{
	struct fixture *f = *state;

	add(f, 1, "a", NULL);
	add(f, 2, "b", "10.77.0.1");
	add(f, 3, "c", NULL);
	f->members[2].address6 = ip("fd12:3456:789a::2"); /* keeps number 2 from the others too */
	add(f, 4, "d", NULL);
	load(f);
	assert_int_equal(member(f, 2)->id, 1);
	assert_int_not_equal(member(f, 1)->id, 2);
	assert_int_not_equal(member(f, 4)->id, 2);
	check_address(&member(f, 3)->address6, "fd12:3456:789a::2");
}

static void a_fixed_address_given_later_moves_its_holder(void **state)
{
	struct fixture *f = *state;

	add(f, 1, "a", NULL);
	load(f);
	assert_int_equal(member(f, 1)->id, 1);
	add(f, 2, "b", "10.77.0.1");
	load(f);
	assert_int_equal(member(f, 2)->id, 1);
	assert_int_equal(member(f, 1)->id, 2);
	assert_int_equal(f->changes.n_added, 1);
	assert_int_equal(f->changes.n_changed, 1);
	assert_ptr_equal(f->changes.changed[0], member(f, 1));
}

static void addresses_are_remembered_across_restarts_and_absence(void **state)
{
	struct fixture *f = *state;

	add(f, 1, "a", NULL);
	add(f, 2, "b", NULL);
	load(f);
	assert_int_equal(member(f, 2)->id, 2);
	f->config.n_members = 1; /* b goes */
	load(f);
	assert_int_equal(f->changes.n_removed, 1);
	assert_string_equal(f->changes.removed[0]->name, "b");
	assert_null(directory_by_name(f->directory, "b"));
	close_all(f);
	open_store(f);
	f->config.n_members = 1;
	add(f, 3, "c", NULL);
	add(f, 2, "b", NULL); /* and comes back after another */
	load(f);
	assert_int_equal(member(f, 2)->id, 2);
	assert_int_equal(member(f, 3)->id, 3);
}

static void a_reload_keeps_what_is_known_of_a_registration(void **state)
{
	struct registration *registration = (struct registration *)&placeholders[0];
	struct fixture *f = *state;
	struct member *m;

	add(f, 1, "a", NULL);
	add(f, 2, "b", NULL);
	load(f);
	m = member(f, 1);
	directory_set_registration(f->directory, m, registration);
	m->boot_id = 77;
	snprintf(f->members[0].name, sizeof(f->members[0].name), "anna");
	load(f);
	assert_ptr_equal(member(f, 1), m);
	assert_ptr_equal(m->registration, registration);
	assert_int_equal(m->boot_id, 77);
	assert_string_equal(m->name, "anna");
	assert_ptr_equal(directory_by_name(f->directory, "anna"), m);
	assert_null(directory_by_name(f->directory, "a"));
	assert_int_equal(f->changes.n_changed, 1);
	assert_int_equal(directory_online(f->directory), 1);
	directory_set_registration(f->directory, m, NULL);
}

static void the_version_rises_with_every_visible_change_only(void **state)
{
	struct fixture *f = *state;
	uint64_t version;

	add(f, 1, "a", NULL);
	load(f);
	version = directory_version(f->directory);
	assert_true(version > 1000);
	load(f);
	assert_int_equal(directory_version(f->directory), version);
	directory_set_registration(f->directory, member(f, 1), (struct registration *)&placeholders[0]);
	assert_true(directory_version(f->directory) > version);
	version = directory_version(f->directory);
	directory_set_registration(f->directory, member(f, 1), (struct registration *)&placeholders[1]);
	assert_int_equal(directory_version(f->directory), version); /* replaced: online all the while */
	directory_set_registration(f->directory, member(f, 1), NULL);
	assert_true(directory_version(f->directory) > version);
	version = directory_version(f->directory);
	f->config.n_members = 0;
	load(f);
	assert_true(directory_version(f->directory) > version);
}

static void a_removed_member_that_is_online_is_not_counted_twice(void **state)
{
	struct fixture *f = *state;
	struct member *m;

	add(f, 1, "a", NULL);
	load(f);
	m = member(f, 1);
	directory_set_registration(f->directory, m, (struct registration *)&placeholders[0]);
	f->config.n_members = 0;
	load(f);
	assert_int_equal(directory_online(f->directory), 0);
	directory_set_registration(f->directory, m, NULL);
	assert_int_equal(directory_online(f->directory), 0);
}

static void a_full_prefix_leaves_the_last_member_without_an_address(void **state)
{
	struct fixture *f = *state;
	struct member *m;

	assert_int_equal(prefix_from_text(&f->config.network.prefix, "10.77.0.0/30"), 0);
	add(f, 1, "a", NULL);
	add(f, 2, "b", NULL);
	add(f, 3, "c", NULL);
	load(f);
	assert_int_equal(f->changes.n_unleased, 1);
	assert_int_equal(f->changes.lease_error, -EADDRNOTAVAIL);
	m = member(f, 3);
	if (m->id)
		m = member(f, 1)->id ? member(f, 2) : member(f, 1);
	assert_int_equal(m->id, 0);
	assert_int_equal(m->address.len, 0);
	assert_int_equal(directory_lease(f->directory, m), -EADDRNOTAVAIL);
	assert_int_equal(directory_count(f->directory), 3);
	f->config.n_members = 3;
	for (unsigned i = 0; i < 3; i++) { /* another member goes, and its number with it */
		if (pubkey_equal(&f->members[i].key, &m->key))
			continue;
		f->members[i] = f->members[2];
		break;
	}
	f->config.n_members = 2;
	load(f);
	assert_int_equal(f->changes.n_unleased, 0);
}

static void a_full_disk_costs_new_members_their_address_until_there_is_room(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, none;
	char wal[128];
	struct stat st;

	add(f, 1, "a", NULL);
	load(f);
	add(f, 2, "b", NULL);
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_equal(stat(wal, &st), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = (struct rlimit){ (rlim_t)st.st_size, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	load(f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(f->changes.n_unleased, 1);
	assert_int_not_equal(f->changes.lease_error, 0);
	assert_int_equal(member(f, 1)->id, 1);
	check_address(&member(f, 1)->address, "10.77.0.1");
	assert_int_equal(member(f, 2)->id, 0);
	assert_ptr_equal(directory_by_name(f->directory, "b"), member(f, 2));
	assert_int_equal(directory_lease(f->directory, member(f, 2)), 0);
	check_address(&member(f, 2)->address, "10.77.0.2");
	assert_ptr_equal(directory_by_id(f->directory, 2), member(f, 2));
}

static void a_network_of_ipv6_alone_gives_numbers_too(void **state)
{
	struct fixture *f = *state;
	struct prefix own[WIRE_ADDRS_MAX];

	memset(&f->config.network.prefix, 0, sizeof(f->config.network.prefix));
	add(f, 1, "a", NULL);
	load(f);
	assert_int_equal(member(f, 1)->address.len, 0);
	check_address(&member(f, 1)->address6, "fd12:3456:789a::1");
	assert_int_equal(directory_addresses(f->directory, member(f, 1), own), 1);
	assert_int_equal(own[0].bits, 64);
}

static void members_are_walked_by_id_and_by_name(void **state)
{
	struct fixture *f = *state;
	struct wire_member record;
	struct member *m;
	uint32_t before = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < 60; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%02u", 59 - i);
		add(f, i + 1, name, NULL);
	}
	load(f);
	for (m = directory_next(f->directory, 0); m; m = directory_next(f->directory, m->id + 1)) {
		assert_true(m->id > before);
		before = m->id;
		n++;
	}
	assert_int_equal(n, 60);
	assert_string_equal(directory_at(f->directory, 0)->name, "m00");
	assert_string_equal(directory_at(f->directory, 59)->name, "m59");
	assert_null(directory_at(f->directory, 60));
	directory_record(directory_at(f->directory, 0), &record);
	assert_string_equal(record.name, "m00");
	assert_int_equal(record.n_addrs, 2);
	assert_int_equal(record.flags, 0);
}

/* ---------------------------------------------------------------- members by certificate */

static struct cert cert(unsigned n, const char *name, const char *v4, const char *v6, uint64_t begins)
{
	struct cert c = { .kind = CERT_DIRECT, .member = key(n), .not_before_s = begins };

	snprintf(c.name, sizeof(c.name), "%s", name);
	if (v4)
		c.addrs[c.n_addrs++] = ip(v4);
	if (v6)
		c.addrs[c.n_addrs++] = ip(v6);
	return c;
}

static struct member *admit(struct fixture *f, const struct cert *c)
{
	struct member *m = NULL;

	directory_changes_fini(&f->changes);
	assert_int_equal(directory_admit(f->directory, c, &m, &f->changes), 0);
	assert_non_null(m);
	return m;
}

static void invitation_is_spent_by_the_first_key_in_time(void **state)
{
	struct fixture *f = *state;
	struct cert first = cert(1, "alice", "10.77.0.9", NULL, 100), second = cert(2, "alice", "10.77.0.9", NULL, 90);
	struct cert direct = cert(3, "bob", "10.77.0.10", NULL, 100);

	first.kind = second.kind = CERT_INVITED;
	first.expires_s = second.expires_s = 1000;
	assert_int_equal(directory_spend(f->directory, &direct, 5000), 0);
	/* Its certificate begins in time, but the time is over. */
	assert_int_equal(directory_spend(f->directory, &first, 1000 + CERT_SKEW_S), -EKEYEXPIRED);
	assert_int_equal(directory_spend(f->directory, &first, 1000 + CERT_SKEW_S - 1), 0);
	assert_int_equal(directory_spend(f->directory, &second, 500), -EKEYREJECTED);
	assert_int_equal(directory_spend(f->directory, &first, 90000), 0); /* it is a member, for as long as it likes */
	second.serial.b[0]++;                                              /* another invitation */
	assert_int_equal(directory_spend(f->directory, &second, 500), 0);
}

/* Whoever is a member by an invitation can register as long as he is one, and nobody else ever: then it need not be known whose it was. */
static void spent_invitation_is_forgotten_long_after_its_last_certificate(void **state)
{
	enum {
		EXPIRES = 1000,
		LIFETIME = 5000,
		KEPT = DIRECTORY_SPENT_KEPT_S
	};
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct fixture *f = *state;
	struct cert limited = cert(1, "alice", "10.77.0.9", NULL, 100),
		    endless = cert(2, "bob", "10.77.0.10", NULL, 100);
	struct signkey network = certs_network_key(0);
	struct revocation_entry entry = { 0 };
	struct pubkey by;

	limited.kind = endless.kind = CERT_INVITED;
	limited.expires_s = endless.expires_s = EXPIRES;
	limited.lifetime_s = LIFETIME;
	endless.serial.b[0]++;
	assert_int_equal(directory_spend(f->directory, &limited, 500), 0);
	assert_int_equal(directory_spend(f->directory, &endless, 500), 0);
	directory_prune_spent(f->directory, NULL, EXPIRES + LIFETIME + KEPT);
	assert_int_equal(store_spender(f->store, limited.serial.b, &by), 0);
	directory_prune_spent(f->directory, NULL, EXPIRES + LIFETIME + KEPT + 1);
	assert_int_equal(store_spender(f->store, limited.serial.b, &by), -ENOENT);
	limited.member.b[0]++;
	assert_int_equal(directory_spend(f->directory, &limited, EXPIRES + LIFETIME + KEPT + 1), -EKEYEXPIRED);
	directory_prune_spent(f->directory, NULL, UINT64_C(1) << 39);
	assert_int_equal(directory_spend(f->directory, &endless, UINT64_C(1) << 39), 0);
	entry.serial = endless.serial;
	assert_true(revocation_make(list, sizeof(list), 1, 500, 0, &entry, 1, &network) > 0);
	directory_prune_spent(f->directory, list, EXPIRES + KEPT);
	assert_int_equal(store_spender(f->store, endless.serial.b, &by), 0);
	directory_prune_spent(f->directory, list, EXPIRES + KEPT + 1);
	assert_int_equal(store_spender(f->store, endless.serial.b, &by), -ENOENT);
}

static void certificate_makes_a_member_of_what_it_says(void **state)
{
	struct fixture *f = *state;
	struct cert c = cert(1, "alice", "10.77.0.9", NULL, 100), six = cert(2, "bob", NULL, "fd12:3456:789a::7", 100);
	struct ip nine = ip("10.77.0.9"), derived = ip("fd12:3456:789a::9");
	struct member *m;
	uint64_t version;

	load(f);
	version = directory_version(f->directory);
	m = admit(f, &c);
	assert_int_equal(m->id, 9);
	assert_ptr_equal(directory_by_name(f->directory, "alice"), m);
	assert_ptr_equal(directory_by_address(f->directory, &nine), m);
	assert_null(directory_by_address(f->directory, &derived)); /* it names all it has */
	assert_int_equal(m->address6.len, 0);
	assert_true(directory_version(f->directory) > version);
	version = directory_version(f->directory);
	assert_ptr_equal(admit(f, &c), m); /* coming back is no news */
	assert_true(directory_version(f->directory) == version);
	m = admit(f, &six);
	assert_true(m->id != 0 && m->address.len == 0);
	check_address(&m->address6, "fd12:3456:789a::7");
	assert_int_equal(directory_count(f->directory), 2);
	assert_ptr_equal(directory_at(f->directory, 0), member(f, 1));
	assert_ptr_equal(directory_at(f->directory, 1), member(f, 2));
	/* A reload is of the file, which they are not in. */
	load(f);
	assert_int_equal(directory_count(f->directory), 2);
	assert_int_equal(f->changes.n_removed, 0);
	assert_ptr_equal(directory_by_address(f->directory, &nine), member(f, 1));
}

static void renewed_certificate_moves_its_member_and_an_older_does_not(void **state)
{
	struct fixture *f = *state;
	struct cert c = cert(1, "alice", "10.77.0.9", NULL, 100), moved = cert(1, "anna", "10.77.0.10", NULL, 200);
	struct ip nine = ip("10.77.0.9"), ten = ip("10.77.0.10");
	struct member *m, *again = NULL;

	load(f);
	m = admit(f, &c);
	directory_set_registration(f->directory, m, (void *)&placeholders[0]);
	assert_ptr_equal(admit(f, &moved), m);
	assert_string_equal(m->name, "anna");
	assert_null(directory_by_name(f->directory, "alice"));
	assert_null(directory_by_address(f->directory, &nine));
	assert_ptr_equal(directory_by_address(f->directory, &ten), m);
	assert_int_equal(m->id, 10);
	assert_int_equal(directory_online(f->directory), 1);
	directory_changes_fini(&f->changes);
	assert_int_equal(directory_admit(f->directory, &c, &again, &f->changes), -EEXIST);
	assert_null(again);
	assert_string_equal(m->name, "anna");
	directory_set_registration(f->directory, m, NULL);
}

static void newest_certificate_has_the_name_and_the_address(void **state)
{
	struct fixture *f = *state;
	struct cert old = cert(1, "alice", "10.77.0.9", NULL, 100), by_name = cert(2, "alice", "10.77.0.20", NULL, 200);
	struct cert by_addr = cert(3, "carol", "10.77.0.20", NULL, 300),
		    late = cert(4, "dave", "10.77.0.20", NULL, 250);
	struct member *m = NULL;

	load(f);
	admit(f, &old);
	m = admit(f, &by_name);
	assert_int_equal(f->changes.n_removed, 1);
	assert_memory_equal(&f->changes.removed[0]->key, &old.member, KEY_BYTES);
	assert_null(member(f, 1));
	admit(f, &by_addr);
	assert_ptr_equal(f->changes.removed[0], m);
	assert_int_equal(directory_count(f->directory), 1);
	directory_changes_fini(&f->changes);
	m = NULL;
	assert_int_equal(directory_admit(f->directory, &late, &m, &f->changes), -EEXIST);
	assert_null(m);
	assert_int_equal(f->changes.n_removed, 0);
	assert_ptr_equal(directory_by_name(f->directory, "carol"), member(f, 3));
}

static void certificate_without_an_address_of_the_network_is_refused(void **state)
{
	struct fixture *f = *state;
	struct cert c = cert(1, "alice", "192.168.1.1", "fd99::1", 100);
	struct member *m = NULL;

	load(f);
	directory_changes_fini(&f->changes);
	assert_int_equal(directory_admit(f->directory, &c, &m, &f->changes), -EADDRNOTAVAIL);
	assert_null(m);
	assert_int_equal(directory_count(f->directory), 0);
}

static void lent_number_goes_back_to_whom_it_belongs(void **state)
{
	struct fixture *f = *state;
	struct cert six = cert(1, "alice", NULL, "fd12:3456:789a::7", 900), four;
	char address[32];
	struct member *m;

	load(f);
	m = admit(f, &six);
	snprintf(address, sizeof(address), "10.77.0.%u", m->id);
	four = cert(2, "bob", address, NULL, 100); /* older, and yet */
	m = admit(f, &four);
	assert_int_equal(f->changes.n_removed, 1);
	assert_ptr_equal(directory_by_id(f->directory, m->id), m);
	m = admit(f, &six); /* comes back */
	assert_int_equal(f->changes.n_removed, 0);
	assert_true(m->id != 0 && directory_count(f->directory) == 2);
}

static bool is_not_bob(void *arg, const struct cert *c)
{
	(void)arg;
	return strcmp(c->name, "bob") != 0;
}

static void certified_members_outlive_a_restart(void **state)
{
	struct fixture *f = *state;
	struct cert alice = cert(1, "alice", "10.77.0.9", NULL, 100), bob = cert(2, "bob", "10.77.0.10", NULL, 100);
	struct cert renewed = cert(1, "anna", "10.77.0.11", NULL, 200);

	load(f);
	admit(f, &alice);
	admit(f, &bob);
	admit(f, &renewed);
	for (int i = 0; i < 2; i++) { /* the second time bob is not even asked about */
		close_all(f);
		open_store(f);
		load(f);
		assert_int_equal(directory_count(f->directory), 0);
		assert_int_equal(directory_restore(f->directory, is_not_bob, NULL), 1);
		assert_string_equal(member(f, 1)->name, "anna");
		assert_int_equal(member(f, 1)->id, 11);
		assert_null(member(f, 2));
	}
}

static bool is_even(void *arg, const struct member *m)
{
	(void)arg;
	return m->key.b[0] % 2 == 0;
}

static void expelled_members_are_gone_from_every_list(void **state)
{
	struct fixture *f = *state;
	char name[16], address[32];

	load(f);
	for (unsigned i = 1; i <= 20; i++) {
		struct cert c;

		snprintf(name, sizeof(name), "m%02u", i);
		snprintf(address, sizeof(address), "10.77.0.%u", 100 - i);
		c = cert(i, name, address, NULL, 100);
		admit(f, &c);
	}
	directory_changes_fini(&f->changes);
	assert_int_equal(directory_expel(f->directory, is_even, NULL, &f->changes), 0);
	assert_int_equal(f->changes.n_removed, 10);
	assert_int_equal(directory_count(f->directory), 10);
	assert_null(directory_by_name(f->directory, "m02"));
	assert_null(directory_by_id(f->directory, 98));
	for (unsigned i = 0; i < 10; i++) { /* both orders are whole */
		struct member *m = directory_at(f->directory, i);

		snprintf(name, sizeof(name), "m%02u", 2 * i + 1);
		assert_string_equal(m->name, name);
		assert_ptr_equal(directory_next(f->directory, m->id), m);
	}
	assert_null(directory_at(f->directory, 10));
}

static void introductions_forget_the_oldest(void **state)
{
	struct introduced s = { 0 };

	(void)state;
	for (uint32_t id = 1; id <= INTRODUCED_MAX; id++)
		assert_int_equal(introduced_add(&s, id), 0);
	introduced_add(&s, 1); /* is the newest again */
	introduced_add(&s, 9999);
	assert_int_equal(s.n, INTRODUCED_MAX);
	assert_true(introduced_has(&s, 1));
	assert_false(introduced_has(&s, 2));
	assert_true(introduced_has(&s, 9999));
	introduced_set_path(&s, 1, 3);
	introduced_set_path(&s, 2, 3); /* is there no more */
	assert_int_equal(introduced_path(&s, 1), 3);
	assert_int_equal(introduced_path(&s, 2), INTRODUCED_PATH_UNKNOWN);
	assert_int_equal(introduced_path(&s, 3), INTRODUCED_PATH_UNKNOWN);
	introduced_add(&s, 1); /* once more, and what it said stands */
	assert_int_equal(introduced_path(&s, 1), 3);
	introduced_forget_paths(&s);
	assert_int_equal(introduced_path(&s, 1), INTRODUCED_PATH_UNKNOWN);
	introduced_remove(&s, 9999);
	introduced_remove(&s, 9999);
	assert_int_equal(s.n, INTRODUCED_MAX - 1);
	introduced_fini(&s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(members_are_found_by_key_name_id_and_both_addresses),
		TEST(allocation_skips_fixed_addresses_wherever_they_stand_in_the_file),
		TEST(a_fixed_address_given_later_moves_its_holder),
		TEST(addresses_are_remembered_across_restarts_and_absence),
		TEST(a_reload_keeps_what_is_known_of_a_registration),
		TEST(the_version_rises_with_every_visible_change_only),
		TEST(a_removed_member_that_is_online_is_not_counted_twice),
		TEST(a_full_prefix_leaves_the_last_member_without_an_address),
		TEST(a_full_disk_costs_new_members_their_address_until_there_is_room),
		TEST(a_network_of_ipv6_alone_gives_numbers_too),
		TEST(members_are_walked_by_id_and_by_name),
		TEST(invitation_is_spent_by_the_first_key_in_time),
		TEST(spent_invitation_is_forgotten_long_after_its_last_certificate),
		TEST(certificate_makes_a_member_of_what_it_says),
		TEST(renewed_certificate_moves_its_member_and_an_older_does_not),
		TEST(newest_certificate_has_the_name_and_the_address),
		TEST(certificate_without_an_address_of_the_network_is_refused),
		TEST(lent_number_goes_back_to_whom_it_belongs),
		TEST(certified_members_outlive_a_restart),
		TEST(expelled_members_are_gone_from_every_list),
		cmocka_unit_test(introductions_forget_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
