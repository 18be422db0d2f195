/* Calls to a coordinator at 127.0.0.1, in a namespace of its own: what listens at its port and at 443 is the test's. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/data/dial.h"
#include "tests/unit/netns.h"

#define WAIT_MS 10000
#define PORT 27700
#define OWN_PORT 12345
#define PROXY_PORT 3128
#define GRANTED "HTTP/1.1 200 Connection established\r\n\r\n"

enum manner {
	SILENT, /* takes the connection, and says nothing */
	ANSWERS,
	CLOSES,
	SPEAKS_HTTP,
};

struct fixture;

struct place {
	struct fixture *f;
	struct stream_listener *listener;
	enum manner manner;
	struct stream *streams[4];
	unsigned n_streams, n_heard;
	uint16_t from_port; /* of the last who connected */
};

struct client { /* of the proxy */
	struct proxy *proxy;
	uv_tcp_t tcp;
	char in[2048];
	size_t len, taken; /* of those bytes, up to the end of the request */
};

/* Answers every request with one text, and what it granted as a coordinator would. */
struct proxy {
	uv_tcp_t listener;
	bool is_open;
	const char *at_first, *at_other; /* what it says of PORT, and of 443; NULL: nothing */
	struct client clients[4];
	unsigned n_clients, n_requests, n_open;
	char request[2048]; /* the last one */
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t tick, watchdog;
	bool is_late;
	struct dial *dial;
	struct dial_options options;
	struct place first, other; /* PORT, 443 */
	struct dial_proxy http;
	struct proxy proxy;
	bool is_proxied; /* what was answered */
	unsigned n_refused;
	struct dial_refusal refusals[4];
	unsigned n_connected, n_answered, n_failed, n_frames, n_closed;
	int reason;
	struct stream *stream;
	bool is_mute;
	uint64_t due_ms;
};

static void on_connected(void *arg)
{
	struct fixture *f = arg;

	f->n_connected++;
	if (!f->is_mute)
		assert_int_equal(dial_say(f->dial, (const uint8_t *)"hello", 5), 0);
}

static void on_answered(void *arg, struct stream *s, bool is_proxied, uint8_t *body, size_t len)
{
	struct fixture *f = arg;

	f->is_proxied = is_proxied;

	assert_int_equal(len, 5);
	assert_memory_equal(body, "HELLO", 5);
	f->n_answered++;
	f->stream = s;
}

static void on_failed(void *arg, int reason)
{
	struct fixture *f = arg;

	f->n_failed++;
	f->reason = reason;
}

static void on_refused(void *arg, const struct dial_refusal *r)
{
	struct fixture *f = arg;

	assert_true(f->n_refused < 4);
	f->refusals[f->n_refused++] = *r;
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct fixture *f = arg;

	assert_ptr_equal(s, f->stream);
	assert_int_equal(len, 4);
	assert_memory_equal(body, "more", 4);
	f->n_frames++;
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct fixture *f = arg;

	(void)reason;
	assert_ptr_equal(s, f->stream);
	f->stream = NULL;
	f->n_closed++;
}

static void on_due(void *arg)
{
	struct fixture *f = arg;

	if (dial_next_ms(f->dial) < f->due_ms)
		f->due_ms = dial_next_ms(f->dial);
}

static const struct dial_env env = {
	.due = on_due,
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.refused = on_refused,
	.events = { .on_frame = on_frame, .on_closed = on_closed },
};

/* ---------------------------------------------------------------- what is called */

static void place_on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct place *p = arg;

	assert_int_equal(len, 5);
	assert_memory_equal(body, "hello", 5);
	p->n_heard++;
	if (p->manner != ANSWERS)
		return;
	stream_send(s, "HELLO", 5, false);
	stream_send(s, "more", 4, false);
}

static void place_on_closed(void *arg, struct stream *s, int reason)
{
	struct place *p = arg;

	(void)reason;
	for (unsigned i = 0; i < p->n_streams; i++)
		if (p->streams[i] == s)
			p->streams[i] = NULL;
}

static const struct stream_events place_events = { .on_frame = place_on_frame, .on_closed = place_on_closed };

