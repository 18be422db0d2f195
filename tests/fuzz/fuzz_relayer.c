/* A run of datagrams into a relayer that knows two members. The first byte says how it comes: bit 0 the relayer is congested,
 * 1 from the first member's endpoint, 2 each datagram gets a good header of the first member's, for the receiver it names;
 * the next two are the length of a segment, 0 of the whole. */
#include "tests/fuzz/fuzz.h"

#include "crypto/key.h"
#include "daemon/coordinator/relayer.h"

#define NOW_MS 1000000
#define FIRST 10
#define MEMBERS 2
#define RUN_MAX_BYTES 4000
#define IS_CONGESTED 1
#define IS_FROM_MEMBER 2
#define IS_GENUINE 4

struct world {
	struct config config;
	struct forward forward;
	struct directory *directory;
	struct counters loop_counters;
	struct relayer relayer;
	_Atomic bool has_stun;
	struct relay_link *near[MEMBERS], *coordinator[MEMBERS];
	struct relay_account *accounts[MEMBERS];
	uint64_t n_told;
	bool is_genuine;
};

static bool tell(void *arg, const struct relayer_mail *m, const uint8_t *data, size_t len, bool is_minor)
{
	struct world *w = arg;

	(void)is_minor;
	if (m->kind == RELAYER_BIND)
		must(len == RELAY_BIND_DATAGRAM_BYTES && data[0] == WIRE_BIND);
	else
		must(w->is_genuine && m->sender == FIRST && m->receiver != FIRST && len > 0 && len <= RUN_MAX_BYTES);
	w->n_told++;
	return true;
}

static struct endpoint endpoint_of(unsigned member)
{
	return (struct endpoint){ .ip = { .len = 4, .b = { 127, 0, 0, 1 } }, .port = (uint16_t)(4000 + member) };
}

static struct world *world_new(void)
{
	static struct world w;
	struct roster *roster = roster_new(MEMBERS);

	must(crypto_start() == 0 && roster);
	w.config.relay.enabled = true;
	w.config.relay.rate_per_peer = w.config.relay.rate_total = UINT64_MAX;
	w.directory = directory_new(NULL, 1);
	w.has_stun = true;
	must(forward_init(&w.forward, w.directory, &w.loop_counters, &w.config, NOW_MS) == 0);
	for (unsigned i = 0; i < MEMBERS; i++) {
		uint8_t up[32] = { 1 }, down[32] = { 2 }, tag_up[SHORT_KEY_BYTES] = { 3 },
			tag_down[SHORT_KEY_BYTES] = { 4 };
		struct roster_end end = { .member = FIRST + i, .is_bound = true, .way = { .peer = endpoint_of(i) } };

		up[1] = down[1] = tag_up[1] = tag_down[1] = (uint8_t)i;
		w.near[i] = relay_link_new(up, down, tag_up, tag_down, 100 + i, 0x01020304 + i, NULL);
		w.coordinator[i] = relay_link_new(down, up, tag_down, tag_up, 0x01020304 + i, 100 + i, NULL);
		w.accounts[i] = relay_account_new();
		must(w.near[i] && w.coordinator[i] && w.accounts[i]);
		quota_init(&w.accounts[i]->quota, UINT64_MAX, 0, NOW_MS);
		w.accounts[i]->proven_until_ms = UINT64_MAX;
		end.link = w.coordinator[i];
		end.account = w.accounts[i];
		roster_add(roster, &end);
	}
	epochs_publish_take(&w.forward.rosters, &roster->item);
	w.relayer = (struct relayer){ .forward = &w.forward,
				      .stun_limit = stun_limit_new(NOW_MS),
				      .has_stun = &w.has_stun,
				      .tell = tell,
				      .arg = &w };
	for (unsigned i = 0; i < PORTS_MAX; i++)
		w.relayer.udp[i].fd = -1; /* what is sent is counted as an error of sending */
	must(w.relayer.stun_limit && relayer_init(&w.relayer, NOW_MS) == 0);
	return &w;
}

static uint64_t count(const struct world *w, enum counter c)
{
	return counters_get(&w->relayer.counters, c);
}

/* What became of all datagrams so far, each counted once. */
static uint64_t count_fates(const struct world *w)
{
	static const enum counter fates[] = {
		COUNTER_relay_forwarded_datagrams,
		COUNTER_stun_answered,
		COUNTER_stun_rate_limited,
		COUNTER_drop_short,
		COUNTER_drop_type,
		COUNTER_drop_unknown_index,
		COUNTER_drop_auth,
		COUNTER_drop_replay,
		COUNTER_relay_no_receiver,
		COUNTER_relay_over_rate,
		COUNTER_relay_bad_source,
		COUNTER_relay_over_share,
	};
	uint64_t sum = w->n_told;

	for (size_t i = 0; i < sizeof(fates) / sizeof(fates[0]); i++)
		sum += count(w, fates[i]);
	return sum;
}

/* Gives each datagram that has room for it a header of the first member's, under its next counter. */
static void make_genuine(struct world *w, struct udp_run *run)
{
	for (size_t at = 0; at < run->len; at += run->segment_bytes) {
		size_t len = run->len - at < run->segment_bytes ? run->len - at : run->segment_bytes;
		uint8_t *d = run->data + at;

		if (len > WIRE_RELAY_HEADER_BYTES)
			relay_link_wrap(w->near[0], d, FIRST + d[19] % 4u, len - WIRE_RELAY_HEADER_BYTES);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t bytes[RUN_MAX_BYTES];
	static struct world *w;
	struct udp_run run = { .peer = endpoint_of(7), .data = bytes };
	uint64_t forwarded, fates;

	if (!w)
		w = world_new();
	if (len < 3 || len - 3 > sizeof(bytes))
		return 0;
	run.len = len - 3;
	run.segment_bytes = (size_t)(data[1] << 8 | data[2]);
	if (run.segment_bytes == 0 || run.segment_bytes > run.len)
		run.segment_bytes = run.len;
	memcpy(bytes, data + 3, run.len);
	if (data[0] & IS_FROM_MEMBER)
		run.peer = endpoint_of(0);
	w->is_genuine = data[0] & IS_GENUINE;
	if (w->is_genuine)
		make_genuine(w, &run);
	forwarded = count(w, COUNTER_relay_forwarded_datagrams);
	fates = count_fates(w);
	relayer_batch(&w->relayer, 0, &run, 1, data[0] & IS_CONGESTED, NOW_MS);
	must(count_fates(w) - fates == (run.len ? udp_run_count(&run) : 1));
	must(count(w, COUNTER_relay_forwarded_datagrams) == forwarded || (w->is_genuine && data[0] & IS_FROM_MEMBER));
	must(w->relayer.n_out[0] == 0 && w->relayer.n_stun_replies == 0);
	return 0;
}
