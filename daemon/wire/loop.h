/* daemon/wire/loop.h - what a node sends to its own outside endpoint, to see whether it gets there
 *
 * Never answered: whoever receives one it has not sent forgets it.
 *   offset size field
 *        0    1 type      WIRE_LOOP
 *        1    7 reserved  sent 0, ignored on receipt
 *        8    8 token     random */
#ifndef DAEMON_WIRE_LOOP_H
#define DAEMON_WIRE_LOOP_H

#include "daemon/wire/wire.h"

#define WIRE_LOOP_BYTES 16

void wire_loop_encode(uint8_t out[static WIRE_LOOP_BYTES], uint64_t token);
int wire_loop_decode(uint64_t *token, const uint8_t *data, size_t len); /* -EBADMSG */

#endif
