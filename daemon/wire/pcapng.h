/* daemon/wire/pcapng.h - packets as a file that tcpdump and Wireshark read (draft-ietf-opsawg-pcapng)
 *
 * A section with one interface of raw IP packets (LINKTYPE_RAW, nanoseconds); each packet has its direction and a comment, each
 * statistic how many were left out. In the byte order of this host, which the file says.
 * Thread: any. */
#ifndef DAEMON_WIRE_PCAPNG_H
#define DAEMON_WIRE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCAPNG_TEXT_MAX_BYTES 255
/* Of any block but for the packet in it. */
#define PCAPNG_BLOCK_MAX_BYTES 640

struct pcapng_packet {
	uint64_t time_ns; /* since 1970 */
	const uint8_t *data;
	size_t captured, len; /* bytes of data; of the packet */
	bool is_inbound;
	const char *comment; /* UTF-8; cut at PCAPNG_TEXT_MAX_BYTES; NULL: none */
};

/* All write one block or two and return their length; `out` has room for PCAPNG_BLOCK_MAX_BYTES and the packet. */
size_t pcapng_begin(uint8_t *out, const char *program, const char *interface, size_t snap_bytes);
size_t pcapng_packet(uint8_t *out, const struct pcapng_packet *p);
size_t pcapng_statistics(uint8_t *out, uint64_t time_ns, uint64_t n_received, uint64_t n_dropped);

#endif
