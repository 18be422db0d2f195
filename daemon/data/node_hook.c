/* on_mapping_change: a program of the administrator's hears where this node is reached from outside. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_control.h"

#define HOOK_RUN_MS 10000

/* The best of a family first. Of this host's own addresses only public ones are an outside. */
static const enum candidate_kind udp_kinds[] = { CANDIDATE_MAPPED, CANDIDATE_CONFIGURED, CANDIDATE_REFLEXIVE,
						 CANDIDATE_HOST };
static const enum candidate_kind tcp_kinds[] = { CANDIDATE_TCP_MAPPED, CANDIDATE_TCP_CONFIGURED,
						 CANDIDATE_TCP_REFLEXIVE, CANDIDATE_TCP_HOST };

static bool is_outside(const struct candidate *c)
{
	bool is_host = c->kind == CANDIDATE_HOST || c->kind == CANDIDATE_TCP_HOST;

	return !is_host || (!ip_is_private(&c->endpoint.ip) && !ip_is_link_local(&c->endpoint.ip));
}

static json_t *best_json(const struct node *n, uint8_t ip_len, const enum candidate_kind kinds[static 4])
{
	char endpoint[ADDR_TEXT_BYTES], address[ADDR_TEXT_BYTES];

	for (unsigned k = 0; k < 4; k++)
		for (unsigned i = 0; i < n->here.n; i++) {
			const struct candidate *c = &n->here.v[i];

			if (c->kind == kinds[k] && c->endpoint.ip.len == ip_len && is_outside(c))
				return json_pack("{s:s, s:s, s:i, s:s}", "endpoint",
						 endpoint_to_text(&c->endpoint, endpoint), "address",
						 ip_to_text(&c->endpoint.ip, address), "port", c->endpoint.port, "kind",
						 candidate_kind_name(c->kind));
		}
	return json_null();
}

static json_t *document(const struct node *n)
{
	return json_pack("{s:s, s:s, s:s, s:{s:i, s:o, s:o}, s:{s:i, s:o, s:o}, s:o}", "schema", "warren.endpoints/1",
			 "self", n->name, "mapping", nat_mapping_name(n->here.nat.mapping), "udp", "port", (int)n->port,
			 "ipv4", best_json(n, 4, udp_kinds), "ipv6", best_json(n, 16, udp_kinds), "tcp", "port",
			 (int)tcp_paths_port(n->tcp), "ipv4", best_json(n, 4, tcp_kinds), "ipv6",
			 best_json(n, 16, tcp_kinds), "exposed", node_json_exposed(n));
}

void node_tell_hook(struct node *n)
{
	json_t *doc;
	char *heard, *text, *line;

	if (!n->hook)
		return;
	doc = document(n);
	heard = json_dumps(doc, JSON_COMPACT);
	if (heard && n->hook_heard && strcmp(heard, n->hook_heard) == 0) {
		free(heard);
		json_decref(doc);
		return;
	}
	free(n->hook_heard);
	n->hook_heard = heard;
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	if (text && asprintf(&line, "%s\n", text) >= 0)
		hook_tell_take(n->hook, line);
	free(text);
}

void node_set_hook(struct node *n, const char *program)
{
	int ret;

	if (n->hook && program && strcmp(n->hook_program, program) == 0)
		return;
	hook_close(n->hook);
	free(n->hook_program);
	free(n->hook_heard);
	n->hook = NULL;
	n->hook_program = n->hook_heard = NULL;
	if (!program)
		return;
	n->hook_program = strdup(program);
	ret = n->hook_program ? hook_open(&n->hook, n->loop, "on_mapping_change", program, HOOK_RUN_MS) : -ENOMEM;
	if (ret < 0)
		log_error("on_mapping_change: cannot be set up: %s", strerror(-ret));
	else if (n->here.n > 0)
		node_tell_hook(n);
}

json_t *node_json_hook(const struct node *n)
{
	const struct hook_result *r = n->hook ? hook_last(n->hook) : NULL;

	if (!r)
		return json_null();
	return json_pack("{s:s, s:i, s:o, s:s?}", "program", n->hook_program, "runs", (int)r->n_runs, "last_run",
			 node_json_time(r->begun_ms), "error", r->error[0] ? r->error : NULL);
}
