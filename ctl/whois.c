#include "ctl/ctl.h"
#include "daemon/base/addr.h"

/* As others print it: with a port, or a prefix's length, which say nothing of whose it is. */
static bool parse(struct ip *out, const char *text)
{
	struct endpoint endpoint;
	struct prefix prefix;

	if (ip_from_text(out, text) == 0)
		return true;
	if (endpoint_from_text(&endpoint, text) == 0) {
		*out = endpoint.ip;
		return true;
	}
	if (prefix_from_text(&prefix, text) < 0)
		return false;
	*out = prefix.ip;
	return true;
}

static bool has_address(const json_t *ips, const struct ip *wanted)
{
	const json_t *text;
	struct ip ip;
	size_t i;

	json_array_foreach(ips, i, text)
		if (json_is_string(text) && parse(&ip, json_string_value(text)) && ip_equal(&ip, wanted))
			return true;
	return false;
}

/* The entry of a peer, as a reference, or NULL. */
static json_t *find_peer(const json_t *peers, const struct ip *ip)
{
	json_t *peer;
	size_t i;

	json_array_foreach(json_object_get(peers, "peers"), i, peer)
		if (has_address(json_object_get(peer, "ips"), ip))
			return json_incref(peer);
	return NULL;
}

/* Likewise, of the peer that packets to that address go to since it is in a network behind it: the longest prefix. */
static json_t *find_gateway(const json_t *peers, const struct ip *ip, json_t **network)
{
	json_t *peer, *text, *found = NULL;
	struct prefix net;
	int longest = -1;
	size_t i, j;

	json_array_foreach(json_object_get(peers, "peers"), i, peer)
		json_array_foreach(json_object_get(peer, "routes"), j, text) {
			if (!json_is_string(text) || prefix_from_text(&net, json_string_value(text)) < 0 ||
			    !prefix_contains(&net, ip) || net.bits <= longest)
				continue;
			longest = net.bits;
			found = peer;
			*network = text;
		}
	json_incref(*network);
	return json_incref(found);
}

/* This node, in the form of a peer's entry, or NULL. */
static json_t *find_self(struct ctl *ctl, const struct ip *ip, int *code)
{
	json_t *status, *self = NULL;

	*code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "status"), "warren.status", CTL_TIMEOUT_MS, &status);
	if (*code != EXIT_YES)
		return NULL;
	if (has_address(json_object_get(status, "addresses"), ip))
		self = json_pack("{s:O*, s:O*, s:O*}", "name", json_object_get(status, "name"), "key",
				 json_object_get(status, "key"), "ips", json_object_get(status, "addresses"));
	json_decref(status);
	return self;
}

static json_t *document_of(const json_t *entry, const struct ip *ip, bool is_self, json_t *network)
{
	static const char *const fields[] = { "name", "key", "ips", "certified", "state", "online", "path" };
	char text[ADDR_TEXT_BYTES];
	json_t *document =
		json_pack("{s:s, s:s, s:b}", "schema", "warren.whois/1", "ip", ip_to_text(ip, text), "self", is_self);

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		json_t *value = json_object_get(entry, fields[i]);

		json_object_set(document, fields[i], value ? value : json_null());
	}
	json_object_set(document, "network", network ? network : json_null());
	return document;
}

static void print(const struct ctl *ctl, const json_t *document)
{
	const json_t *state = json_object_get(document, "state"), *path = json_object_get(document, "path"), *address;
	const json_t *network = json_object_get(document, "network");
	char a[CTL_CELL_BYTES];
	size_t i;

	fprintf(ctl->out, "%s%s\n  addresses  ", ctl_text(json_object_get(document, "name"), a),
		json_is_true(json_object_get(document, "self")) ? " (this node)" : "");
	json_array_foreach(json_object_get(document, "ips"), i, address)
		fprintf(ctl->out, "%s%s", i > 0 ? ", " : "", ctl_text(address, a));
	if (!json_is_null(network))
		fprintf(ctl->out, "\n  network    %s, behind it", ctl_text(network, a));
	fprintf(ctl->out, ctl->is_wide || ctl->is_plain ? "\n  key        %s\n" : "\n  key        %.8s\n",
		ctl_text(json_object_get(document, "key"), a));
	if (!json_is_null(state))
		fprintf(ctl->out, "  state      %s", ctl_text(state, a));
	if (!json_is_null(path))
		fprintf(ctl->out, ", %s", ctl_path(path, a));
	if (!json_is_null(state))
		fputc('\n', ctl->out);
}

int ctl_whois(struct ctl *ctl)
{
	json_t *peers, *entry, *document, *network = NULL;
	bool is_self = false;
	struct ip ip;
	int code;

	if (!parse(&ip, ctl->operands[0]))
		return ctl_usage(ctl, "no address: ", ctl->operands[0]);
	code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "peers"), "warren.peers", CTL_TIMEOUT_MS, &peers);
	if (code != EXIT_YES)
		return code;
	entry = find_peer(peers, &ip);
	if (!entry)
		entry = find_gateway(peers, &ip, &network);
	json_decref(peers);
	if (!entry) {
		entry = find_self(ctl, &ip, &code);
		is_self = true;
	}
	if (code != EXIT_YES)
		return code;
	if (!entry)
		return ctl_fail(ctl, "no member that is known here has the address ", ctl->operands[0]);
	document = document_of(entry, &ip, is_self, network);
	json_decref(network);
	if (ctl->is_json)
		ctl_print_json(ctl, document);
	else
		print(ctl, document);
	json_decref(document);
	json_decref(entry);
	return EXIT_YES;
}
