#include "daemon/data/node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "daemon/base/privileges.h"
#include "daemon/data/inner_ip.h"
#include "daemon/data/node_private.h"
#include "tun/netlink.h"

/* Each worker's box: two of these; only touched pages count. */
#define MAILBOX_BYTES (256 * 1024)
/* Old tables wait for readers that are in the middle of a batch: microseconds. */
#define RECLAIM_AFTER_MS 50

uint64_t node_wall_ms(struct node *n)
{
	bool must_save;
	uint64_t wall_ms = state_wall_ms(&n->state, n->wall_floor_ms, clock_wall_ms(), &must_save);

	if (must_save)
		node_save_state(n);
	return wall_ms;
}

/* ---------------------------------------------------------------- sending by the loop */

bool node_lane_enter(struct node *n)
{
	return lane_enter(&n->lane, clock_now_ms());
}

int node_send(struct node *n, const struct path_addr *to, uint32_t member, uint8_t *datagram, size_t len)
{
	struct counters *c = node_counters(n);
	struct link *l = path_addr_is_relay(to) && to->coordinator < n->n_links ? n->links[to->coordinator] : NULL;
	int ret = -ENETUNREACH;

	if (path_addr_is_relay(to)) {
		if (!l || member == 0)
			return -ENETUNREACH;
		counters_inc(c, COUNTER_relay_tx_datagrams);
		counters_add(c, COUNTER_relay_tx_bytes, len);
	}
	if (to->kind == PATH_TCP)
		return tcp_paths_send(n->tcp, &to->endpoint, datagram, len, TCP_PATHS_URGENT);
	if (to->kind == PATH_UDP && to->socket) {
		const struct spare *spare = spares_find(n->spares, to->socket);

		if (spare)
			ret = node_udp_send(n, &spare->udp, &to->endpoint, datagram, len);
	} else if (to->kind == PATH_UDP) {
		ret = node_udp_send(n, &n->udp[0], &to->endpoint, datagram, len);
	} else if (to->kind == PATH_RELAY_TCP) {
		return link_send_relayed(l, member, datagram, len);
	} else if (to->kind == PATH_RELAY_UDP && link_udp(l)) {
		datagram -= WIRE_RELAY_HEADER_BYTES;
		relay_link_wrap(link_udp(l), datagram, member, len);
		len += WIRE_RELAY_HEADER_BYTES;
		ret = node_udp_send(n, &n->udp[0], link_udp_endpoint(l), datagram, len);
	}
	if (ret == 0) {
		counters_inc(c, COUNTER_tx_datagrams);
		counters_add(c, COUNTER_tx_bytes, len);
	} else {
		counters_inc(c, COUNTER_drop_send_error);
	}
	return ret;
}

/* ---------------------------------------------------------------- overlay addresses */

bool node_is_overlay(const struct node *n, const struct ip *ip)
{
	for (unsigned i = 0; i < n->state.n_addrs; i++)
		if (prefix_contains(&n->state.addrs[i], ip))
			return true;
	return false;
}

static bool has_prefix(const struct prefix *v, unsigned n, const struct prefix *p)
{
	for (unsigned i = 0; i < n; i++)
		if (prefix_equal(&v[i], p))
			return true;
	return false;
}

static void put_address(struct node *n, const struct prefix *p)
{
	int ret = netlink_addr_add(n->tun.ifindex, p->ip.b, p->ip.len, p->bits);
	char text[ADDR_TEXT_BYTES];

	prefix_to_text(p, text);
	if (ret == 0)
		log_info("interface %s: address %s", n->tun.name, text);
	else if (ret == -EACCES &&
		 p->ip.len == 16) /* the kernel's word for disable_ipv6; EPERM is the one for rights */
		log_warn("interface %s: without address %s: IPv6 is off on this host", n->tun.name, text);
	else
		log_error("interface %s: cannot set address %s: %s", n->tun.name, text, strerror(-ret));
}

