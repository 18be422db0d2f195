#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/wire/http_connect.h"

static void requested(const char *host, uint16_t port, const char *login, const char *words)
{
	uint8_t data[HTTP_CONNECT_REQUEST_MAX_BYTES];
	int n = http_connect_request_encode(data, sizeof(data), host, port, login);

	assert_int_equal(n, strlen(words));
	assert_memory_equal(data, words, strlen(words));
	for (size_t room = 0; room <= (size_t)n; room += 7) {
		uint8_t *tight = malloc(room + 1);

		assert_int_equal(http_connect_request_encode(tight, room, host, port, login), -ENOSPC);
		free(tight);
	}
}

/* RFC 9110 section 9.3.6 has these two lines; the login is RFC 7617's Aladdin. */
static void requests_are_as_the_rfc_has_them(void **state)
{
	char host[254] = "";
	uint8_t data[HTTP_CONNECT_REQUEST_MAX_BYTES];

	(void)state;
	requested("server.example.com", 80, "",
		  "CONNECT server.example.com:80 HTTP/1.1\r\nHost: server.example.com:80\r\n\r\n");
	requested("198.51.100.10", 443, "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
		  "CONNECT 198.51.100.10:443 HTTP/1.1\r\nHost: 198.51.100.10:443\r\n"
		  "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	requested("2001:db8::1", 27700, "",
		  "CONNECT [2001:db8::1]:27700 HTTP/1.1\r\nHost: [2001:db8::1]:27700\r\n\r\n");
	memset(host, 'a', sizeof(host) - 1);
	assert_true(http_connect_request_encode(data, sizeof(data), host, 65535, "") > 0);
}

static void what_would_be_another_line_is_not_asked_for(void **state)
{
	uint8_t data[HTTP_CONNECT_REQUEST_MAX_BYTES];

	(void)state;
	assert_int_equal(http_connect_request_encode(data, sizeof(data), "", 1, ""), -EINVAL);
	assert_int_equal(http_connect_request_encode(data, sizeof(data), "a b", 1, ""), -EINVAL);
	assert_int_equal(http_connect_request_encode(data, sizeof(data), "a\r\nX: y", 1, ""), -EINVAL);
	assert_int_equal(http_connect_request_encode(data, sizeof(data), "a", 1, "x\r\nX: y"), -EINVAL);
}

static int decode(const char *text, size_t len, struct http_connect_answer *a)
{
	uint8_t *exact = malloc(len + !len); /* so that a sanitizer sees a byte too far */
	int n;

	memcpy(exact, text, len);
	n = http_connect_answer_decode(a, exact, len);
	free(exact);
	return n;
}

/* The whole, with `more` behind it, and every part of it. */
static void answered(const char *text, unsigned status, bool offers_basic)
{
	struct http_connect_answer a, before;
	char more[1024];
	int n = snprintf(more, sizeof(more), "%smore", text);

	memset(&before, 0x5a, sizeof(before));
	for (size_t len = 0; len < strlen(text); len++) {
		a = before;
		if (decode(text, len, &a) != 0)
			fail_msg("%zu bytes are not 'go on' of %s", len, text);
		assert_memory_equal(&a, &before, sizeof(a));
	}
	assert_int_equal(decode(text, strlen(text), &a), strlen(text));
	assert_int_equal(a.status, status);
	assert_int_equal(a.offers_basic, offers_basic);
	assert_int_equal(decode(more, (size_t)n, &a), strlen(text));
	assert_int_equal(a.status, status);
}

static void answers_of_real_proxies_are_read(void **state)
{
	(void)state;
	answered("HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n", 200, false);
	answered("HTTP/1.1 200 Connection established\r\n\r\n", 200, false); /* squid 5.7 */
	answered("HTTP/1.1 200\r\n\r\n", 200, false);
	answered("HTTP/1.1 204 \r\nVia:\r\nX-Empty: \t \r\n\r\n", 204, false);
	answered(
		"HTTP/1.0 403 Filtered\r\nServer: tinyproxy/1.11.1\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
		403, false);
	answered("HTTP/1.1 502 D\xc3\xa9sol\xc3\xa9\r\n\r\n", 502, false);
	answered("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200,
		 false);
}

