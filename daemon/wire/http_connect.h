/* daemon/wire/http_connect.h - HTTP's CONNECT: what a proxy is asked for, and what it answers
 *
 * Of HTTP/1.1 (RFC 9112) only what a client needs that asks for one tunnel (RFC 9110 section 9.3.6). What comes is foreign: lines end
 * in CRLF and hold no other control characters, a head is at most HTTP_CONNECT_ANSWER_MAX_BYTES, no line is folded, and a name
 * stands right before its colon. Interim answers (1xx) are skipped. Of the fields only the schemes of Proxy-Authenticate count: a
 * 2xx has no body whatever its fields say, and of another answer the body is of no interest. */
#ifndef DAEMON_WIRE_HTTP_CONNECT_H
#define DAEMON_WIRE_HTTP_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_CONNECT_REQUEST_MAX_BYTES 1024
#define HTTP_CONNECT_ANSWER_MAX_BYTES 8192
#define HTTP_PROXY_AUTHENTICATION_REQUIRED 407

struct http_connect_answer {
	unsigned status;   /* 200 to 599 */
	bool offers_basic; /* Basic (RFC 7617) is among the schemes that it names */
};

static inline bool http_connect_is_granted(const struct http_connect_answer *a)
{
	return a->status / 100 == 2;
}

/* `host` is a name or an address without brackets; `login` USER:PASSWORD in base64, or "". Returns the length; -ENOSPC; -EINVAL for
 * what would not be one word on the line. */
int http_connect_request_encode(uint8_t *out, size_t capacity, const char *host, uint16_t port, const char *login);
/* Returns how long the head is, behind which the tunnel begins; 0: it is not whole yet; -EBADMSG: this is no answer of
 * HTTP/1; -EMSGSIZE: it is too long. */
int http_connect_answer_decode(struct http_connect_answer *out, const uint8_t *data, size_t len);

#endif