static void on_accept(void *arg, struct stream *s)
{
	struct place *p = arg;

	p->from_port = stream_peer(s)->port;
	if (p->manner == CLOSES) {
		stream_close(s);
		p->n_heard++;
		return;
	}
	assert_true(p->n_streams < 4);
	p->streams[p->n_streams++] = s;
	if (p->manner == SPEAKS_HTTP) /* as a frame: longer than any can be */
		stream_send_frames(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void listen_at(struct fixture *f, struct place *p, uint16_t port, enum manner manner)
{
	const struct stream_listen_options options = { .port = port };

	p->f = f;
	p->manner = manner;
	assert_int_equal(stream_listen(&p->listener, &f->loop, &options, &place_events, on_accept, p), 0);
}

static void place_end(struct place *p)
{
	for (unsigned i = 0; i < p->n_streams; i++)
		stream_close(p->streams[i]);
	stream_listener_close(p->listener);
}

/* ---------------------------------------------------------------- a proxy */

static void client_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *c = handle->data;

	(void)suggested;
	*buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - 1 - c->len));
}

static void client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	c->proxy->n_open--;
}

static void client_say(struct client *c, const char *text, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)len);

	assert_int_equal(uv_try_write((uv_stream_t *)&c->tcp, &buf, 1), len);
}

static void client_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = tcp->data;
	struct proxy *p = c->proxy;
	const char *end, *answer;

	(void)buf;
	if (n < 0) {
		uv_close((uv_handle_t *)tcp, client_closed);
		return;
	}
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	if (c->taken) { /* granted: a frame that says hello */
		if (c->len == c->taken + 7 && memcmp(c->in + c->taken, "\0\005hello", 7) == 0)
			client_say(c, "\0\005HELLO\0\004more", 13);
		return;
	}
	end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return;
	c->taken = (size_t)(end + 4 - c->in);
	assert_int_equal(c->len, c->taken); /* nothing follows before it was granted */
	memcpy(p->request, c->in, c->len + 1);
	p->n_requests++;
	answer = strstr(c->in, ":443 HTTP/1.1\r\n") ? p->at_other : p->at_first;
	if (answer)
		client_say(c, answer, strlen(answer));
}

static void proxy_accept(uv_stream_t *listener, int status)
{
	struct proxy *p = listener->data;
	struct client *c = &p->clients[p->n_clients];

	assert_int_equal(status, 0);
	assert_true(p->n_clients < 4);
	p->n_clients++;
	p->n_open++;
	c->proxy = p;
	c->tcp.data = c;
	uv_tcp_init(listener->loop, &c->tcp);
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
	uv_read_start((uv_stream_t *)&c->tcp, client_alloc, client_read);
}

static void proxy_opens(struct fixture *f, const char *at_first, const char *at_other)
{
	struct proxy *p = &f->proxy;
	struct sockaddr_in at;

	p->at_first = at_first;
	p->at_other = at_other;
	uv_ip4_addr("127.0.0.1", PROXY_PORT, &at);
	uv_tcp_init(&f->loop, &p->listener);
	p->listener.data = p;
	assert_int_equal(uv_tcp_bind(&p->listener, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&p->listener, 4, proxy_accept), 0);
	p->is_open = true;
	memcpy(f->http.at.host, "127.0.0.1", 10);
	f->http.at.port = PROXY_PORT;
	f->options.proxy = &f->http;
}

static void proxy_end(struct proxy *p)
{
	for (unsigned i = 0; i < p->n_clients; i++)
		if (!uv_is_closing((uv_handle_t *)&p->clients[i].tcp))
			uv_close((uv_handle_t *)&p->clients[i].tcp, client_closed);
	if (p->is_open)
		uv_close((uv_handle_t *)&p->listener, NULL);
}

/* ---------------------------------------------------------------- the loop */

/* Comes when it is due, as far as the dial has told. */
static void on_tick(uv_timer_t *timer)
{
	struct fixture *f = timer->data;
	uint64_t now_ms = clock_now_ms();

	if (now_ms < f->due_ms)
		return;
	f->due_ms = UINT64_MAX;
	dial_tick(f->dial, now_ms);
}

static void on_watchdog(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->is_late = true;
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || uv_loop_init(&f->loop) < 0)
		return -1;
	uv_timer_init(&f->loop, &f->tick);
	uv_timer_init(&f->loop, &f->watchdog);
	f->tick.data = f->watchdog.data = f;
	uv_timer_start(&f->tick, on_tick, 5, 5);
	uv_timer_start(&f->watchdog, on_watchdog, WAIT_MS, 0);
	f->due_ms = UINT64_MAX;
	f->dial = dial_new(&env, f, &f->loop);
	f->options = (struct dial_options){
		.host = "127.0.0.1", .port = PORT, .bind_interface = "", .local_port = OWN_PORT
	};
	*state = f;
	return f->dial ? 0 : -1;
}

