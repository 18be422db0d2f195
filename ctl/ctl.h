/* ctl/ctl.h - what the files of warrenctl share
 *
 * One table of commands drives parsing, help and hints (and shell completion, in time). A command prints its data to
 * ctl->out and everything else to ctl->err, never prompts, and returns an exit code of control/proto.h. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/control/proto.h"

#define CTL_OPERANDS_MAX 4
#define CTL_OPTIONS_MAX 10
#define CTL_CELL_BYTES 160

struct ctl;

struct ctl_option {
	const char *name;    /* without its dashes; NULL ends a list */
	char letter;         /* 0: none */
	const char *value;   /* what its value is called in help; "[=SEC]": it may be left out; NULL: it has none */
	const char *choices; /* "up|idle|cached|down", NULL: anything */
	const char *help;
};

struct ctl_command {
	const char *name; /* NULL ends the table */
	const char *
		operands; /* "PEER", "[PEER]", "gen|pub", "[warn|info]", "sign|show WORD", ""; PEER is completed by the daemon's names */
	unsigned min_operands, max_operands;
	const char *help;
	struct ctl_option options[CTL_OPTIONS_MAX + 1];
	int (*run)(struct ctl *ctl);
};

enum ctl_color {
	CTL_COLOR_AUTO,
	CTL_COLOR_ALWAYS,
	CTL_COLOR_NEVER
};

struct ctl {
	FILE *in, *out, *err;
	const char *socket_dir; /* CONTROL_DIR */
	unsigned columns;       /* of the terminal; 0: stdout is none, nothing is cut */
	bool is_colored;        /* settled after the options are known */
	bool can_stop;          /* ctl_repeat_begin() */
	int stop_fd;            /* while can_stop: readable once a signal says to stop */
	/* what the command line says */
	const char *net, *socket;
	bool is_json, is_plain, is_wide, has_no_header, is_help;
	enum ctl_color color;
	const struct ctl_command *command;
	unsigned n_operands;
	const char *operands[CTL_OPERANDS_MAX];
	const char *values[CTL_OPTIONS_MAX]; /* by place in command->options; "" for one without a value */
};

/* commands.c */
extern const struct ctl_command ctl_commands[];
const struct ctl_command *ctl_command_find(const char *name);
int ctl_run(struct ctl *ctl, int argc, char **argv);
void ctl_help(const struct ctl *ctl, FILE *out); /* of ctl->command, or of all */

/* options.c */
int ctl_parse(struct ctl *ctl, int argc, char **argv); /* EXIT_YES, or EXIT_BAD_USAGE with words on ctl->err */
extern const struct ctl_option ctl_global_options[];
/* Where the words begin that a command's first operand has to be one of, or NULL: those in small letters are words, "NAME" is a
 * value. */
const char *ctl_choices(const char *operands);
/* The option's value, "" if it has none, NULL if it was not given. */
const char *ctl_value(const struct ctl *ctl, const char *option);
/* A number in a range, with words on ctl->err if it is none. */
bool ctl_number(const struct ctl *ctl, const char *option, double min, double max, double fallback, double *out);
/* A time, "5", "5s", "500ms", "2m", "1h" or "30d", likewise. */
bool ctl_seconds(const struct ctl *ctl, const char *option, double min, double max, double fallback, double *out);
/* Two pieces of one line on ctl->err: EXIT_BAD_USAGE, after where to read about the command; EXIT_NO. */
int ctl_usage(const struct ctl *ctl, const char *words, const char *what);
int ctl_fail(const struct ctl *ctl, const char *words, const char *what);

/* client.c: asks the daemon; takes `request`. EXIT_YES with the document in *answer, or a code with words on ctl->err.
 * `schema` is what the document must be, without its version ("warren.peers"). */
int ctl_ask_take(struct ctl *ctl, json_t *request, const char *schema, unsigned timeout_ms, json_t **answer);
#define CTL_TIMEOUT_MS 5000
#define CTL_NETCHECK_TIMEOUT_MS 12000 /* it measures before it answers */

/* repeat.c: a command that goes on until SIGINT, SIGTERM, or until nobody reads its output. From here on these signals, and a closed
 * pipe, do not end the program but are seen by the two below, and end ctl_ask_take with EXIT_NO and no words. */
void ctl_repeat_begin(struct ctl *ctl);
bool ctl_is_stopped(const struct ctl *ctl);
bool ctl_pause(const struct ctl *ctl, double seconds); /* false: stopped, or nobody reads the output any more */

/* watch.c */
void ctl_terminal(unsigned *columns, unsigned *rows); /* of stdout; 0 if that is none */
/* Runs a command again and again until SIGINT or until nobody reads any more: in place on a terminal, one behind the other
 * elsewhere. EXIT_YES, or the code of a first time that was bad. */
int ctl_watch(struct ctl *ctl, int (*run)(struct ctl *ctl), double seconds);
/* Draws the text over what stands on the terminal, cut to its size. */
void ctl_draw(FILE *out, const char *text, unsigned columns, unsigned rows);
#define CTL_WATCH_SECONDS 2

