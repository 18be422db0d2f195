/* daemon/net/offload.h - what of the kernel's help is not to be used
 *
 * `offload = off` in the file, or WARREN_DISABLE=reuseport,multiqueue,gso,gro,vnet in the environment, forces the fallbacks that are
 * otherwise chosen by probing. Read once at start. Thread: loop. */
#ifndef DAEMON_NET_OFFLOAD_H
#define DAEMON_NET_OFFLOAD_H

#include <stdbool.h>

enum offload_disable {
	OFFLOAD_NO_REUSEPORT = 1,
	OFFLOAD_NO_MULTIQUEUE = 2,
	OFFLOAD_NO_GSO = 4,
	OFFLOAD_NO_GRO = 8,
	OFFLOAD_NO_VNET = 16,
};

/* Bits of enum offload_disable; is_on is the file's `offload`. Unknown words in the environment are ignored. */
unsigned offload_disabled(bool is_on);

#endif
