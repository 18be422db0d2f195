/* daemon/coordinator/stun_limit.h - how many STUN requests of strangers are answered
 *
 * Per source prefix (/32, /64) and in all. The table has a fixed size and a key of its own, so that spoofed sources
 * neither grow it nor choose whom they push out; a source that was pushed out starts with a full bucket, and the
 * limit over all still holds.  Time is handed in. Thread: any; one waits for another as long as a look-up takes. */
#ifndef DAEMON_COORDINATOR_STUN_LIMIT_H
#define DAEMON_COORDINATOR_STUN_LIMIT_H

#include "daemon/base/addr.h"

#define STUN_LIMIT_PER_S 20
#define STUN_LIMIT_BURST 40
#define STUN_LIMIT_TOTAL_PER_S 2000
#define STUN_LIMIT_ENTRIES 4096

struct stun_limit;

struct stun_limit *stun_limit_new(uint64_t now_ms); /* NULL if memory is short */
void stun_limit_free(struct stun_limit *l);         /* NULL is fine */
/* True, and charged, if a request from `source` may be answered. */
bool stun_limit_take(struct stun_limit *l, const struct ip *source, uint64_t now_ms);

#endif
