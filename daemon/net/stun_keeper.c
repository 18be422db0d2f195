#include "daemon/net/stun_keeper.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/net/loop.h"
#include "daemon/wire/stun.h"

#define REPEATS 3
#define LOST_RETRY_MS 10000
#define RECEIVE_MAX 8

static const unsigned repeat_after_ms[REPEATS] = { 500, 1000, 2000 }; /* the last: until it is given up */

struct stun_keeper {
	int fd;
	unsigned every_ms;
	stun_keeper_fn *fn;
	void *arg;
	struct loop_watch *watch;
	struct loop_timer *timer;
	uint8_t id[STUN_ID_BYTES];
	unsigned n_sent;          /* without an answer; 0: none under way */
	struct endpoint endpoint; /* ip none: not known */
	bool has_tried;
};

static void ask(struct stun_keeper *k)
{
	uint8_t request[STUN_REQUEST_MAX_BYTES];

	if (k->n_sent == 0)
		randombytes_buf(k->id, sizeof(k->id));
	/* What is refused here (no route, an ICMP error from before) is as good as lost. */
	(void)!send(k->fd, request, (size_t)stun_request_encode(request, k->id, 0), MSG_DONTWAIT | MSG_NOSIGNAL);
	loop_timer_set(k->timer, clock_now_ms() + repeat_after_ms[k->n_sent++]);
}

static void settled(struct stun_keeper *k, const struct endpoint *endpoint, unsigned again_ms)
{
	bool is_changed = !k->has_tried || !endpoint_equal(&k->endpoint, endpoint);

	k->n_sent = 0;
	k->has_tried = true;
	k->endpoint = *endpoint;
	loop_timer_set(k->timer, clock_now_ms() + again_ms);
	if (is_changed)
		k->fn(k->arg, k); /* may close us */
}

static void on_timer(void *arg)
{
	struct stun_keeper *k = arg;

	if (k->n_sent < REPEATS)
		ask(k);
	else
		settled(k, &(struct endpoint){ 0 }, LOST_RETRY_MS);
}

static void on_readable(void *arg, int fd)
{
	struct stun_keeper *k = arg;
	uint8_t data[512];

	for (int i = 0; i < RECEIVE_MAX; i++) {
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		struct stun_message m;

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0 || stun_decode(&m, data, (size_t)n) < 0 || m.class != STUN_RESPONSE || k->n_sent == 0 ||
		    memcmp(m.id, k->id, sizeof(k->id)) != 0)
			continue;
		settled(k, &m.mapped, k->every_ms);
		return; /* what is left is read next, if we still are */
	}
}

/* Bound to the port and connected to the server. The descriptor, or a negative errno. */
static int open_socket(uint16_t port, const struct endpoint *server, const char *bind_interface)
{
	struct endpoint any = { .ip = { .len = server->ip.len }, .port = port };
	int one = 1, ret = 0,
	    fd = socket(server->ip.len == 16 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&any, false, &ss);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		ret = -errno;
	if (ret == 0 && server->ip.len == 16 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		ret = -errno;
	if (ret == 0 && bind_interface && bind_interface[0] &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, bind_interface, (socklen_t)strlen(bind_interface)) < 0)
		ret = -errno;
	if (ret == 0 && bind(fd, (struct sockaddr *)&ss, len) < 0)
		ret = -errno;
	len = endpoint_to_sockaddr(server, false, &ss);
	if (ret == 0 && connect(fd, (struct sockaddr *)&ss, len) < 0)
		ret = -errno;
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

int stun_keeper_open(struct stun_keeper **out, uv_loop_t *loop, uint16_t port, const struct endpoint *server,
		     const char *bind_interface, unsigned every_ms, stun_keeper_fn *fn, void *arg)
{
	struct stun_keeper *k;
	int ret, fd = open_socket(port, server, bind_interface);

	*out = NULL;
	if (fd < 0)
		return fd;
	k = calloc(1, sizeof(*k));
	if (!k) {
		close(fd);
		return -ENOMEM;
	}
	*k = (struct stun_keeper){ .fd = fd, .every_ms = every_ms, .fn = fn, .arg = arg };
	ret = loop_timer_open(&k->timer, loop, on_timer, k);
	if (ret == 0)
		ret = loop_watch_open(&k->watch, loop, fd, on_readable, k);
	if (ret < 0) {
		stun_keeper_close(k);
		return ret;
	}
	ask(k);
	*out = k;
	return 0;
}

void stun_keeper_close(struct stun_keeper *k)
{
	if (!k)
		return;
	if (k->watch)
		loop_watch_close(k->watch);
	if (k->timer)
		loop_timer_close(k->timer);
	close(k->fd);
	free(k);
}

const struct endpoint *stun_keeper_endpoint(const struct stun_keeper *k)
{
	return ip_is_none(&k->endpoint.ip) ? NULL : &k->endpoint;
}

bool stun_keeper_has_tried(const struct stun_keeper *k)
{
	return k->has_tried;
}
