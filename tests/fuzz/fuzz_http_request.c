#include "daemon/control/http_request.h"
#include "tests/fuzz/fuzz.h"

/* A head is judged the same however it is cut, what is understood stays in bounds, and every refusal has a name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	struct http_request r, again;
	int status, strict;

	status = http_request_parse(&r, text, len, false);
	strict = http_request_parse(&again, text, len, true);
	must(status == strict || (status == 200 && strict == 403));
	must(status == 0 || strcmp(http_reason(status), "Internal Server Error") != 0);
	if (status == 0)
		must(len < HTTP_HEAD_MAX_BYTES);
	if (status != 200)
		return 0;
	must(r.path[0] == '/' && memchr(r.path, '\0', sizeof(r.path)));
	for (size_t n = 0; n < len; n++) {
		int part = http_request_parse(&again, text, n, false);

		must(part == 0 || part == 200);
		if (part == 200)
			break; /* the head ends there, and the rest is nobody's */
	}
	must(strcmp(again.path, r.path) == 0 || http_request_parse(&again, text, len, false) == 200);
	return 0;
}
