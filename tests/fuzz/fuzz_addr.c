#include "tests/fuzz/fuzz.h"
#include "daemon/base/addr.h"

/* What is read as an address is printed in a form that reads back as the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[128], out[ADDR_TEXT_BYTES];
	struct endpoint ep, ep_back;
	struct prefix prefix, prefix_back;
	struct ip ip, ip_back;

	if (len >= sizeof(text))
		return 0;
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	if (ip_from_text(&ip, text) == 0)
		must(ip_from_text(&ip_back, ip_to_text(&ip, out)) == 0 && ip_equal(&ip, &ip_back));
	if (endpoint_from_text(&ep, text) == 0)
		must(endpoint_from_text(&ep_back, endpoint_to_text(&ep, out)) == 0 && endpoint_equal(&ep, &ep_back));
	if (prefix_from_text(&prefix, text) == 0) {
		struct ip net = prefix_network(&prefix);

		must(prefix_from_text(&prefix_back, prefix_to_text(&prefix, out)) == 0);
		must(ip_equal(&prefix.ip, &prefix_back.ip) && prefix.bits == prefix_back.bits);
		must(prefix_contains(&prefix, &prefix.ip) && prefix_contains(&prefix, &net));
	}
	return 0;
}
