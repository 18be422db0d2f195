#include "daemon/coordinator/service.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/coordinator/service_private.h"

/* Longest wait that puts both starts of an introduction at one moment; a longer round trip is not worth waiting for. */
#define START_IN_MAX_MS 250

#define PING_AGAIN_US (300 * UINT64_C(1000000))

void service_init(struct service *s, struct directory *directory, struct indices *indices, struct forward *forward,
		  struct counters *counters, const struct config *config)
{
	memset(s, 0, sizeof(*s));
	s->directory = directory;
	s->indices = indices;
	s->forward = forward;
	s->counters = counters;
	memcpy(s->network, config->network.name, sizeof(s->network));
	s->udp_port = config->listen.port;
	s->alternate_port = config->listen.alternate_port;
	s->alternate_address = config->listen.alternate_address;
	s->state_dir = config->state_dir;
	bucket_init(&s->strangers, SERVICE_STRANGERS_BURST, 0);
}

struct member *service_find(struct service *s, const struct registration *r, const struct pubkey *key)
{
	struct member *m = directory_by_key(s->directory, key);
	char text[KEY_TEXT_BYTES], source[ADDR_TEXT_BYTES];

	if (!m && bucket_take(&s->strangers, SERVICE_STRANGERS_PER_S, SERVICE_STRANGERS_BURST, r->heard_ms))
		log_info("control: unknown key %s from %s: no member block has it", pubkey_to_text(key, text),
			 endpoint_to_text(&r->source, source));
	return m;
}

/* Sends what an encoder wrote; a length below 0 cannot come of records that the directory made. */
static void send_encoded(struct registration *r, const uint8_t *message, int len)
{
	if (len > 0)
		registration_send(r, message, (size_t)len, false);
}

/* ---------------------------------------------------------------- those introduced */

static void send_event(struct member *to, uint32_t about, enum peer_event event)
{
	struct wire_peer_event e = { .member = about, .event = event };
	uint8_t message[16];

	if (to->registration)
		send_encoded(to->registration, message, wire_peer_event_encode(message, sizeof(message), &e));
}

static void tell_introduced(struct service *s, const struct member *m, uint32_t id, enum peer_event event)
{
	for (unsigned i = 0; i < m->introduced.n; i++) {
		struct member *other = directory_by_id(s->directory, m->introduced.v[i].id);

		/* A number can have passed to another member since; then that one has no mark of the introduction. */
		if (other && introduced_has(&other->introduced, id))
			send_event(other, id, event);
	}
}

static uint16_t start_in_ms(const struct member *m, const struct member *other)
{
	uint32_t later_us = other->rtt_us > m->rtt_us ? (other->rtt_us - m->rtt_us) / 2 : 0;

	if (!m->rtt_us || !other->rtt_us)
		return 0;
	return (uint16_t)(later_us / 1000 < START_IN_MAX_MS ? later_us / 1000 : START_IN_MAX_MS);
}

/* What the member said of itself, and the endpoint we see when that is not among it (yet). */
static void candidates_of(const struct member *m, struct candidates *out, uint64_t now_ms)
{
	const struct way *way = bound_way(&m->registration->bound, now_ms);

	*out = m->candidates;
	if (!way || out->n == WIRE_CANDIDATES_MAX || !ip_is_sendable(&way->peer.ip))
		return;
	for (unsigned i = 0; i < out->n; i++) {
		if (endpoint_equal(&out->v[i].endpoint, &way->peer) && !candidate_is_tcp(out->v[i].kind))
			return;
	}
	out->v[out->n++] = (struct candidate){ .kind = CANDIDATE_REFLEXIVE, .endpoint = way->peer };
}

static void send_introduction(struct member *to, const struct member *about, uint8_t flags, uint64_t now_ms)
{
	struct wire_introduce introduce = { .flags = flags, .start_in_ms = start_in_ms(to, about) };
	uint8_t message[WIRE_CONTROL_MAX_BYTES];

	directory_record(about, &introduce.member);
	candidates_of(about, &introduce.candidates, now_ms);
	send_encoded(to->registration, message, wire_introduce_encode(message, sizeof(message), &introduce));
}