static int end(void **state)
{
	struct fixture *f = *state;
	int ret;

	dial_free(f->dial);
	dial_free(NULL);
	stream_abort(f->stream);
	place_end(&f->first);
	place_end(&f->other);
	proxy_end(&f->proxy);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop);
	free(f);
	return ret;
}

#define RUN_UNTIL(f, condition)                              \
	do {                                                 \
		while (!(condition) && !(f)->is_late)        \
			uv_run(&(f)->loop, UV_RUN_ONCE);     \
		if (!(condition))                            \
			fail_msg("in vain: %s", #condition); \
	} while (0)

static void call(struct fixture *f)
{
	assert_int_equal(dial_start(f->dial, &f->options), 0);
}

/* ---------------------------------------------------------------- tests */

static void what_answers_is_the_callers_with_all_that_follows(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_int_equal(f->n_answered, 1);
	assert_int_equal(f->n_connected, 1);
	assert_int_equal(stream_peer(f->stream)->port, PORT);
	assert_int_equal(f->first.from_port, OWN_PORT);
	assert_true(dial_next_ms(f->dial) == UINT64_MAX);
	stream_close(f->first.streams[0]);
	f->first.streams[0] = NULL;
	RUN_UNTIL(f, f->n_closed == 1);
	assert_int_equal(f->n_failed, 0);
}

static void one_that_takes_the_call_and_is_silent_does_not_win(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, SILENT);
	listen_at(f, &f->other, DIAL_OTHER_PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_answered);
	assert_int_equal(stream_peer(f->stream)->port, DIAL_OTHER_PORT);
	assert_int_equal(f->first.n_heard, 1);
	assert_int_equal(f->n_connected, 1); /* asked for its word once */
	RUN_UNTIL(f, !f->first.streams[0]);  /* and given up */
}

static void one_that_speaks_otherwise_is_passed_over_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	listen_at(f, &f->first, PORT, SPEAKS_HTTP);
	listen_at(f, &f->other, DIAL_OTHER_PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_answered);
	assert_int_equal(stream_peer(f->stream)->port, DIAL_OTHER_PORT);
	assert_true(clock_now_ms() < begin_ms + DIAL_STAGGER_MS);
}

static void a_port_nobody_listens_to_costs_no_time(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	listen_at(f, &f->other, DIAL_OTHER_PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_answered);
	assert_true(clock_now_ms() < begin_ms + DIAL_STAGGER_MS);
	assert_int_equal(f->other.from_port, OWN_PORT);
}

static void when_all_ways_fail_the_reason_is_of_one_that_got_furthest(void **state)
{
	struct fixture *f = *state;

	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_int_equal(f->reason, -ECONNREFUSED);
	assert_int_equal(f->n_connected, 0);
	listen_at(f, &f->first, PORT, CLOSES);
	call(f);
	RUN_UNTIL(f, f->n_failed == 2);
	assert_true(f->reason == UV_EOF || f->reason == -ECONNRESET);
	assert_int_equal(f->first.n_heard, 2); /* from our port, and from any */
	assert_int_not_equal(f->first.from_port, OWN_PORT);
}

static void without_a_port_of_our_own_each_is_called_once(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, CLOSES);
	listen_at(f, &f->other, DIAL_OTHER_PORT, CLOSES);
	f->options.local_port = 0;
	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_int_equal(f->first.n_heard, 1);
	assert_int_equal(f->other.n_heard, 1);
	f->options.port = DIAL_OTHER_PORT;
	call(f);
	RUN_UNTIL(f, f->n_failed == 2);
	assert_int_equal(f->other.n_heard, 2);
}

static void a_call_after_another_leaves_from_the_same_port(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, ANSWERS);
	for (unsigned i = 1; i <= 3; i++) {
		call(f);
		RUN_UNTIL(f, f->n_answered == i);
		assert_int_equal(f->first.from_port, OWN_PORT);
		stream_abort(f->stream);
		f->stream = NULL;
	}
}

static void a_name_that_does_not_resolve_is_told(void **state)
{
	struct fixture *f = *state;

	f->options.host = "no-such-host.invalid";
	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_in_range(-f->reason, -UV_EAI_ADDRFAMILY, -UV_EAI_SOCKTYPE);
}

