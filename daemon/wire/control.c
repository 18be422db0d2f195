#include "daemon/wire/control.h"
#include "daemon/wire/endpoint.h"

#include <errno.h>
#include <string.h>

#define MEMBER_MAX_BYTES (4 + 32 + 1 + 1 + WIRE_NAME_MAX_BYTES + 1 + WIRE_ADDRS_MAX * 17 + 2 + CERT_MAX_BYTES)
#define MEMBERS_HEADER_BYTES (1 + 8 + 4 + 1)

static_assert(MEMBERS_HEADER_BYTES + MEMBER_MAX_BYTES <= WIRE_CONTROL_MAX_BYTES, "a page has room for any record");
static_assert(1 + 1 + 2 + MEMBER_MAX_BYTES + WIRE_CANDIDATES_MAX_BYTES <= WIRE_CONTROL_MAX_BYTES,
	      "the longest introduction is one message");

/* ---------------------------------------------------------------- parts of messages */

static struct writer message_begin(uint8_t *out, size_t capacity, enum wire_control_type type)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, (uint8_t)type);
	return w;
}

/* A message of another type fails at its first byte. */
static struct reader message_open(const uint8_t *data, size_t len, enum wire_control_type type)
{
	struct reader r = reader_of(data, len);

	if (reader_u8(&r) != type)
		r.failed = true;
	return r;
}

static void member_write(struct writer *w, const struct wire_member *m)
{
	writer_be32(w, m->id);
	writer_put(w, m->key, sizeof(m->key));
	writer_u8(w, m->flags);
	wire_text_write(w, m->name);
	writer_u8(w, (uint8_t)m->n_addrs);
	for (unsigned i = 0; i < m->n_addrs; i++)
		wire_ip_write(w, &m->addrs[i]);
	writer_be16(w, m->cert_len);
	if (m->cert_len)
		writer_put(w, m->cert, m->cert_len);
}

static bool member_is_valid(const struct wire_member *m)
{
	return m->n_addrs <= WIRE_ADDRS_MAX && m->cert_len <= CERT_MAX_BYTES && wire_name_is_valid(m->name);
}

static size_t member_bytes(const struct wire_member *m)
{
	size_t bytes = 4 + sizeof(m->key) + 1 + 1 + strlen(m->name) + 1 + 2 + m->cert_len;

	for (unsigned i = 0; i < m->n_addrs; i++)
		bytes += 1u + m->addrs[i].len;
	return bytes;
}

static void member_read(struct reader *r, struct wire_member *out)
{
	uint8_t n;

	out->id = reader_be32(r);
	reader_copy(r, out->key, sizeof(out->key));
	out->flags = reader_u8(r);
	wire_name_read(r, out->name);
	n = reader_u8(r);
	if (n > WIRE_ADDRS_MAX)
		r->failed = true;
	for (unsigned i = 0; i < n && reader_ok(r); i++)
		wire_ip_read(r, &out->addrs[out->n_addrs++]);
	out->cert_len = reader_be16(r);
	if (out->cert_len > CERT_MAX_BYTES)
		r->failed = true;
	out->cert = reader_take(r, out->cert_len);
}

int wire_control_type_of(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	uint8_t type = reader_u8(&r);

	return reader_ok(&r) ? type : -EBADMSG;
}

/* ---------------------------------------------------------------- registration */

int wire_register_encode(uint8_t *out, size_t capacity, const struct wire_register *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_REGISTER);

	if (m->name[0] && !wire_name_is_valid(m->name))
		return -EINVAL;
	writer_u8(&w, m->version);
	writer_u8(&w, m->flags);
	writer_be64(&w, m->boot_id);
	writer_be32(&w, m->index);
	wire_text_write(&w, m->name);
	return writer_finish(&w);
}

