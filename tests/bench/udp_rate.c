/* Small UDP packets at a fixed rate, from one network namespace to another, and how many of them arrive.
 *
 *   bench_udp_rate NETNS_FROM NETNS_TO ADDRESS PORT BYTES PACKETS_PER_SECOND SECONDS
 *
 * prints one line of JSON. Sender and receiver are two threads of one process, each of whose sockets was opened in its own namespace,
 * so that nothing but what is measured passes between them. The sender sleeps between bursts, for on a machine of few cores
 * a sender that spins takes what the tunnel needs; at the highest rates a burst stays below what any TUN's queue holds.
 * Neither end uses the kernel's UDP offloads: what passes are the packets of many small senders. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define PAYLOAD_MIN 8 /* the sequence number */
#define PAYLOAD_MAX 1472
#define TICK_NS 100000
#define SECOND_NS 1000000000
#define BUFFER_BYTES (8 << 20)
/* After the last was sent: what is still in a queue arrives in this time. */
#define DRAIN_MS 200

struct run {
	/* fixed at start */
	int from_fd, to_fd;
	size_t payload_bytes;
	uint64_t n_wanted, rate;
	uint8_t *is_seen; /* one a packet: duplicates do not count as arrivals */
	/* results */
	uint64_t n_sent, n_refused, took_ns;
	_Atomic uint64_t n_received;
	uint64_t n_duplicate, n_foreign, n_late; /* late: behind one with a higher number */
	_Atomic bool is_over;
};

