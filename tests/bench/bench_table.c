/* How many look-ups a worker does in a second in the snapshot it reads: by inner address, by receiver index, and entering it; and by
 * an address that is in a network behind a peer, of which each peer has one, of four lengths.
 *
 * Keys come in random order, so that what does not fit the cache is paid for. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "crypto/key.h"
#include "daemon/data/table.h"
#include "daemon/peer/handshake.h"
#include "tests/bench/bench.h"

#define ORDER 4096 /* look-ups a step */
#define PEERS_MAX 10000

struct bench {
	unsigned n_peers;
	struct table *table;
	struct session *sessions[PEERS_MAX];
	struct shared_peer *peers[PEERS_MAX];
	struct ip hit[ORDER], hit6[ORDER], miss[ORDER], behind[ORDER];
	uint32_t index[ORDER];
	unsigned n_found;
	struct tables tables;
};

static void must(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "bench_table: %s failed\n", what);
	exit(1);
}

static struct ip address_of(unsigned peer, bool is_six)
{
	uint8_t four[4] = { 10, 77, (uint8_t)(peer >> 8), (uint8_t)peer };
	uint8_t six[16] = { 0xfd, 0x77, [14] = (uint8_t)(peer >> 8), [15] = (uint8_t)peer };
	struct ip ip;

	ip_from_bytes(&ip, is_six ? six : four, is_six ? sizeof(six) : sizeof(four));
	return ip;
}

/* 11.x.y.0/21 to /24: x and y are the peer's number but for its last three bits. */
static struct prefix network_of(unsigned peer)
{
	uint8_t four[4] = { 11, (uint8_t)(peer >> 5), (uint8_t)(peer << 3) };
	struct prefix p = { .bits = (uint8_t)(21 + peer % 4) };

	ip_from_bytes(&p.ip, four, sizeof(four));
	return p;
}

static void add_networks(struct bench *b)
{
	must(table_make_networks(b->table, b->n_peers) == 0, "memory");
	for (unsigned i = 0; i < b->n_peers; i++) {
		struct prefix net = network_of(i);

		table_add_network(b->table, &net, &b->table->routes[i], true);
	}
	for (unsigned i = 0; i < ORDER; i++) {
		b->behind[i] = network_of(randombytes_uniform(b->n_peers < 8192 ? b->n_peers : 8192)).ip;
		b->behind[i].b[3] = (uint8_t)i;
	}
}

static void fill(struct bench *b, unsigned n_peers)
{
	struct handshake_keys keys = { .suite = AEAD_CHACHA20_POLY1305 };
	uint32_t *indices = calloc(n_peers, sizeof(*indices));

	must(indices != NULL, "memory");
	b->n_peers = n_peers;
	b->table = table_new(n_peers, n_peers);
	must(b->table != NULL, "memory");
	for (unsigned i = 0; i < n_peers; i++) {
		struct table_route route = { .n_addrs = 2, .addrs = { address_of(i, false), address_of(i, true) } };
		const struct table_route *added;

		do
			randombytes_buf(&indices[i], sizeof(indices[i]));
		while (indices[i] == 0);
		b->sessions[i] = session_new(&keys, indices[i], i + 1, true, 0, NULL);
		b->peers[i] = shared_peer_new(i + 1);
		must(b->sessions[i] && b->peers[i], "memory");
		route.session = b->sessions[i];
		route.peer = b->peers[i];
		added = table_add_route(b->table, &route);
		must(added != NULL, "adding a route");
		table_add_session(b->table, b->sessions[i], added);
	}
	for (unsigned i = 0; i < ORDER; i++) {
		unsigned peer = randombytes_uniform(n_peers);

		b->hit[i] = address_of(peer, false);
		b->hit6[i] = address_of(peer, true);
		b->miss[i] = address_of(n_peers + randombytes_uniform(10000), false);
		b->index[i] = indices[peer];
	}
	free(indices);
	tables_init(&b->tables);
	tables_publish_take(&b->tables, b->table);
}

static void empty(struct bench *b)
{
	tables_fini(&b->tables);
	for (unsigned i = 0; i < b->n_peers; i++) {
		session_unref(b->sessions[i]);
		shared_peer_unref(b->peers[i]);
	}
}

static void find_each(struct bench *b, const struct ip *addresses)
{
	for (unsigned i = 0; i < ORDER; i++)
		b->n_found += table_find_addr(b->table, &addresses[i]) != NULL;
}

static void find_hit(void *arg)
{
	struct bench *b = arg;

	find_each(b, b->hit);
}

static void find_hit6(void *arg)
{
	struct bench *b = arg;

	find_each(b, b->hit6);
}

static void find_miss(void *arg)
{
	struct bench *b = arg;

	find_each(b, b->miss);
}

static void find_behind(void *arg)
{
	struct bench *b = arg;

	find_each(b, b->behind);
}

static void find_index(void *arg)
{
	struct bench *b = arg;

	for (unsigned i = 0; i < ORDER; i++)
		b->n_found += table_find_index(b->table, b->index[i]) != NULL;
}

static void enter_and_leave(void *arg)
{
	struct bench *b = arg;

	for (unsigned i = 0; i < ORDER; i++) {
		b->n_found += tables_enter(&b->tables, 0) != NULL;
		tables_leave(&b->tables, 0);
	}
}

/* Each look-up must find what is there and nothing else, or its time means nothing. */
static void check(struct bench *b)
{
	void (*const finds[])(void *) = { find_hit, find_hit6, find_index, enter_and_leave };

	for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
		b->n_found = 0;
		finds[i](b);
		must(b->n_found == ORDER, "a look-up of what is there");
	}
	b->n_found = 0;
	find_miss(b);
	must(b->n_found == 0, "a look-up of what is not there");
}

int main(void)
{
	static const unsigned sizes[] = { 10, 200, PEERS_MAX };
	static struct bench b;

	must(sodium_init() >= 0 && crypto_start() == 0, "crypto");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(&b, 0, sizeof(b));
		fill(&b, sizes[i]);
		check(&b);
		printf("%u peers\n", sizes[i]);
		bench_rate("  inner IPv4 address to route", find_hit, &b, ORDER);
		bench_rate("  inner IPv6 address to route", find_hit6, &b, ORDER);
		bench_rate("  address of nobody", find_miss, &b, ORDER);
		bench_rate("  receiver index to session", find_index, &b, ORDER);
		bench_rate("  entering and leaving the snapshot", enter_and_leave, &b, ORDER);
		add_networks(&b);
		b.n_found = 0;
		find_behind(&b);
		must(b.n_found == ORDER, "a look-up of a network");
		bench_rate("  address in a network behind a peer", find_behind, &b, ORDER);
		empty(&b);
	}
	return 0;
}
