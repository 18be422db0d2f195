/* tests/unit/wire_checks.h - what every decoder promises, as checks
 *
 * Input is handed over in heap blocks of exactly its length, so that the address sanitizer sees a read past the end. */
#ifndef TESTS_UNIT_WIRE_CHECKS_H
#define TESTS_UNIT_WIRE_CHECKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static inline uint8_t *exact_copy(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* `data` is refused and a `type` handed over as result stays as it was. */
#define CHECK_REFUSED(decode, type, data, len)                                           \
	do {                                                                             \
		uint8_t *copy_ = exact_copy(data, len);                                  \
		type *out_ = malloc(sizeof(*out_)), *before_ = malloc(sizeof(*before_)); \
                                                                                         \
		assert_true(out_ &&before_);                                             \
		memset(out_, 0xa5, sizeof(*out_));                                       \
		memset(before_, 0xa5, sizeof(*before_));                                 \
		assert_int_equal(decode(out_, copy_, len), -EBADMSG);                    \
		assert_memory_equal(out_, before_, sizeof(*out_));                       \
		free(before_);                                                           \
		free(out_);                                                              \
		free(copy_);                                                             \
	} while (0)

/* A good message is refused when cut anywhere. */
#define CHECK_CUTS_REFUSED(decode, type, data, len)                 \
	do {                                                        \
		for (size_t cut_ = 0; cut_ < (size_t)(len); cut_++) \
			CHECK_REFUSED(decode, type, data, cut_);    \
	} while (0)

/* A good message is refused with a byte too many. */
#define CHECK_TRAILING_REFUSED(decode, type, data, len)      \
	do {                                                 \
		size_t longer_ = (size_t)(len) + 1;          \
		uint8_t *with_ = malloc(longer_);            \
                                                             \
		assert_non_null(with_);                      \
		memcpy(with_, data, longer_ - 1);            \
		with_[longer_ - 1] = 0;                      \
		CHECK_REFUSED(decode, type, with_, longer_); \
		free(with_);                                 \
	} while (0)

/* Another first byte is another message. */
#define CHECK_OTHER_TYPE_REFUSED(decode, type, data, len)           \
	do {                                                        \
		uint8_t *other_ = exact_copy(data, (size_t)(len));  \
                                                                    \
		other_[0] ^= 0x80;                                  \
		CHECK_REFUSED(decode, type, other_, (size_t)(len)); \
		free(other_);                                       \
	} while (0)

#define CHECK_STRICT(decode, type, data, len)                      \
	do {                                                       \
		CHECK_CUTS_REFUSED(decode, type, data, len);       \
		CHECK_TRAILING_REFUSED(decode, type, data, len);   \
		CHECK_OTHER_TYPE_REFUSED(decode, type, data, len); \
	} while (0)

/* An encoder that returns a length refuses every capacity below it. */
#define CHECK_NO_ROOM(encode, message, len)                                      \
	do {                                                                     \
		uint8_t room_[4096];                                             \
                                                                                 \
		for (size_t cap_ = 0; cap_ < (size_t)(len); cap_++)              \
			assert_int_equal(encode(room_, cap_, message), -ENOSPC); \
	} while (0)

#endif
