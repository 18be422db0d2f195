#include <string.h>

#include "ctl/ctl.h"

#define PING_TIMEOUT_MS 1000u
#define PING_COUNT 4
#define PING_COUNT_UNTIL_DIRECT 30

struct ping {
	unsigned sent, received, counted; /* counted: answers over a path that is good enough for --require */
	double min_ms, max_ms, sum_ms;
	bool is_direct;            /* the last answer's path */
	char path[CTL_CELL_BYTES]; /* the same in words, "" before the first */
	char kind[CTL_CELL_BYTES];
};

static void note_answer(struct ping *p, const json_t *answer, bool wants_direct)
{
	const json_t *path = json_object_get(answer, "path");
	double rtt_ms = json_number_value(json_object_get(answer, "rtt_ms"));

	p->received++;
	p->is_direct = ctl_is_direct(path);
	if (p->is_direct || !wants_direct)
		p->counted++;
	ctl_text(json_object_get(path, "kind"), p->kind);
	if (p->received == 1 || rtt_ms < p->min_ms)
		p->min_ms = rtt_ms;
	if (rtt_ms > p->max_ms)
		p->max_ms = rtt_ms;
	p->sum_ms += rtt_ms;
}

static void print_answer(const struct ctl *ctl, struct ping *p, const json_t *answer)
{
	char name[CTL_CELL_BYTES], ip[CTL_CELL_BYTES], path[CTL_CELL_BYTES], rtt[CTL_CELL_BYTES];

	ctl_text(json_object_get(answer, "peer"), name);
	ctl_text(json_object_get(answer, "ip"), ip);
	if (!json_is_true(json_object_get(answer, "answered"))) {
		fprintf(ctl->out, "%s %s seq=%u no answer\n", name, ip, p->sent);
		return;
	}
	snprintf(rtt, sizeof(rtt), "%.1f ms", json_number_value(json_object_get(answer, "rtt_ms")));
	ctl_path(json_object_get(answer, "path"), path);
	fprintf(ctl->out, "%s %s seq=%u via %s %s%s\n", name, ip, p->sent, path, rtt,
		p->path[0] && strcmp(p->path, path) != 0 ? "   (path changed)" : "");
	memcpy(p->path, path, sizeof(path));
}

static void print_sum(const struct ctl *ctl, const struct ping *p)
{
	fprintf(ctl->out, "%u sent, %u received", p->sent, p->received);
	if (p->received > 0)
		fprintf(ctl->out, ", min/avg/max %.1f/%.1f/%.1f ms; path now: %s", p->min_ms, p->sum_ms / p->received,
			p->max_ms, p->kind);
	fputc('\n', ctl->out);
}

int ctl_ping(struct ctl *ctl)
{
	bool is_until_direct = ctl_value(ctl, "until-direct"), wants_direct = ctl_value(ctl, "require");
	struct ping p = { 0 };
	double count, interval;

	if (!ctl_number(ctl, "count", 1, 1e6, is_until_direct ? PING_COUNT_UNTIL_DIRECT : PING_COUNT, &count) ||
	    !ctl_number(ctl, "interval", 0.01, 3600, 1, &interval))
		return EXIT_BAD_USAGE;
	while (p.sent < (unsigned)count && !(is_until_direct && p.is_direct)) {
		json_t *answer;
		int code;

		if (p.sent > 0 && !ctl_pause(ctl, interval))
			break;
		code = ctl_ask_take(ctl,
				    json_pack("{s:s,s:s,s:i}", "cmd", "ping", "peer", ctl->operands[0], "timeout_ms",
					      (int)PING_TIMEOUT_MS),
				    "warren.ping", PING_TIMEOUT_MS + CTL_TIMEOUT_MS, &answer);
		if (code != EXIT_YES)
			return code;
		p.sent++;
		if (json_is_true(json_object_get(answer, "answered")))
			note_answer(&p, answer, wants_direct);
		if (ctl->is_json)
			ctl_print_json(ctl, answer);
		else
			print_answer(ctl, &p, answer);
		fflush(ctl->out);
		json_decref(answer);
	}
	if (!ctl->is_json)
		print_sum(ctl, &p);
	if (p.counted == 0)
		return EXIT_NO;
	return p.is_direct ? EXIT_YES : EXIT_NOT_DIRECT;
}
