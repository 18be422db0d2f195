/* daemon/net/udp.h - UDP sockets that share one port, and batches of datagrams
 *
 * A struct udp is one socket: dual-stack (IPv6 with mapped IPv4) where IPv6 exists, else IPv4; or bound to one address.
 * N of them bound with SO_REUSEPORT share the node's port, one a worker. Batches are the interface of the data path:
 * what the kernel can take or give in one call (UDP_SEGMENT, UDP_GRO, recvmmsg, sendmmsg) is decided behind it, so a
 * caller only ever sees "a run of datagrams to one endpoint, all but the last of segment_bytes".
 * ICMP errors the kernel reports on sending (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH ...) are hints: they are counted
 * and never stop a batch. With dont_fragment every datagram goes with DF set, and the kernel keeps no path MTU: EMSGSIZE means the
 * outgoing link's MTU.
 * Thread: a socket's receive side belongs to one thread; sending is allowed from any. */
#ifndef DAEMON_NET_UDP_H
#define DAEMON_NET_UDP_H

#include "daemon/base/addr.h"

#define UDP_BATCH_MAX 64

struct udp {
	int fd;                /* -1: none */
	bool is_v6;            /* an AF_INET6 socket: IPv4 goes mapped */
	bool has_local;        /* struct udp_run's local is filled on receipt and obeyed on sending (IP_PKTINFO) */
	bool has_gso, has_gro; /* as opened; whether GSO is in use now, udp_has_gso() says */
	int gso_error;         /* private: the errno it was refused with, 0: not */
};

struct udp_options {
	struct ip address;          /* none or "::": any, both families; "0.0.0.0": IPv4 only */
	uint16_t port;              /* 0: the kernel draws one */
	bool reuse_port;            /* several sockets are to share the port; set by udp_open_shared */
	bool want_gso, want_gro;    /* probed; the fields of struct udp say what is there */
	bool want_local;            /* a host with several addresses answers from the one it was asked at */
	const char *bind_interface; /* NULL or "": none */
	bool dont_fragment;         /* DF on every datagram, for whoever finds path MTUs itself */
	int buffer_bytes;           /* socket buffers, 0: the default */
};

/* A received or to-be-sent run of datagrams in one buffer. */
struct udp_run {
	struct endpoint peer; /* send: obeyed with the link it says to send through */
	struct ip local;      /* with has_local: our address the run came to / is to leave from; none: any */
	uint8_t *data;        /* send: borrowed; receive: the caller's buffer */
	size_t capacity;      /* receive: of data */
	size_t len;           /* of all datagrams together */
	size_t segment_bytes; /* of each but the last; == len: a single datagram */
};

/* What UDP_SEGMENT takes in one run everywhere. */
#define UDP_RUN_SEGMENTS_MAX 64
#define UDP_RUN_BYTES_MAX 65000

/* Datagrams in a run. */
static inline size_t udp_run_count(const struct udp_run *run)
{
	return run->segment_bytes ? (run->len + run->segment_bytes - 1) / run->segment_bytes : 1;
}

/* Is a datagram of len bytes, though it stood right behind the run and had the same way to go, one too many for it? */
static inline bool udp_run_is_full(const struct udp_run *run, size_t len)
{
	return len == 0 || len > run->segment_bytes || run->len % run->segment_bytes != 0 ||
	       run->len + len > UDP_RUN_BYTES_MAX || run->len / run->segment_bytes >= UDP_RUN_SEGMENTS_MAX;
}

/* Adds a datagram to the n_runs of a batch that is to be sent: to the last run where it lies right behind that and is of its length, or
 * shorter and so its last; else as a run of its own. `local` may be NULL. Returns the new number of runs. */
unsigned udp_runs_add(struct udp_run *runs, unsigned n_runs, const struct endpoint *to, const struct ip *local,
		      uint8_t *data, size_t len);

int udp_open(struct udp *udp, const struct udp_options *options);
/* Opens n sockets on one port that nobody else has (SO_REUSEPORT). Returns how many there are, 1 where they cannot share it;
 * or negative errno, with none open. */
int udp_open_shared(struct udp *v, unsigned n, const struct udp_options *options);
void udp_close(struct udp *udp);
int udp_port(const struct udp *udp); /* the bound port, or negative errno */

/* Fills up to n runs; returns how many, 0 when there is nothing now. Datagrams cut short by the buffer are left out;
 * the run they came in then changes places, `data` and all, with a later one. */
int udp_recv(struct udp *udp, struct udp_run *runs, unsigned n);
/* Sends runs in order. Returns how many runs went out whole or were refused for good; less than n when the socket
 * would block (the caller drops or retries; the first datagrams of that run may be gone already). *n_errors, if not
 * NULL, is raised by refused runs; *last_error gets the last errno among them (EMSGSIZE matters to path MTU). */
int udp_send(struct udp *udp, const struct udp_run *runs, unsigned n, unsigned *n_errors, int *last_error);
/* Is UDP_SEGMENT in use? The kernel may refuse it in mid-flight, for the way out at that moment: what it refused has gone datagram
 * by datagram then, and so has everything after. *error, if not NULL, is that errno, else 0. Any thread. */
bool udp_has_gso(const struct udp *udp, int *error);
/* The way out may be another now: UDP_SEGMENT is tried again. Any thread. */
void udp_retry_gso(struct udp *udp);
/* One datagram, from any thread. 0 or negative errno. */
int udp_send_one(const struct udp *udp, const struct endpoint *to, const void *data, size_t len);
/* The same, and it gets no further than so many hops, 1..255: routers on the way count (IP_TTL, IPV6_HOPLIMIT). */
int udp_send_hops(const struct udp *udp, const struct endpoint *to, const void *data, size_t len, int hops);
/* How full the kernel's buffers are, in hundredths: with what is to be received, up to a quarter too high, and with what it
 * was given to send. */
struct udp_fill {
	unsigned in_percent, out_percent;
};
struct udp_fill udp_fill(const struct udp *udp); /* zeros where the kernel does not tell */
/* The port's local address towards `to`, by a connected probe socket (no packet is sent). */
int udp_local_address(const struct endpoint *to, struct ip *out);

#endif