void node_put_addresses(struct node *n)
{
	for (unsigned i = 0; i < n->state.n_addrs; i++)
		put_address(n, &n->state.addrs[i]);
}

void node_apply_addresses(struct node *n, const struct prefix *addrs, unsigned n_addrs)
{
	bool is_changed = n_addrs != n->state.n_addrs;
	struct state old = n->state;

	for (unsigned i = 0; i < n_addrs; i++)
		is_changed |= !has_prefix(old.addrs, old.n_addrs, &addrs[i]);
	if (!is_changed)
		return;
	for (unsigned i = 0; i < old.n_addrs; i++)
		if (!has_prefix(addrs, n_addrs, &old.addrs[i]))
			netlink_addr_del(n->tun.ifindex, old.addrs[i].ip.b, old.addrs[i].ip.len, old.addrs[i].bits);
	n->state.n_addrs = n_addrs;
	memcpy(n->state.addrs, addrs, n_addrs * sizeof(*addrs));
	for (unsigned i = 0; i < n_addrs; i++)
		put_address(n, &addrs[i]);
	node_save_state(n);
	node_routes_changed(n);
	n->is_table_stale = true;
	n->are_candidates_stale = true;
}

/* ---------------------------------------------------------------- one turn of the loop */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void publish(struct node *n, uint64_t now_ms)
{
	node_routes_settle(n, now_ms);
	node_publish(n, now_ms);
}

/* Before the loop sleeps: all that this turn made possible. */
static void node_settle(uv_prepare_t *prepare)
{
	struct node *n = prepare->data;
	uint64_t now = clock_now_ms();

	node_woke_up(n, now);
	if (n->are_candidates_stale)
		node_candidates_changed(n, now);
	while (n->any_peer_changed) {
		n->any_peer_changed = false;
		for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
			if (p->is_changed) {
				p->is_changed = false;
				node_settle_peer(n, p, now);
			}
		n->is_table_stale = true;
		/* Held packets go through the lane, which reads the table. */
		publish(n, now);
		for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
			if (p->held && !held_is_empty(p->held))
				node_settle_peer(n, p, now);
	}
	if (n->is_table_stale)
		publish(n, now);
	tcp_paths_flush(n->tcp);
	node_due(n, tcp_paths_next_ms(n->tcp));
	node_netcheck_tick(n, now);
	node_due(n, node_netcheck_next_ms(n));
	if (tables_reclaim(&n->tables))
		node_due(n, now + RECLAIM_AFTER_MS);
	gaps_sleep(&n->gaps, n->due_ms, now);
	loop_timer_set(n->timer, n->due_ms);
}

static void on_timer(void *arg)
{
	struct node *n = arg;
	uint64_t now = clock_now_ms(), due = UINT64_MAX;

	node_woke_up(n, now);
	if (now >= n->due_ms)
		node_metrics_late(n, now - n->due_ms);
	n->due_ms = UINT64_MAX;
	node_network_tick(n, now);
	for (unsigned i = 0; i < n->n_links; i++) {
		if (now >= link_next_ms(n->links[i]))
			link_tick(n->links[i], now);
		due = earlier(due, link_next_ms(n->links[i]));
	}
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		if (now >= p->due_ms)
			node_tick_peer(n, p, now);
		due = earlier(due, p->due_ms);
	}
	node_trust_tick(n, now);
	node_routes_tick(n, now);
	node_discovery_tick(n, now);
	node_lifetime_tick(n, now);
	node_punch_tick(n, now);
	node_uplinks_tick(n, now);
	tcp_paths_tick(n->tcp, now);
	node_lookup_tick(n, now);
	node_ping_tick(n, now);
	node_waiters_tick(n, now, false);
	node_report_tick(n, now);
	node_keep_tick(n, now);
	due = earlier(due, node_keep_next_ms(n));
	due = earlier(due, node_trust_due_ms(n));
	due = earlier(due, node_routes_next_ms(n));
	node_capture_tick(n, now);
	due = earlier(due, node_discovery_next_ms(n));
	due = earlier(due, node_lifetime_next_ms(n));
	due = earlier(due, node_punch_next_ms(n));
	due = earlier(due, node_lookup_next_ms(n));
	due = earlier(due, node_ping_next_ms(n));
	due = earlier(due, node_waiters_next_ms(n));
	due = earlier(due, n->report_ms);
	due = earlier(due, node_capture_next_ms(n, now));
	if (now >= outside_next_ms(n->outside))
		outside_tick(n->outside, now);
	due = earlier(due, outside_next_ms(n->outside));
	due = earlier(due, n->looks.due_ms);
	node_expose_tick(n, now);
	due = earlier(due, node_expose_next_ms(n));
	node_due(n, due);
}

