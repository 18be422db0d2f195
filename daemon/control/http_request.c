#include "daemon/control/http_request.h"

#include <string.h>
#include <strings.h>

#include "daemon/base/addr.h"

struct text { /* a part of the head; not ended by a NUL */
	const char *at;
	size_t len;
};

static bool is_text(struct text t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

static struct text trimmed(struct text t)
{
	while (t.len && (*t.at == ' ' || *t.at == '\t')) {
		t.at++;
		t.len--;
	}
	while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* Cuts off and returns what stands before the first `end`, or all of it. */
static struct text take_until(struct text *t, char end)
{
	const char *found = t->len ? memchr(t->at, end, t->len) : NULL;
	struct text part = { .at = t->at, .len = found ? (size_t)(found - t->at) : t->len };
	size_t gone = part.len + (found ? 1 : 0);

	t->at += gone;
	t->len -= gone;
	return part;
}

/* A field's name is a token (RFC 9110 5.6.2); of those none holds a blank, and with one before the colon servers disagree
 * about what is meant. */
static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] <= ' ' || t.at[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", t.at[i]))
			return false;
	return t.len > 0;
}

/* "127.0.0.1", "[::1]" or "localhost", with a port or without. */
static bool is_loopback_host(struct text host)
{
	char text[ADDR_TEXT_BYTES];
	struct text name = host;
	struct ip ip;

	if (host.len && host.at[0] == '[') {
		name.at++;
		name.len--;
		name = take_until(&name, ']');
	} else {
		name = take_until(&name, ':');
	}
	if (is_text(name, "localhost"))
		return true;
	if (name.len >= sizeof(text))
		return false;
	memcpy(text, name.at, name.len);
	text[name.len] = '\0';
	return ip_from_text(&ip, text) == 0 && ip_is_loopback(&ip);
}

/* Which of our two formats stands first in an Accept; weights are left aside, as whoever asks writes the dearest first. */
static bool prefers_open(struct text accept)
{
	while (accept.len) {
		struct text one = take_until(&accept, ','), kind = trimmed(take_until(&one, ';'));

		if (is_text(kind, "application/openmetrics-text"))
			return true;
		if (is_text(kind, "text/plain") || is_text(kind, "text/*") || is_text(kind, "*/*"))
			return false;
	}
	return false;
}

static int take_request_line(struct http_request *out, struct text line)
{
	struct text method = take_until(&line, ' '), target = take_until(&line, ' '), path;

	if (!is_token(method) || target.len == 0 || target.at[0] != '/')
		return 400;
	if (line.len != 8 || memcmp(line.at, "HTTP/1.", 7) != 0)
		return line.len == 8 && memcmp(line.at, "HTTP/", 5) == 0 ? 505 : 400;
	for (size_t i = 0; i < target.len; i++)
		if (target.at[i] <= ' ' || target.at[i] >= 0x7f)
			return 400;
	path = take_until(&target, '?');
	if (path.len >= sizeof(out->path))
		return 414;
	/* Methods are told apart by case. */
	out->is_head = method.len == 4 && memcmp(method.at, "HEAD", 4) == 0;
	if (!out->is_head && (method.len != 3 || memcmp(method.at, "GET", 3) != 0))
		return 405;
	memcpy(out->path, path.at, path.len);
	return 200;
}

/* The line up to its end; the CR before it is not part of it. */
static struct text take_line(struct text *head)
{
	struct text line = take_until(head, '\n');

	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

static int take_fields(struct http_request *out, struct text head, bool needs_loopback_host)
{
	unsigned n_hosts = 0;
	bool is_loopback = false;

	while (head.len) {
		struct text value = take_line(&head), name;

		if (value.len == 0)
			break;
		if (!memchr(value.at, ':', value.len))
			return 400;
		name = take_until(&value, ':');
		value = trimmed(value);
		if (!is_token(name))
			return 400;
		if (is_text(name, "Host")) {
			n_hosts++;
			is_loopback = is_loopback_host(value);
		} else if (is_text(name, "Accept")) {
			out->wants_open_metrics = prefers_open(value);
		} else if (is_text(name, "Transfer-Encoding") ||
			   (is_text(name, "Content-Length") && !is_text(value, "0"))) {
			return 400;
		}
	}
	if (n_hosts > 1)
		return 400;
	return !needs_loopback_host || is_loopback ? 200 : 403;
}

/* Up to and with the empty line; 0 if that has not come yet. */
static size_t head_length(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n')
			continue;
		if (i + 1 < len && data[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && data[i + 1] == '\r' && data[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

int http_request_parse(struct http_request *out, const char *data, size_t len, bool needs_loopback_host)
{
	struct http_request request = { .is_head = false };
	struct text head = { .at = data, .len = head_length(data, len) };
	int status;

	if (head.len > HTTP_HEAD_MAX_BYTES || (!head.len && len >= HTTP_HEAD_MAX_BYTES))
		return 431;
	if (!head.len)
		return 0;
	if (memchr(head.at, '\0', head.len))
		return 400;
	status = take_request_line(&request, take_line(&head));
	if (status == 200)
		status = take_fields(&request, head, needs_loopback_host);
	if (status == 200)
		*out = request;
	return status;
}

const char *http_reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 414:
		return "URI Too Long";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}
