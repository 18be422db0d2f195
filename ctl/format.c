#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

static const char *none(char *out)
{
	memcpy(out, "-", 2);
	return out;
}

const char *ctl_text(const json_t *v, char out[static CTL_CELL_BYTES])
{
	const char *text = json_string_value(v);

	if (text && text[0] != '\0')
		log_escape(out, CTL_CELL_BYTES, text, strlen(text));
	else if (json_is_integer(v))
		snprintf(out, CTL_CELL_BYTES, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(out, CTL_CELL_BYTES, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(out, CTL_CELL_BYTES, "%s", json_is_true(v) ? "yes" : "no");
	else
		none(out);
	return out;
}

const char *ctl_known(const json_t *v, char out[static CTL_CELL_BYTES])
{
	return !v || json_is_null(v) ? "not known" : ctl_text(v, out);
}

const char *ctl_rtt(const json_t *ms, char out[static CTL_CELL_BYTES])
{
	double v = json_number_value(ms);

	if (!json_is_number(ms) || v < 0)
		return none(out);
	snprintf(out, CTL_CELL_BYTES, v < 9.95 ? "%.1f ms" : "%.0f ms", v);
	return out;
}

const char *ctl_bytes(const json_t *n, char out[static CTL_CELL_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = json_number_value(n);
	size_t unit = 0;

	if (!json_is_number(n))
		return none(out);
	while (v >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(out, CTL_CELL_BYTES, v > 0 ? "%.0f B" : "0", v);
	else
		snprintf(out, CTL_CELL_BYTES, v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return out;
}

const char *ctl_duration(double seconds, char out[static CTL_CELL_BYTES])
{
	long long s = seconds > 0 && seconds < 1e12 ? (long long)seconds : 0;

	if (s < 60)
		snprintf(out, CTL_CELL_BYTES, "%llds", s);
	else if (s < 3600)
		snprintf(out, CTL_CELL_BYTES, "%lldm", s / 60);
	else if (s < 86400)
		snprintf(out, CTL_CELL_BYTES, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(out, CTL_CELL_BYTES, "%lldd", s / 86400);
	return out;
}

static bool parse_time(const json_t *v, time_t *out)
{
	const char *text = json_string_value(v), *end;
	struct tm tm = { 0 };

	if (!text)
		return false;
	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!end || (*end != 'Z' && *end != '.'))
		return false;
	*out = timegm(&tm);
	return true;
}

const char *ctl_clock(const json_t *v, char out[static CTL_CELL_BYTES])
{
	struct tm tm;
	time_t at;

	if (!parse_time(v, &at) || !localtime_r(&at, &tm))
		return none(out);
	strftime(out, CTL_CELL_BYTES, "%H:%M:%S", &tm);
	return out;
}

bool ctl_age(const json_t *since, const json_t *now, double *seconds)
{
	time_t from, to;

	if (!parse_time(since, &from) || !parse_time(now, &to))
		return false;
	*seconds = to > from ? (double)(to - from) : 0;
	return true;
}

const char *ctl_path(const json_t *path, char out[static CTL_CELL_BYTES])
{
	char kind[CTL_CELL_BYTES], via[CTL_CELL_BYTES], rest[CTL_CELL_BYTES];

	if (!json_is_object(path))
		return none(out);
	ctl_text(json_object_get(path, "kind"), kind);
	ctl_text(json_object_get(path, "via"), via);
	if (strcmp(kind, "relay") == 0)
		snprintf(out, CTL_CELL_BYTES, "relay %.70s/%.20s", via,
			 ctl_text(json_object_get(path, "transport"), rest));
	else
		snprintf(out, CTL_CELL_BYTES, "%.20s %.100s", kind, ctl_text(json_object_get(path, "remote"), rest));
	return out;
}

bool ctl_is_direct(const json_t *path)
{
	const char *kind = json_string_value(json_object_get(path, "kind"));

	return kind && (strcmp(kind, "lan") == 0 || strcmp(kind, "direct") == 0 || strcmp(kind, "tcp") == 0);
}

void ctl_print_json(const struct ctl *ctl, const json_t *document)
{
	/* 9 digits: 74.1 stays 74.1, and microseconds in a day of milliseconds are kept. */
	json_dumpf(document, ctl->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
	fputc('\n', ctl->out);
	fflush(ctl->out);
}

json_t *ctl_time(uint64_t at_s)
{
	char text[32];
	time_t at = (time_t)at_s;
	struct tm tm;

	if (at_s == 0 || !gmtime_r(&at, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}
