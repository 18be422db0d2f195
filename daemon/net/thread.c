#include "daemon/net/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

struct thread {
	uv_loop_t loop;
	uv_async_t stop, ask;
	uv_poll_t polls[THREAD_WATCHES_MAX];
	struct thread_watch watches[THREAD_WATCHES_MAX];
	unsigned n;
	uv_thread_t id;
	_Atomic bool has_answered; /* the last question */
};

static void close_handles(struct thread *t)
{
	for (unsigned i = 0; i < t->n; i++)
		uv_close((uv_handle_t *)&t->polls[i], NULL);
	uv_close((uv_handle_t *)&t->stop, NULL);
	uv_close((uv_handle_t *)&t->ask, NULL);
}

static void on_stop(uv_async_t *stop)
{
	close_handles(stop->data);
}

static void on_ask(uv_async_t *ask)
{
	struct thread *t = ask->data;

	t->has_answered = true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	const struct thread_watch *w = poll->data;

	(void)events;
	/* libuv stops at POLLERR, which for a socket is only an error to be read (ENETDOWN, ENOBUFS), after which it goes on;
	 * a TUN queue has it without end once the device was deleted. */
	if (status < 0 && w->is_socket)
		uv_poll_start(poll, UV_READABLE, on_readable);
	w->fn(w->arg);
}

static void thread_main(void *arg)
{
	struct thread *t = arg;

	uv_run(&t->loop, UV_RUN_DEFAULT);
}

static int watch(struct thread *t, const struct thread_watch *w)
{
	uv_poll_t *poll = &t->polls[t->n];
	int ret = uv_poll_init(&t->loop, poll, w->fd);

	if (ret < 0)
		return ret;
	t->watches[t->n] = *w;
	poll->data = &t->watches[t->n++];
	return uv_poll_start(poll, UV_READABLE, on_readable);
}

static int run(struct thread *t)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = uv_thread_create(&t->id, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int thread_start(struct thread **out, const struct thread_watch *watches, unsigned n)
{
	struct thread *t = calloc(1, sizeof(*t));
	int ret;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	if (n > THREAD_WATCHES_MAX) {
		free(t);
		return -EINVAL;
	}
	ret = uv_loop_init(&t->loop);
	if (ret < 0)
		goto no_loop;
	t->stop.data = t->ask.data = t;
	t->has_answered = true;
	ret = uv_async_init(&t->loop, &t->stop, on_stop);
	if (ret < 0)
		goto no_async;
	uv_async_init(&t->loop, &t->ask, on_ask); /* cannot fail where the first did not: they share a descriptor */
	for (unsigned i = 0; i < n && ret == 0; i++)
		ret = watch(t, &watches[i]);
	if (ret == 0)
		ret = run(t);
	if (ret == 0) {
		*out = t;
		return 0;
	}
	close_handles(t);
	uv_run(&t->loop, UV_RUN_DEFAULT);
no_async:
	uv_loop_close(&t->loop);
no_loop:
	free(t);
	return ret;
}

bool thread_ask(struct thread *t)
{
	bool has_answered = atomic_exchange(&t->has_answered, false);

	uv_async_send(&t->ask);
	return has_answered;
}

void thread_stop(struct thread *t)
{
	if (!t)
		return;
	uv_async_send(&t->stop);
	uv_thread_join(&t->id);
	uv_loop_close(&t->loop);
	free(t);
}