static void a_cancelled_call_tells_nobody(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(dial_say(f->dial, (const uint8_t *)"hello", 5), -ENOTCONN);
	dial_cancel(f->dial);
	listen_at(f, &f->first, PORT, SILENT);
	call(f);
	dial_cancel(f->dial); /* while it resolves */
	call(f);
	RUN_UNTIL(f, f->first.n_heard);
	dial_cancel(f->dial); /* while it waits for an answer */
	RUN_UNTIL(f, !f->first.streams[0]);
	assert_int_equal(f->n_answered + f->n_failed, 0);
	assert_int_equal(f->n_connected, 1);
}

static void where_the_coordinator_answers_the_proxy_is_left_alone(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, ANSWERS);
	proxy_opens(f, GRANTED, GRANTED);
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_false(f->is_proxied);
	assert_int_equal(f->proxy.n_clients, 0);
	assert_true(dial_next_ms(f->dial) == UINT64_MAX);
}

static void where_nothing_answers_the_proxy_is_asked_within_a_second(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	listen_at(f, &f->first, PORT, SILENT); /* as behind a portal that takes all connections */
	listen_at(f, &f->other, DIAL_OTHER_PORT, SILENT);
	proxy_opens(f, GRANTED, GRANTED);
	memcpy(f->http.login.base64, "YTpi", 5);
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_true(f->is_proxied);
	assert_true(clock_now_ms() >= begin_ms + DIAL_PROXY_AFTER_MS);
	assert_true(clock_now_ms() < begin_ms + 1000);
	assert_string_equal(f->proxy.request, "CONNECT 127.0.0.1:27700 HTTP/1.1\r\nHost: 127.0.0.1:27700\r\n"
					      "Proxy-Authorization: Basic YTpi\r\n\r\n");
	assert_int_equal(f->proxy.n_requests, 1);
	assert_int_equal(f->n_connected, 1);
	assert_int_equal(stream_peer(f->stream)->port, PROXY_PORT);
	assert_int_equal(f->n_refused + f->n_failed, 0);
}

static void where_there_is_no_other_way_it_is_asked_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	proxy_opens(f, GRANTED, GRANTED); /* PORT and 443 refuse */
	f->options.local_port = 0;
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_true(f->is_proxied);
	assert_true(clock_now_ms() < begin_ms + DIAL_STAGGER_MS);
}

static void a_name_that_only_the_proxy_resolves_is_enough(void **state)
{
	struct fixture *f = *state;

	proxy_opens(f, GRANTED, GRANTED);
	f->options.host = "no-such-host.invalid";
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_non_null(strstr(f->proxy.request, "CONNECT no-such-host.invalid:27700 HTTP/1.1\r\n"));
}

static void a_port_that_the_proxy_refuses_is_told_and_443_tried(void **state)
{
	struct fixture *f = *state;

	proxy_opens(f, "HTTP/1.0 403 Filtered\r\nServer: x\r\n\r\n<html>", GRANTED);
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_true(f->is_proxied);
	assert_int_equal(f->n_refused, 1);
	assert_int_equal(f->refusals[0].port, PORT);
	assert_int_equal(f->refusals[0].status, 403);
	assert_true(f->refusals[0].is_reached);
}

static void when_the_proxy_fails_too_all_have(void **state)
{
	struct fixture *f = *state;

	proxy_opens(f, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n");
	f->options.local_port = 0;
	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_int_equal(f->reason, -ECONNREFUSED); /* of the direct ways */
	assert_int_equal(f->n_refused, 2);
	assert_int_equal(f->refusals[0].status, 407);
	assert_true(f->refusals[0].offers_basic);
	assert_int_equal(f->refusals[1].status, 0);
	assert_int_equal(f->refusals[1].reason, -EBADMSG);
	assert_int_equal(f->refusals[1].port, DIAL_OTHER_PORT);
	RUN_UNTIL(f, f->proxy.n_open == 0);
}

static void a_proxy_that_says_nothing_is_told_of_before_the_call_is_over(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	listen_at(f, &f->first, PORT, SILENT);
	proxy_opens(f, NULL, "HTTP/1.1 200 OK\r\n"); /* and half of it */
	call(f);
	RUN_UNTIL(f, f->n_refused == 2);
	assert_true(clock_now_ms() < begin_ms + DIAL_CONNECT_MS + 400);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(f->refusals[i].reason, -ETIMEDOUT);
		assert_true(f->refusals[i].is_reached && !f->refusals[i].status);
	}
}

