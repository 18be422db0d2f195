/* daemon/base/metrics.h - Prometheus' text format, written into memory
 *
 * A family (its name, kind and help) and then its samples; families may be in any order, each once. Both exposition formats:
 * text 0.0.4, and OpenMetrics 1.0.0, which names a counter's family without "_total" and ends with "# EOF". Short memory makes the
 * whole text NULL, never a part of one.
 * Thread: any, one builder one thread. */
#ifndef DAEMON_BASE_METRICS_H
#define DAEMON_BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/counters.h"

enum metrics_format {
	METRICS_TEXT,
	METRICS_OPEN
};

#define METRICS_TYPE_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_TYPE_OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8"

enum metrics_kind {
	METRICS_COUNTER,
	METRICS_GAUGE,
	METRICS_INFO, /* OpenMetrics' word; a gauge of 1 elsewhere */
	METRICS_HISTOGRAM
};

struct metrics {
	enum metrics_format format;
	char *text;
	size_t len, capacity;
	bool has_failed;
	const char *name; /* of the family at hand, without its suffix */
	enum metrics_kind kind;
};

void metrics_init(struct metrics *m, enum metrics_format format);
/* The text, which the caller frees, or NULL. */
char *metrics_end(struct metrics *m);

/* `name` without "_total" and "_info"; it must stay valid until the next family. */
void metrics_family(struct metrics *m, const char *name, enum metrics_kind kind, const char *help);
/* One sample each; key, value, ..., NULL are its labels. Values of labels are escaped. */
void metrics_count(struct metrics *m, uint64_t value, ...) __attribute__((sentinel));
void metrics_gauge(struct metrics *m, double value, ...) __attribute__((sentinel));

/* Delays from 1 ms to 1 s, in a fixed set of buckets. */
#define METRICS_BUCKETS 7
struct metrics_histogram {
	uint64_t n[METRICS_BUCKETS + 1]; /* the last: above all bounds */
	double sum_seconds;
};
void metrics_observe(struct metrics_histogram *h, double seconds);
void metrics_histogram(struct metrics *m, const struct metrics_histogram *h);

/* What both roles have: the counters' families from `sums` (COUNTER_COUNT of them, as counters_sum() makes them); and the
 * version, the last reload and the process, this from /proc/self and as Prometheus' client libraries name it. */
void metrics_add_counters(struct metrics *m, const uint64_t *sums);
void metrics_add_common(struct metrics *m, const char *role, bool was_reload_ok, uint64_t started_wall_ms);

#endif
