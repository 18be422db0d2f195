#include "daemon/coordinator/ports.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mailbox.h"
#include "daemon/coordinator/binds.h"
#include "daemon/coordinator/surroundings.h"
#include "daemon/net/gso.h"
#include "daemon/net/loop.h"
#include "daemon/net/offload.h"
#include "daemon/net/thread.h"

/* Two batches of relayed trains at once come before a worker comes back. */
#define BUFFER_BYTES (4 * 1024 * 1024)
/* Each worker's box: two of these; only touched pages count. */
#define MAILBOX_BYTES (512 * 1024)
/* Old rosters wait for workers that are in the middle of a batch: microseconds. */
#define RECLAIM_AFTER_MS 50

/* A worker of the ports. */
struct hand {
	struct relayer relayer;
	struct ports *ports;
	struct mailbox *box;
	struct thread *thread;
	struct watch {
		struct hand *hand;
		unsigned nth;
	} watches[PORTS_MAX];
};

struct ports {
	struct ports_use use;
	struct stun_limit *stun_limit;
	_Atomic bool has_stun;
	unsigned disabled, n_wanted, n_hands;
	struct hand *hands[CONFIG_WORKERS_MAX];
	uv_async_t wake;
	uv_prepare_t prepare;
	unsigned n_open_handles;
	struct loop_timer *reclaim;
	struct binds *binds;
	struct gso gso;
	struct surroundings *surroundings; /* NULL: the kernel does not tell */
};

/* ---------------------------------------------------------------- what workers tell */

/* On the worker's thread. */
static bool on_tell(void *arg, const struct relayer_mail *m, const uint8_t *data, size_t len, bool is_minor)
{
	struct hand *h = arg;
	bool was_empty;
	int ret = mailbox_push(h->box, m, data, len, is_minor, &was_empty);

	if (was_empty || ret < 0)
		uv_async_send(&h->ports->wake);
	return ret == 0;
}

static void on_letter(void *arg, void *head, uint8_t *data, size_t len)
{
	const struct relayer_mail *m = head;
	struct ports *p = arg;
	uint64_t now_ms = clock_now_ms();

	switch (m->kind) {
	case RELAYER_BIND:
		binds_request(p->binds, &m->from, data, len, now_ms);
		break;
	case RELAYER_FORWARD:
		forward_mail(p->use.forward, m->sender, m->receiver, data, len, now_ms);
		break;
	case RELAYER_REFUSED:
		gso_refused(&p->gso, ports_number(p, 0));
		break;
	}
}

static void on_wake(uv_async_t *wake)
{
	struct ports *p = wake->data;

	for (unsigned i = 0; i < p->n_hands; i++)
		mailbox_drain(p->hands[i]->box, on_letter, p);
	binds_flush(p->binds);
}

/* ---------------------------------------------------------------- what workers are told */

static void reclaim(struct ports *p)
{
	if (epochs_reclaim(&p->use.forward->rosters))
		loop_timer_set(p->reclaim, clock_now_ms() + RECLAIM_AFTER_MS);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct ports *p = prepare->data;

	forward_publish(p->use.forward);
	reclaim(p);
}

static void on_reclaim(void *arg)
{
	reclaim(arg);
}

/* ---------------------------------------------------------------- trains that were refused */

static void visit_sockets(void *owner, gso_visit_fn *visit, void *arg)
{
	struct ports *p = owner;

	for (unsigned i = 0; i < p->n_hands; i++)
		for (unsigned j = 0; j < PORTS_MAX; j++)
			if (p->hands[i]->relayer.udp[j].fd >= 0)
				visit(arg, &p->hands[i]->relayer.udp[j]);
}

static void on_surroundings(void *arg, bool is_moved)
{
	struct ports *p = arg;

	gso_retry(&p->gso, is_moved);
}

/* ---------------------------------------------------------------- open and close */

static void on_watch(void *arg)
{
	struct watch *w = arg;

	relayer_pump(&w->hand->relayer, w->nth);
}

