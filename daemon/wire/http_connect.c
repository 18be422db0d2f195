#include "daemon/wire/http_connect.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- the request */

static bool is_word(const char *text)
{
	for (; *text; text++)
		if (!isgraph((unsigned char)*text))
			return false;
	return true;
}

int http_connect_request_encode(uint8_t *out, size_t capacity, const char *host, uint16_t port, const char *login)
{
	bool is_v6 = strchr(host, ':') != NULL;
	char authority[320];
	int n;

	if (host[0] == '\0' || !is_word(host) || !is_word(login))
		return -EINVAL;
	n = snprintf(authority, sizeof(authority), is_v6 ? "[%s]:%u" : "%s:%u", host, port);
	if (n < 0 || (size_t)n >= sizeof(authority))
		return -ENOSPC;
	n = snprintf((char *)out, capacity, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", authority, authority,
		     login[0] ? "Proxy-Authorization: Basic " : "", login, login[0] ? "\r\n" : "");
	return n < 0 || (size_t)n >= capacity ? -ENOSPC : n;
}

/* ---------------------------------------------------------------- the answer */

struct text {
	const uint8_t *p;
	size_t len;
};

static bool is_tchar(uint8_t c) /* RFC 9110 section 5.6.2 */
{
	return c < 0x80 && (isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c)));
}

/* One line, without its CRLF. 1, and it is taken off `t`; 0: it is not whole yet; -EBADMSG. */
static int line_take(struct text *line, struct text *t)
{
	for (size_t i = 0; i < t->len; i++) {
		uint8_t c = t->p[i];

		if (c == '\r' && i + 1 == t->len)
			return 0;
		if (c == '\r' && t->p[i + 1] == '\n') {
			*line = (struct text){ t->p, i };
			t->p += i + 2;
			t->len -= i + 2;
			return 1;
		}
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return -EBADMSG;
	}
	return 0;
}

/* HTTP/1.D DDD, and a reason in words, which some proxies leave out with the blank before it. */
static int status_read(unsigned *status, const struct text *line)
{
	const uint8_t *p = line->p;
	unsigned v = 0;

	if (line->len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || !isdigit(p[7]) || p[8] != ' ')
		return -EBADMSG;
	if (line->len > 12 && p[12] != ' ')
		return -EBADMSG;
	for (unsigned i = 9; i < 12; i++) {
		if (!isdigit(p[i]))
			return -EBADMSG;
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	if (v < 100 || v > 599 || v == 101) /* 101: nobody asked to speak otherwise */
		return -EBADMSG;
	*status = v;
	return 0;
}

/* A scheme stands at the beginning, or behind a comma; what a quoted text says may pass for one, at no loss. */
static bool names_basic(struct text value)
{
	bool is_begin = true;

	for (; value.len > 0; value.p++, value.len--) {
		if (is_begin && value.len >= 5 && strncasecmp((const char *)value.p, "Basic", 5) == 0 &&
		    (value.len == 5 || !is_tchar(value.p[5])))
			return true;
		if (*value.p != ' ' && *value.p != '\t')
			is_begin = *value.p == ',';
	}
	return false;
}

static int field_read(struct http_connect_answer *a, const struct text *line)
{
	static const char schemes[] = "Proxy-Authenticate";
	size_t n = 0;

	while (n < line->len && is_tchar(line->p[n]))
		n++;
	if (n == 0 || n == line->len || line->p[n] != ':')
		return -EBADMSG;
	if (n == sizeof(schemes) - 1 && strncasecmp((const char *)line->p, schemes, n) == 0)
		a->offers_basic |= names_basic((struct text){ line->p + n + 1, line->len - n - 1 });
	return 0;
}

/* One head, interim or not. As line_take. */
static int head_take(struct http_connect_answer *a, struct text *t)
{
	static const char begin[] = "HTTP/1.";
	size_t n = t->len < sizeof(begin) - 1 ? t->len : sizeof(begin) - 1;
	struct text line;
	int ret;

	if (memcmp(t->p, begin, n) != 0) /* seen at once, not only when a line is whole */
		return -EBADMSG;
	ret = line_take(&line, t);
	if (ret <= 0)
		return ret;
	ret = status_read(&a->status, &line);
	while (ret == 0) {
		ret = line_take(&line, t);
		if (ret <= 0 || line.len == 0)
			return ret;
		ret = field_read(a, &line);
	}
	return ret;
}

int http_connect_answer_decode(struct http_connect_answer *out, const uint8_t *data, size_t len)
{
	bool is_cut = len >= HTTP_CONNECT_ANSWER_MAX_BYTES;
	struct text t = { data, is_cut ? HTTP_CONNECT_ANSWER_MAX_BYTES : len };
	struct http_connect_answer a;
	int ret;

	do {
		a = (struct http_connect_answer){ 0 };
		if (t.len == 0)
			return is_cut ? -EMSGSIZE : 0;
		ret = head_take(&a, &t);
		if (ret <= 0)
			return ret == 0 && is_cut ? -EMSGSIZE : ret;
	} while (a.status < 200);
	*out = a;
	return (int)(t.p - data);
}
