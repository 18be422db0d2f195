/* `warrenctl capture`: {"cmd":"capture","peer":"bob","snap_bytes":N} begins one, {"cmd":"capture","id":N} asks for what came
 * since, {"cmd":"capture","id":N,"stop":true} ends it. Each answer is a part of one pcapng file, in base64. Packets are what
 * members say to each other, so all this is for root and the daemon's own user.
 *
 * One at a time. Whoever began it and is not heard of any more has lost it: nothing is captured for nobody. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "daemon/data/capture.h"
#include "daemon/data/node_control.h"
#include "daemon/wire/pcapng.h"

#define LEASE_MS 5000
/* So long a question waits for the first packet, and then for more that may be told with it. */
#define WAIT_MS 1000
#define GATHER_MS 20
#define ANSWER_BYTES (512 * 1024) /* and the last packet whole */
#define SNAP_MIN_BYTES 64

static_assert(CAPTURE_LANES == CONFIG_WORKERS_MAX + 1, "workers and the loop");

struct node_capture {
	struct capture *capture;
	uint32_t id;
	uint64_t n_records, n_left;  /* told; left at the end */
	uint64_t lease_ms;           /* it ends then, unless it is asked for */
	struct control_request *req; /* waits; NULL: none */
	uint64_t answer_ms;          /* when it is answered, whatever there is */
	/* the answer at hand */
	uint8_t *data;
	size_t len;
	const struct node *node;
};

static void say(struct node_capture *c, struct control_request *req, bool is_over)
{
	size_t capacity = sodium_base64_encoded_len(c->len, sodium_base64_VARIANT_ORIGINAL);
	char *text = malloc(capacity);

	if (!text) {
		control_fail(req, EXIT_NO, "memory is short");
		return;
	}
	sodium_bin2base64(text, capacity, c->data, c->len, sodium_base64_VARIANT_ORIGINAL);
	control_reply_take(req,
			   json_pack("{s:s, s:I, s:b, s:I, s:I, s:s}", "schema", "warren.capture/1", "id",
				     (json_int_t)c->id, "over", is_over, "packets", (json_int_t)c->n_records, "dropped",
				     (json_int_t)(capture_dropped(c->capture) + c->n_left), "data", text));
	free(text);
	c->len = 0;
}

static bool on_record(void *arg, const struct capture_record *r, const uint8_t *data)
{
	struct node_capture *c = arg;
	const struct peer *p = peers_by_number(&c->node->peers, r->peer);

	c->n_records++;
	c->len += pcapng_packet(c->data + c->len, &(struct pcapng_packet){ .time_ns = r->time_ns,
									   .data = data,
									   .captured = r->captured,
									   .len = r->len,
									   .is_inbound = r->is_inbound,
									   .comment = p ? p->name : NULL });
	return c->len < ANSWER_BYTES;
}

static bool on_leftover(void *arg, const struct capture_record *r, const uint8_t *data)
{
	struct node_capture *c = arg;

	(void)r;
	(void)data;
	c->n_left++;
	return true;
}

void node_capture_end(struct node *n)
{
	struct node_capture *c = n->capture;

	if (!c)
		return;
	if (c->req)
		control_fail(c->req, EXIT_NO, "the capture is over");
	n->capture = NULL;
	n->is_table_stale = true; /* lanes let go of it */
	capture_unref(c->capture);
	free(c->data);
	free(c);
}

/* The last answer: what there is left, and how much was left out. */
static void finish(struct node *n, struct control_request *req)
{
	struct node_capture *c = n->capture;

	capture_drain(c->capture, on_record, c);
	capture_drain(c->capture, on_leftover, c);
	c->len += pcapng_statistics(c->data + c->len, clock_wall_ms() * 1000000, c->n_records,
				    capture_dropped(c->capture) + c->n_left);
	say(c, req, true);
	node_capture_end(n);
}

