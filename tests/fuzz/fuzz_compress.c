/* A block of anything, and the same bytes as a packet. */
#include "tests/fuzz/fuzz.h"

#include "daemon/data/compress.h"

#define CAP 1500

/* What comes out depends on the block alone, and stays within its room, of which the address sanitizer sees the end. */
static void unpack(const uint8_t *block, size_t len, size_t cap)
{
	uint8_t *a = malloc(cap ? cap : 1), *b = malloc(cap ? cap : 1);
	int n;

	must(a && b);
	memset(a, 0x00, cap);
	memset(b, 0xff, cap);
	n = compress_unpack(a, cap, block, len);
	must(compress_unpack(b, cap, block, len) == n);
	must(n < 0 || (n > 0 && (size_t)n <= cap));
	must(memcmp(a, b, cap) == 0);
	free(a);
	free(b);
}

static void pack(const uint8_t *packet, size_t len)
{
	static struct compressor *c;
	uint8_t out[CAP];
	const uint8_t *block;
	size_t n = 0;

	if (!c)
		c = compressor_new(CAP);
	must(c != NULL);
	block = compressor_pack(c, packet, len, &n);
	if (!block)
		return;
	must(n > 0 && n < len);
	must(compress_unpack(out, len, block, n) == (int)len && memcmp(out, packet, len) == 0);
	must(compress_unpack(out, len - 1, block, n) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unpack(data, len, CAP);
	if (len)
		unpack(data + 1, len - 1, data[0]);
	pack(data, len);
	return 0;
}
