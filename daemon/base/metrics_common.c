/* The families that both roles have. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/metrics.h"

struct sample {
	enum counter counter;
	const char *first, *second; /* values of the family's labels; NULL: it has no such */
};

static void add(struct metrics *m, const uint64_t *sums, const struct sample *v, size_t n, const char *first,
		const char *second)
{
	for (size_t i = 0; i < n; i++) {
		if (second)
			metrics_count(m, sums[v[i].counter], first, v[i].first, second, v[i].second, NULL);
		else if (first)
			metrics_count(m, sums[v[i].counter], first, v[i].first, NULL);
		else
			metrics_count(m, sums[v[i].counter], NULL);
	}
}

#define ADD(m, sums, v, first, second) add(m, sums, v, sizeof(v) / sizeof((v)[0]), first, second)

static void add_traffic(struct metrics *m, const uint64_t *sums)
{
	static const struct sample bytes[] = { { COUNTER_rx_bytes, "rx", NULL }, { COUNTER_tx_bytes, "tx", NULL } };
	static const struct sample datagrams[] = { { COUNTER_rx_datagrams, "rx", NULL },
						   { COUNTER_tx_datagrams, "tx", NULL } };
	static const struct sample packets[] = { { COUNTER_tun_rx_packets, "tx", NULL },
						 { COUNTER_tun_tx_packets, "rx", NULL } };

	metrics_family(m, "warren_underlay_bytes", METRICS_COUNTER,
		       "Bytes of datagrams outside of the tunnel, of all kinds.");
	ADD(m, sums, bytes, "direction", NULL);
	metrics_family(m, "warren_underlay_datagrams", METRICS_COUNTER,
		       "Datagrams outside of the tunnel, of all kinds.");
	ADD(m, sums, datagrams, "direction", NULL);
	metrics_family(m, "warren_tun_packets", METRICS_COUNTER,
		       "Packets of the interface; a train that the kernel hands over whole counts once.");
	ADD(m, sums, packets, "direction", NULL);
	metrics_family(m, "warren_relay_forwarded_bytes", METRICS_COUNTER, "Bytes a coordinator has relayed.");
	metrics_count(m, sums[COUNTER_relay_forwarded_bytes], NULL);
	metrics_family(m, "warren_relay_forwarded_datagrams", METRICS_COUNTER, "Datagrams a coordinator has relayed.");
	metrics_count(m, sums[COUNTER_relay_forwarded_datagrams], NULL);
}

static void add_drops(struct metrics *m, const uint64_t *sums)
{
	static const struct sample drops[] = {
		{ COUNTER_drop_short, "rx", "short" },
		{ COUNTER_drop_type, "rx", "type" },
		{ COUNTER_drop_unknown_index, "rx", "unknown_index" },
		{ COUNTER_drop_auth, "rx", "auth" },
		{ COUNTER_drop_replay, "rx", "replay" },
		{ COUNTER_drop_source, "any", "source" },
		{ COUNTER_drop_inner, "any", "inner" },
		{ COUNTER_drop_lz4, "rx", "lz4" },
		{ COUNTER_drop_answer, "rx", "answer" },
		{ COUNTER_drop_tun_error, "rx", "tun_error" },
		{ COUNTER_drop_expired, "any", "expired" },
		{ COUNTER_drop_queue_full, "any", "queue_full" },
		{ COUNTER_drop_no_peer, "tx", "no_peer" },
		{ COUNTER_drop_no_path, "tx", "no_path" },
		{ COUNTER_drop_send_error, "tx", "send_error" },
		{ COUNTER_drop_too_big, "tx", "too_big" },
		{ COUNTER_drop_multicast, "tx", "multicast" },
		{ COUNTER_relay_not_allowed, "relay", "not_allowed" },
		{ COUNTER_relay_no_receiver, "relay", "no_receiver" },
		{ COUNTER_relay_over_rate, "relay", "over_rate" },
		{ COUNTER_relay_over_share, "relay", "over_share" },
		{ COUNTER_relay_bad_source, "relay", "bad_source" },
	};

	metrics_family(m, "warren_dropped_packets", METRICS_COUNTER,
		       "Packets and datagrams that went no further; direction any: either.");
	ADD(m, sums, drops, "direction", "reason");
}

