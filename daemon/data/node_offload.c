/* What the kernel helps with, what it refused in mid-flight, and the words for both. */
#include <string.h>

#include "daemon/data/node_control.h"

#define DISABLED "turned off" /* by the file or the environment */
#define NOT_THERE "not in this kernel"
#define ONE_WORKER "one worker"

/* UDP_SEGMENT as all sockets have it; *error: what it was refused with on one of them. */
static bool has_gso(const struct node *n, int *error)
{
	bool has_it = true;

	*error = 0;
	for (unsigned i = 0; i < n->n_workers && has_it; i++)
		has_it = udp_has_gso(&n->udp[i], error);
	return has_it && spares_have_gso(n->spares, error);
}

static bool is_news(bool *is_logged, int error)
{
	bool was_logged = *is_logged;

	*is_logged |= error != 0;
	return error && !was_logged;
}

void node_offload_refused(struct node *n)
{
	int gso, tso = tun_trains_error(&n->tun, TUN_TSO), uso = tun_trains_error(&n->tun, TUN_USO);

	has_gso(n, &gso);
	if (is_news(&n->is_gso_refusal_logged, gso))
		log_warn("UDP port %u: the kernel refuses trains (UDP_SEGMENT: %s): datagrams are sent one by one "
			 "until the network changes",
			 n->port, strerror(gso));
	if (is_news(&n->is_tso_refusal_logged, tso))
		log_warn("interface %s: the kernel refuses trains of TCP (%s): packets are written one by one",
			 n->tun.name, strerror(tso));
	if (is_news(&n->is_uso_refusal_logged, uso))
		log_warn("interface %s: the kernel refuses trains of UDP (%s): packets are written one by one",
			 n->tun.name, strerror(uso));
}

void node_retry_offload(struct node *n, bool is_worth_a_line)
{
	for (unsigned i = 0; i < n->n_workers; i++)
		udp_retry_gso(&n->udp[i]);
	spares_retry_gso(n->spares);
	if (is_worth_a_line)
		n->is_gso_refusal_logged = false;
}

/* ---------------------------------------------------------------- status */

static json_t *refused(int error)
{
	char text[128];

	snprintf(text, sizeof(text), "refused by the kernel: %s", strerror(error));
	return json_string(text);
}

static void add(json_t *on, json_t *off, const char *name, bool is_on, unsigned disabled, int error,
		const char *else_why)
{
	json_object_set_new(on, name, json_boolean(is_on));
	if (!is_on)
		json_object_set_new(off, name,
				    error    ? refused(error) :
				    disabled ? json_string(DISABLED) :
					       json_string(else_why));
}

void node_offload_json(const struct node *n, json_t *doc)
{
	json_t *on = json_object(), *off = json_object();
	bool is_multi = n->n_workers > 1, is_queued = n->tun.features & TUN_MULTI_QUEUE;
	int gso, tso = tun_trains_error(&n->tun, TUN_TSO), uso = tun_trains_error(&n->tun, TUN_USO);
	bool is_gso_on = has_gso(n, &gso);

	add(on, off, "reuseport", is_multi, n->disabled & OFFLOAD_NO_REUSEPORT, 0, is_queued ? NOT_THERE : ONE_WORKER);
	add(on, off, "multiqueue", is_multi, n->disabled & OFFLOAD_NO_MULTIQUEUE, 0, ONE_WORKER);
	add(on, off, "gso", is_gso_on, n->disabled & OFFLOAD_NO_GSO, gso, NOT_THERE);
	add(on, off, "gro", n->udp[0].has_gro, n->disabled & OFFLOAD_NO_GRO, 0, NOT_THERE);
	add(on, off, "vnet", n->tun.features & TUN_VNET, n->disabled & OFFLOAD_NO_VNET, 0, NOT_THERE);
	/* The others of the device are listed with it. */
	if (tso)
		json_object_set_new(off, "tso", refused(tso));
	if (uso)
		json_object_set_new(off, "uso", refused(uso));
	json_object_set_new(doc, "offload", on);
	json_object_set_new(doc, "offload_off", off);
}