static void on_connect(struct service *s, struct member *m, const uint8_t *data, size_t len, uint64_t now_ms)
{
	struct member *other;
	uint32_t id;

	if (wire_connect_decode(&id, data, len) < 0) {
		counters_inc(s->counters, COUNTER_control_bad_frame);
		return;
	}
	other = directory_by_id(s->directory, id);
	if (!other || other == m) {
		send_event(m, id, PEER_REMOVED);
		return;
	}
	/* Also when the other is offline: its coming is told to those who asked for it. */
	if (introduced_add(&m->introduced, other->id) < 0 || introduced_add(&other->introduced, m->id) < 0)
		log_warn("member %s: no memory to remember its introduction to %s", m->name, other->name);
	if (!other->registration) {
		send_event(m, id, PEER_OFFLINE);
		return;
	}
	send_introduction(other, m, 0, now_ms);
	if (other->registration && m->registration) /* sending can end a connection */
		send_introduction(m, other, INTRODUCE_ASKED, now_ms);
}

/* Kept for those it was introduced to, so that there is no more of it than of introductions. */
static void on_paths(struct service *s, struct member *m, const uint8_t *data, size_t len)
{
	struct wire_paths paths;

	if (wire_paths_decode(&paths, data, len) < 0) {
		counters_inc(s->counters, COUNTER_control_bad_frame);
		return;
	}
	for (unsigned i = 0; i < paths.n; i++)
		introduced_set_path(&m->introduced, paths.v[i].member, (uint8_t)paths.v[i].kind);
}

/* ---------------------------------------------------------------- look-up */

static void on_lookup(struct service *s, struct member *m, const uint8_t *data, size_t len)
{
	struct member *about = NULL;
	struct wire_lookup lookup;
	struct wire_found found;
	struct pubkey key;
	uint8_t message[WIRE_CONTROL_MAX_BYTES];

	if (wire_lookup_decode(&lookup, data, len) < 0) {
		counters_inc(s->counters, COUNTER_control_bad_frame);
		return;
	}
	switch (lookup.by) {
	case LOOKUP_ADDRESS:
		about = directory_by_address(s->directory, &lookup.address);
		break;
	case LOOKUP_NAME:
		about = directory_by_name(s->directory, lookup.name);
		break;
	case LOOKUP_KEY:
		memcpy(key.b, lookup.key, sizeof(key.b));
		about = directory_by_key(s->directory, &key);
		break;
	case LOOKUP_ID:
		about = directory_by_id(s->directory, lookup.id);
		break;
	}
	memset(&found, 0, sizeof(found));
	found.token = lookup.token;
	found.found = about && about->id;
	if (found.found)
		directory_record(about, &found.member);
	send_encoded(m->registration, message, wire_found_encode(message, sizeof(message), &found));
}

static void on_list(struct service *s, struct member *m, const uint8_t *data, size_t len)
{
	struct wire_members members = { .version = directory_version(s->directory) };
	uint8_t message[WIRE_CONTROL_MAX_BYTES];
	struct wire_member record;
	struct wire_list list;
	struct member *at;

	if (wire_list_decode(&list, data, len) < 0) {
		counters_inc(s->counters, COUNTER_control_bad_frame);
		return;
	}
	if (list.from == 0 && list.version == members.version) {
		members.next = CONTROL_LIST_UNCHANGED;
	} else {
		at = directory_next(s->directory, list.from);
		for (; at; at = directory_next(s->directory, at->id + 1)) {
			directory_record(at, &record);
			if (!wire_members_add(&members, &record))
				break;
		}
		members.next = at ? at->id : 0;
	}
	send_encoded(m->registration, message, wire_members_encode(message, sizeof(message), &members));
}

/* ---------------------------------------------------------------- pings */

static void send_ping(struct registration *r)
{
	uint8_t message[16];

	randombytes_buf(&r->ping_token, sizeof(r->ping_token));
	if (!r->ping_token)
		r->ping_token = 1;
	r->ping_us = clock_now_us();
	send_encoded(r, message, wire_ping_encode(message, sizeof(message), r->ping_token));
}

static void on_ping(struct service *s, struct registration *r, const uint8_t *data, size_t len)
{
	struct wire_pong pong = { .wall_ms = clock_wall_ms() };
	uint8_t message[32];

	if (wire_ping_decode(&pong.token, data, len) < 0) {
		counters_inc(s->counters, COUNTER_control_bad_frame);
		return;
	}
	send_encoded(r, message, wire_pong_encode(message, sizeof(message), &pong));
	/* The moment to take the time too, now that both are awake; its answer is one more wake-up, so not often. */
	if (r->state == REGISTRATION_REGISTERED && clock_now_us() - r->ping_us > PING_AGAIN_US)
		send_ping(r);
}

