#include "daemon/data/worker.h"

#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/net/thread.h"

/* Batches one readiness may take before the other side of the worker gets its turn. */
#define WORKER_ROUNDS 4
/* What comes after such a pause comes alone, as a rule: it goes on its way before the kernel is asked for more. */
#define WORKER_PAUSE_US 100

struct worker;

struct side {
	struct worker *worker;
	bool (*batch)(struct lane *, unsigned most);
	uint64_t taken_us; /* when something was last */
};

struct worker {
	struct lane lane;
	struct side tun, udp;
	struct mailbox *box;
	uv_async_t *wake;
	struct thread *thread;
};

static bool worker_tell(void *arg, const struct mail *m)
{
	struct worker *w = arg;
	bool was_empty, is_strangers = m->kind == MAIL_DATAGRAM;
	int ret = mailbox_push(w->box, m, m->data, m->len, is_strangers, &was_empty);

	if (was_empty || ret < 0)
		uv_async_send(w->wake);
	return ret == 0;
}

static void on_readable(void *arg)
{
	struct side *side = arg;
	struct lane *lane = &side->worker->lane;
	uint64_t now_us = clock_now_us();
	bool is_alone = now_us - side->taken_us > WORKER_PAUSE_US;

	/* Nothing published: nothing can be decided; what arrives waits in the kernel's queues and is bounded there. */
	if (!lane_enter(lane, now_us / 1000))
		return;
	side->taken_us = now_us;
	if (is_alone)
		side->batch(lane, 1); /* if there is more, the poll says so at once */
	else
		for (int i = 0; i < WORKER_ROUNDS && side->batch(lane, LANE_BATCH); i++)
			;
	lane_leave(lane);
}

int worker_start(struct worker **out, const struct lane *lane, size_t mtu_bytes, struct mailbox *box, uv_async_t *wake)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct thread_watch watches[2];
	int ret;

	if (!w)
		return -ENOMEM;
	w->lane = *lane;
	w->lane.tell = worker_tell;
	w->lane.arg = w;
	w->box = box;
	w->wake = wake;
	w->tun = (struct side){ .worker = w, .batch = lane_pump_tun };
	w->udp = (struct side){ .worker = w, .batch = lane_pump_udp };
	watches[0] = (struct thread_watch){ .fd = lane->tun->fd[lane->queue], .fn = on_readable, .arg = &w->tun };
	watches[1] = (struct thread_watch){ .fd = lane->udp->fd, .is_socket = true, .fn = on_readable, .arg = &w->udp };
	ret = lane_init(&w->lane, mtu_bytes);
	if (ret < 0) {
		free(w);
		return ret;
	}
	ret = thread_start(&w->thread, watches, 2);
	if (ret < 0)
		worker_stop(w);
	else
		*out = w;
	return ret;
}

bool worker_ask(struct worker *w)
{
	return thread_ask(w->thread);
}

void worker_stop(struct worker *w)
{
	if (!w)
		return;
	thread_stop(w->thread);
	lane_fini(&w->lane);
	free(w);
}
