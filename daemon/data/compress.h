/* daemon/data/compress.h - packets as LZ4 blocks, and whether that is worth it with a peer
 *
 * Each packet is a block of its own, without a dictionary and with nothing carried over from another, so that its length
 * tells of that packet only. It does tell: see `compression` in warren.conf(5), which is why both ends must ask for it
 * (WIRE_FEATURE_LZ4) and why it is off by default.
 * `auto` is judged for each peer by trial: what is compressed is counted, and after every COMPRESS_SAMPLE_BYTES a gain
 * under a tenth ends it for a while, a longer one each time in a row.
 * Pure: no clock, no allocation per packet. Thread: a compressor belongs to one; a trial is shared by all. */
#ifndef DAEMON_DATA_COMPRESS_H
#define DAEMON_DATA_COMPRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config/config.h"

/* ---------------------------------------------------------------- packets */

/* Shorter ones are headers and little else. */
#define COMPRESS_LEAST_BYTES 64

struct compressor;                                          /* one thread's working memory */
struct compressor *compressor_new(size_t packet_max_bytes); /* NULL: memory */
void compressor_free(struct compressor *c);                 /* NULL is fine */
/* The packet as a block, valid until the next call. NULL where it is to be sent as it is: too short, too long, or it would
 * not shrink by a sixteenth. */
const uint8_t *compressor_pack(struct compressor *c, const uint8_t *packet, size_t len, size_t *block_len);

/* The packet of a block, which may be anything, into `cap` bytes at `out`. Returns its length; -EBADMSG: not one whole
 * block, or of no bytes, or of more than cap. Nothing that stood at `out` before is there afterwards, whatever the block says. */
int compress_unpack(uint8_t *out, size_t cap, const uint8_t *block, size_t len);

/* ---------------------------------------------------------------- worth it? */

#define COMPRESS_SAMPLE_BYTES (256 * 1024)
#define COMPRESS_PAUSE_FIRST_MS 5000
#define COMPRESS_PAUSE_MAX_MS 60000

struct compress_trial { /* one peer's; zeroed at first */
	/* for whom it is shown: packets that were tried, and what they came to; packets that came as blocks, and those */
	_Atomic uint64_t tx_plain_bytes, tx_packed_bytes, rx_plain_bytes, rx_packed_bytes;
	/* private */
	_Atomic uint64_t judged_plain_bytes, judged_packed_bytes; /* of tx, at the last judgement */
	_Atomic uint64_t paused_until_ms;
	_Atomic uint32_t n_pauses; /* in a row */
	_Atomic bool is_worth_it;  /* as last judged */
};

enum compress_state {
	COMPRESS_OFF,
	COMPRESS_TRIAL,
	COMPRESS_ON,
	COMPRESS_PAUSED,
};
/* What the next packet meets. */
enum compress_state compress_state(const struct compress_trial *t, enum config_compression mode, uint64_t now_ms);
const char *compress_state_name(enum compress_state s); /* "off", "trial", "on", "paused" */
static inline bool compress_is_wanted(const struct compress_trial *t, enum config_compression mode, uint64_t now_ms)
{
	return mode != CONFIG_COMPRESSION_OFF &&
	       (mode == CONFIG_COMPRESSION_ON ||
		now_ms >= atomic_load_explicit(&t->paused_until_ms, memory_order_relaxed));
}
/* Packets were tried: their length, and what of it was sent. */
void compress_note(struct compress_trial *t, uint64_t plain_bytes, uint64_t packed_bytes, uint64_t now_ms);

#endif
