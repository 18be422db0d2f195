#include "daemon/coordinator/role_private.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/control/offload_json.h"
#include "daemon/net/offload.h"

static json_t *time_of(uint64_t at_ms)
{
	char text[CLOCK_TEXT_BYTES];

	return json_string(clock_text(at_ms, text));
}

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static json_t *prefix_or_null(const struct prefix *p)
{
	struct prefix network = { .ip = prefix_network(p), .bits = p->bits };
	char text[ADDR_TEXT_BYTES];

	return p->ip.len ? json_string(prefix_to_text(&network, text)) : json_null();
}

struct timespec config_file_mtime(const struct config *config)
{
	struct stat st;

	return stat(config->path, &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

static json_t *config_state(const struct coordinator *c)
{
	struct timespec now = config_file_mtime(c->config);
	bool is_changed = now.tv_sec != c->loaded_mtime.tv_sec || now.tv_nsec != c->loaded_mtime.tv_nsec;

	return json_pack("{s:s, s:o, s:b, s:o}", "path", c->config->path, "loaded", time_of(c->loaded_ms),
			 "changed_on_disk", is_changed, "last_error", text_or_null(c->reload_error));
}

/* The suites that may be used, and who computes each here. */
static json_t *ciphers(uint16_t suites)
{
	json_t *array = json_array();

	for (int i = AEAD_SUITE_COUNT - 1; i > AEAD_NONE; i--) {
		enum aead_suite suite = (enum aead_suite)i;
		const struct aead_impl *impl = aead_impl_of(suite);

		if (impl && suites & (1u << suite))
			json_array_append_new(array, json_pack("{s:s, s:s}", "suite", aead_suite_name(suite),
							       "implementation", impl->name));
	}
	return array;
}

static json_t *counters(const struct coordinator *c)
{
	uint64_t sum[COUNTER_COUNT] = { 0 };
	json_t *object = json_object();

	coordinator_count(c, sum);
	for (int i = 0; i < COUNTER_COUNT; i++)
		json_object_set_new(object, counter_name((enum counter)i), json_integer((json_int_t)sum[i]));
	return object;
}

static json_t *listening(const struct coordinator *c)
{
	json_t *udp = json_array(), *tcp = json_array();
	uint16_t port;

	for (unsigned i = 0; i < 2; i++) {
		if (ports_number(c->ports, i))
			json_array_append_new(udp, json_integer(ports_number(c->ports, i)));
	}
	for (unsigned i = 0; (port = registry_port(c->registry, i)) != 0; i++)
		json_array_append_new(tcp, json_integer(port));
	return json_pack("{s:o, s:o}", "udp", udp, "tcp", tcp);
}

static json_t *notices(const struct coordinator *c)
{
	json_t *array = json_array();
	const struct revocations *list = c->trust ? trust_revocations(c->trust) : NULL;
	uint64_t now_s = clock_wall_ms() / 1000;
	const struct member *m;
	unsigned n_unleased = 0, n_workers = ports_workers(c->ports), n_wanted = ports_offload(c->ports).workers_wanted;

	for (unsigned i = 0; (m = directory_at(c->directory, i)); i++)
		n_unleased += m->id == 0;
	if (n_unleased)
		json_array_append_new(
			array, json_sprintf("%u members have no address: the prefix or the disk is full", n_unleased));
	if (n_workers < n_wanted)
		json_array_append_new(array, json_sprintf("%u of %u workers: more sockets cannot share a UDP port",
							  n_workers, n_wanted));
	if (list && revocations_is_ending(list, now_s))
		json_array_append_new(
			array, json_sprintf("the list of revoked members %s: hand in the next (warrenctl node refresh)",
					    revocations_is_over(list, now_s) ?
						    "has expired, and nodes let nobody in" :
						    "expires soon, and from then on nodes let nobody in"));
	if (c->reload_error[0])
		json_array_append_new(array, json_string("the last reload failed; the settings before it are in use"));
	return array;
}

/* What of the kernel's help is in use, and why not the rest. */
static void offload(const struct coordinator *c, json_t *on, json_t *off)
{
	struct ports_offload o = ports_offload(c->ports);

	offload_json_add(on, off, "reuseport", ports_workers(c->ports) > 1, o.disabled & OFFLOAD_NO_REUSEPORT, 0,
			 o.workers_wanted > 1 ? OFFLOAD_NOT_THERE : OFFLOAD_ONE_WORKER);
	offload_json_add(on, off, "gso", o.has_gso, o.disabled & OFFLOAD_NO_GSO, o.gso_error, OFFLOAD_NOT_THERE);
	offload_json_add(on, off, "gro", o.has_gro, o.disabled & OFFLOAD_NO_GRO, 0, OFFLOAD_NOT_THERE);
}

static json_t *relay(const struct coordinator *c)
{
	const struct config *config = c->config;
	json_t *workers = json_array();

	for (unsigned i = 0; i < ports_workers(c->ports); i++) {
		uint64_t n = counters_get(ports_counters(c->ports, i), COUNTER_relay_forwarded_datagrams);

		json_array_append_new(workers, json_integer((json_int_t)n));
	}
	return json_pack("{s:b, s:I, s:I, s:o}", "enabled", config->relay.enabled, "rate_per_peer",
			 (json_int_t)config->relay.rate_per_peer, "rate_total", (json_int_t)config->relay.rate_total,
			 "forwarded_by_worker", workers);
}

/* null: never, or there is no list */
static json_t *list_end(const struct coordinator *c)
{
	uint64_t end_s = revocations_expires_s(trust_revocations(c->trust));

	/* time_of() takes the other clock's time; it may be the past of this boot. */
	return end_s ? time_of(end_s * 1000 + clock_now_ms() - clock_wall_ms()) : json_null();
}

json_t *document_status(const struct coordinator *c)
{
	const struct config *config = c->config;
	json_t *on = json_object(), *off = json_object();
	uint64_t now_ms = clock_now_ms();
	char key[KEY_TEXT_BYTES];
	json_t *document;

	offload(c, on, off);
	document = json_pack("{s:s, s:o, s:s, s:s, s:s, s:i, s:I, s:o, s:s, s:[], s:n, s:i, s:o, s:o,"
			     " s:o, s:o, s:{s:s, s:o, s:o}, s:{s:i, s:i}, s:o, s:o, s:o}",
			     "schema", "warren.status/1", "time", time_of(now_ms), "role", "coordinator", "name",
			     config->name, "version", WARREN_VERSION, "pid", (int)getpid(), "uptime_s",
			     (json_int_t)((now_ms - c->started_ms) / 1000), "config", config_state(c), "key",
			     pubkey_to_text(&c->identity.public, key), "addresses", "tun", "workers",
			     (int)ports_workers(c->ports), "offload", on, "offload_off", off, "ciphers",
			     ciphers(c->identity.suites), "listen", listening(c), "network", "name",
			     config->network.name, "prefix", prefix_or_null(&config->network.prefix), "prefix6",
			     prefix_or_null(&config->network.prefix6), "members", "total",
			     (int)directory_count(c->directory), "online", (int)directory_online(c->directory), "relay",
			     relay(c), "counters", counters(c), "notices", notices(c));
	/* null: the file's member blocks say who is a member */
	json_object_set_new(document, "network_key",
			    c->trust ? json_string(verifykey_to_text(trust_network(c->trust), key)) : json_null());
	json_object_set_new(document, "revocations",
			    c->trust ? json_integer((json_int_t)revocations_epoch(trust_revocations(c->trust))) :
				       json_null());
	json_object_set_new(document, "revocations_expire", c->trust ? list_end(c) : json_null());
	return document;
}

static json_t *member_document(const struct member *m)
{
	char key[KEY_TEXT_BYTES], text[ADDR_TEXT_BYTES], serial[2 * CERT_SERIAL_BYTES + 1];
	json_t *ips = json_array();

	if (m->address.len)
		json_array_append_new(ips, json_string(ip_to_text(&m->address, text)));
	if (m->address6.len)
		json_array_append_new(ips, json_string(ip_to_text(&m->address6, text)));
	sodium_bin2hex(serial, sizeof(serial), m->serial.b, sizeof(m->serial.b));
	return json_pack("{s:s, s:s?, s:s, s:o, s:s, s:b, s:n, s:o, s:I, s:I, s:o, s:n}", "name", m->name, "serial",
			 m->is_certified ? serial : NULL, "key", pubkey_to_text(&m->key, key), "ips", ips, "state",
			 m->registration ? "up" : "down", "online", m->registration != NULL, "path", "rtt_ms",
			 m->rtt_us && m->registration ? json_real(m->rtt_us / 1000.0) : json_null(), "rx_bytes",
			 (json_int_t)m->account->sent_bytes, "tx_bytes", (json_int_t)m->account->got_bytes, "last_seen",
			 m->seen_ms ? time_of(m->seen_ms) : json_null(), "why");
}

json_t *document_peers(const struct coordinator *c)
{
	json_t *peers = json_array();
	const struct member *m;

	for (unsigned i = 0; (m = directory_at(c->directory, i)); i++)
		json_array_append_new(peers, member_document(m));
	return json_pack("{s:s, s:o, s:s, s:s, s:o}", "schema", "warren.peers/1", "time", time_of(clock_now_ms()),
			 "net", c->service.network, "self", c->config->name, "peers", peers);
}

json_t *document_version(void)
{
	return json_pack("{s:s, s:s}", "schema", "warren.version/1", "version", WARREN_VERSION);
}

/* null: there is none yet */
static json_t *list_text(const uint8_t *list, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	char *text = list ? malloc(size) : NULL;
	json_t *out;

	if (!text)
		return json_null();
	out = json_string(sodium_bin2base64(text, size, list, len, sodium_base64_VARIANT_ORIGINAL));
	free(text);
	return out;
}

json_t *document_revocations(const struct coordinator *c)
{
	struct revocations *r = trust_revocations(c->trust);
	char key[KEY_TEXT_BYTES];
	size_t len;
	const uint8_t *list = revocations_list(r, &len);

	return json_pack("{s:s, s:o, s:s, s:I, s:i, s:o, s:o}", "schema", "warren.revocations/1", "time",
			 time_of(clock_now_ms()), "network_key", verifykey_to_text(trust_network(c->trust), key),
			 "epoch", (json_int_t)revocations_epoch(r), "entries",
			 list ? (int)((len - REVOCATION_HEAD_BYTES) / REVOCATION_ENTRY_BYTES) : 0, "expires",
			 list_end(c), "list", list_text(list, len));
}
