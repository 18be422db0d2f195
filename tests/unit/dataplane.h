/* tests/unit/dataplane.h - what the tests of the data path share: both ends of a session and of a link, and packets
 *
 * "Near" is the node under test, "far" what it talks to. Keys are fixed patterns; two pairs made from different numbers
 * do not open each other's datagrams. Whatever cannot be made fails the test. */
#ifndef TESTS_UNIT_DATAPLANE_H
#define TESTS_UNIT_DATAPLANE_H

#include "daemon/data/table.h"

struct session_pair {
	struct session *near, *far;
};

/* Their indices are near_index and near_index + 1. */
struct session_pair session_pair_new(uint32_t near_index, bool near_is_initiator, uint64_t now_ms);
void session_pair_free(struct session_pair *pair);

struct link_pair {
	struct relay_link *near, *coordinator;
};

/* Their indices are near_index and near_index + 1. */
struct link_pair link_pair_new(uint32_t near_index);
void link_pair_free(struct link_pair *pair);

struct ip ip_of(const char *text);
struct endpoint endpoint_of(const char *text);

#define PACKET_HEADERS_BYTES 28 /* IPv4 and UDP */
#define PACKET_MAX_BYTES 1500
/* An IPv4 UDP packet with `len` bytes of data behind its headers, which is not touched. Returns its length. */
size_t packet_make(uint8_t out[static PACKET_MAX_BYTES], const char *src, const char *dst, uint16_t port, size_t len);

/* Opens a sealed datagram in place; returns as session_open, or -ENOENT when it is for another index. */
int datagram_open(struct session *s, uint8_t *data, size_t len, uint64_t now_ms);

#endif
