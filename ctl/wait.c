#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/clock.h"

#define WAIT_SECONDS 30
#define WAIT_POLL_MS 200
/* A ping brings the pair up and is answered, or not, within this. */
#define WAIT_PING_MS 1000u

struct wait {
	const char *peer;    /* NULL: for the daemon to be up */
	bool is_for_direct;  /* and not over a relay */
	const char *missing; /* what was missing last, in words; NULL: ctl_ask_take said it */
};

/* "up", "peer=NAME" or "direct=NAME". */
static bool parse(struct wait *w, const char *text)
{
	static const char peer[] = "peer=", direct[] = "direct=";

	if (strcmp(text, "up") == 0)
		return true;
	if (strncmp(text, peer, sizeof(peer) - 1) == 0)
		w->peer = text + sizeof(peer) - 1;
	w->is_for_direct = strncmp(text, direct, sizeof(direct) - 1) == 0;
	if (w->is_for_direct)
		w->peer = text + sizeof(direct) - 1;
	return w->peer && w->peer[0];
}

static int look_up(struct ctl *ctl, struct wait *w)
{
	json_t *answer;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "status"), "warren.status", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	w->missing = ctl_what_is_wrong(answer);
	json_decref(answer);
	return w->missing ? EXIT_NO : EXIT_YES;
}

static int look_at_peer(struct ctl *ctl, struct wait *w)
{
	json_t *answer, *request = json_pack("{s:s, s:s, s:i}", "cmd", "ping", "peer", w->peer, "timeout_ms",
					     (int)WAIT_PING_MS);
	int code = ctl_ask_take(ctl, request, "warren.ping", WAIT_PING_MS + CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (!json_is_true(json_object_get(answer, "answered"))) {
		w->missing = "the peer does not answer";
		code = EXIT_NO;
	} else if (w->is_for_direct && !ctl_is_direct(json_object_get(answer, "path"))) {
		w->missing = "the peer answers, but not over a direct path; see: warrenctl why";
		code = EXIT_NOT_DIRECT;
	}
	json_decref(answer);
	return code;
}

/* The daemon may not run yet, and may not know the peer yet: what it complains of is only said when the time is over. */
static int look(struct ctl *ctl, struct wait *w, char **complaint)
{
	struct ctl quiet = *ctl;
	size_t len;
	int code;

	free(*complaint);
	*complaint = NULL;
	quiet.err = open_memstream(complaint, &len);
	if (!quiet.err)
		return EXIT_NO;
	w->missing = NULL;
	code = w->peer ? look_at_peer(&quiet, w) : look_up(&quiet, w);
	fclose(quiet.err);
	return code;
}

static bool may_pass(int code)
{
	return code == EXIT_NO || code == EXIT_NOT_DIRECT || code == EXIT_NO_DAEMON;
}

static void print(struct ctl *ctl, const char *what, int code, uint64_t waited_ms)
{
	json_t *document = json_pack("{s:s, s:s, s:b, s:f}", "schema", "warren.wait/1", "for", what, "reached",
				     code == EXIT_YES, "waited_s", (double)waited_ms / 1000);

	ctl_print_json(ctl, document);
	json_decref(document);
}

int ctl_wait(struct ctl *ctl)
{
	const char *what = ctl_value(ctl, "for") ? ctl_value(ctl, "for") : "up";
	uint64_t begin_ms = clock_now_ms(), end_ms;
	struct wait w = { .peer = NULL };
	char *complaint = NULL;
	double seconds;
	int code;

	if (!ctl_number(ctl, "timeout", 0, 86400, WAIT_SECONDS, &seconds))
		return EXIT_BAD_USAGE;
	if (!parse(&w, what)) {
		fprintf(ctl->err, "warrenctl: wait for what? up, peer=NAME or direct=NAME, not \"%s\"\n", what);
		return EXIT_BAD_USAGE;
	}
	end_ms = begin_ms + (uint64_t)(seconds * 1000);
	for (;;) {
		code = look(ctl, &w, &complaint);
		if (!may_pass(code) || clock_now_ms() + WAIT_POLL_MS > end_ms || !ctl_pause(ctl, WAIT_POLL_MS / 1e3))
			break;
	}
	if (code != EXIT_YES && w.missing)
		fprintf(ctl->err, "warrenctl: %s\n", w.missing);
	else if (code != EXIT_YES && complaint)
		fputs(complaint, ctl->err);
	free(complaint);
	if (ctl->is_json && (code == EXIT_YES || may_pass(code)))
		print(ctl, what, code, clock_now_ms() - begin_ms);
	return code;
}
