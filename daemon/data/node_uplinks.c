/* Through which of several uplinks (net/uplinks.h).
 *
 *   the kernel's choice --a coordinator answers through another, and through this one none--> via the other
 *   via another --the kernel's choice answers RETURN_ANSWERS times in a row, or is another itself, or that link is gone--> the kernel's choice
 *
 * Connections to coordinators are tried through all uplinks (dial.h), so that no separate test is needed to leave a dead one. The way back
 * is asked for with datagrams, which a coordinator answers under its key: a portal would accept any connection. Where UDP is blocked we
 * stay with what works. Whatever has an address of a link of ours is sent as the kernel chooses. */
#include <sodium.h>

#include "daemon/data/node_private.h"

#define RETURN_MS 5000      /* between two tests */
#define RETURN_SOON_MS 1000 /* for its answer, and before the next after one */
#define RETURN_ANSWERS 3

uint32_t node_through(const struct node *n, const struct endpoint *to)
{
	if (!n->uplinks.via.ifindex || to->scope || ifaces_is_on_link(&n->ifaces, &to->ip))
		return 0;
	return (uint32_t)n->uplinks.via.ifindex;
}

int node_udp_send(struct node *n, const struct udp *udp, const struct endpoint *to, const void *data, size_t len)
{
	uint32_t through = node_through(n, to);
	struct endpoint out = *to;

	if (through)
		out.scope = through;
	return udp_send_one(udp, &out, data, len);
}

/* ---------------------------------------------------------------- which */

static void end_test(struct node *n)
{
	if (n->uplink_return.spare)
		spares_close(n->spares, n->uplink_return.spare);
	n->uplink_return.spare = 0;
}

static void is_another_now(struct node *n)
{
	struct uplink_return *r = &n->uplink_return;

	if (n->uplinks.via.ifindex)
		log_warn("network: the preferred way out leads nowhere: sending through %s", n->uplinks.via.name);
	else
		log_info("network: sending by the preferred way out again");
	end_test(n);
	r->n_answered = 0;
	r->due_ms = n->uplinks.via.ifindex ? clock_now_ms() + RETURN_MS : UINT64_MAX;
	n->ways.via = n->uplinks.via.ifindex;
	tcp_paths_set_through(n->tcp, n->uplinks.via.ifindex);
	node_due(n, r->due_ms);
}

void node_uplinks_look(struct node *n)
{
	if (uplinks_read(&n->uplinks, &n->ways))
		is_another_now(n);
}

static void use(struct node *n, int ifindex)
{
	if (n->uplinks.via.ifindex == ifindex || !uplinks_use(&n->uplinks, ifindex))
		return;
	is_another_now(n);
	node_look_anew(n, clock_now_ms());
}

void node_uplinks_came_by(void *arg, struct link *l, int ifindex)
{
	struct node *n = arg;

	/* Another coordinator is reached as it is: then it is this one that is away, but for those on the other side. */
	for (unsigned i = 0; i < n->n_links; i++)
		if (n->links[i] != l && link_is_registered(n->links[i]))
			return;
	use(n, ifindex);
}

void node_uplinks_doubt(struct node *n, uint64_t now_ms)
{
	for (unsigned i = 0; i < n->n_links && n->uplinks.n; i++)
		link_doubt(n->links[i], now_ms);
}

/* ---------------------------------------------------------------- the way back */

static void ask(struct node *n, uint64_t now_ms)
{
	struct uplink_return *r = &n->uplink_return;
	int number = spares_open(n->spares);
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];
	struct wire_bind question = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE };

	r->due_ms = now_ms + RETURN_SOON_MS;
	if (number < 0)
		return;
	r->spare = (uint16_t)number;
	randombytes_buf(&r->token, sizeof(r->token));
	question.token = r->token;
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_is_registered(n->links[i]) && link_seal_bind(n->links[i], datagram, &question) == 0)
			udp_send_one(&spares_find(n->spares, r->spare)->udp, link_udp_endpoint(n->links[i]), datagram,
				     sizeof(datagram));
}

bool node_uplinks_uses_socket(const struct node *n, uint16_t number)
{
	return n->uplink_return.spare == number;
}

void node_uplinks_on_bind(struct node *n, uint16_t socket, const struct wire_bind *reply)
{
	struct uplink_return *r = &n->uplink_return;

	if (!r->spare || socket != r->spare || reply->type != BIND_REPLY || reply->token != r->token)
		return;
	end_test(n);
	if (++r->n_answered >= RETURN_ANSWERS)
		use(n, 0);
}

void node_uplinks_tick(struct node *n, uint64_t now_ms)
{
	struct uplink_return *r = &n->uplink_return;

	if (!n->uplinks.via.ifindex) /* none is open, and nothing is due */
		return;
	if (now_ms < r->due_ms) {
		node_due(n, r->due_ms);
		return;
	}
	if (r->spare) { /* not answered in time */
		end_test(n);
		r->n_answered = 0;
		r->due_ms = now_ms + RETURN_MS;
	} else {
		ask(n, now_ms);
	}
	node_due(n, r->due_ms);
}