static int add_lanes(const struct node *n, struct capture *c)
{
	int ret = capture_add_lane(c, n->lane.number);

	for (unsigned i = 0; i < n->n_workers && ret == 0; i++)
		ret = capture_add_lane(c, i);
	return ret;
}

static void begin(struct node *n, struct control_request *req, uint64_t peer, size_t snap_bytes)
{
	struct node_capture *c = calloc(1, sizeof(*c));

	if (c) {
		c->node = n;
		c->capture = capture_new(peer, snap_bytes);
		c->data = malloc(ANSWER_BYTES + CAPTURE_SNAP_MAX_BYTES + 2 * PCAPNG_BLOCK_MAX_BYTES);
	}
	if (!c || !c->capture || !c->data || add_lanes(n, c->capture) < 0) {
		if (c) {
			capture_unref(c->capture);
			free(c->data);
		}
		free(c);
		control_fail(req, EXIT_NO, "memory is short");
		return;
	}
	c->id = randombytes_random();
	c->lease_ms = clock_now_ms() + LEASE_MS;
	c->len = pcapng_begin(c->data, "warrend " WARREN_VERSION, n->tun.name, snap_bytes);
	n->capture = c;
	n->is_table_stale = true;
	node_due(n, c->lease_ms);
	say(c, req, false);
}

void node_capture_tick(struct node *n, uint64_t now_ms)
{
	struct node_capture *c = n->capture;

	if (!c)
		return;
	if (c->req && (!capture_is_empty(c->capture) || now_ms >= c->answer_ms)) {
		struct control_request *req = c->req;

		c->req = NULL;
		c->lease_ms = now_ms + LEASE_MS;
		capture_drain(c->capture, on_record, c);
		say(c, req, false);
	} else if (!c->req && now_ms >= c->lease_ms) {
		log_info("capture: nobody asks for it any more");
		node_capture_end(n);
	}
}

uint64_t node_capture_next_ms(const struct node *n, uint64_t now_ms)
{
	const struct node_capture *c = n->capture;

	if (!c)
		return UINT64_MAX;
	return c->req ? now_ms + GATHER_MS : c->lease_ms;
}

struct capture *node_capture_of(const struct node *n)
{
	return n->capture ? n->capture->capture : NULL;
}

static void go_on(struct node *n, struct control_request *req, const json_t *args)
{
	struct node_capture *c = n->capture;

	if (!c || json_integer_value(json_object_get(args, "id")) != c->id) {
		control_fail(req, EXIT_NO, "that capture is over");
	} else if (c->req) {
		control_fail(req, EXIT_NO, "that capture is asked for by somebody else");
	} else if (json_is_true(json_object_get(args, "stop"))) {
		finish(n, req);
	} else {
		c->req = req;
		c->answer_ms = clock_now_ms() + WAIT_MS;
		node_due(n, clock_now_ms() + GATHER_MS);
	}
}

void node_cmd_capture(void *arg, struct control_request *req, const json_t *args)
{
	const json_t *snap = json_object_get(args, "snap_bytes");
	json_int_t snap_bytes = snap ? json_integer_value(snap) : CAPTURE_SNAP_MAX_BYTES;
	const struct peer *p = NULL;
	struct node *n = arg;

	if (json_object_get(args, "id")) {
		go_on(n, req, args);
		return;
	}
	if (snap_bytes < SNAP_MIN_BYTES || snap_bytes > CAPTURE_SNAP_MAX_BYTES) {
		control_fail(req, EXIT_BAD_USAGE, "snap_bytes is a number from %d to %d", SNAP_MIN_BYTES,
			     CAPTURE_SNAP_MAX_BYTES);
		return;
	}
	if (json_object_get(args, "peer") && !(p = node_peer_of(n, req, args)))
		return;
	if (n->capture) {
		control_fail(req, EXIT_NO, "somebody else captures already");
		return;
	}
	begin(n, req, p ? p->number : 0, (size_t)snap_bytes);
}
