/* What the kernel helps with, what it refused in mid-flight, and the words for both. */
#include <string.h>

#include "daemon/control/offload_json.h"
#include "daemon/data/node_control.h"

struct visit {
	gso_visit_fn *fn;
	void *arg;
};

static void visit_spare(void *arg, struct spare *spare)
{
	const struct visit *visit = arg;

	visit->fn(visit->arg, &spare->udp);
}

/* The node's port and the spare sockets. */
static void visit_sockets(void *owner, gso_visit_fn *fn, void *arg)
{
	struct visit visit = { .fn = fn, .arg = arg };
	struct node *n = owner;

	for (unsigned i = 0; i < n->n_workers; i++)
		fn(arg, &n->udp[i]);
	spares_each(n->spares, visit_spare, &visit);
}

void node_offload_init(struct node *n)
{
	n->gso = (struct gso){ .sockets = visit_sockets, .owner = n };
}

static bool is_news(bool *is_logged, int error)
{
	bool was_logged = *is_logged;

	*is_logged |= error != 0;
	return error && !was_logged;
}

void node_offload_refused(struct node *n)
{
	int tso = tun_trains_error(&n->tun, TUN_TSO), uso = tun_trains_error(&n->tun, TUN_USO);

	gso_refused(&n->gso, n->port);
	if (is_news(&n->is_tso_refusal_logged, tso))
		log_warn("interface %s: the kernel refuses trains of TCP (%s): packets are written one by one",
			 n->tun.name, strerror(tso));
	if (is_news(&n->is_uso_refusal_logged, uso))
		log_warn("interface %s: the kernel refuses trains of UDP (%s): packets are written one by one",
			 n->tun.name, strerror(uso));
}

/* ---------------------------------------------------------------- status */

void node_offload_json(const struct node *n, json_t *doc)
{
	json_t *on = json_object(), *off = json_object();
	bool is_multi = n->n_workers > 1, is_queued = n->tun.features & TUN_MULTI_QUEUE;
	int gso, tso = tun_trains_error(&n->tun, TUN_TSO), uso = tun_trains_error(&n->tun, TUN_USO);
	bool is_gso_on = gso_is_on(&n->gso, &gso);

	offload_json_add(on, off, "reuseport", is_multi, n->disabled & OFFLOAD_NO_REUSEPORT, 0,
			 is_queued ? OFFLOAD_NOT_THERE : OFFLOAD_ONE_WORKER);
	offload_json_add(on, off, "multiqueue", is_multi, n->disabled & OFFLOAD_NO_MULTIQUEUE, 0, OFFLOAD_ONE_WORKER);
	offload_json_add(on, off, "gso", is_gso_on, n->disabled & OFFLOAD_NO_GSO, gso, OFFLOAD_NOT_THERE);
	offload_json_add(on, off, "gro", n->udp[0].has_gro, n->disabled & OFFLOAD_NO_GRO, 0, OFFLOAD_NOT_THERE);
	offload_json_add(on, off, "vnet", n->tun.features & TUN_VNET, n->disabled & OFFLOAD_NO_VNET, 0,
			 OFFLOAD_NOT_THERE);
	/* The others of the device are listed with it. */
	if (tso)
		offload_json_refused(off, "tso", tso);
	if (uso)
		offload_json_refused(off, "uso", uso);
	json_object_set_new(doc, "offload", on);
	json_object_set_new(doc, "offload_off", off);
}