/* metrics.c: the whole file or none of it. EXIT_YES, or words on ctl->err. */
int ctl_write_file(struct ctl *ctl, const char *path, const char *data, size_t len, unsigned mode);

/* table.c: rows of text under a header, as wide as the terminal lets them be */
struct ctl_column {
	const char *name;
	bool is_wide; /* shown with -w and in --plain only */
};
struct ctl_table;
struct ctl_table *ctl_table_new(const struct ctl_column *columns, size_t n); /* NULL if memory is short */
void ctl_table_row(struct ctl_table *t);
/* The next cell of the row; bytes that are not printable are escaped. `color` is an SGR number, 0: none. */
void ctl_table_cell(struct ctl_table *t, int color, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ctl_table_print_take(struct ctl_table *t, const struct ctl *ctl);

/* format.c: all write to `out` and return it; a JSON value that is null or of the wrong kind gives "-" */
const char *ctl_text(const json_t *v, char out[static CTL_CELL_BYTES]); /* strings, escaped; numbers and booleans too */
const char *ctl_known(const json_t *v, char out[static CTL_CELL_BYTES]); /* the same, but for null "not known" */
const char *ctl_rtt(const json_t *ms, char out[static CTL_CELL_BYTES]);
const char *ctl_bytes(const json_t *n, char out[static CTL_CELL_BYTES]);
const char *ctl_duration(double seconds, char out[static CTL_CELL_BYTES]);  /* "3h12m", "41m", "2s", "3d" */
const char *ctl_clock(const json_t *time, char out[static CTL_CELL_BYTES]); /* local time of day */
/* From `since` to `now`, both RFC 3339 UTC; false if either is none. */
bool ctl_age(const json_t *since, const json_t *now, double *seconds);
/* "direct 198.51.100.9:27700", "relay c1/udp", "lan ...", "-" */
const char *ctl_path(const json_t *path, char out[static CTL_CELL_BYTES]);
json_t *ctl_time(uint64_t at_s);                                    /* RFC 3339 UTC; null: 0, never */
bool ctl_is_direct(const json_t *path);                             /* lan, direct or tcp */
void ctl_print_json(const struct ctl *ctl, const json_t *document); /* one line */

/* one file each */
int ctl_top(struct ctl *ctl), ctl_metrics(struct ctl *ctl), ctl_capture(struct ctl *ctl), ctl_doctor(struct ctl *ctl),
	ctl_log(struct ctl *ctl), ctl_bugreport(struct ctl *ctl), ctl_completion(struct ctl *ctl);
int ctl_whois(struct ctl *ctl), ctl_config(struct ctl *ctl), ctl_log_level(struct ctl *ctl),
	ctl_rebind(struct ctl *ctl), ctl_up(struct ctl *ctl), ctl_down(struct ctl *ctl);
int ctl_complete(struct ctl *ctl, int n_words, char **words); /* for the shells; the last word is at the cursor */
json_t *ctl_doctor_document(struct ctl *ctl);
int ctl_key(struct ctl *ctl), ctl_status(struct ctl *ctl), ctl_peers(struct ctl *ctl), ctl_paths(struct ctl *ctl),
	ctl_ping(struct ctl *ctl), ctl_netcheck(struct ctl *ctl), ctl_expose(struct ctl *ctl), ctl_why(struct ctl *ctl),
	ctl_wait(struct ctl *ctl), ctl_map(struct ctl *ctl), ctl_reload(struct ctl *ctl), ctl_cert(struct ctl *ctl),
	ctl_node(struct ctl *ctl), ctl_init(struct ctl *ctl), ctl_invite(struct ctl *ctl), ctl_join(struct ctl *ctl),
	ctl_routes(struct ctl *ctl), ctl_version(struct ctl *ctl), ctl_help_command(struct ctl *ctl);
/* node.c: has the coordinator put one more entry on the list of revoked members; `who` is for the words. */
struct revocation_entry;
struct signkey;
int ctl_revoke(struct ctl *ctl, const struct revocation_entry *entry, const struct signkey *key, const char *who);
/* qr.c: a URL as a QR code, where stdout is a terminal that is wide enough, and warrenctl was built with libqrencode. */
void ctl_print_qr(const struct ctl *ctl, const char *text);
void ctl_print_proxy(const struct ctl *ctl, const json_t *coordinator); /* ", through the proxy", if it is so */
const char *ctl_what_is_wrong(const json_t *status);                    /* NULL: nothing, as `status --check` has it */
void ctl_print_portmap(const struct ctl *ctl, const json_t *portmap);   /* netcheck's "portmap" */
/* config.c: "FILE:LINE" of a setting or a change, or "default" */
const char *ctl_origin(const json_t *setting, char out[static CTL_CELL_BYTES]);
/* The rows of a peer's paths, for `paths` and `why`; peer NULL: no such column. */
struct ctl_table *ctl_paths_table(bool has_peer);
void ctl_paths_rows(struct ctl_table *t, const char *peer, const json_t *paths, const json_t *now);

#endif