int wire_register_decode(struct wire_register *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_REGISTER);
	struct wire_register m = { 0 };

	m.version = reader_u8(&r);
	m.flags = reader_u8(&r);
	m.boot_id = reader_be64(&r);
	m.index = reader_be32(&r);
	wire_text_read(&r, m.name, sizeof(m.name));
	if (!reader_at_end(&r) || (m.name[0] && !wire_name_is_valid(m.name)))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_registered_encode(uint8_t *out, size_t capacity, const struct wire_registered *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_REGISTERED);

	if (m->n_addrs > WIRE_ADDRS_MAX || !wire_name_is_valid(m->name) || !wire_name_is_valid(m->network))
		return -EINVAL;
	writer_be32(&w, m->member);
	writer_be32(&w, m->index);
	writer_u8(&w, m->flags);
	writer_be16(&w, m->udp_port);
	writer_be16(&w, m->alternate_port);
	writer_be64(&w, m->relay_rate);
	wire_text_write(&w, m->name);
	wire_text_write(&w, m->network);
	writer_u8(&w, (uint8_t)m->n_addrs);
	for (unsigned i = 0; i < m->n_addrs; i++) {
		wire_ip_write(&w, &m->addrs[i].ip);
		writer_u8(&w, m->addrs[i].bits);
	}
	if (ip_is_none(&m->alternate_address))
		writer_u8(&w, 0);
	else
		wire_ip_write(&w, &m->alternate_address);
	wire_endpoint_write(&w, &m->source);
	return writer_finish(&w);
}

int wire_registered_decode(struct wire_registered *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_REGISTERED);
	struct wire_registered m = { 0 };
	uint8_t n;

	m.member = reader_be32(&r);
	m.index = reader_be32(&r);
	m.flags = reader_u8(&r);
	m.udp_port = reader_be16(&r);
	m.alternate_port = reader_be16(&r);
	m.relay_rate = reader_be64(&r);
	wire_name_read(&r, m.name);
	wire_name_read(&r, m.network);
	n = reader_u8(&r);
	if (n > WIRE_ADDRS_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < n && reader_ok(&r); i++) {
		struct prefix *p = &m.addrs[m.n_addrs++];

		wire_ip_read(&r, &p->ip);
		p->bits = reader_u8(&r);
		if (p->bits > p->ip.len * 8)
			return -EBADMSG;
	}
	if (reader_left(&r) > 0 && r.p[0] == 0)
		reader_skip(&r, 1);
	else
		wire_ip_read(&r, &m.alternate_address);
	wire_endpoint_read(&r, &m.source);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_refused_encode(uint8_t *out, size_t capacity, const struct wire_refused *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_REFUSED);

	writer_u8(&w, m->reason);
	wire_text_write(&w, m->text);
	return writer_finish(&w);
}

int wire_refused_decode(struct wire_refused *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_REFUSED);
	struct wire_refused m = { 0 };

	m.reason = reader_u8(&r);
	wire_text_read(&r, m.text, sizeof(m.text));
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_control_candidates_encode(uint8_t *out, size_t capacity, const struct candidates *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_CANDIDATES);

	wire_candidates_write(&w, m);
	return writer_finish(&w);
}

int wire_control_candidates_decode(struct candidates *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_CANDIDATES);
	struct candidates m;

	wire_candidates_read(&r, &m);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

/* ---------------------------------------------------------------- directory */

int wire_lookup_encode(uint8_t *out, size_t capacity, const struct wire_lookup *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_LOOKUP);

	writer_be32(&w, m->token);
	writer_u8(&w, (uint8_t)m->by);
	switch (m->by) {
	case LOOKUP_ADDRESS:
		wire_ip_write(&w, &m->address);
		break;
	case LOOKUP_NAME:
		if (!wire_name_is_valid(m->name))
			return -EINVAL;
		wire_text_write(&w, m->name);
		break;
	case LOOKUP_KEY:
		writer_put(&w, m->key, sizeof(m->key));
		break;
	case LOOKUP_ID:
		writer_be32(&w, m->id);
		break;
	default:
		return -EINVAL;
	}
	return writer_finish(&w);
}

