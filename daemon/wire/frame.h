/* daemon/wire/frame.h - the control connection's frames: a 16-bit length, then that many bytes
 *
 * The first frame each way is a handshake message (handshake.h); all later ones are sealed (crypto/channel.h) control
 * messages (control.h). A frame of 0 or more than WIRE_FRAME_MAX_BYTES ends the connection. */
#ifndef DAEMON_WIRE_FRAME_H
#define DAEMON_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_FRAME_HEADER_BYTES 2
#define WIRE_FRAME_MAX_BYTES 4096

/* Looks for one whole frame at the start of data. Returns its body's length and sets *body; 0: more bytes are
 * needed; -EBADMSG: no frame can begin so. */
int wire_frame_peek(const uint8_t *data, size_t len, const uint8_t **body);
void wire_frame_header(uint8_t out[static WIRE_FRAME_HEADER_BYTES], size_t body_len);

#endif