static void on_letter(void *arg, void *head, uint8_t *data, size_t len)
{
	struct mail *m = head;

	(void)len;
	m->data = data;
	node_mail(arg, m);
}

static void on_wake(uv_async_t *wake)
{
	struct node *n = wake->data;

	for (unsigned i = 0; i < n->n_workers; i++)
		mailbox_drain(n->boxes[i], on_letter, n);
}

/* The loop's own lane talks to the loop: no box in between. */
static bool own_tell(void *arg, const struct mail *m)
{
	struct mail copy = *m;

	node_mail(arg, &copy);
	return true;
}

/* ---------------------------------------------------------------- start and stop */

static int open_tun(struct node *n)
{
	unsigned cores = uv_available_parallelism(), queues = n->config->workers ? n->config->workers : cores,
		 wanted = 0;
	int ret;

	if (queues > CONFIG_WORKERS_MAX)
		queues = CONFIG_WORKERS_MAX;
	if (n->disabled & OFFLOAD_NO_MULTIQUEUE)
		queues = 1;
	if (queues > 1)
		wanted |= TUN_MULTI_QUEUE;
	if (!(n->disabled & OFFLOAD_NO_VNET))
		wanted |= TUN_VNET | TUN_TSO | TUN_USO;
	ret = tun_open(&n->tun, n->config->tun.name, queues, wanted);
	if (ret < 0) {
		log_error("interface %s: %s", n->config->tun.name, tun_error(ret));
		return ret;
	}
	n->mtu = n->config->tun.mtu ? n->config->tun.mtu : NODE_MTU_DEFAULT;
	ret = netlink_link_up(n->tun.ifindex, n->mtu);
	if (ret < 0) {
		log_error("interface %s: cannot be set up: %s", n->tun.name, strerror(-ret));
		return ret;
	}
	node_put_addresses(n);
	return 0;
}

static void on_prepare_closed(uv_handle_t *handle)
{
	struct node *n = handle->data;

	if (--n->n_open_handles == 0)
		free(n);
}

static int start_workers(struct node *n)
{
	for (unsigned i = 0; i < n->n_workers; i++) {
		struct lane lane = { .number = i,
				     .queue = i,
				     .tables = &n->tables,
				     .udp = &n->udp[i],
				     .tun = &n->tun,
				     .counters = &n->counters[i] };
		int ret;

		n->boxes[i] = mailbox_new(MAILBOX_BYTES, sizeof(struct mail));
		if (!n->boxes[i])
			return -ENOMEM;
		ret = worker_start(&n->workers[i], &lane, n->mtu, n->boxes[i], &n->wake);
		if (ret < 0)
			return ret;
	}
	return 0;
}

#ifdef WARREN_TESTING
static uint64_t test_ms(const char *name, uint64_t normal)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : normal;
}
#endif

static void set_proxy(struct node *n, const struct config *config, const struct login *login)
{
	n->proxy.at = config->proxy;
	n->proxy.login = *login;
}