static void on_pong(struct registration *r, const uint8_t *data, size_t len)
{
	struct wire_pong pong;
	uint64_t rtt_us;

	if (wire_pong_decode(&pong, data, len) < 0 || !r->ping_token || pong.token != r->ping_token)
		return;
	rtt_us = clock_now_us() - r->ping_us;
	r->ping_token = 0;
	r->member->rtt_us = rtt_us == 0 ? 1 : rtt_us > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt_us;
}

/* ---------------------------------------------------------------- messages */

static bool within_limits(struct member *m, int type, uint64_t now_ms)
{
	if (type == CONTROL_LIST)
		return bucket_take(&m->pages, SERVICE_PAGES_PER_S, SERVICE_PAGES_BURST, now_ms);
	return bucket_take(&m->requests, SERVICE_REQUESTS_PER_S, SERVICE_REQUESTS_BURST, now_ms);
}

void service_message(struct service *s, struct registration *r, int type, uint8_t *data, size_t len, uint64_t now_ms)
{
	struct member *m = r->member;

	m->seen_ms = now_ms;
	if (type == CONTROL_RELAY) { /* has its own limits */
		forward_message(s->forward, r, data, len, now_ms);
		return;
	}
	if (!within_limits(m, type, now_ms)) {
		counters_inc(s->counters, COUNTER_control_rate_limited);
		return;
	}
	switch (type) {
	case CONTROL_CANDIDATES:
		if (wire_control_candidates_decode(&m->candidates, data, len) < 0)
			counters_inc(s->counters, COUNTER_control_bad_frame);
		break;
	case CONTROL_LOOKUP:
		on_lookup(s, m, data, len);
		break;
	case CONTROL_CONNECT:
		on_connect(s, m, data, len, now_ms);
		break;
	case CONTROL_LIST:
		on_list(s, m, data, len);
		break;
	case CONTROL_PATHS:
		on_paths(s, m, data, len);
		break;
	case CONTROL_PING:
		on_ping(s, r, data, len);
		break;
	case CONTROL_PONG:
		on_pong(r, data, len);
		break;
	case CONTROL_REVOCATIONS:
		service_on_revocations(s, r, data, len, now_ms);
		break;
	default: /* of a later version */
		break;
	}
}

/* ---------------------------------------------------------------- registration */

static void send_registered(struct service *s, struct registration *r)
{
	struct wire_registered m = { .member = r->member->id,
				     .index = r->link->local_index,
				     .flags = REGISTERED_OTHER_PORT | (s->forward->is_enabled ? REGISTERED_RELAY : 0),
				     .udp_port = s->udp_port,
				     .alternate_port = s->alternate_port,
				     .alternate_address = s->alternate_address,
				     .relay_rate = s->forward->rate_per_peer,
				     .source = r->source };
	uint8_t message[512];

	memcpy(m.name, r->member->name, sizeof(m.name));
	memcpy(m.network, s->network, sizeof(m.network));
	m.n_addrs = directory_addresses(s->directory, r->member, m.addrs);
	send_encoded(r, message, wire_registered_encode(message, sizeof(message), &m));
}

static void admit_limits(struct service *s, struct member *m, uint64_t now_ms)
{
	if (m->has_limits) /* coming back must not fill them again */
		return;
	bucket_init(&m->requests, SERVICE_REQUESTS_BURST, now_ms);
	bucket_init(&m->pages, SERVICE_PAGES_BURST, now_ms);
	forward_admit(s->forward, m, now_ms);
	m->has_limits = true;
}

static void log_registered(const struct member *m, const struct registration *r, const struct registration *old)
{
	char source[ADDR_TEXT_BYTES], before[ADDR_TEXT_BYTES];

	endpoint_to_text(&r->source, source);
	if (old && !ip_equal(&old->source.ip, &r->source.ip))
		log_warn("member %s: registered from %s, replaces its registration from %s", m->name, source,
			 endpoint_to_text(&old->source, before));
	else
		log_info("member %s: registered from %s, id %u%s", m->name, source, m->id, old ? ", anew" : "");
}

