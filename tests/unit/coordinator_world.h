/* tests/unit/coordinator_world.h - a coordinator and members on the loopback of a namespace, in one loop
 *
 * Real streams and datagrams; the members are doubles (member_double.h). Steps fail the test when they do not succeed
 * before a deadline. */
#ifndef TESTS_UNIT_COORDINATOR_WORLD_H
#define TESTS_UNIT_COORDINATOR_WORLD_H

#include <jansson.h>
#include <uv.h>

#include "daemon/coordinator/role.h"
#include "daemon/net/stream.h"
#include "tests/unit/member_double.h"

#define UDP_PORT 27700
#define ALTERNATE_PORT 27701
#define N_MEMBERS 3

struct client {
	struct member_double member;
	struct stream *stream;
	bool is_connected, is_closed;
	uint64_t refused_us; /* when the refusal of its handshake came; 0: none did */
	int udp;
	struct wire_bind bound;     /* last reply, */
	struct endpoint bound_from; /* where it came from, */
	unsigned n_bound;           /* and how many there were */
	uint8_t datagram[2048];     /* last one that came over UDP, but for bind replies */
	size_t datagram_len;
	unsigned n_datagrams;
};

struct world {
	char dir[64], state_dir[96], socket_path[96], conf_path[128];
	uv_loop_t loop;
	struct config config;
	struct config_member members[N_MEMBERS];
	struct seckey secret, member_secrets[N_MEMBERS], stranger_secret;
	struct pubkey public;
	struct listen_fds handed; /* to the coordinator at its next start */
	struct coordinator *coordinator;
	struct client clients[N_MEMBERS], stranger;
};

/* cmocka fixtures: *state is a struct world with a coordinator that runs. */
int world_setup(void **state);
int world_teardown(void **state);
void world_start(struct world *f); /* once more, after coordinator_stop */

/* Runs the loop until `done` says so; false after the deadline. */
bool world_run_until(struct world *f, bool (*done)(const struct client *c), const struct client *c);
bool client_is_connected(const struct client *c);
bool client_is_closed(const struct client *c);
bool client_is_introduced(const struct client *c);
bool client_has_datagram(const struct client *c);
bool client_has_message(const struct client *c);

/* Asks the control socket one request, a line. The caller drops the reference. */
json_t *world_ask(struct world *f, const char *request);
int64_t world_counter(struct world *f, const char *name);
/* Waits until the counter, which is a worker's perhaps, is that and fails if it does not come to it. */
void world_expect(struct world *f, const char *counter, int64_t value);

/* Begins to connect, and says nothing. */
void client_dial(struct world *f, struct client *c);
/* Connects and sends the initiation; the rest of the handshake goes by itself. */
void client_connect(struct world *f, struct client *c);
/* And waits for CONTROL_REGISTERED. */
struct client *client_join(struct world *f, unsigned n);
uint32_t client_id(const struct client *c);
void client_say(struct client *c, const uint8_t *message, int len);
void client_send(int fd, uint16_t port, const void *data, size_t len);
/* Asks and waits for the answer, which is left in c->bound. */
void client_ask_bind(struct world *f, struct client *c, uint16_t port, uint64_t challenge, uint8_t flags);
void client_send_bind(struct client *c, uint16_t port, const struct wire_bind *request);
void client_send_bind_to(struct client *c, const struct endpoint *to, const struct wire_bind *request);
void client_bind(struct world *f, struct client *c);
void client_move(struct client *c); /* to a new UDP port, not bound yet */
/* Waits until what this client sent to the UDP port before has been read by its worker; the last may still be under its
 * hands. */
void client_settle(struct world *f, struct client *c);
/* A whole relay datagram; returns its length. */
size_t client_wrap(struct client *c, uint32_t to, const char *payload, uint8_t out[static 256]);
void client_relay(struct client *c, uint32_t to, const char *payload);

#endif