static int open_link(struct node *n, unsigned i, const struct config_coordinator *c, uint64_t now_ms)
{
	n->links[i] = link_new(&node_link_env, n, n->loop, i, c, &n->proxy, &n->identity, n->name, n->bind_interface,
			       &n->uplinks, tcp_paths_port(n->tcp), n->boot_id, n->indices, now_ms);
	if (!n->links[i])
		return -ENOMEM;
	node_due(n, link_next_ms(n->links[i]));
	return 0;
}

static int start_parts(struct node *n, const struct seckey *secret, const struct psk *psk)
{
	const struct config *config = n->config;
	uint64_t now = clock_now_ms();
	char error[CONFIG_ERROR_BYTES];
	struct login login;
	int ret;

	ret = identity_init(&n->identity, secret, psk, config->ciphers & aead_offer(), 0);
	if (ret < 0) {
		log_error("the private key is no good: %s", strerror(-ret));
		return ret;
	}
	n->identity.trust = n->trust;
	node_set_compression(n, config->compression, now);
	n->indices = indices_new();
	n->responder =
		n->indices ? responder_new(&node_responder_env, n, &n->identity, n->indices, node_counters(n)) : NULL;
	if (!n->responder)
		return -ENOMEM;
	n->lane = (struct lane){ .number = CONFIG_WORKERS_MAX,
				 .tables = &n->tables,
				 .udp = &n->udp[0],
				 .tun = &n->tun,
				 .counters = node_counters(n),
				 .tell = own_tell,
				 .arg = n };
	ret = lane_init(&n->lane, n->mtu);
	if (ret < 0)
		return ret;
	ret = control_server_open(&n->control, n->loop, config->control_socket, node_commands, n);
	if (ret < 0) {
		log_error("control socket %s: %s", config->control_socket,
			  ret == -EADDRINUSE ? "another daemon is listening there" : strerror(-ret));
		return ret;
	}
	ret = node_open_network(n);
	if (ret < 0)
		return ret;
	ret = loop_timer_open(&n->timer, n->loop, on_timer, n);
	if (ret < 0)
		return ret;
	ret = node_open_outside(n, secret, now);
	if (ret < 0)
		return ret;
	ret = config_read_login(config, &login, error);
	if (ret < 0) {
		log_error("%s", error);
		return -EINVAL;
	}
	set_proxy(n, config, &login);
	sodium_memzero(&login, sizeof(login));
	node_set_hook(n, config->on_mapping_change);
	ret = node_routes_start(n);
	if (ret == 0)
		ret = node_discovery_start(n);
	if (ret == 0)
		ret = node_lifetime_start(n, n->lifetime_unit_ms);
	if (ret < 0)
		return ret;
	node_publish(n, now); /* before the first worker looks */
	ret = start_workers(n);
	if (ret < 0) {
		log_error("workers cannot be started: %s", strerror(-ret));
		return ret;
	}
	for (unsigned i = 0; i < config->n_coordinators; i++) {
		ret = open_link(n, i, &config->coordinators[i], now);
		if (ret < 0)
			return ret;
		n->n_links++;
	}
	return 0;
}

