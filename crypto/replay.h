/* crypto/replay.h - the sliding window against replayed datagrams (RFC 6479, 8192 bits)
 *
 * Asked only after the tag has been verified. Not locked: its owner sees to one caller at a time. */
#ifndef CRYPTO_REPLAY_H
#define CRYPTO_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW_BITS 8192
#define REPLAY_WINDOW_BEHIND (REPLAY_WINDOW_BITS - 64)         /* how far behind the highest a counter may be */
#define REPLAY_COUNTER_LIMIT (UINT64_MAX - REPLAY_WINDOW_BITS) /* this and above is refused: 2^64 - 8192 - 1 */

struct replay {
	uint64_t highest; /* meaningless until any */
	uint64_t bits[REPLAY_WINDOW_BITS / 64];
	bool any;
};

void replay_init(struct replay *w);
/* True and remembered if `counter` is new and in the window; else false, and nothing changes. */
bool replay_accept(struct replay *w, uint64_t counter);

#endif
