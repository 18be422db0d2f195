#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/data/dial.h"
#include "daemon/wire/http_connect.h"

unsigned dial_refusal_weight(const struct dial_refusal *r)
{
	return r->status ? 3 : r->is_reached ? 2 : 1;
}

/* What an answer of HTTP means, and what to do. */
static void status_text(const struct dial_refusal *r, bool has_login, char *out, size_t size)
{
	switch (r->status) {
	case HTTP_PROXY_AUTHENTICATION_REQUIRED:
	case 401: /* tinyproxy's answer to a wrong password */
		if (!r->offers_basic && r->status != 401)
			snprintf(out, size, "wants an authentication that is not Basic, the only one there is here");
		else if (has_login)
			snprintf(out, size,
				 "takes our user or password for wrong: see the file that proxy_auth_file names");
		else
			snprintf(out, size,
				 "wants a user and a password: name the file that holds them with proxy_auth_file");
		break;
	case 403:
	case 405:
	case 501:
		snprintf(out, size,
			 "refuses connections to port %u (HTTP %u): allow CONNECT to it there, or let the "
			 "coordinator listen on 443 (tcp_ports)",
			 r->port, r->status);
		break;
	case 500:
	case 502:
	case 503:
	case 504:
		snprintf(out, size, "does not reach the coordinator at port %u (HTTP %u)", r->port, r->status);
		break;
	default:
		snprintf(out, size, "refuses the connection to port %u: HTTP %u", r->port, r->status);
		break;
	}
}

static void reason_text(const struct dial_refusal *r, char *out, size_t size)
{
	if (r->port == 0)
		snprintf(out, size, "has a name that does not resolve: %s", uv_strerror(r->reason));
	else if (!r->is_reached)
		snprintf(out, size, "cannot be connected to: %s", uv_strerror(r->reason));
	else if (r->reason == -EBADMSG || r->reason == -EMSGSIZE)
		snprintf(out, size, "does not speak HTTP: is its port right?");
	else if (r->reason == -ETIMEDOUT)
		snprintf(out, size, "takes the connection and does not answer");
	else
		snprintf(out, size, "closed the connection without an answer");
}

const char *dial_refusal_text(const struct dial_refusal *r, bool has_login, char out[static DIAL_REFUSAL_TEXT_BYTES])
{
	if (r->status)
		status_text(r, has_login, out, DIAL_REFUSAL_TEXT_BYTES);
	else
		reason_text(r, out, DIAL_REFUSAL_TEXT_BYTES);
	return out;
}