int node_start(struct node **out, uv_loop_t *loop, const struct config *config, const struct seckey *secret,
	       const struct psk *psk)
{
	struct node *n = calloc(1, sizeof(*n));
	int ret;

	if (!n)
		return -ENOMEM;
	n->loop = loop;
	n->config = config;
	snprintf(n->name, sizeof(n->name), "%s", config->name);
	n->state_dir = strdup(config->state_dir);
	if (!n->state_dir) {
		free(n);
		return -ENOMEM;
	}
	snprintf(n->bind_interface, sizeof(n->bind_interface), "%s", config->listen.bind_interface);
	n->started_ms = clock_now_ms();
	n->loaded_ms = clock_wall_ms();
	n->due_ms = UINT64_MAX;
	n->ways.watch.fd = -1;
	n->rekey_after_ms = SESSION_REKEY_AFTER_MS;
	n->reject_after_ms = SESSION_REJECT_AFTER_MS;
	n->lifetime_unit_ms = 1000;
#ifdef WARREN_TESTING
	n->lifetime_unit_ms = (unsigned)test_ms("WARREN_TEST_LIFETIME_UNIT_MS", n->lifetime_unit_ms);
	n->rekey_after_ms = test_ms("WARREN_TEST_REKEY_MS", SESSION_REKEY_AFTER_MS);
	n->reject_after_ms = n->rekey_after_ms * SESSION_REJECT_AFTER_MS / SESSION_REKEY_AFTER_MS;
#endif
	for (unsigned i = 0; i < CONFIG_WORKERS_MAX; i++)
		n->udp[i].fd = -1;
	randombytes_buf(&n->boot_id, sizeof(n->boot_id));
	n->disabled = offload_disabled(config->offload);
	node_offload_init(n);
	tables_init(&n->tables);
	punch_init(&n->punch, &node_punch_env, n);
	n->sweep_ms = n->report_ms = UINT64_MAX;
	uv_async_init(loop, &n->wake, on_wake);
	uv_prepare_init(loop, &n->prepare);
	n->wake.data = n->prepare.data = n;
	n->n_open_handles = 2;
	node_keep_start(n);

	ret = node_trust_start(n, secret);
	if (ret == 0)
		ret = node_metrics_start(n);
	if (ret == 0)
		ret = open_tun(n);
	privileges_forget((uint64_t)1 << CAP_DAC_OVERRIDE); /* it was kept for the device, see user_become() */
	if (ret == 0)
		ret = node_open_port(n);
	if (ret == 0)
		ret = start_parts(n, secret, psk);
	if (ret < 0) {
		node_stop(n);
		return ret;
	}
	node_save_state(n); /* the port, if it was drawn */
	node_keep_recall(n, clock_now_ms());
	node_routes_changed(n); /* some may lead to whom it brought */
	uv_prepare_start(&n->prepare, node_settle);
	log_info("peer %s: interface %s mtu %u, UDP port %u, %u workers", config->name, n->tun.name, n->mtu, n->port,
		 n->n_workers);
	*out = n;
	return 0;
}

void node_stop(struct node *n)
{
	if (!n)
		return;
	node_keep_stop(n);
	if (n->lane.packet && n->control)
		node_say_close(n);
	for (unsigned i = 0; i < n->n_workers; i++)
		worker_stop(n->workers[i]);
	node_capture_end(n);
	node_control_free(n);
	node_netcheck_free(n);
	control_server_close(n->control);
	for (unsigned i = 0; i < n->n_links; i++)
		link_free(n->links[i]);
	n->n_links = 0;
	while (n->peers.by_number)
		node_remove_peer(n, n->peers.by_number);
	node_routes_free(n);
	tcp_paths_free(n->tcp);
	node_lookup_free(n);
	node_expose_free(n);
	outside_close(n->outside);
	node_set_hook(n, NULL);
	responder_free(n->responder);
	lane_fini(&n->lane);
	tables_fini(&n->tables);
	node_lifetime_stop(n);
	node_discovery_stop(n);
	spares_free(n->spares);
	indices_free(n->indices);
	for (unsigned i = 0; i < CONFIG_WORKERS_MAX; i++) {
		mailbox_free(n->boxes[i]);
		udp_close(&n->udp[i]);
	}
	tun_close(&n->tun);
	node_close_network(n);
	if (n->timer)
		loop_timer_close(n->timer);
	identity_fini(&n->identity);
	sodium_memzero(&n->proxy, sizeof(n->proxy));
	trust_free(n->trust);
	node_metrics_free(n);
	free(n->state_dir);
	uv_close((uv_handle_t *)&n->prepare, on_prepare_closed);
	uv_close((uv_handle_t *)&n->wake, on_prepare_closed);
}

void node_set_owner(struct node *n, const struct config_owner *owner)
{
	n->owner = owner;
}

void node_set_reload_error(struct node *n, const char *error)
{
	snprintf(n->reload_error, sizeof(n->reload_error), "%s", error);
}