static struct hand *hand_new(struct ports *p, unsigned number)
{
	struct hand *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->ports = p;
	h->relayer = (struct relayer){ .number = number,
				       .forward = p->use.forward,
				       .stun_limit = p->stun_limit,
				       .has_stun = &p->has_stun,
				       .tell = on_tell,
				       .arg = h };
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		h->relayer.udp[i].fd = -1;
		h->watches[i] = (struct watch){ .hand = h, .nth = i };
	}
	h->box = mailbox_new(MAILBOX_BYTES, sizeof(struct relayer_mail));
	if (relayer_init(&h->relayer, clock_now_ms()) < 0 || !h->box) {
		relayer_fini(&h->relayer);
		mailbox_free(h->box);
		free(h);
		return NULL;
	}
	return h;
}

static int hand_start(struct hand *h)
{
	struct thread_watch watches[PORTS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < PORTS_MAX; i++)
		if (h->relayer.udp[i].fd >= 0)
			watches[n++] = (struct thread_watch){
				.fd = h->relayer.udp[i].fd, .is_socket = true, .fn = on_watch, .arg = &h->watches[i]
			};
	return thread_start(&h->thread, watches, n);
}

static void hand_stop(struct hand *h)
{
	thread_stop(h->thread);
	relayer_fini(&h->relayer);
	mailbox_free(h->box);
	free(h);
}

/* Opens the nth port for `wanted` workers. Returns for how many there are sockets. */
static int open_port(struct ports *p, unsigned nth, const struct config *config, const struct ip *address,
		     uint16_t number, unsigned wanted)
{
	const struct udp_options options = { .address = *address,
					     .port = number,
					     .want_local = true,
					     .want_gso = !(p->disabled & OFFLOAD_NO_GSO),
					     .want_gro = !(p->disabled & OFFLOAD_NO_GRO),
					     .dont_fragment = true, /* what is relayed finds its MTU end to end */
					     .bind_interface = config->listen.bind_interface,
					     .buffer_bytes = BUFFER_BYTES };
	struct udp v[CONFIG_WORKERS_MAX];
	int ret = udp_open_shared(v, wanted, &options);

	for (int i = 0; i < ret; i++)
		p->hands[i]->relayer.udp[nth] = v[i];
	return ret;
}

static unsigned workers_wanted(const struct config *config)
{
	unsigned n = config->workers ? config->workers : uv_available_parallelism();

	return n < CONFIG_WORKERS_MAX ? n : CONFIG_WORKERS_MAX;
}

/* Sockets for as many workers as can share the ports. */
static int open_sockets(struct ports *p, const struct config *config, char *error, size_t capacity)
{
	const struct ip *address = &config->listen.address, *alternate = &config->listen.alternate_address;
	const uint16_t numbers[PORTS_MAX] = { config->listen.port, config->listen.alternate_port, config->listen.port,
					      config->listen.alternate_port };
	/* Sockets of any address hear the alternate one too. */
	bool is_any = ip_is_none(address) || ip_is_unspecified(address),
	     has_alternate = !is_any && !ip_is_none(alternate);
	unsigned wanted = workers_wanted(config);
	bool is_off = p->disabled & OFFLOAD_NO_REUSEPORT;

	for (unsigned i = 0; i < (is_off ? 1 : wanted); i++) {
		p->hands[i] = hand_new(p, i);
		if (!p->hands[i]) {
			snprintf(error, capacity, "no memory");
			return -ENOMEM;
		}
		p->n_hands = i + 1;
	}
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		bool is_wanted = (i % 2 == 0 || numbers[i]) && (i < 2 || has_alternate);
		int ret = is_wanted ? open_port(p, i, config, i < 2 ? address : alternate, numbers[i], p->n_hands) :
				      (int)p->n_hands;

		if (ret < 0) {
			snprintf(error, capacity, "UDP port %u: %s", numbers[i], strerror(-ret));
			return ret;
		}
		while (p->n_hands > (unsigned)ret) /* also of a port that was opened for more */
			hand_stop(p->hands[--p->n_hands]);
	}
	p->n_wanted = wanted;
	if (p->n_hands < wanted)
		log_warn("UDP ports: %u of %u workers: more sockets cannot share a port%s", p->n_hands, wanted,
			 is_off ? " (WARREN_DISABLE)" : "");
	return 0;
}