static void add_handshakes(struct metrics *m, const uint64_t *sums)
{
	static const struct sample handshakes[] = {
		{ COUNTER_handshakes_initiated, "initiated", NULL },
		{ COUNTER_handshakes_answered, "answered", NULL },
		{ COUNTER_handshakes_completed, "completed", NULL },
		{ COUNTER_handshake_bad_mac, "bad_mac", NULL },
		{ COUNTER_handshake_unknown_key, "unknown_key", NULL },
		{ COUNTER_handshake_bad_auth, "bad_auth", NULL },
		{ COUNTER_handshake_replayed, "replayed", NULL },
		{ COUNTER_handshake_rate_limited, "rate_limited", NULL },
		{ COUNTER_handshake_malformed, "malformed", NULL },
		{ COUNTER_handshake_no_cipher, "no_cipher", NULL },
		{ COUNTER_handshake_untrusted, "untrusted", NULL },
	};

	metrics_family(m, "warren_handshakes", METRICS_COUNTER, "Handshakes between peers.");
	ADD(m, sums, handshakes, "result", NULL);
}

void metrics_add_counters(struct metrics *m, const uint64_t *sums)
{
	add_traffic(m, sums);
	add_drops(m, sums);
	add_handshakes(m, sums);
}

/* ---------------------------------------------------------------- the process */

/* The whole of a file of /proc, cut at capacity. */
static bool read_text(const char *path, char *out, size_t capacity)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(out, 1, capacity - 1, f) : 0;

	out[n] = '\0';
	if (f)
		fclose(f);
	return n > 0;
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", "..", and the one that reads them */
}

static void add_process(struct metrics *m, double started)
{
	double ticks = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
	uint64_t v[24] = { 0 };
	char text[1024], *at;

	/* proc(5): the name in parentheses may hold anything, so fields are counted from behind it; v[0] is the third, the state. */
	if (!read_text("/proc/self/stat", text, sizeof(text)) || !(at = strrchr(text, ')')))
		return;
	at += 2;
	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]) && *at; i++) {
		v[i] = strtoull(at, NULL, 10);
		at += strcspn(at, " ");
		at += *at == ' ';
	}
	metrics_family(m, "process_cpu_seconds", METRICS_COUNTER, "User and system CPU time spent in seconds.");
	metrics_gauge(m, (double)(v[11] + v[12]) / ticks, NULL);
	metrics_family(m, "process_virtual_memory_bytes", METRICS_GAUGE, "Virtual memory size in bytes.");
	metrics_gauge(m, (double)v[20], NULL);
	metrics_family(m, "process_resident_memory_bytes", METRICS_GAUGE, "Resident memory size in bytes.");
	metrics_gauge(m, (double)v[21] * page, NULL);
	metrics_family(m, "process_threads", METRICS_GAUGE, "Number of OS threads in the process.");
	metrics_gauge(m, (double)v[17], NULL);
	metrics_family(m, "process_start_time_seconds", METRICS_GAUGE,
		       "Start time of the process since unix epoch in seconds.");
	metrics_gauge(m, started, NULL);
	metrics_family(m, "process_open_fds", METRICS_GAUGE, "Number of open file descriptors.");
	metrics_gauge(m, count_descriptors(), NULL);
}

void metrics_add_common(struct metrics *m, const char *role, bool was_reload_ok, uint64_t started_wall_ms)
{
	metrics_family(m, "warren_build", METRICS_INFO, "The daemon's version and role.");
	metrics_count(m, 1, "version", WARREN_VERSION, "role", role, NULL);
	metrics_family(m, "warren_config_last_reload_success", METRICS_GAUGE,
		       "1 where the settings in use are those of the last load, 0 where that failed.");
	metrics_gauge(m, was_reload_ok, NULL);
	add_process(m, (double)started_wall_ms / 1000);
}
