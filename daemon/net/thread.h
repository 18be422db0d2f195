/* daemon/net/thread.h - a thread with a loop of its own that watches descriptors
 *
 * What a worker runs on. Everything a callback touches is the thread's until thread_stop has returned; signals stay the main
 * thread's.
 * Thread: start and stop by the loop. */
#ifndef DAEMON_NET_THREAD_H
#define DAEMON_NET_THREAD_H

#include <stdbool.h>

#define THREAD_WATCHES_MAX 4

struct thread_watch {
	int fd;                /* not owned; open until thread_stop */
	bool is_socket;        /* an error of it is only to be read; of another descriptor it ends the watch */
	void (*fn)(void *arg); /* called again and again while fd is readable or has an error to be read */
	void *arg;
};

struct thread;
/* Copies the watches. Negative errno. */
int thread_start(struct thread **out, const struct thread_watch *watches, unsigned n);
/* Did the thread's loop turn since it was asked the last time (true before the first)? Asks anew. */
bool thread_ask(struct thread *t);
void thread_stop(struct thread *t); /* returns when the thread has ended; NULL is fine */

#endif
