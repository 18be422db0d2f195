#include "daemon/net/mapper.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/loop.h"
#include "daemon/net/udp.h"
#include "daemon/net/upnp.h"
#include "daemon/wire/natpmp.h"
#include "daemon/wire/pcp.h"
#include "tun/netlink.h"

#define DATAGRAM_BYTES (PCP_MAX_BYTES + 1)
#define RECEIVE_MAX 16 /* in one turn */

struct side { /* one address family */
	struct mapper *mapper;
	struct portmap *portmap;
	const char *why_not;
	int ifindex;               /* of the gateway's link */
	struct udp udp;            /* asks, from our address towards the gateway; fd -1: there is none */
	struct loop_watch *watch;  /* of udp */
	int announce_fd;           /* -1: none */
	struct loop_watch *listen; /* of announce_fd */
};

struct mapper {
	uv_loop_t *loop;
	struct ip address; /* none or unspecified: any */
	char bind_interface[IFNAMSIZ];
	mapper_changed_fn *fn;
	void *arg;
	struct side sides[2]; /* IPv4, IPv6 */
	struct upnp *upnp;
	struct loop_timer *timer;
	bool is_closing;
	uint64_t close_ms; /* at the latest */
};

/* PCP's anycast addresses (RFC 7723): the way to them is the way out. Nothing is sent there. */
static const uint8_t way_out4[4] = { 192, 0, 0, 9 };
static const uint8_t way_out6[16] = { 0x20, 0x01, 0x00, 0x01, [15] = 1 };

static struct side *side_of(struct mapper *m, uint8_t ip_len)
{
	return &m->sides[ip_len == 16];
}

static void settle(struct mapper *m);

/* ---------------------------------------------------------------- what the portmaps want */

static void on_send(void *arg, const struct endpoint *to, const uint8_t *data, size_t len)
{
	struct side *s = arg;

	if (s->udp.fd >= 0)
		udp_send_one(&s->udp, to, data, len);
}

static void on_upnp(void *arg, const struct portmap_upnp_job *job)
{
	struct side *s = arg;

	upnp_start(s->mapper->upnp, job);
}

static void on_changed(void *arg)
{
	struct side *s = arg;

	if (!s->mapper->is_closing)
		s->mapper->fn(s->mapper->arg);
}

static const struct portmap_env env_upnp = { on_send, on_upnp, on_changed }, env_plain = { on_send, NULL, on_changed };

static void on_upnp_done(void *arg, const struct portmap_upnp_job *answer)
{
	struct mapper *m = arg;

	portmap_on_upnp(m->sides[0].portmap, answer, clock_now_ms());
	settle(m);
}

/* ---------------------------------------------------------------- what arrives */

static void on_answer(void *arg, int fd)
{
	struct side *s = arg;
	uint8_t data[DATAGRAM_BYTES];
	struct udp_run run = { .data = data, .capacity = sizeof(data) };

	(void)fd;
	for (int i = 0; i < RECEIVE_MAX && s->udp.fd >= 0 && udp_recv(&s->udp, &run, 1) == 1; i++) {
		portmap_on_datagram(s->portmap, &run.peer, data, run.len, clock_now_ms());
	}
	settle(s->mapper);
}

/* Anybody on the link can send one in the gateway's name: it only makes us ask the gateway. */
static void on_announcement(void *arg, int fd)
{
	struct side *s = arg;
	uint8_t data[DATAGRAM_BYTES];
	bool is_hint = false;

	for (int i = 0; i < RECEIVE_MAX; i++) {
		struct sockaddr_storage ss;
		socklen_t ss_len = sizeof(ss);
		struct natpmp_response natpmp;
		struct pcp_response pcp;
		struct endpoint from;
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&ss, &ss_len);

		if (n < 0)
			break;
		if (endpoint_from_sockaddr(&from, (struct sockaddr *)&ss) < 0 ||
		    !ip_equal(&from.ip, portmap_gateway(s->portmap)))
			continue;
		is_hint |= (pcp_response_decode(&pcp, data, (size_t)n) == 0 && pcp.opcode == PCP_ANNOUNCE) ||
			   (natpmp_response_decode(&natpmp, data, (size_t)n) == 0 && natpmp.opcode == NATPMP_ADDRESS);
	}
	if (!is_hint)
		return;
	portmap_hint(s->portmap, clock_now_ms());
	settle(s->mapper);
}

