/* A ring of words (RFC 6479 section 2): going forward clears whole words, so that no bit is ever shifted. One word is
 * always only partly in use, which is why the window is 64 counters shorter than the ring. */
#include "crypto/replay.h"

#include <assert.h>
#include <string.h>

#define WORD_BITS 64
#define N_WORDS (REPLAY_WINDOW_BITS / WORD_BITS)

static_assert((N_WORDS & (N_WORDS - 1)) == 0, "the ring index is a mask");

void replay_init(struct replay *w)
{
	memset(w, 0, sizeof(*w));
}

static void advance(struct replay *w, uint64_t counter)
{
	uint64_t from = w->highest / WORD_BITS, to = counter / WORD_BITS;

	if (to - from >= N_WORDS)
		memset(w->bits, 0, sizeof(w->bits));
	else
		for (uint64_t i = from + 1; i <= to; i++)
			w->bits[i % N_WORDS] = 0;
	w->highest = counter;
}

bool replay_accept(struct replay *w, uint64_t counter)
{
	uint64_t *word = &w->bits[counter / WORD_BITS % N_WORDS];
	uint64_t bit = UINT64_C(1) << (counter % WORD_BITS);

	if (counter >= REPLAY_COUNTER_LIMIT)
		return false;
	if (!w->any) {
		w->any = true;
		w->highest = counter;
	} else if (counter > w->highest) {
		advance(w, counter);
	} else if (w->highest - counter > REPLAY_WINDOW_BEHIND || (*word & bit)) {
		return false;
	}
	*word |= bit;
	return true;
}
