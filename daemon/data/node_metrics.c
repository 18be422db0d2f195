/* What is counted for Prometheus besides the counters: traffic and changes by path, searches, and how late the loop is.
 *
 * Lanes count a peer's packets whatever way they go; which way that was is seen here, each time the path changes and whenever
 * somebody asks. */
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_control.h"

struct node_metrics {
	struct peer_counted traffic[PATH_CLASS_COUNT]; /* path_class is not used */
	uint64_t changes[PATH_CLASS_COUNT][PATH_CLASS_COUNT];
	uint64_t punches[PUNCH_METHODS][2]; /* by whether a path was found */
	struct metrics_histogram lag;
};

static const char *const class_names[PATH_CLASS_COUNT] = {
	[PATH_CLASS_LAN] = "lan",     [PATH_CLASS_DIRECT4] = "direct4", [PATH_CLASS_DIRECT6] = "direct6",
	[PATH_CLASS_RELAY] = "relay", [PATH_CLASS_TCP] = "tcp",         [PATH_CLASS_NONE] = "none",
};

int node_metrics_start(struct node *n)
{
	n->metrics = calloc(1, sizeof(*n->metrics));
	return n->metrics ? 0 : -ENOMEM;
}

void node_metrics_free(struct node *n)
{
	free(n->metrics);
	n->metrics = NULL;
}

void node_metrics_begin(struct peer *p)
{
	p->counted = (struct peer_counted){ .path_class = PATH_CLASS_NONE };
}

static void attribute(struct node *n, struct peer *p)
{
	const struct shared_peer *shared = p->shared;
	const struct traffic *t = shared ? &shared->traffic : NULL;
	struct peer_counted *sum = &n->metrics->traffic[p->counted.path_class], now = p->counted;

	if (!t)
		return;
	now.rx_bytes = atomic_load(&t->rx_bytes);
	now.tx_bytes = atomic_load(&t->tx_bytes);
	now.rx_packets = atomic_load(&t->rx_packets);
	now.tx_packets = atomic_load(&t->tx_packets);
	sum->rx_bytes += now.rx_bytes - p->counted.rx_bytes;
	sum->tx_bytes += now.tx_bytes - p->counted.tx_bytes;
	sum->rx_packets += now.rx_packets - p->counted.rx_packets;
	sum->tx_packets += now.tx_packets - p->counted.tx_packets;
	p->counted = now;
}

void node_metrics_settle(struct node *n, struct peer *p, uint64_t now_ms)
{
	enum path_class class = node_path_class(p, now_ms);

	if (class == p->counted.path_class)
		return;
	attribute(n, p);
	n->metrics->changes[p->counted.path_class][class]++;
	p->counted.path_class = class;
}

void node_metrics_gone(struct node *n, struct peer *p)
{
	attribute(n, p);
}

void node_metrics_punch(struct node *n, enum punch_method method, bool was_found)
{
	n->metrics->punches[method][was_found]++;
}

void node_metrics_late(struct node *n, uint64_t late_ms)
{
	metrics_observe(&n->metrics->lag, (double)late_ms / 1000);
}

/* ---------------------------------------------------------------- the text */

static void add_traffic(const struct node *n, struct metrics *m)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} families[] = {
		{ "warren_rx_bytes", "Bytes of packets from peers, by the path in use.",
		  offsetof(struct peer_counted, rx_bytes) },
		{ "warren_tx_bytes", "Bytes of packets to peers, by the path in use.",
		  offsetof(struct peer_counted, tx_bytes) },
		{ "warren_rx_packets", "Packets from peers, by the path in use.",
		  offsetof(struct peer_counted, rx_packets) },
		{ "warren_tx_packets", "Packets to peers, by the path in use.",
		  offsetof(struct peer_counted, tx_packets) },
	};

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		metrics_family(m, families[f].name, METRICS_COUNTER, families[f].help);
		for (unsigned i = 0; i < PATH_CLASS_COUNT; i++) {
			uint64_t value;

			memcpy(&value, (const char *)&n->metrics->traffic[i] + families[f].offset, sizeof(value));
			metrics_count(m, value, "path", class_names[i], NULL);
		}
	}
}

static void add_paths(const struct node *n, struct metrics *m)
{
	unsigned by_class[PATH_CLASS_COUNT];

	node_count_peers(n, by_class);
	metrics_family(m, "warren_peers", METRICS_GAUGE, "Peers known, by the path in use; none: no session.");
	for (unsigned i = 0; i < PATH_CLASS_COUNT; i++)
		metrics_count(m, by_class[i], "path", class_names[i], NULL);
	metrics_family(m, "warren_path_changes", METRICS_COUNTER, "Changes of the path to a peer.");
	for (unsigned i = 0; i < PATH_CLASS_COUNT; i++)
		for (unsigned j = 0; j < PATH_CLASS_COUNT; j++)
			if (i != j)
				metrics_count(m, n->metrics->changes[i][j], "from", class_names[i], "to",
					      class_names[j], NULL);
	metrics_family(m, "warren_holepunch_attempts", METRICS_COUNTER,
		       "Searches through NATs that change ports, by what they called for.");
	for (unsigned i = PUNCH_NONE + 1; i < PUNCH_METHODS; i++)
		for (unsigned found = 0; found < 2 && i != PUNCH_HOPELESS; found++)
			metrics_count(m, n->metrics->punches[i][found], "result", found ? "found" : "failed", "cause",
				      punch_method_name((enum punch_method)i), NULL);
}

