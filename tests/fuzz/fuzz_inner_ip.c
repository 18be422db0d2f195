#include "tests/fuzz/fuzz.h"
#include "daemon/data/inner_ip.h"

/* What is built for a packet is a packet, and is not answered in turn. */
static void check_error(const uint8_t *packet, size_t len)
{
	uint8_t *out = malloc(INNER_IP_ERROR_MAX_BYTES), *exact, *again;
	size_t n = inner_ip_unreachable(out, INNER_IP_ERROR_MAX_BYTES, packet, len);
	struct inner_ip ip, error;

	must(inner_ip_unreachable(out, 0, packet, len) == 0);
	if (n > 0) {
		must(n <= INNER_IP_ERROR_MAX_BYTES);
		must(inner_ip_parse(&ip, packet, len) == 0 && inner_ip_parse(&error, out, n) == 0);
		must(error.len == n && ip_equal(&error.dst, &ip.src) && ip_equal(&error.src, &ip.dst));
		again = malloc(INNER_IP_ERROR_MAX_BYTES);
		must(inner_ip_unreachable(again, INNER_IP_ERROR_MAX_BYTES, out, n) == 0);
		free(again);
		/* The sanitizer sees a byte past what fits. */
		exact = malloc(n);
		must(inner_ip_unreachable(exact, n, packet, len) == n && memcmp(exact, out, n) == 0);
		must(inner_ip_unreachable(exact, n - 1, packet, len) == 0);
		free(exact);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct inner_ip ip;

	if (inner_ip_parse(&ip, data, len) == 0) {
		struct inner_ip cut;

		must(ip.len >= 20 && ip.len <= len);
		must(ip.src.len == ip.dst.len && (ip.src.len == 4 || ip.src.len == 16));
		/* Padding changes nothing, a byte less does. */
		must(inner_ip_parse(&cut, data, ip.len) == 0 && cut.len == ip.len);
		must(ip_equal(&cut.src, &ip.src) && ip_equal(&cut.dst, &ip.dst));
		must(inner_ip_parse(&cut, data, ip.len - 1) < 0);
	}
	check_error(data, len);
	return 0;
}
