/* The node's one port: UDP, on every worker's socket, and TCP under the same number. */
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "daemon/data/node_private.h"

/* Where a port is drawn: registered ports and those the kernel gives to others (32768 and up) are left out. */
#define PORT_DRAW_FIRST 10000
#define PORT_DRAW_LAST 32767
#define PORT_DRAWS 16

/* *used: how the sockets were opened. */
static int open_udp(struct node *n, uint16_t port, struct udp_options *used)
{
	int ret;

	*used = (struct udp_options){ .address = n->config->listen.address,
				      .port = port,
				      .bind_interface = n->bind_interface,
				      .buffer_bytes = 4 * 1024 * 1024,
				      .dont_fragment = true, /* paths find their MTU themselves */
				      .want_gso = !(n->disabled & OFFLOAD_NO_GSO),
				      .want_gro = !(n->disabled & OFFLOAD_NO_GRO) };
	ret = udp_open_shared(n->udp, n->disabled & OFFLOAD_NO_REUSEPORT ? 1 : n->tun.n_queues, used);
	if (ret < 0)
		return ret;
	/* A socket and a queue each; what would be beside them is nobody's. */
	n->n_workers = (unsigned)ret;
	ret = udp_port(&n->udp[0]);
	n->port = ret > 0 ? (uint16_t)ret : 0;
	return ret < 0 ? ret : 0;
}

static void close_udp(struct node *n)
{
	for (unsigned i = 0; i < CONFIG_WORKERS_MAX; i++)
		udp_close(&n->udp[i]);
}

/* Hosts behind one NAT must not all have the same port. */
static int draw_port(struct node *n, struct udp_options *used)
{
	int ret = -EADDRINUSE;

	for (int i = 0; ret == -EADDRINUSE && i < PORT_DRAWS; i++) {
		ret = open_udp(n,
			       (uint16_t)(PORT_DRAW_FIRST + randombytes_uniform(PORT_DRAW_LAST - PORT_DRAW_FIRST + 1)),
			       used);
		if (ret == 0 && tcp_paths_listen(n->tcp, n->port) == -EADDRINUSE && i + 1 < PORT_DRAWS) {
			close_udp(n);
			ret = -EADDRINUSE;
		}
	}
	if (ret < 0)
		log_error("UDP: no port can be bound: %s", strerror(-ret));
	return ret;
}

int node_open_port(struct node *n)
{
	uint16_t port = n->config->listen.port ? n->config->listen.port : n->state.port;
	struct udp_options used;
	int ret = node_open_tcp(n);

	if (ret < 0)
		return ret;
	ret = port ? open_udp(n, port, &used) : -EADDRINUSE;
	if (ret < 0 && port && (n->config->listen.port || ret != -EADDRINUSE)) {
		log_error("UDP port %u: %s", port, strerror(-ret));
		return ret;
	}
	if (ret == -EADDRINUSE)
		ret = draw_port(n, &used);
	if (ret < 0)
		return ret;
	tun_keep_queues(&n->tun, n->n_workers);
	n->spares = spares_new(n->loop, &used, node_on_spare, n);
	if (!n->spares)
		return -ENOMEM;
	if (!n->config->listen.port)
		n->state.port = n->port;
	if (!tcp_paths_port(n->tcp)) {
		ret = tcp_paths_listen(n->tcp, n->port);
		if (ret < 0)
			log_warn("TCP port %u: %s: no peer can connect to it", n->port, strerror(-ret));
	}
	return 0;
}
