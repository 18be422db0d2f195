/* daemon/control/http_request.h - the head of an HTTP request (RFC 9112), as far as a scrape of metrics needs it
 *
 * GET and HEAD without a body, one request a connection. Whatever else comes is refused with a status and no more words.
 * Pure: no socket, no loop.  Thread: any. */
#ifndef DAEMON_CONTROL_HTTP_REQUEST_H
#define DAEMON_CONTROL_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX_BYTES 4096

struct http_request {
	bool is_head;
	bool wants_open_metrics; /* by its Accept, as the first that we have */
	char path[128];          /* without the query */
};

/* 0: more is needed. 200: *out is filled in. Else the status to refuse with: 400, 403 (a Host that is not this host's
 * loopback, where `needs_loopback_host`: a browser that was lured here says another), 405, 414, 431, 505. */
int http_request_parse(struct http_request *out, const char *data, size_t len, bool needs_loopback_host);
const char *http_reason(int status); /* "Not Found" */

#endif