int wire_lookup_decode(struct wire_lookup *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_LOOKUP);
	struct wire_lookup m = { 0 };
	uint8_t by;

	m.token = reader_be32(&r);
	by = reader_u8(&r);
	switch (by) {
	case LOOKUP_ADDRESS:
		wire_ip_read(&r, &m.address);
		break;
	case LOOKUP_NAME:
		wire_name_read(&r, m.name);
		break;
	case LOOKUP_KEY:
		reader_copy(&r, m.key, sizeof(m.key));
		break;
	case LOOKUP_ID:
		m.id = reader_be32(&r);
		break;
	default:
		return -EBADMSG;
	}
	m.by = (enum lookup_by)by;
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_found_encode(uint8_t *out, size_t capacity, const struct wire_found *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_FOUND);

	if (m->found && !member_is_valid(&m->member))
		return -EINVAL;
	writer_be32(&w, m->token);
	writer_u8(&w, m->found);
	if (m->found)
		member_write(&w, &m->member);
	return writer_finish(&w);
}

int wire_found_decode(struct wire_found *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_FOUND);
	struct wire_found m = { 0 };
	uint8_t found;

	m.token = reader_be32(&r);
	found = reader_u8(&r);
	if (found > 1)
		return -EBADMSG;
	m.found = found;
	if (m.found)
		member_read(&r, &m.member);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_list_encode(uint8_t *out, size_t capacity, const struct wire_list *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_LIST);

	writer_be64(&w, m->version);
	writer_be32(&w, m->from);
	return writer_finish(&w);
}

int wire_list_decode(struct wire_list *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_LIST);
	struct wire_list m = { 0 };

	m.version = reader_be64(&r);
	m.from = reader_be32(&r);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

bool wire_members_add(struct wire_members *m, const struct wire_member *record)
{
	size_t bytes = MEMBERS_HEADER_BYTES + member_bytes(record);

	for (unsigned i = 0; i < m->n; i++)
		bytes += member_bytes(&m->v[i]);
	if (m->n == WIRE_MEMBERS_PER_PAGE || bytes > WIRE_CONTROL_MAX_BYTES)
		return false;
	m->v[m->n++] = *record;
	return true;
}

int wire_members_encode(uint8_t *out, size_t capacity, const struct wire_members *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_MEMBERS);

	if (m->n > WIRE_MEMBERS_PER_PAGE)
		return -EINVAL;
	writer_be64(&w, m->version);
	writer_be32(&w, m->next);
	writer_u8(&w, (uint8_t)m->n);
	for (unsigned i = 0; i < m->n; i++) {
		if (!member_is_valid(&m->v[i]))
			return -EINVAL;
		member_write(&w, &m->v[i]);
	}
	return writer_finish(&w);
}

int wire_members_decode(struct wire_members *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_MEMBERS);
	struct wire_members m = { 0 };
	uint8_t n;

	m.version = reader_be64(&r);
	m.next = reader_be32(&r);
	n = reader_u8(&r);
	if (n > WIRE_MEMBERS_PER_PAGE)
		return -EBADMSG;
	for (unsigned i = 0; i < n && reader_ok(&r); i++)
		member_read(&r, &m.v[m.n++]);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

/* ---------------------------------------------------------------- introductions */

int wire_connect_encode(uint8_t *out, size_t capacity, uint32_t member)
{
	struct writer w = message_begin(out, capacity, CONTROL_CONNECT);

	writer_be32(&w, member);
	return writer_finish(&w);
}

int wire_connect_decode(uint32_t *member, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_CONNECT);
	uint32_t id = reader_be32(&r);

	if (!reader_at_end(&r))
		return -EBADMSG;
	*member = id;
	return 0;
}

int wire_introduce_encode(uint8_t *out, size_t capacity, const struct wire_introduce *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_INTRODUCE);

	if (!member_is_valid(&m->member))
		return -EINVAL;
	writer_u8(&w, m->flags);
	writer_be16(&w, m->start_in_ms);
	member_write(&w, &m->member);
	wire_candidates_write(&w, &m->candidates);
	return writer_finish(&w);
}

