#include "daemon/base/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"

static const double bounds[METRICS_BUCKETS] = { 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1 };

static bool make_room(struct metrics *m, size_t len)
{
	size_t capacity = m->capacity ? m->capacity : 8192;
	char *more;

	while (capacity - m->len < len)
		capacity *= 2;
	if (capacity == m->capacity)
		return true;
	more = realloc(m->text, capacity);
	if (!more)
		return false;
	m->text = more;
	m->capacity = capacity;
	return true;
}

static void append(struct metrics *m, const char *text)
{
	size_t len = strlen(text);

	if (m->has_failed || !make_room(m, len + 1)) {
		m->has_failed = true;
		return;
	}
	memcpy(m->text + m->len, text, len + 1);
	m->len += len;
}

void metrics_init(struct metrics *m, enum metrics_format format)
{
	*m = (struct metrics){ .format = format };
	append(m, ""); /* an empty text is one */
}

char *metrics_end(struct metrics *m)
{
	char *text;

	if (m->format == METRICS_OPEN)
		append(m, "# EOF\n");
	text = m->text;
	m->text = NULL;
	if (m->has_failed) {
		free(text);
		return NULL;
	}
	return text;
}

void metrics_family(struct metrics *m, const char *name, enum metrics_kind kind, const char *help)
{
	static const char *const kinds[] = { "counter", "gauge", "info", "histogram" };
	bool is_open = m->format == METRICS_OPEN;
	const char *suffix = kind == METRICS_COUNTER && !is_open ? "_total" :
			     kind == METRICS_INFO && !is_open    ? "_info" :
								   "";
	char line[512];

	m->name = name;
	m->kind = kind;
	snprintf(line, sizeof(line), "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
		 kind == METRICS_INFO && !is_open ? "gauge" : kinds[kind]);
	append(m, line);
}

/* Backslash, quote and line end, as both formats want them; other bytes that are not printable as log lines show them. */
static void append_label_value(struct metrics *m, const char *value)
{
	char plain[512], text[2 * sizeof(plain)];
	size_t n = 0;

	log_escape(plain, sizeof(plain), value, strlen(value));
	for (const char *p = plain; *p; p++) {
		if (*p == '\\' || *p == '"')
			text[n++] = '\\';
		text[n++] = *p;
	}
	text[n] = '\0';
	append(m, text);
}

static void append_labels(struct metrics *m, va_list args)
{
	const char *key;
	bool is_first = true;

	while ((key = va_arg(args, const char *))) {
		append(m, is_first ? "{" : ",");
		append(m, key);
		append(m, "=\"");
		append_label_value(m, va_arg(args, const char *));
		append(m, "\"");
		is_first = false;
	}
	if (!is_first)
		append(m, "}");
}

static void append_name(struct metrics *m)
{
	append(m, m->name);
	append(m, m->kind == METRICS_COUNTER ? "_total" : m->kind == METRICS_INFO ? "_info" : "");
}

void metrics_count(struct metrics *m, uint64_t value, ...)
{
	char text[32];
	va_list args;

	append_name(m);
	va_start(args, value);
	append_labels(m, args);
	va_end(args);
	snprintf(text, sizeof(text), " %" PRIu64 "\n", value);
	append(m, text);
}

void metrics_gauge(struct metrics *m, double value, ...)
{
	char text[64];
	va_list args;

	append_name(m);
	va_start(args, value);
	append_labels(m, args);
	va_end(args);
	snprintf(text, sizeof(text), " %.15g\n", value);
	append(m, text);
}

void metrics_observe(struct metrics_histogram *h, double seconds)
{
	unsigned i = 0;

	while (i < METRICS_BUCKETS && seconds > bounds[i])
		i++;
	h->n[i]++;
	h->sum_seconds += seconds;
}

void metrics_histogram(struct metrics *m, const struct metrics_histogram *h)
{
	uint64_t n = 0;
	char line[160];

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		n += h->n[i];
		/* OpenMetrics wants the bound to look like a real number, and a series is to be the same one in both formats. */
		snprintf(line, sizeof(line), "%s_bucket{le=\"%g%s\"} %" PRIu64 "\n", m->name, bounds[i],
			 bounds[i] < 1 ? "" : ".0", n);
		append(m, line);
	}
	n += h->n[METRICS_BUCKETS];
	snprintf(line, sizeof(line), "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9g\n%s_count %" PRIu64 "\n", m->name,
		 n, m->name, h->sum_seconds, m->name, n);
	append(m, line);
}
