#include "daemon/data/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/base/clock.h"

/* Batches one readiness may take before the other side of the worker gets its turn. */
#define WORKER_ROUNDS 4

struct worker {
	struct lane lane;
	struct mailbox *box;
	uv_async_t *wake;
	uv_loop_t loop;
	uv_poll_t tun_poll, udp_poll;
	uv_async_t stop;
	uv_thread_t thread;
};

static bool worker_tell(void *arg, const struct mail *m)
{
	struct worker *w = arg;
	bool was_empty;

	if (mailbox_push(w->box, m, &was_empty) < 0) {
		uv_async_send(w->wake);
		return false;
	}
	if (was_empty)
		uv_async_send(w->wake);
	return true;
}

static void pump(struct worker *w, bool (*batch)(struct lane *))
{
	/* Nothing published: nothing can be decided; what arrives waits in the kernel's queues and is bounded there. */
	if (!lane_enter(&w->lane, clock_now_ms()))
		return;
	for (int i = 0; i < WORKER_ROUNDS && batch(&w->lane); i++)
		;
	lane_leave(&w->lane);
}

static void on_tun(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	pump(poll->data, lane_pump_tun);
}

static void on_udp(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	pump(poll->data, lane_pump_udp);
}

static void on_stop(uv_async_t *stop)
{
	struct worker *w = stop->data;

	uv_close((uv_handle_t *)&w->tun_poll, NULL);
	uv_close((uv_handle_t *)&w->udp_poll, NULL);
	uv_close((uv_handle_t *)&w->stop, NULL);
}

static void worker_main(void *arg)
{
	struct worker *w = arg;

	uv_run(&w->loop, UV_RUN_DEFAULT);
}

int worker_start(struct worker **out, const struct lane *lane, size_t mtu_bytes, struct mailbox *box, uv_async_t *wake)
{
	struct worker *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int ret;

	if (!w)
		return -ENOMEM;
	w->lane = *lane;
	w->lane.tell = worker_tell;
	w->lane.arg = w;
	w->box = box;
	w->wake = wake;
	ret = lane_init(&w->lane, mtu_bytes);
	if (ret < 0)
		goto no_lane;
	ret = uv_loop_init(&w->loop);
	if (ret < 0)
		goto no_loop;
	w->tun_poll.data = w->udp_poll.data = w->stop.data = w;
	ret = uv_async_init(&w->loop, &w->stop, on_stop);
	if (ret < 0)
		goto no_handles;
	ret = uv_poll_init(&w->loop, &w->tun_poll, w->lane.tun->fd[w->lane.queue]);
	if (ret < 0)
		goto no_tun;
	ret = uv_poll_init(&w->loop, &w->udp_poll, w->lane.udp->fd);
	if (ret < 0)
		goto no_udp;
	uv_poll_start(&w->tun_poll, UV_READABLE, on_tun);
	uv_poll_start(&w->udp_poll, UV_READABLE, on_udp);

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = uv_thread_create(&w->thread, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret == 0) {
		*out = w;
		return 0;
	}
	uv_close((uv_handle_t *)&w->udp_poll, NULL);
no_udp:
	uv_close((uv_handle_t *)&w->tun_poll, NULL);
no_tun:
	uv_close((uv_handle_t *)&w->stop, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
no_handles:
	uv_loop_close(&w->loop);
no_loop:
	lane_fini(&w->lane);
no_lane:
	free(w);
	return ret;
}

void worker_stop(struct worker *w)
{
	if (!w)
		return;
	uv_async_send(&w->stop);
	uv_thread_join(&w->thread);
	uv_loop_close(&w->loop);
	lane_fini(&w->lane);
	free(w);
}
