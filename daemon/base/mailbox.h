/* daemon/base/mailbox.h - what a worker tells the loop
 *
 * A bounded queue of letters: a head, whose type is the two sides' to agree on, and bytes behind it. The worker's side takes
 * a lock for the length of a copy, the loop's for the length of two pointer swaps, so neither waits for the other's work. A
 * full box refuses: the caller counts the drop. What strangers can cause may fill only half of it, so that it does not crowd
 * out the rest.
 * Thread: push by any, drain by the loop. */
#ifndef DAEMON_BASE_MAILBOX_H
#define DAEMON_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;
/* `head` and `data` lie in the box, aligned and writable, and are valid during the call. */
typedef void mailbox_fn(void *arg, void *head, uint8_t *data, size_t len);

struct mailbox *mailbox_new(size_t capacity_bytes, size_t head_bytes); /* NULL if memory is short */
void mailbox_free(struct mailbox *b);                                  /* NULL is fine */
/* Copies both in. -ENOBUFS when full. *was_empty: the loop is to be woken. */
int mailbox_push(struct mailbox *b, const void *head, const void *data, size_t len, bool is_strangers, bool *was_empty);
/* Hands over what was in the box when it was called. */
void mailbox_drain(struct mailbox *b, mailbox_fn *fn, void *arg);

#endif
