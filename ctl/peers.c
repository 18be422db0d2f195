#include <string.h>

#include "ctl/ctl.h"

static int state_color(const json_t *state)
{
	const char *text = json_string_value(state);

	if (text && strcmp(text, "up") == 0)
		return 32; /* green */
	return text && strcmp(text, "down") == 0 ? 2 /* dim */ : 0;
}

static const char *first_ip(const json_t *peer, char out[static CTL_CELL_BYTES])
{
	return ctl_text(json_array_get(json_object_get(peer, "ips"), 0), out);
}

static void loss_text(const json_t *ratio, char out[static CTL_CELL_BYTES])
{
	if (json_is_number(ratio))
		snprintf(out, CTL_CELL_BYTES, "%.0f%%", json_number_value(ratio) * 100);
	else
		snprintf(out, CTL_CELL_BYTES, "-");
}

/* "aes-256-gcm by ipsec-mb" */
static void cipher_text(const json_t *peer, char out[static CTL_CELL_BYTES])
{
	char suite[CTL_CELL_BYTES], implementation[CTL_CELL_BYTES];

	ctl_text(json_object_get(peer, "suite"), suite);
	ctl_text(json_object_get(peer, "implementation"), implementation);
	if (strcmp(implementation, "-") == 0)
		snprintf(out, CTL_CELL_BYTES, "%s", suite);
	else
		snprintf(out, CTL_CELL_BYTES, "%.60s by %.60s", suite, implementation);
}

/* "on 43%": the state, and the gain where something was compressed. */
static void compression_text(const json_t *compression, char out[static CTL_CELL_BYTES])
{
	const json_t *gain = json_object_get(compression, "gain_ratio");
	char state[CTL_CELL_BYTES];

	ctl_text(json_object_get(compression, "state"), state);
	if (json_is_number(gain))
		snprintf(out, CTL_CELL_BYTES, "%.60s %.0f%%", state, json_number_value(gain) * 100);
	else
		snprintf(out, CTL_CELL_BYTES, "%s", state);
}

static void add_row(struct ctl_table *t, const json_t *peer, const json_t *now)
{
	const json_t *path = json_object_get(peer, "path");
	char a[CTL_CELL_BYTES];
	double age;

	ctl_table_row(t);
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(peer, "name"), a));
	ctl_table_cell(t, 0, "%s", first_ip(peer, a));
	ctl_table_cell(t, state_color(json_object_get(peer, "state")), "%s",
		       ctl_text(json_object_get(peer, "state"), a));
	ctl_table_cell(t, 0, "%s", ctl_path(path, a));
	ctl_table_cell(t, 0, "%s", ctl_rtt(json_object_get(peer, "rtt_ms"), a));
	loss_text(json_object_get(peer, "loss_ratio"), a);
	ctl_table_cell(t, 0, "%s", a);
	ctl_table_cell(t, 0, "%s", ctl_bytes(json_object_get(peer, "rx_bytes"), a));
	ctl_table_cell(t, 0, "%s", ctl_bytes(json_object_get(peer, "tx_bytes"), a));
	ctl_table_cell(t, 0, "%s", ctl_age(json_object_get(peer, "last_seen"), now, &age) ? ctl_duration(age, a) : "-");
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(peer, "why"), a));
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(peer, "online"), a));
	cipher_text(peer, a);
	ctl_table_cell(t, 0, "%s", a);
	compression_text(json_object_get(peer, "compression"), a);
	ctl_table_cell(t, 0, "%s", a);
	ctl_table_cell(t, 0, "%s", ctl_text(json_array_get(json_object_get(peer, "ips"), 1), a));
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(peer, "key"), a));
}

static bool is_wanted(const struct ctl *ctl, const json_t *peer)
{
	const char *state = ctl_value(ctl, "state"), *kind = ctl_value(ctl, "path");
	const char *is_state = json_string_value(json_object_get(peer, "state"));
	const char *is_kind = json_string_value(json_object_get(json_object_get(peer, "path"), "kind"));

	if (state && (!is_state || strcmp(state, is_state) != 0))
		return false;
	return !kind || strcmp(kind, is_kind ? is_kind : "none") == 0;
}

int ctl_peers(struct ctl *ctl)
{
	static const struct ctl_column columns[] = {
		{ "PEER", false },  { "ADDRESS", false }, { "STATE", false }, { "PATH", false },    { "RTT", false },
		{ "LOSS", false },  { "RX", false },      { "TX", false },    { "SEEN", false },    { "WHY", true },
		{ "ONLINE", true }, { "CIPHER", true },   { "LZ4", true },    { "ADDRESS2", true }, { "KEY", true },
	};
	struct ctl_table *t;
	json_t *answer, *peers;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "peers"), "warren.peers", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	peers = json_object_get(answer, "peers");
	for (size_t i = json_array_size(peers); i-- > 0;)
		if (!is_wanted(ctl, json_array_get(peers, i)))
			json_array_remove(peers, i);
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else {
		t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
		for (size_t i = 0; i < json_array_size(peers); i++)
			add_row(t, json_array_get(peers, i), json_object_get(answer, "time"));
		ctl_table_print_take(t, ctl);
	}
	json_decref(answer);
	return EXIT_YES;
}

int ctl_top(struct ctl *ctl)
{
	double seconds;

	if (!ctl_seconds(ctl, "interval", 0.1, 3600, CTL_WATCH_SECONDS, &seconds))
		return EXIT_BAD_USAGE;
	ctl->is_wide = true;
	return ctl_watch(ctl, ctl_peers, seconds);
}