static void add_coordinators(const struct node *n, struct metrics *m)
{
	metrics_family(m, "warren_coordinator_connected", METRICS_GAUGE, "1 where this node is registered.");
	for (unsigned i = 0; i < n->n_links; i++)
		metrics_gauge(m, link_is_registered(n->links[i]), "coordinator", link_config(n->links[i])->name, NULL);
	metrics_family(m, "warren_coordinator_rtt_seconds", METRICS_GAUGE, "Round trip to a coordinator, over TCP.");
	for (unsigned i = 0; i < n->n_links; i++) {
		uint32_t rtt_us = registrar_rtt_us(link_registrar(n->links[i]));

		if (link_is_registered(n->links[i]) && rtt_us)
			metrics_gauge(m, rtt_us / 1e6, "coordinator", link_config(n->links[i])->name, NULL);
	}
}

static const struct peer *listed_from(const struct node *n, const struct peer *p)
{
	while (p && !peers_is_listed(&n->peers, p))
		p = p->by_number.next;
	return p;
}

static const struct peer *first_listed(const struct node *n)
{
	return listed_from(n, n->peers.by_number);
}

static const struct peer *next_listed(const struct node *n, const struct peer *p)
{
	return listed_from(n, p->by_number.next);
}

/* A series for each peer: only where it is asked for, for there may be thousands. */
static void add_peers(const struct node *n, struct metrics *m)
{
	char key[KEY_TEXT_BYTES], ip[ADDR_TEXT_BYTES] = "";

	metrics_family(m, "warren_peer", METRICS_INFO, "Names, addresses and keys of peers.");
	for (const struct peer *p = first_listed(n); p; p = next_listed(n, p)) {
		if (p->n_addrs)
			ip_to_text(&p->addrs[0], ip);
		metrics_count(m, 1, "peer", p->name, "ip", p->n_addrs ? ip : "", "key", pubkey_to_text(&p->key, key),
			      NULL);
	}
	metrics_family(m, "warren_peer_rtt_seconds", METRICS_GAUGE, "Round trip over the path in use.");
	for (const struct peer *p = first_listed(n); p; p = next_listed(n, p)) {
		const struct path *best = p->paths ? path_set_best(p->paths) : NULL;

		if (best && best->rtt_us)
			metrics_gauge(m, best->rtt_us / 1e6, "peer", p->name, NULL);
	}
	metrics_family(m, "warren_peer_rx_bytes", METRICS_COUNTER, "Bytes of packets from a peer.");
	for (const struct peer *p = first_listed(n); p; p = next_listed(n, p))
		metrics_count(m, p->counted.rx_bytes, "peer", p->name, NULL);
	metrics_family(m, "warren_peer_tx_bytes", METRICS_COUNTER, "Bytes of packets to a peer.");
	for (const struct peer *p = first_listed(n); p; p = next_listed(n, p))
		metrics_count(m, p->counted.tx_bytes, "peer", p->name, NULL);
}

char *node_metrics(struct node *n, enum metrics_format format)
{
	uint64_t sums[COUNTER_COUNT] = { 0 };
	struct metrics m;

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		attribute(n, p);
	for (unsigned i = 0; i <= CONFIG_WORKERS_MAX; i++)
		counters_sum(sums, &n->counters[i]);
	metrics_init(&m, format);
	metrics_add_common(&m, "peer", !n->reload_error[0], clock_wall_ms() - (clock_now_ms() - n->started_ms));
	add_coordinators(n, &m);
	add_paths(n, &m);
	add_traffic(n, &m);
	if (n->config->metrics.peer_labels)
		add_peers(n, &m);
	metrics_family(&m, "warren_loop_lag_seconds", METRICS_HISTOGRAM, "How late the loop came to what was due.");
	metrics_histogram(&m, &n->metrics->lag);
	metrics_add_counters(&m, sums);
	return metrics_end(&m);
}

void node_cmd_metrics(void *arg, struct control_request *req, const json_t *args)
{
	char *text = node_metrics(arg, METRICS_TEXT);

	(void)args;
	if (text)
		control_reply_take(req, json_pack("{s:s, s:s}", "schema", "warren.metrics/1", "text", text));
	else
		control_fail(req, EXIT_NO, "memory is short");
	free(text);
}
