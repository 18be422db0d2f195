/* daemon/coordinator/bucket.h - a token bucket: so many a second, so many at once
 *
 * Time is handed in; an instant before the last one refills nothing. Thread: one. */
#ifndef DAEMON_COORDINATOR_BUCKET_H
#define DAEMON_COORDINATOR_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint64_t left_milli; /* thousandths of a token */
	uint64_t refilled_ms;
};

void bucket_init(struct bucket *b, uint32_t burst, uint64_t now_ms); /* full */
/* Takes one token if there is one. */
bool bucket_take(struct bucket *b, uint32_t per_s, uint32_t burst, uint64_t now_ms);

#endif
