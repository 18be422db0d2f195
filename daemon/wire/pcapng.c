#include "daemon/wire/pcapng.h"

#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_RAW 101u
#define OPTION_END 0
#define OPTION_COMMENT 1
#define SECTION_USERAPPL 4
#define INTERFACE_NAME 2
#define INTERFACE_TSRESOL 9
#define NANOSECONDS 9 /* 10^-9 */
#define PACKET_FLAGS 2
#define FLAGS_INBOUND 1u
#define FLAGS_OUTBOUND 2u
#define STATISTICS_IFRECV 4
#define STATISTICS_IFDROP 5

/* Written so far. Blocks are 32-bit words in this host's order; their length stands at both ends. */
struct block {
	uint8_t *start, *at;
};

static void put(struct block *b, const void *data, size_t len)
{
	memcpy(b->at, data, len);
	b->at += len;
}

static void put_u16(struct block *b, uint16_t v)
{
	put(b, &v, sizeof(v));
}

static void put_u32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

/* The high word first, whatever the byte order. */
static void put_time(struct block *b, uint64_t ns)
{
	put_u32(b, (uint32_t)(ns >> 32));
	put_u32(b, (uint32_t)ns);
}

static void put_padded(struct block *b, const void *data, size_t len)
{
	put(b, data, len);
	while ((size_t)(b->at - b->start) % 4)
		*b->at++ = 0;
}

static void put_option(struct block *b, uint16_t code, const void *data, size_t len)
{
	put_u16(b, code);
	put_u16(b, (uint16_t)len);
	put_padded(b, data, len);
}

static void put_text(struct block *b, uint16_t code, const char *text)
{
	size_t len = strlen(text);

	put_option(b, code, text, len < PCAPNG_TEXT_MAX_BYTES ? len : PCAPNG_TEXT_MAX_BYTES);
}

static struct block begin(uint8_t *out, uint32_t type)
{
	struct block b = { .start = out, .at = out };

	put_u32(&b, type);
	put_u32(&b, 0); /* the length, known at the end */
	return b;
}

static size_t end(struct block *b)
{
	uint32_t len;

	put_u16(b, OPTION_END);
	put_u16(b, 0);
	len = (uint32_t)(b->at - b->start) + (uint32_t)sizeof(len);
	put_u32(b, len);
	memcpy(b->start + sizeof(uint32_t), &len, sizeof(len));
	return len;
}

size_t pcapng_begin(uint8_t *out, const char *program, const char *interface, size_t snap_bytes)
{
	static const uint64_t unknown_length = UINT64_MAX;
	static const uint8_t resolution = NANOSECONDS;
	struct block b = begin(out, BLOCK_SECTION);
	size_t len;

	put_u32(&b, BYTE_ORDER_MAGIC);
	put_u16(&b, 1); /* version 1.0 */
	put_u16(&b, 0);
	put(&b, &unknown_length, sizeof(unknown_length));
	put_text(&b, SECTION_USERAPPL, program);
	len = end(&b);
	b = begin(out + len, BLOCK_INTERFACE);
	put_u16(&b, LINKTYPE_RAW);
	put_u16(&b, 0);
	put_u32(&b, (uint32_t)snap_bytes);
	put_text(&b, INTERFACE_NAME, interface);
	put_option(&b, INTERFACE_TSRESOL, &resolution, sizeof(resolution));
	return len + end(&b);
}

size_t pcapng_packet(uint8_t *out, const struct pcapng_packet *p)
{
	uint32_t flags = p->is_inbound ? FLAGS_INBOUND : FLAGS_OUTBOUND;
	struct block b = begin(out, BLOCK_PACKET);

	put_u32(&b, 0); /* the first and only interface */
	put_time(&b, p->time_ns);
	put_u32(&b, (uint32_t)p->captured);
	put_u32(&b, (uint32_t)p->len);
	put_padded(&b, p->data, p->captured);
	if (p->comment)
		put_text(&b, OPTION_COMMENT, p->comment);
	put_option(&b, PACKET_FLAGS, &flags, sizeof(flags));
	return end(&b);
}

size_t pcapng_statistics(uint8_t *out, uint64_t time_ns, uint64_t n_received, uint64_t n_dropped)
{
	struct block b = begin(out, BLOCK_STATISTICS);

	put_u32(&b, 0);
	put_time(&b, time_ns);
	put_option(&b, STATISTICS_IFRECV, &n_received, sizeof(n_received));
	put_option(&b, STATISTICS_IFDROP, &n_dropped, sizeof(n_dropped));
	return end(&b);
}