int wire_introduce_decode(struct wire_introduce *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_INTRODUCE);
	struct wire_introduce m = { 0 };

	m.flags = reader_u8(&r);
	m.start_in_ms = reader_be16(&r);
	member_read(&r, &m.member);
	wire_candidates_read(&r, &m.candidates);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_peer_event_encode(uint8_t *out, size_t capacity, const struct wire_peer_event *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_PEER_EVENT);

	writer_be32(&w, m->member);
	writer_u8(&w, (uint8_t)m->event);
	return writer_finish(&w);
}

int wire_peer_event_decode(struct wire_peer_event *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_PEER_EVENT);
	struct wire_peer_event m = { 0 };
	uint8_t event;

	m.member = reader_be32(&r);
	event = reader_u8(&r);
	if (!reader_at_end(&r) || event < PEER_RESTARTED || event > PEER_REMOVED)
		return -EBADMSG;
	m.event = (enum peer_event)event;
	*out = m;
	return 0;
}

int wire_paths_encode(uint8_t *out, size_t capacity, const struct wire_paths *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_PATHS);

	if (m->n > WIRE_PATHS_MAX)
		return -EINVAL;
	writer_u8(&w, (uint8_t)m->n);
	for (unsigned i = 0; i < m->n; i++) {
		writer_be32(&w, m->v[i].member);
		writer_u8(&w, (uint8_t)m->v[i].kind);
	}
	return writer_finish(&w);
}

int wire_paths_decode(struct wire_paths *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_PATHS);
	struct wire_paths m = { 0 };
	unsigned n = reader_u8(&r);

	for (unsigned i = 0; i < n && reader_ok(&r); i++) {
		uint8_t kind;

		m.v[m.n].member = reader_be32(&r);
		kind = reader_u8(&r);
		if (kind > CONTROL_PATH_RELAY_TCP)
			return -EBADMSG;
		m.v[m.n++].kind = (enum control_path)kind;
	}
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

/* ---------------------------------------------------------------- the connection itself */

int wire_ping_encode(uint8_t *out, size_t capacity, uint64_t token)
{
	struct writer w = message_begin(out, capacity, CONTROL_PING);

	writer_be64(&w, token);
	return writer_finish(&w);
}

int wire_ping_decode(uint64_t *token, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_PING);
	uint64_t value = reader_be64(&r);

	if (!reader_at_end(&r))
		return -EBADMSG;
	*token = value;
	return 0;
}

int wire_pong_encode(uint8_t *out, size_t capacity, const struct wire_pong *m)
{
	struct writer w = message_begin(out, capacity, CONTROL_PONG);

	writer_be64(&w, m->token);
	writer_be64(&w, m->wall_ms);
	return writer_finish(&w);
}

int wire_pong_decode(struct wire_pong *out, const uint8_t *data, size_t len)
{
	struct reader r = message_open(data, len, CONTROL_PONG);
	struct wire_pong m = { .token = reader_be64(&r) };

	m.wall_ms = reader_be64(&r);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

int wire_control_relay_encode(uint8_t *out, size_t capacity, uint32_t member)
{
	struct writer w = message_begin(out, capacity, CONTROL_RELAY);

	writer_be32(&w, member);
	return writer_finish(&w);
}

int wire_control_relay_decode(uint32_t *member, const uint8_t **payload, size_t *payload_len, const uint8_t *data,
			      size_t len)
{
	struct reader r = message_open(data, len, CONTROL_RELAY);
	uint32_t id = reader_be32(&r);
	size_t left = reader_left(&r);
	const uint8_t *p = reader_take(&r, left);

	if (!reader_ok(&r) || left == 0)
		return -EBADMSG;
	*member = id;
	*payload = p;
	*payload_len = left;
	return 0;
}