/* Any of those that share the port. */
static struct udp *a_socket(void *arg, unsigned nth)
{
	struct ports *p = arg;

	return &p->hands[0]->relayer.udp[nth];
}

static int start(struct ports *p, uv_loop_t *loop, const struct config *config, char *error, size_t capacity)
{
	int ret = surroundings_open(&p->surroundings, loop, config->listen.bind_interface, on_surroundings, p);

	if (ret)
		log_warn("the kernel does not tell of changes of the network (%s): what it refuses is not tried again",
			 strerror(-ret));
	ret = 0;
	for (unsigned i = 0; i < p->n_hands && ret == 0; i++)
		ret = hand_start(p->hands[i]);
	if (ret)
		snprintf(error, capacity, "a worker cannot be started: %s", strerror(-ret));
	return ret;
}

int ports_open(struct ports **out, uv_loop_t *loop, const struct config *config, const struct ports_use *use,
	       char *error, size_t capacity)
{
	struct ports *p = calloc(1, sizeof(*p));
	const struct binds_use binds_use = {
		.forward = use->forward, .indices = use->indices, .counters = use->counters, .port = a_socket, .arg = p
	};
	int ret = -ENOMEM;

	snprintf(error, capacity, "no memory");
	if (!p)
		return ret;
	p->use = *use;
	p->has_stun = config->listen.stun;
	p->disabled = offload_disabled(config->offload);
	p->gso = (struct gso){ .sockets = visit_sockets, .owner = p };
	uv_async_init(loop, &p->wake, on_wake);
	uv_prepare_init(loop, &p->prepare);
	uv_prepare_start(&p->prepare, on_prepare);
	p->wake.data = p->prepare.data = p;
	p->n_open_handles = 2;
	p->stun_limit = stun_limit_new(clock_now_ms());
	if (p->stun_limit && loop_timer_open(&p->reclaim, loop, on_reclaim, p) == 0)
		ret = open_sockets(p, config, error, capacity);
	if (ret == 0)
		ret = binds_open(&p->binds, loop, config, &binds_use, error, capacity);
	if (ret == 0)
		ret = start(p, loop, config, error, capacity);
	if (ret == 0)
		*out = p;
	else
		ports_close(p);
	return ret;
}

static void on_closed(uv_handle_t *handle)
{
	struct ports *p = handle->data;

	if (--p->n_open_handles == 0)
		free(p);
}

void ports_close(struct ports *p)
{
	if (!p)
		return;
	while (p->n_hands)
		hand_stop(p->hands[--p->n_hands]);
	surroundings_close(p->surroundings);
	binds_close(p->binds);
	stun_limit_free(p->stun_limit);
	loop_timer_close(p->reclaim);
	uv_close((uv_handle_t *)&p->wake, on_closed);
	uv_close((uv_handle_t *)&p->prepare, on_closed);
}

/* ---------------------------------------------------------------- settings and what there is */

void ports_set_stun(struct ports *p, bool is_on)
{
	p->has_stun = is_on;
}

uint16_t ports_number(const struct ports *p, unsigned nth)
{
	const struct relayer *first = &p->hands[0]->relayer;
	int number = nth < PORTS_MAX && first->udp[nth].fd >= 0 ? udp_port(&first->udp[nth]) : 0;

	return number > 0 ? (uint16_t)number : 0;
}

bool ports_are_alive(struct ports *p)
{
	bool are_alive = true;

	for (unsigned i = 0; i < p->n_hands; i++)
		are_alive &= thread_ask(p->hands[i]->thread);
	return are_alive;
}

unsigned ports_workers(const struct ports *p)
{
	return p->n_hands;
}

struct ports_offload ports_offload(const struct ports *p)
{
	struct ports_offload o = { .disabled = p->disabled, .workers_wanted = p->n_wanted };

	o.has_gso = gso_is_on(&p->gso, &o.gso_error);
	o.has_gro = p->hands[0]->relayer.udp[0].has_gro;
	return o;
}

const struct counters *ports_counters(const struct ports *p, unsigned nth)
{
	return &p->hands[nth]->relayer.counters;
}
