#include "tests/fuzz/fuzz.h"
#include "daemon/wire/http_connect.h"

/* What is decoded does not depend on what follows it, nor on how it comes in; nothing is whole before its last byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_connect_answer whole, again;
	int n = http_connect_answer_decode(&whole, data, len);

	if (n <= 0)
		return 0;
	must((size_t)n <= len && n <= HTTP_CONNECT_ANSWER_MAX_BYTES);
	must(whole.status >= 200 && whole.status <= 599);
	must(http_connect_answer_decode(&again, data, (size_t)n) == n);
	must(again.status == whole.status && again.offers_basic == whole.offers_basic);
	for (int cut = 0; cut < n; cut += 1 + cut / 16)
		must(http_connect_answer_decode(&again, data, (size_t)cut) == 0);
	must(http_connect_answer_decode(&again, data, (size_t)n - 1) == 0);
	return 0;
}