/* Peers forget what a coordinator that is no more told of them. */
static void close_link(struct node *n, unsigned i)
{
	uint64_t now = clock_now_ms();

	link_free(n->links[i]);
	n->links[i] = NULL;
	n->copies[i] = (struct directory_copy){ 0 };
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		p->member[i] = 0;
		p->cached &= (uint8_t) ~(1u << i);
		p->is_online[i] = false;
		node_relays_changed(n, p, now);
	}
}

static bool is_same_coordinator(const struct config_coordinator *a, const struct config_coordinator *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port &&
	       pubkey_equal(&a->key, &b->key);
}

/* Links that are kept hear of it; those to come see it. */
static int reload_proxy(struct node *n, const struct config *config, char *error, size_t n_error, uint64_t now_ms)
{
	char words[CONFIG_ERROR_BYTES];
	struct login login;
	bool is_same;

	if (config_read_login(config, &login, words) < 0) {
		snprintf(error, n_error, "%s", words);
		return -EINVAL;
	}
	is_same = memcmp(&n->proxy.at, &config->proxy, sizeof(config->proxy)) == 0 &&
		  sodium_memcmp(&n->proxy.login, &login, sizeof(login)) == 0;
	set_proxy(n, config, &login);
	sodium_memzero(&login, sizeof(login));
	for (unsigned i = 0; i < n->n_links && !is_same; i++)
		link_proxy_changed(n->links[i], now_ms);
	return 0;
}

int node_try_reload(struct node *n, const struct config *new_config, char *error, size_t n_error)
{
	char words[CONFIG_ERROR_BYTES] = "";
	struct login login;
	struct cert own;
	int ret = node_trust_reload(n, new_config, &own, words);

	if (ret == 0 && config_read_login(new_config, &login, words) < 0)
		ret = -EINVAL;
	sodium_memzero(&login, sizeof(login));
	if (ret < 0)
		snprintf(error, n_error, "%s", words);
	return ret;
}

int node_reload(struct node *n, const struct config *new_config, char *error, size_t n_error)
{
	unsigned had = n->n_links, has = new_config->n_coordinators;
	char words[CONFIG_ERROR_BYTES] = "";
	uint64_t now = clock_now_ms();
	struct routes routes;
	struct cert own;
	int ret = node_trust_reload(n, new_config, &own, words);

	if (ret < 0) {
		snprintf(error, n_error, "%s", words);
		return ret;
	}
	ret = reload_proxy(n, new_config, error, n_error, now);
	if (ret < 0)
		return ret;
	ret = routes_new(&routes, new_config, &n->routes, now);
	if (ret < 0) {
		snprintf(error, n_error, "memory is short");
		return ret;
	}
	for (unsigned i = 0; i < had || i < has; i++) {
		bool is_kept = i < had && i < has &&
			       is_same_coordinator(link_config(n->links[i]), &new_config->coordinators[i]);

		if (is_kept)
			continue;
		if (i < had)
			close_link(n, i);
		if (i < has && open_link(n, i, &new_config->coordinators[i], now) < 0) {
			n->n_links = i;
			routes_free(&routes);
			snprintf(error, n_error, "memory is short");
			return -ENOMEM;
		}
		n->n_links = i < has ? i + 1 : has;
	}
	n->n_links = has;
	node_trust_set_own(n, &own, now);
	node_set_compression(n, new_config->compression, now);
	n->config = new_config;
	node_routes_take(n, &routes);
	outside_reload(n->outside, new_config, now);
	node_set_hook(n, new_config->on_mapping_change);
	node_due(n, outside_next_ms(n->outside));
	node_discovery_reload(n);
	node_discovery_servers_changed(n, now);
	n->loaded_ms = clock_wall_ms();
	n->reload_error[0] = '\0';
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths) {
			node_apply_policy(n, p);
			node_tell_peer(n, p, now);
		}
	n->is_table_stale = true;
	return 0;
}
