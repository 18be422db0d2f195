#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/control/http_request.h"

static int parse(struct http_request *out, const char *text, bool needs_loopback)
{
	return http_request_parse(out, text, strlen(text), needs_loopback);
}

static void a_scrape_is_understood(void **state)
{
	struct http_request r;

	(void)state;
	assert_int_equal(parse(&r, "GET /metrics HTTP/1.1\r\nHost: localhost:9586\r\n\r\n", true), 200);
	assert_string_equal(r.path, "/metrics");
	assert_false(r.is_head);
	assert_false(r.wants_open_metrics);
	assert_int_equal(parse(&r, "HEAD /metrics?x=y HTTP/1.0\nhOsT:\t[::1] \n\n", true), 200);
	assert_string_equal(r.path, "/metrics");
	assert_true(r.is_head);
	assert_int_equal(parse(&r, "GET / HTTP/1.0\r\n\r\n", false), 200);
}

static void the_first_format_that_we_have_is_taken(void **state)
{
	static const struct {
		const char *accept;
		bool is_open;
	} cases[] = {
		{ "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true },
		{ "application/vnd.google.protobuf;q=0.7, application/openmetrics-text ;q=0.5", true },
		{ "text/plain;version=0.0.4,application/openmetrics-text", false },
		{ "*/*", false },
		{ "application/openmetrics-text-not", false },
		{ "", false },
	};
	struct http_request r;
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: %s\r\n\r\n", cases[i].accept);
		assert_int_equal(parse(&r, text, false), 200);
		assert_int_equal(r.wants_open_metrics, cases[i].is_open);
	}
}

static void only_the_loopback_is_a_host(void **state)
{
	static const char *const good[] = { "localhost",      "LOCALHOST:1", "127.0.0.1",
					    "127.9.9.9:9586", "[::1]",       "[::1]:80" };
	static const char *const bad[] = {
		"",           "rebound.example", "10.0.0.1", "127.0.0.1.example", "localhost.example", "[::2]", "::1",
		"[127.0.0.1", "0.0.0.0",         "127.1"
	};
	struct http_request r;
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
		assert_int_equal(parse(&r, text, true), 200);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
		if (strcmp(bad[i], "[127.0.0.1") != 0) /* what is meant is the loopback, however it is written */
			assert_int_equal(parse(&r, text, true), 403);
		assert_int_equal(parse(&r, text, false), 200);
	}
	assert_int_equal(parse(&r, "GET /metrics HTTP/1.1\r\n\r\n", true), 403);
	assert_int_equal(parse(&r, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", true), 400);
}

static void what_is_no_scrape_is_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "POST /metrics HTTP/1.1\r\n\r\n", 405 },
		{ "get /metrics HTTP/1.1\r\n\r\n", 405 },
		{ "GETX /metrics HTTP/1.1\r\n\r\n", 405 },
		{ "G /metrics HTTP/1.1\r\n\r\n", 405 },
		{ "GET /metrics HTTP/2.0\r\n\r\n", 505 },
		{ "GET /metrics\r\n\r\n", 400 },
		{ "GET metrics HTTP/1.1\r\n\r\n", 400 },
		{ "GET http://localhost/metrics HTTP/1.1\r\n\r\n", 400 },
		{ "GET  /metrics HTTP/1.1\r\n\r\n", 400 },
		{ "GET /metr\x01ics HTTP/1.1\r\n\r\n", 400 },
		{ "\r\n\r\n", 400 },
		{ " GET /metrics HTTP/1.1\r\n\r\n", 400 },
		{ "GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400 },
		{ "GET /metrics HTTP/1.1\r\nName : value\r\n\r\n", 400 },
		{ "GET /metrics HTTP/1.1\r\n folded: value\r\n\r\n", 400 },
		{ "GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400 },
		{ "GET /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 200 },
		{ "GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	};
	struct http_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(parse(&r, cases[i].text, false), cases[i].status);
	assert_int_equal(http_request_parse(&r, "GET /\0 HTTP/1.1\r\n\r\n", 19, false), 400);
}

static void a_head_may_come_in_parts_but_not_without_end(void **state)
{
	static const char whole[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char longest[HTTP_HEAD_MAX_BYTES + 1];
	struct http_request r;

	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		assert_int_equal(http_request_parse(&r, whole, n, true), 0);
	assert_int_equal(http_request_parse(&r, whole, sizeof(whole) - 1, true), 200);
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "GET / HTTP/1.1\r\nX: ", 19);
	assert_int_equal(http_request_parse(&r, longest, HTTP_HEAD_MAX_BYTES - 1, false), 0);
	assert_int_equal(http_request_parse(&r, longest, HTTP_HEAD_MAX_BYTES, false), 431);
	memcpy(longest + HTTP_HEAD_MAX_BYTES - 4, "\r\n\r\n", 4);
	assert_int_equal(http_request_parse(&r, longest, HTTP_HEAD_MAX_BYTES, false), 200);
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "GET /", 5);
	memcpy(longest + 200, " HTTP/1.1\r\n\r\n", 13);
	assert_int_equal(http_request_parse(&r, longest, 213, false), 414);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scrape_is_understood),
		cmocka_unit_test(the_first_format_that_we_have_is_taken),
		cmocka_unit_test(only_the_loopback_is_a_host),
		cmocka_unit_test(what_is_no_scrape_is_refused),
		cmocka_unit_test(a_head_may_come_in_parts_but_not_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
