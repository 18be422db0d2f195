/* Compression between this node and its peers: offered, agreed upon with each, and shown. */
#include "daemon/data/node_control.h"

static const char *const mode_names[] = { "off", "auto", "on" }; /* as in the file */

static uint16_t features_of(enum config_compression mode)
{
	return mode == CONFIG_COMPRESSION_OFF ? 0 : WIRE_FEATURE_LZ4;
}

enum config_compression node_compression(const struct node *n, const struct session *s)
{
	return s && (s->features & WIRE_FEATURE_LZ4) ? n->compression : CONFIG_COMPRESSION_OFF;
}

void node_set_compression(struct node *n, enum config_compression mode, uint64_t now_ms)
{
	bool is_same_offer = features_of(n->compression) == features_of(mode);

	n->compression = mode;
	n->identity.features = features_of(mode);
	n->is_table_stale = true;
	if (is_same_offer)
		return;
	/* At once and not when keys are changed next: a peer goes on compressing until it knows. */
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths && sessions_sendable(&p->sessions, now_ms)) {
			sessions_renew(&p->sessions, now_ms);
			node_mark_peer(n, p);
		}
}

void node_check_compression(struct node *n, struct peer *p, const struct session *s, uint64_t now_ms)
{
	if (s->features & (uint16_t)~n->identity.features)
		sessions_renew(&p->sessions, now_ms);
}

const char *node_compression_name(const struct node *n)
{
	return mode_names[n->compression];
}

static uint64_t load(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

/* null: unknown, for there is no session. */
static json_t *state_json(const struct node *n, const struct session *s, const struct compress_trial *t,
			  uint64_t now_ms)
{
	if (n->compression == CONFIG_COMPRESSION_OFF)
		return json_string("off");
	if (!s)
		return json_null();
	if (!(s->features & WIRE_FEATURE_LZ4))
		return json_string("peer-off");
	return json_string(compress_state_name(compress_state(t, n->compression, now_ms)));
}

json_t *node_json_compression(const struct node *n, const struct peer *p, uint64_t now_ms)
{
	static const struct compress_trial none = { 0 };
	const struct compress_trial *t = p->shared ? &node_shared(p)->compression : &none;
	const struct session *s = p->paths ? sessions_sendable(&p->sessions, now_ms) : NULL;
	uint64_t plain = load(&t->tx_plain_bytes), packed = load(&t->tx_packed_bytes);

	/* Two counters, not read at one instant. */
	if (packed > plain)
		packed = plain;
	return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:o}", "mode", mode_names[n->compression], "state",
			 state_json(n, s, t, now_ms), "tx_plain_bytes", (json_int_t)plain, "tx_packed_bytes",
			 (json_int_t)packed, "rx_plain_bytes", (json_int_t)load(&t->rx_plain_bytes), "rx_packed_bytes",
			 (json_int_t)load(&t->rx_packed_bytes), "gain_ratio",
			 plain ? json_real(1 - (double)packed / (double)plain) : json_null());
}
