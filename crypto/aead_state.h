/* crypto/aead_state.h - memory for expanded keys: locked, kept out of core dumps, wiped, and small; for this directory only
 *
 * A page for every key would cost a node with 200 peers some 6 MB and, with each state at the start of its page, put all
 * of them on the same few sets of the cache. So a chunk of whole pages holds the states of 16 keys of one size; it is
 * locked and unlocked as a whole, so that no key's end unlocks its neighbours.
 * Thread: any; the chunks are the process's, as the heap is, and a mutex guards them. */
#ifndef CRYPTO_AEAD_STATE_H
#define CRYPTO_AEAD_STATE_H

#include <stddef.h>

/* `size` zero bytes, aligned to 64; NULL if memory is short. */
void *aead_state_new(size_t size);
/* Wipes and gives back; `size` as it was asked for. NULL is fine. */
void aead_state_free(void *state, size_t size);

#endif
