#include "daemon/net/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The event of `call` carries this number, those of watches their own. */
#define CALL_NUMBER THREAD_WATCHES_MAX

struct thread {
	int epoll, call; /* call: an eventfd, written to when has_answered or must_stop have changed */
	unsigned n;
	struct thread_watch watches[THREAD_WATCHES_MAX];
	pthread_t id;
	_Atomic bool must_stop;
	_Atomic bool has_answered; /* the last question */
};

/* A packet at a time is what wakes a thread when little goes on, and then each instruction counts that lies between: the caches are
 * cold, and a turn of libuv's loop is as long as opening the packet. So there is none: two descriptors need no more than this. */
static void turn(struct thread *t)
{
	struct epoll_event events[THREAD_WATCHES_MAX + 1];
	int n = epoll_wait(t->epoll, events, THREAD_WATCHES_MAX + 1, -1);

	for (int i = 0; i < n; i++) {
		unsigned number = events[i].data.u32;
		const struct thread_watch *w = &t->watches[number];
		uint64_t calls;

		if (number == CALL_NUMBER) {
			(void)!read(t->call, &calls, sizeof(calls)); /* it only has to be read */
			t->has_answered = true;
			continue;
		}
		/* An error of a socket is only to be read (ENETDOWN, ENOBUFS); a TUN queue has it without end once the
		 * device was deleted. */
		if ((events[i].events & (EPOLLERR | EPOLLHUP)) && !w->is_socket)
			epoll_ctl(t->epoll, EPOLL_CTL_DEL, w->fd, NULL);
		w->fn(w->arg);
	}
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	while (!t->must_stop)
		turn(t);
	return NULL;
}

static int watch(struct thread *t, int fd, unsigned number)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = number };

	return epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int run(struct thread *t)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

static void release(struct thread *t)
{
	if (t->epoll >= 0)
		close(t->epoll);
	if (t->call >= 0)
		close(t->call);
	free(t);
}

static int open_all(struct thread *t)
{
	int ret;

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0)
		return -errno;
	t->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->call < 0)
		return -errno;
	ret = watch(t, t->call, CALL_NUMBER);
	for (unsigned i = 0; i < t->n && ret == 0; i++)
		ret = watch(t, t->watches[i].fd, i);
	return ret;
}

int thread_start(struct thread **out, const struct thread_watch *watches, unsigned n)
{
	struct thread *t = calloc(1, sizeof(*t));
	int ret;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->epoll = t->call = -1;
	t->has_answered = true;
	if (n > THREAD_WATCHES_MAX) {
		release(t);
		return -EINVAL;
	}
	for (unsigned i = 0; i < n; i++)
		t->watches[t->n++] = watches[i];
	ret = open_all(t);
	if (ret == 0)
		ret = run(t);
	if (ret < 0)
		release(t);
	else
		*out = t;
	return ret;
}

static void call(struct thread *t)
{
	uint64_t one = 1;

	(void)!write(t->call, &one, sizeof(one)); /* full: it is readable */
}

bool thread_ask(struct thread *t)
{
	bool has_answered = atomic_exchange(&t->has_answered, false);

	call(t);
	return has_answered;
}

void thread_stop(struct thread *t)
{
	if (!t)
		return;
	t->must_stop = true;
	call(t);
	pthread_join(t->id, NULL);
	release(t);
}