static void the_schemes_of_a_407_are_read(void **state)
{
	(void)state;
	answered("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", 407, true);
	answered("HTTP/1.1 407 No\r\nproxy-authenticate:basic\r\n\r\n", 407, true);
	answered("HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate, Basic realm=\"a, b\"\r\n\r\n", 407, true);
	answered("HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: \tBASIC realm=\"\"\r\n\r\n", 407,
		 true);
	answered("HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Digest realm=\"basic\"\r\n\r\n",
		 407, false);
	answered("HTTP/1.1 407 No\r\nProxy-Authenticate: Basically\r\n\r\n", 407, false);
	answered("HTTP/1.1 407 No\r\nWWW-Authenticate: Basic\r\n\r\n", 407, false); /* the origin's, not the proxy's */
	answered("HTTP/1.1 407 No\r\n\r\n", 407, false);
	answered("HTTP/1.1 100 Wait\r\nProxy-Authenticate: Basic\r\n\r\nHTTP/1.1 407 No\r\n\r\n", 407, false);
}

static void what_is_no_answer_is_refused(void **state)
{
	static const char *const bad[] = {
		"SSH-2.0-OpenSSH_9.2\r\n",
		"\x16\x03\x01",
		"X",
		"http/1.1 200 OK\r\n\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.x 200 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 +20 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 600 OK\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1\r\n\r\n",
		"HTTP/1.1 200 OK\n\n",                        /* no line ends so */
		"HTTP/1.1 200 O\rK\r\n\r\n",                  /* nor is there a CR within one */
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", /* RFC 9112 section 5.2 */
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",           /* section 5.1 */
		"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\xc3\xa9: b\r\n\r\n",
		"HTTP/1.1 100 Wait\r\n\r\nHTTQ",
	};
	struct http_connect_answer a, before;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = before;
		if (decode(bad[i], strlen(bad[i]), &a) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
		assert_memory_equal(&a, &before, sizeof(a));
	}
	assert_int_equal(decode("HTTP/1.1 200 O\0K\r\n\r\n", 19, &a), -EBADMSG);
}

static void a_head_is_8_kib_at_most(void **state)
{
	static const char first[] = "HTTP/1.1 200 OK\r\nA: ";
	const size_t max = HTTP_CONNECT_ANSWER_MAX_BYTES;
	char *text = malloc(max + 100);
	struct http_connect_answer a;

	(void)state;
	memset(text, 'x', max + 100);
	memcpy(text, first, sizeof(first) - 1);
	assert_int_equal(decode(text, max - 1, &a), 0);
	assert_int_equal(decode(text, max, &a), -EMSGSIZE);
	assert_int_equal(decode(text, max + 100, &a), -EMSGSIZE);
	memcpy(text + max - 4, "\r\n\r\n", 4);
	assert_int_equal(decode(text, max, &a), max);
	assert_int_equal(decode(text, max + 100, &a), max);
	memset(text + max - 4, 'x', 4);
	memcpy(text + max - 3, "\r\n\r\n", 4);
	assert_int_equal(decode(text, max + 100, &a), -EMSGSIZE);
	/* Interim answers count too: else they could go on for ever. */
	for (size_t at = 0; at + 25 <= max + 100; at += 25)
		memcpy(text + at, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	assert_int_equal(decode(text, max + 50, &a), -EMSGSIZE);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_as_the_rfc_has_them),
		cmocka_unit_test(what_would_be_another_line_is_not_asked_for),
		cmocka_unit_test(answers_of_real_proxies_are_read),
		cmocka_unit_test(the_schemes_of_a_407_are_read),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(a_head_is_8_kib_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
