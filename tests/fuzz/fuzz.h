/* tests/fuzz/fuzz.h - what the fuzz targets share */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A promise that no input may break; unlike assert() it is there in every build. */
static inline void must(bool kept)
{
	if (!kept)
		abort();
}

/* What is decoded can be encoded, and that decodes to something that encodes alike. */
#define FUZZ_ROUND_TRIP(type, decode, encode, data, len)                  \
	do {                                                              \
		static type first_, second_;                              \
		static uint8_t once_[65536], twice_[65536];               \
		int n_;                                                   \
                                                                          \
		if (decode(&first_, data, len) < 0)                       \
			break;                                            \
		n_ = encode(once_, sizeof(once_), &first_);               \
		must(n_ > 0 && decode(&second_, once_, (size_t)n_) == 0); \
		must(encode(twice_, sizeof(twice_), &second_) == n_);     \
		must(memcmp(once_, twice_, (size_t)n_) == 0);             \
	} while (0)

#endif
