/* tests/unit/netns.h - a network namespace of the test's own
 *
 * Moves the program into a new, empty network namespace with lo up, so that devices and addresses it makes are seen by
 * nobody and go with it. Exits 77 (skipped) where that is not allowed. Call it before the first thread starts. */
#ifndef TESTS_UNIT_NETNS_H
#define TESTS_UNIT_NETNS_H

void netns_enter(void);
/* Writes one of the namespace's settings under /proc/sys; exits 77 where that is not allowed. */
void netns_set(const char *setting, const char *value);
/* A link that was set up gets there a moment later. Ends the program if it does not. */
void netns_wait_running(const char *link);

#endif