/* ---------------------------------------------------------------- sockets */

static void close_sockets(struct side *s)
{
	if (s->watch)
		loop_watch_close(s->watch);
	if (s->listen)
		loop_watch_close(s->listen);
	s->watch = s->listen = NULL;
	udp_close(&s->udp);
	if (s->announce_fd >= 0)
		close(s->announce_fd);
	s->announce_fd = -1;
}

/* Bound to the group, beside whoever else on this host hears it. Without it, what a gateway forgot is noticed a little later. */
static int open_announcements(int ifindex, bool is_v6)
{
	static const struct ip all4 = { 4, { 224, 0, 0, 1 } }, all6 = { 16, { 0xff, 0x02, [15] = 1 } };
	struct endpoint ep = { .ip = is_v6 ? all6 : all4, .port = PCP_ANNOUNCE_PORT };
	int one = 1, ret, fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&ep, false, &ss);

	if (fd < 0)
		return -errno;
	if (is_v6)
		((struct sockaddr_in6 *)&ss)->sin6_scope_id = (uint32_t)ifindex;
	ret = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ret == 0)
		ret = bind(fd, (struct sockaddr *)&ss, len);
	if (ret == 0 && !is_v6) {
		struct ip_mreqn group = { .imr_ifindex = ifindex };

		memcpy(&group.imr_multiaddr, all4.b, 4);
		ret = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group));
	}
	if (ret < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

static void open_sockets(struct side *s, const struct ip *local)
{
	struct udp_options o = { .address = *local, .bind_interface = s->mapper->bind_interface };
	int ret = udp_open(&s->udp, &o);

	if (ret == 0)
		ret = loop_watch_open(&s->watch, s->mapper->loop, s->udp.fd, on_answer, s);
	if (ret < 0)
		log_warn("port mapping: no socket: %s", strerror(-ret));
	s->announce_fd = open_announcements(s->ifindex, local->len == 16);
	if (s->announce_fd >= 0)
		loop_watch_open(&s->listen, s->mapper->loop, s->announce_fd, on_announcement, s);
}

/* ---------------------------------------------------------------- the gateway */

static const char *why_nobody(const struct mapper *m, const struct netlink_way *way, const struct ip *local)
{
	if (way->is_tunnel)
		return "the way out is a tunnel";
	if (!way->has_gateway)
		return "the way out has no gateway";
	if (local->len == 4 && !ip_is_private(local))
		return "this host's own address is public";
	if (!ip_is_sendable(local) || ip_is_link_local(local) || (local->len == 16 && ip_is_private(local)))
		return "this host has no address for it";
	if (!ip_is_none(&m->address) && !ip_is_unspecified(&m->address) && !ip_equal(&m->address, local))
		return "the node listens on another address";
	if (ip_is_unspecified(&m->address) && m->address.len == 4 && local->len == 16)
		return "the node listens on IPv4 only";
	return NULL;
}

static void find_gateway(struct side *s)
{
	const struct mapper *m = s->mapper;
	bool is_v6 = s == &m->sides[1];
	int bound = m->bind_interface[0] ? (int)if_nametoindex(m->bind_interface) : 0;
	struct ip gateway = { 0 }, local = { 0 };
	struct netlink_way way = { 0 };
	int ret = m->bind_interface[0] && !bound ?
			  -ENODEV :
			  netlink_way_to(&way, bound, is_v6 ? way_out6 : way_out4, is_v6 ? 16 : 4);

	if (ret == 0) {
		ip_from_bytes(&local, way.source, way.len);
		ip_from_bytes(&gateway, way.gateway, way.len);
	}
	s->why_not = ret < 0 ? "there is no way out" : why_nobody(m, &way, &local);
	if (s->why_not)
		gateway = local = (struct ip){ 0 };
	if (!ip_equal(&local, portmap_local(s->portmap)) || s->ifindex != way.ifindex) {
		close_sockets(s);
		s->ifindex = way.ifindex;
		if (!s->why_not)
			open_sockets(s, &local);
	}
	portmap_set_gateway(s->portmap, &gateway,
			    gateway.len == 16 && ip_is_link_local(&gateway) ? (uint32_t)way.ifindex : 0, &local,
			    clock_now_ms());
}

void mapper_network_changed(struct mapper *m)
{
	for (int i = 0; i < 2; i++)
		find_gateway(&m->sides[i]);
	settle(m);
}

/* ---------------------------------------------------------------- life */

static void free_now(struct mapper *m)
{
	for (int i = 0; i < 2; i++) {
		close_sockets(&m->sides[i]);
		portmap_free(m->sides[i].portmap);
	}
	upnp_close(m->upnp);
	if (m->timer)
		loop_timer_close(m->timer);
	free(m);
}

/* After whatever happened: the next instant, or the end. */
static void settle(struct mapper *m)
{
	uint64_t next_ms = UINT64_MAX;

	for (int i = 0; i < 2; i++)
		if (portmap_next_ms(m->sides[i].portmap) < next_ms)
			next_ms = portmap_next_ms(m->sides[i].portmap);
	if (m->is_closing)
		next_ms = portmap_is_idle(m->sides[0].portmap) ? 0 : m->close_ms;
	loop_timer_set(m->timer, next_ms);
}

static void on_timer(void *arg)
{
	struct mapper *m = arg;
	uint64_t now_ms = clock_now_ms();

	if (m->is_closing && (portmap_is_idle(m->sides[0].portmap) || now_ms >= m->close_ms)) {
		free_now(m);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (now_ms >= portmap_next_ms(m->sides[i].portmap))
			portmap_tick(m->sides[i].portmap, now_ms);
	settle(m);
}

int mapper_open(struct mapper **out, uv_loop_t *loop, const struct ip *address, const char *bind_interface,
		const uint8_t seed[static PORTMAP_SEED_BYTES], mapper_changed_fn *fn, void *arg)
{
	struct mapper *m = calloc(1, sizeof(*m));
	int ret = 0;

	*out = NULL;
	if (!m)
		return -ENOMEM;
	m->loop = loop;
	m->fn = fn;
	m->arg = arg;
	m->address = *address;
	snprintf(m->bind_interface, sizeof(m->bind_interface), "%s", bind_interface ? bind_interface : "");
	for (int i = 0; i < 2; i++) {
		m->sides[i] = (struct side){
			.mapper = m, .why_not = "not looked for yet", .udp = { .fd = -1 }, .announce_fd = -1
		};
		m->sides[i].portmap =
			portmap_new(i == 0 && upnp_is_built_in() ? &env_upnp : &env_plain, &m->sides[i], seed);
		if (!m->sides[i].portmap)
			ret = -ENOMEM;
	}
	if (ret == 0)
		ret = loop_timer_open(&m->timer, loop, on_timer, m);
	if (ret == 0 && upnp_is_built_in())
		ret = upnp_open(&m->upnp, loop, on_upnp_done, m);
	if (ret < 0) {
		free_now(m);
		return ret;
	}
	*out = m;
	return 0;
}

void mapper_close(struct mapper *m)
{
	uint64_t now_ms = clock_now_ms();

	if (!m)
		return;
	m->is_closing = true;
	m->close_ms = now_ms + MAPPER_CLOSE_MS;
	for (int i = 0; i < 2; i++)
		portmap_remove_all(m->sides[i].portmap, now_ms);
	if (upnp_give_up(m->upnp)) /* nothing of ours is there */
		m->close_ms = now_ms;
	settle(m);
}

int mapper_add(struct mapper *m, uint8_t protocol, uint16_t port)
{
	int ret = 0;

	for (int i = 0; i < 2 && ret == 0; i++)
		ret = portmap_add(m->sides[i].portmap, protocol, port, clock_now_ms());
	settle(m);
	return ret;
}

void mapper_remove(struct mapper *m, uint8_t protocol, uint16_t port)
{
	for (int i = 0; i < 2; i++)
		portmap_remove(m->sides[i].portmap, protocol, port, clock_now_ms());
	settle(m);
}

void mapper_hint(struct mapper *m)
{
	for (int i = 0; i < 2; i++)
		portmap_hint(m->sides[i].portmap, clock_now_ms());
	settle(m);
}

const struct portmap *mapper_portmap(const struct mapper *m, uint8_t ip_len)
{
	return side_of((struct mapper *)m, ip_len)->portmap;
}

const char *mapper_why_not(const struct mapper *m, uint8_t ip_len)
{
	return side_of((struct mapper *)m, ip_len)->why_not;
}
