#include "tests/fuzz/fuzz.h"
#include "crypto/mac.h"
#include "daemon/data/cache.h"

static struct cache_writer writer;

static void write_again(void *arg, const struct cache_head *head, const struct cache_peer *p)
{
	if (!writer.w.begin)
		cache_begin(&writer, arg, head);
	cache_add(&writer, p);
}

/* What is read can be written, and that is read as the same. The input stands behind the hash, which whoever can write the
 * file can make. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t file[CACHE_MAX_BYTES], once[CACHE_MAX_BYTES], twice[CACHE_MAX_BYTES];
	size_t n_once, n_twice;

	cache_decode(data, len, NULL, NULL);
	if (len > sizeof(file) - CACHE_HEAD_BYTES)
		return 0;
	memcpy(file, "warren-members-2", 16);
	hash_bytes(file + 16, data, len);
	memcpy(file + CACHE_HEAD_BYTES, data, len);
	writer = (struct cache_writer){ 0 };
	if (cache_decode(file, CACHE_HEAD_BYTES + len, write_again, once) < 0 || !writer.w.begin)
		return 0;
	n_once = cache_end(&writer);
	writer = (struct cache_writer){ 0 };
	must(n_once && cache_decode(once, n_once, write_again, twice) == 0);
	n_twice = cache_end(&writer);
	must(n_once == n_twice && memcmp(once, twice, n_once) == 0);
	return 0;
}
