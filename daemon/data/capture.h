/* daemon/data/capture.h - inner packets as they pass, for `warrenctl capture`
 *
 * A ring for each lane, which alone writes it; the loop alone reads it. What does not fit is counted and left out: the data
 * path never waits. Lanes find the capture in the published table, which holds a reference, so that while nothing is captured
 * all they do is look whether it is there.
 * Thread: capture_packet on the lane's; the rest by the loop. */
#ifndef DAEMON_DATA_CAPTURE_H
#define DAEMON_DATA_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPTURE_RING_BYTES (512 * 1024) /* of each lane; the kernel gives the pages as they are touched */
#define CAPTURE_SNAP_MAX_BYTES 65535

struct capture;

struct capture_record {
	uint64_t time_ns; /* since 1970 */
	uint64_t peer;    /* its number */
	uint32_t len;     /* of the packet; a train that goes out whole counts as one */
	uint32_t captured;
	bool is_inbound; /* from the peer */
};

/* `peer` 0: of all. Of each packet the first `snap_bytes`. One reference is the caller's. NULL: memory is short. */
struct capture *capture_new(uint64_t peer, size_t snap_bytes);
struct capture *capture_ref(struct capture *c);
void capture_unref(struct capture *c); /* NULL is fine */

/* Lets the lane of that number (below CAPTURE_LANES) write. 0 or -ENOMEM. Before the capture is published. */
#define CAPTURE_LANES 9
int capture_add_lane(struct capture *c, unsigned lane);

void capture_packet(struct capture *c, unsigned lane, uint64_t peer, bool is_inbound, const uint8_t *packet,
		    size_t len);

/* Hands over what is there, lane by lane, until `fn` says false: it has had enough. `data` is valid during the call. */
typedef bool capture_fn(void *arg, const struct capture_record *record, const uint8_t *data);
void capture_drain(struct capture *c, capture_fn *fn, void *arg);
uint64_t capture_dropped(const struct capture *c); /* for want of room, so far */
bool capture_is_empty(const struct capture *c);

#endif
