#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

static volatile sig_atomic_t is_ended;

static void on_signal(int number)
{
	(void)number;
	is_ended = 1;
}

static void catch_signals(void)
{
	struct sigaction end = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

/* The answer's part of the file. False: it cannot be written. */
static bool write_part(const json_t *answer, FILE *out)
{
	const char *text = json_string_value(json_object_get(answer, "data"));
	size_t len = text ? strlen(text) : 0, n = 0;
	uint8_t *data = malloc(len + 1);
	bool is_good = data && sodium_base642bin(data, len + 1, text ? text : "", len, NULL, &n, NULL,
						 sodium_base64_VARIANT_ORIGINAL) == 0;

	if (is_good)
		is_good = fwrite(data, 1, n, out) == n && fflush(out) == 0;
	free(data);
	return is_good;
}

static int ask(struct ctl *ctl, json_int_t id, bool is_stop, json_t **answer)
{
	return ctl_ask_take(ctl, json_pack("{s:s, s:I, s:b}", "cmd", "capture", "id", id, "stop", is_stop),
			    "warren.capture", CTL_TIMEOUT_MS, answer);
}

/* Until the signal, the reader's end, or `count` packets. */
static int run(struct ctl *ctl, json_t *answer, double count, FILE *out)
{
	json_int_t id = json_integer_value(json_object_get(answer, "id"));
	int code = EXIT_YES;

	for (;;) {
		double n = (double)json_integer_value(json_object_get(answer, "packets"));
		bool is_written = write_part(answer, out),
		     is_stop = is_ended || !is_written || (count > 0 && n >= count);

		if (json_is_true(json_object_get(answer, "over"))) {
			fprintf(ctl->err, "%lld packets, %lld left out\n",
				(long long)json_integer_value(json_object_get(answer, "packets")),
				(long long)json_integer_value(json_object_get(answer, "dropped")));
			break;
		}
		json_decref(answer);
		code = ask(ctl, id, is_stop, &answer);
		if (code != EXIT_YES)
			return code;
	}
	json_decref(answer);
	return code;
}

int ctl_capture(struct ctl *ctl)
{
	const char *path = ctl_value(ctl, "output"), *peer = ctl_value(ctl, "peer");
	double count, snap;
	FILE *out = stdout;
	json_t *answer;
	int code;

	if (!ctl_number(ctl, "count", 1, 1e12, 0, &count) || !ctl_number(ctl, "snaplen", 64, 65535, 65535, &snap))
		return EXIT_BAD_USAGE;
	if (!path && ctl->columns > 0) {
		fputs("warrenctl: packets are no text for a terminal: -o FILE, or | tcpdump -nr -\n", ctl->err);
		return EXIT_BAD_USAGE;
	}
	catch_signals();
	code = ctl_ask_take(
		ctl, json_pack("{s:s, s:s*, s:I}", "cmd", "capture", "peer", peer, "snap_bytes", (json_int_t)snap),
		"warren.capture", CTL_TIMEOUT_MS, &answer);
	if (code != EXIT_YES)
		return code;
	if (path && strcmp(path, "-") != 0)
		out = fopen(path, "wxe");
	if (!out) {
		fprintf(ctl->err, "warrenctl: %s cannot be written: %s\n", path, strerror(errno));
		json_decref(answer);
		return EXIT_NO;
	}
	code = run(ctl, answer, count, out);
	if (out != stdout && fclose(out) != 0)
		code = EXIT_NO;
	return code;
}