void service_registering(struct service *s, struct registration *r, const struct wire_register *m, uint64_t now_ms)
{
	const char *why = "not a member any more";
	struct member *member;
	struct registration *old;
	uint32_t index;
	bool is_restart;
	int ret;

	if (m->version != WIRE_VERSION) {
		registration_refuse(r, REFUSED_VERSION, "the coordinator speaks another version of the protocol");
		return;
	}
	member = s->trust ? service_admit(s, r, &why) : directory_by_key(s->directory, &r->key);
	if (!member) { /* removed since its initiation, or its certificate is of no use here */
		registration_refuse(r, s->trust ? REFUSED_CERTIFICATE : REFUSED_REMOVED, why);
		return;
	}
	ret = directory_lease(s->directory, member);
	if (ret) {
		log_error("member %s: refused, no address could be leased: %s", member->name,
			  ret == -EADDRNOTAVAIL ? "the network's prefix is full" : strerror(-ret));
		registration_refuse(r, REFUSED_NO_ADDRESS, "the coordinator could not lease an address");
		return;
	}
	index = indices_add(s->indices, INDEX_LINK, r);
	if (!index || registration_accept(r, member, index, m->index) < 0) {
		if (index)
			indices_remove(s->indices, index, now_ms);
		log_error("member %s: refused, no memory", member->name);
		registration_close(r);
		return;
	}
	counters_inc(s->counters, COUNTER_registrations);
	old = member->registration;
	log_registered(member, r, old);
	is_restart = member->has_boot_id && member->boot_id != m->boot_id;
	directory_set_registration(s->directory, member, r);
	forward_changed(s->forward);
	member->boot_id = m->boot_id;
	member->has_boot_id = true;
	member->seen_ms = now_ms;
	member->rtt_us = 0;
	memset(&member->candidates, 0, sizeof(member->candidates));
	admit_limits(s, member, now_ms);
	if (old)
		registration_refuse(old, REFUSED_REPLACED, "registered anew from elsewhere");
	send_registered(s, r);
	if (r->state == REGISTRATION_REGISTERED)
		send_ping(r);
	if (r->state == REGISTRATION_REGISTERED)
		service_greet(s, r);
	if (is_restart)
		tell_introduced(s, member, member->id, PEER_RESTARTED);
	else if (!old)
		tell_introduced(s, member, member->id, PEER_ONLINE);
}

void service_closed(struct service *s, struct registration *r, uint64_t now_ms)
{
	struct member *m = r->member;

	if (!m)
		return;
	r->member = NULL;
	indices_remove(s->indices, r->link->local_index, now_ms);
	if (m->registration != r)
		return;
	directory_set_registration(s->directory, m, NULL);
	introduced_forget_paths(&m->introduced);
	forward_changed(s->forward);
	log_info("member %s: offline", m->name);
	tell_introduced(s, m, m->id, PEER_OFFLINE);
}

/* Those who were introduced to a member by a number that it has no more. */
static void forget_number(struct service *s, const struct member *m, uint32_t id)
{
	tell_introduced(s, m, id, PEER_REMOVED);
	for (unsigned i = 0; i < m->introduced.n; i++) {
		struct member *other = directory_by_id(s->directory, m->introduced.v[i].id);

		if (other)
			introduced_remove(&other->introduced, id);
	}
}

void service_removed(struct service *s, const struct directory_changes *changes, const char *why)
{
	for (unsigned i = 0; i < changes->n_removed; i++) {
		struct member *m = changes->removed[i];

		log_info("member %s: removed: %s", m->name, why);
		forget_number(s, m, m->id);
		introduced_fini(&m->introduced); /* so that its end is not told as a mere absence */
		if (m->registration)
			registration_refuse(m->registration, REFUSED_REMOVED, why);
	}
}

void service_reloaded(struct service *s, const struct directory_changes *changes)
{
	service_removed(s, changes, "not a member any more");
	for (unsigned i = 0; i < changes->n_changed; i++) {
		struct member *m = changes->changed[i];

		log_info("member %s: name or address changed", m->name);
		if (changes->old_ids[i] != m->id) {
			forget_number(s, m, changes->old_ids[i]);
			introduced_fini(&m->introduced);
		}
		if (m->registration)
			registration_close(m->registration);
	}
}