static void a_proxy_that_is_not_there_is_told_of(void **state)
{
	struct fixture *f = *state;

	memcpy(f->http.at.host, "127.0.0.1", 10);
	f->http.at.port = PROXY_PORT;
	f->options.proxy = &f->http;
	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_int_equal(f->n_refused, 2);
	assert_false(f->refusals[0].is_reached);
	assert_int_equal(f->refusals[0].reason, -ECONNREFUSED);
	memcpy(f->http.at.host, "no-such-proxy.invalid", 22);
	call(f);
	RUN_UNTIL(f, f->n_failed == 2);
	assert_int_equal(f->n_refused, 3);
	assert_int_equal(f->refusals[2].port, 0);
	f->http.at.port = 0; /* none */
	call(f);
	RUN_UNTIL(f, f->n_failed == 3);
	assert_int_equal(f->n_refused, 3);
}

static void refusals_are_put_in_words_with_a_remedy(void **state)
{
	static const struct {
		struct dial_refusal r;
		bool has_login;
		const char *words;
	} cases[] = {
		{ { .port = 443, .is_reached = true, .status = 407, .offers_basic = true },
		  false,
		  "name the file that holds them" },
		{ { .port = 443, .is_reached = true, .status = 407, .offers_basic = true },
		  true,
		  "password for wrong" },
		{ { .port = 443, .is_reached = true, .status = 401 }, true, "password for wrong" },
		{ { .port = 443, .is_reached = true, .status = 407 }, true, "not Basic" },
		{ { .port = PORT, .is_reached = true, .status = 403 },
		  true,
		  "refuses connections to port 27700 (HTTP 403): allow" },
		{ { .port = PORT, .is_reached = true, .status = 503 },
		  true,
		  "does not reach the coordinator at port 27700" },
		{ { .port = PORT, .is_reached = true, .status = 302 }, true, "HTTP 302" },
		{ { .port = PORT, .is_reached = true, .reason = -EBADMSG }, true, "does not speak HTTP" },
		{ { .port = PORT, .is_reached = true, .reason = -ETIMEDOUT }, true, "does not answer" },
		{ { .port = PORT, .is_reached = true, .reason = UV_EOF }, true, "closed the connection" },
		{ { .port = PORT, .reason = -ECONNREFUSED }, true, "cannot be connected to: connection refused" },
		{ { .reason = UV_EAI_NONAME }, true, "does not resolve" },
	};
	unsigned weight = 3;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[DIAL_REFUSAL_TEXT_BYTES];

		dial_refusal_text(&cases[i].r, cases[i].has_login, text);
		if (!strstr(text, cases[i].words))
			fail_msg("\"%s\" is not in: %s", cases[i].words, text);
		assert_true(strlen(text) < sizeof(text) - 1);
		assert_true(dial_refusal_weight(&cases[i].r) <= weight); /* what tells more is above */
		weight = dial_refusal_weight(&cases[i].r);
	}
	assert_int_equal(weight, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_answers_is_the_callers_with_all_that_follows),
		TEST(one_that_takes_the_call_and_is_silent_does_not_win),
		TEST(one_that_speaks_otherwise_is_passed_over_at_once),
		TEST(a_port_nobody_listens_to_costs_no_time),
		TEST(when_all_ways_fail_the_reason_is_of_one_that_got_furthest),
		TEST(without_a_port_of_our_own_each_is_called_once),
		TEST(a_call_after_another_leaves_from_the_same_port),
		TEST(a_name_that_does_not_resolve_is_told),
		TEST(a_cancelled_call_tells_nobody),
		TEST(where_the_coordinator_answers_the_proxy_is_left_alone),
		TEST(where_nothing_answers_the_proxy_is_asked_within_a_second),
		TEST(where_there_is_no_other_way_it_is_asked_at_once),
		TEST(a_name_that_only_the_proxy_resolves_is_enough),
		TEST(a_port_that_the_proxy_refuses_is_told_and_443_tried),
		TEST(when_the_proxy_fails_too_all_have),
		TEST(a_proxy_that_says_nothing_is_told_of_before_the_call_is_over),
		TEST(a_proxy_that_is_not_there_is_told_of),
		cmocka_unit_test(refusals_are_put_in_words_with_a_remedy),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
