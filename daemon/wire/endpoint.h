/* daemon/wire/endpoint.h - addresses inside messages
 *
 * Two forms: an endpoint in 20 bytes, so that messages holding one have a fixed size, and a bare address with its length
 * before it.
 *   endpoint, offset size field
 *        0    1 address length  4, 16, or 0: none
 *        1    1 reserved
 *        2    2 port
 *        4   16 address, zero-padded */
#ifndef DAEMON_WIRE_ENDPOINT_H
#define DAEMON_WIRE_ENDPOINT_H

#include "daemon/base/addr.h"
#include "daemon/base/bytes.h"

#define WIRE_ENDPOINT_BYTES 20

void wire_endpoint_write(struct writer *w, const struct endpoint *ep);
/* Fails the reader on another length than 0, 4 or 16. */
void wire_endpoint_read(struct reader *r, struct endpoint *out);

/* 1 length (4 or 16), address. Both fail on another length, of `ip` or in the message. */
void wire_ip_write(struct writer *w, const struct ip *ip);
void wire_ip_read(struct reader *r, struct ip *out);

#endif