static void fail(const char *what)
{
	fprintf(stderr, "bench_udp_rate: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

static void sleep_until_ns(uint64_t at)
{
	struct timespec ts = { .tv_sec = (time_t)(at / SECOND_NS), .tv_nsec = (long)(at % SECOND_NS) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* A UDP socket of that namespace; this thread stays in it. */
static int socket_in(const char *netns, int family)
{
	int size = BUFFER_BYTES, ns = open(netns, O_RDONLY | O_CLOEXEC), fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		fail(netns);
	close(ns);
	fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket");
	/* A receiver that is off the core for a moment must not count as loss of the tunnel. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		fail("socket buffers");
	return fd;
}

static size_t address_of(const char *text, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	return 0;
}

static void count(struct run *run, const uint8_t *packet, size_t len, uint64_t *highest)
{
	uint64_t number;

	if (len != run->payload_bytes) {
		run->n_foreign++;
		return;
	}
	memcpy(&number, packet, sizeof(number));
	if (number >= run->n_wanted) {
		run->n_foreign++;
	} else if (run->is_seen[number]) {
		run->n_duplicate++;
	} else {
		run->is_seen[number] = 1;
		run->n_late += number < *highest;
		*highest = number > *highest ? number : *highest;
		atomic_fetch_add_explicit(&run->n_received, 1, memory_order_relaxed);
	}
}

static void *receive(void *arg)
{
	static uint8_t packets[BATCH][PAYLOAD_MAX + 1];
	struct run *run = arg;
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH] = { 0 };
	uint64_t highest = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ .iov_base = packets[i], .iov_len = sizeof(packets[i]) };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	while (!atomic_load(&run->is_over)) {
		int n = recvmmsg(run->to_fd, msgs, BATCH, MSG_WAITFORONE, NULL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			fail("recvmmsg");
		for (int i = 0; i < n; i++)
			count(run, packets[i], msgs[i].msg_len, &highest);
	}
	return NULL;
}

/* Numbers and sends packets up to, not including, `end`. */
static void send_up_to(struct run *run, uint64_t *next, uint64_t end)
{
	static uint8_t packets[BATCH][PAYLOAD_MAX];
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH] = { 0 };

	while (*next < end) {
		unsigned want = end - *next < BATCH ? (unsigned)(end - *next) : BATCH;
		int n;

		for (unsigned i = 0; i < want; i++) {
			uint64_t number = *next + i;

			memcpy(packets[i], &number, sizeof(number));
			iov[i] = (struct iovec){ .iov_base = packets[i], .iov_len = run->payload_bytes };
			msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		n = sendmmsg(run->from_fd, msgs, want, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			fail("sendmmsg");
		if (n < 0) {
			run->n_refused++; /* one that could not be sent is lost */
			n = 1;
		} else {
			run->n_sent += (uint64_t)n;
		}
		*next += (uint64_t)n;
	}
}

static void send_all(struct run *run)
{
	uint64_t begin = now_ns(), next = 0, tick = begin;

	while (next < run->n_wanted) {
		uint64_t elapsed = now_ns() - begin;
		uint64_t due = (uint64_t)((double)elapsed * (double)run->rate / SECOND_NS) + 1;

		/* A sender that falls behind by a tenth has lost: its backlog in one burst would be another measurement. */
		if (due > next + run->rate / 10 + BATCH)
			break;
		send_up_to(run, &next, due < run->n_wanted ? due : run->n_wanted);
		tick += TICK_NS;
		if (tick < begin + elapsed)
			tick = begin + elapsed;
		sleep_until_ns(tick);
	}
	run->took_ns = now_ns() - begin;
}

static uint64_t number_of(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < min || n > max) {
		fprintf(stderr, "bench_udp_rate: %s: a number from %" PRIu64 " to %" PRIu64 "\n", text, min, max);
		exit(64);
	}
	return n;
}

int main(int argc, char **argv)
{
	struct run run = { 0 };
	struct sockaddr_storage address;
	struct timeval wake = { .tv_usec = 50000 };
	socklen_t address_len;
	pthread_t receiver;
	uint64_t seconds;

	if (argc != 8) {
		fprintf(stderr, "usage: %s NETNS_FROM NETNS_TO ADDRESS PORT BYTES PACKETS_PER_SECOND SECONDS\n",
			argv[0]);
		return 64;
	}
	address_len = (socklen_t)address_of(argv[3], (uint16_t)number_of(argv[4], 1, UINT16_MAX), &address);
	if (address_len == 0) {
		fprintf(stderr, "bench_udp_rate: %s is no address\n", argv[3]);
		return 64;
	}
	run.payload_bytes = number_of(argv[5], PAYLOAD_MIN, PAYLOAD_MAX);
	run.rate = number_of(argv[6], 1, 20000000);
	seconds = number_of(argv[7], 1, 60);
	run.n_wanted = run.rate * seconds;
	run.is_seen = calloc(run.n_wanted, 1);
	if (!run.is_seen)
		fail("memory");
	prctl(PR_SET_TIMERSLACK, 1000);

	run.to_fd = socket_in(argv[2], address.ss_family);
	if (bind(run.to_fd, (struct sockaddr *)&address, address_len) < 0)
		fail("bind");
	setsockopt(run.to_fd, SOL_SOCKET, SO_RCVTIMEO, &wake, sizeof(wake));
	run.from_fd = socket_in(argv[1], address.ss_family);
	if (connect(run.from_fd, (struct sockaddr *)&address, address_len) < 0)
		fail("connect");
	if (pthread_create(&receiver, NULL, receive, &run) != 0)
		fail("thread");
	send_all(&run);
	sleep_until_ns(now_ns() + DRAIN_MS * UINT64_C(1000000));
	atomic_store(&run.is_over, true);
	pthread_join(receiver, NULL);

	printf("{\"offered\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"duplicate\": %" PRIu64 ", \"late\": %" PRIu64 ", \"foreign\": %" PRIu64 ", \"seconds\": %.3f}\n",
	       run.n_wanted, run.n_sent, run.n_refused, atomic_load(&run.n_received), run.n_duplicate, run.n_late,
	       run.n_foreign, (double)run.took_ns / SECOND_NS);
	free(run.is_seen);
	return 0;
}
