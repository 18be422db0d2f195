#include "daemon/coordinator/role.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/control/recent.h"
#include "daemon/control/reload.h"
#include "daemon/control/settings.h"
#include "daemon/coordinator/role_private.h"

/* ---------------------------------------------------------------- control socket */

static void reply(struct control_request *req, json_t *document)
{
	if (document)
		control_reply_take(req, document);
	else
		control_fail(req, EXIT_NO, "no memory");
}

static void on_status(void *arg, struct control_request *req, const json_t *args)
{
	(void)args;
	reply(req, document_status(arg));
}

static void on_peers(void *arg, struct control_request *req, const json_t *args)
{
	(void)args;
	reply(req, document_peers(arg));
}

static void on_map(void *arg, struct control_request *req, const json_t *args)
{
	(void)args;
	reply(req, document_map(arg));
}

static void on_metrics(void *arg, struct control_request *req, const json_t *args)
{
	char *text = coordinator_metrics(arg, METRICS_TEXT);

	(void)args;
	reply(req, text ? json_pack("{s:s, s:s}", "schema", "warren.metrics/1", "text", text) : NULL);
	free(text);
}

static void on_version(void *arg, struct control_request *req, const json_t *args)
{
	(void)arg;
	(void)args;
	reply(req, document_version());
}

static void on_reload(void *arg, struct control_request *req, const json_t *args)
{
	const struct coordinator *c = arg;

	control_reload(req, args, c->owner);
}

static void on_config(void *arg, struct control_request *req, const json_t *args)
{
	const struct coordinator *c = arg;

	(void)args;
	control_config(req, c->config->path, c->owner);
}

static void on_revocations(void *arg, struct control_request *req, const json_t *args)
{
	const struct coordinator *c = arg;

	(void)args;
	if (c->trust)
		reply(req, document_revocations(c));
	else
		control_fail(req, EXIT_NO, "%s has no network_key: take the member block out of its file, and reload",
			     c->config->name);
}

static void on_revoke(void *arg, struct control_request *req, const json_t *args)
{
	const char *text = json_string_value(json_object_get(args, "list"));
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct coordinator *c = arg;
	size_t len;
	int ret;

	if (!text || sodium_base642bin(list, sizeof(list), text, strlen(text), NULL, &len, NULL,
				       sodium_base64_VARIANT_ORIGINAL) != 0) {
		control_fail(req, EXIT_BAD_USAGE, "which list?");
		return;
	}
	registry_begin(c->registry);
	ret = service_revoke(&c->service, list, len, clock_now_ms());
	registry_end(c->registry);
	forward_publish(&c->forward); /* before anybody is told that it applies */
	if (ret == 0)
		reply(req, document_revocations(c));
	else if (ret == -EALREADY)
		control_fail(req, EXIT_NO,
			     "a newer list of revoked members is in force; read it, and sign the next one");
	else
		control_fail(req, EXIT_NO, "the list is not taken: it is not signed by this network's key");
}

/* Paths, pings and NATs are a peer's; saying so beats "unknown command". */
static void on_peer_command(void *arg, struct control_request *req, const json_t *args)
{
	const struct coordinator *c = arg;

	(void)args;
	control_fail(req, EXIT_NO, "%s is a coordinator and has no paths of its own: ask a peer's daemon",
		     c->config->name);
}

static const struct control_command commands[] = {
	{ .name = "status", .handler = on_status },
	{ .name = "peers", .handler = on_peers },
	{ .name = "map", .handler = on_map },
	{ .name = "metrics", .handler = on_metrics },
	{ .name = "log", .handler = control_recent },
	{ .name = "log_level", .handler = control_log_level },
	{ .name = "set_log_level", .flags = CONTROL_WRITE, .handler = control_set_log_level },
	{ .name = "version", .handler = on_version },
	{ .name = "revocations", .handler = on_revocations },
	{ .name = "revoke", .flags = CONTROL_WRITE, .handler = on_revoke },
	{ .name = "reload", .flags = CONTROL_WRITE, .handler = on_reload },
	{ .name = "config", .handler = on_config },
	{ .name = "paths", .handler = on_peer_command },
	{ .name = "routes", .handler = on_peer_command },
	{ .name = "ping", .handler = on_peer_command },
	{ .name = "capture", .handler = on_peer_command },
	{ .name = "netcheck", .handler = on_peer_command },
	{ .name = "why", .handler = on_peer_command },
	{ .name = "rebind", .handler = on_peer_command },
	{ .name = "up", .handler = on_peer_command },
	{ .name = "down", .handler = on_peer_command },
	{ .name = NULL },
};

/* ---------------------------------------------------------------- start */

static int open_store(struct coordinator *c, char *error, size_t capacity)
{
	char path[4096];

	if (mkdir(c->config->state_dir, 0700) < 0 && errno != EEXIST) {
		snprintf(error, capacity, "%s: %s", c->config->state_dir, strerror(errno));
		return -errno;
	}
	if ((size_t)snprintf(path, sizeof(path), "%s/coordinator.db", c->config->state_dir) >= sizeof(path)) {
		snprintf(error, capacity, "state_dir is too long");
		return -ENAMETOOLONG;
	}
	return store_open(&c->store, path, error, capacity);
}

static void log_unleased(const struct directory_changes *changes)
{
	if (changes->n_unleased)
		log_error("%u members have no address: %s", changes->n_unleased,
			  changes->lease_error == -EADDRNOTAVAIL ? "the network's prefix is full" :
								   strerror(-changes->lease_error));
}

static int load_directory(struct coordinator *c, const struct config *config, struct directory_changes *changes)
{
	int ret = directory_load(c->directory, config, changes);

	if (ret == 0)
		log_unleased(changes);
	return ret;
}

static void mark_loaded(struct coordinator *c, const struct config *config)
{
	c->config = config;
	c->loaded_ms = clock_now_ms();
	c->loaded_mtime = config_file_mtime(config);
	c->reload_error[0] = '\0';
}

/* Without the list that was in force the revoked would be let in again: then rather not at all. */
static int open_trust(struct coordinator *c, char *error, size_t capacity)
{
	int ret;

	if (!config_has_network_key(c->config))
		return 0;
	c->trust = trust_new(&c->config->network_key, &c->counters);
	if (!c->trust) {
		snprintf(error, capacity, "no memory");
		return -ENOMEM;
	}
	c->identity.trust = c->service.trust = c->trust;
	ret = service_read_revocations(&c->service);
	if (ret)
		snprintf(
			error, capacity,
			"%s/revocations: the list of revoked members cannot be used (%s): put back a copy, or remove it and "
			"hand in the newest",
			c->config->state_dir, ret == -EBADMSG ? "damaged, or of another network key" : strerror(-ret));
	if (ret)
		return ret;
	ret = service_restore(&c->service);
	if (ret < 0)
		log_error("members by certificate cannot be read back (%s): each is one again when it registers",
			  strerror(-ret));
	return 0;
}

static int open_all(struct coordinator *c, uv_loop_t *loop, const struct seckey *secret, struct listen_fds *handed,
		    char *error, size_t capacity)
{
	const struct config *config = c->config;
	struct directory_changes changes;
	struct ports_use use;
	int ret = identity_init(&c->identity, secret, NULL, aead_offer() & config->ciphers, 0);

	if (ret) {
		snprintf(error, capacity, "%s: not a usable key", config->private_key_file);
		return ret;
	}
	ret = open_store(c, error, capacity);
	if (ret)
		return ret;
	/* Thousandths of milliseconds since 1970 leave room for changes and stay above those of any earlier run. */
	c->directory = directory_new(c->store, clock_wall_ms() * 1000);
	c->indices = indices_new();
	if (!c->directory || !c->indices || load_directory(c, config, &changes) < 0) {
		snprintf(error, capacity, "no memory");
		return -ENOMEM;
	}
	directory_changes_fini(&changes);
	ret = forward_init(&c->forward, c->directory, &c->counters, config, clock_now_ms());
	if (ret) {
		snprintf(error, capacity, "no memory");
		return ret;
	}
	use = (struct ports_use){ .forward = &c->forward, .indices = c->indices, .counters = &c->counters };
	ret = ports_open(&c->ports, loop, config, &use, error, capacity);
	if (ret)
		return ret;
	service_init(&c->service, c->directory, c->indices, &c->forward, &c->counters, config);
	c->service.udp_port = ports_number(c->ports, 0);
	c->service.alternate_port = ports_number(c->ports, 1);
	ret = open_trust(c, error, capacity);
	if (ret)
		return ret;
	ret = registry_open(&c->registry, loop, config, handed, &c->service, &c->identity, &c->counters, error,
			    capacity);
	if (ret)
		return ret;
	if (!config->control_socket)
		return 0;
	ret = control_server_open(&c->control, loop, config->control_socket, commands, c);
	if (ret)
		snprintf(error, capacity, "control socket %s: %s", config->control_socket,
			 ret == -EADDRINUSE ? "another daemon is listening there" : strerror(-ret));
	return ret;
}

int coordinator_start(struct coordinator **out, uv_loop_t *loop, const struct config *config,
		      const struct seckey *secret, struct listen_fds *handed)
{
	struct coordinator *c = calloc(1, sizeof(*c));
	char error[CONFIG_ERROR_BYTES] = "", key[KEY_TEXT_BYTES];
	int ret;

	if (!c) {
		log_error("coordinator: no memory");
		return -ENOMEM;
	}
	mark_loaded(c, config);
	c->started_ms = c->loaded_ms;
	ret = open_all(c, loop, secret, handed, error, sizeof(error));
	if (ret) {
		log_error("coordinator: %s", error);
		coordinator_stop(c);
		return ret;
	}
	log_info("coordinator %s: network %s, %u members, UDP port %u, %u workers, key %s", config->name,
		 config->network.name, directory_count(c->directory), c->service.udp_port, ports_workers(c->ports),
		 pubkey_to_text(&c->identity.public, key));
	*out = c;
	return 0;
}

void coordinator_stop(struct coordinator *c)
{
	if (!c)
		return;
	control_server_close(c->control);
	registry_close(c->registry);
	ports_close(c->ports);
	forward_fini(&c->forward);
	indices_free(c->indices);
	directory_free(c->directory);
	store_close(c->store);
	identity_fini(&c->identity);
	trust_free(c->trust);
	free(c);
}

/* ---------------------------------------------------------------- for the service manager */

void coordinator_summary(const struct coordinator *c, char *out, size_t capacity)
{
	snprintf(out, capacity, "%u of %u members online%s", directory_online(c->directory),
		 directory_count(c->directory), c->reload_error[0] ? "; the last reload failed" : "");
}

bool coordinator_is_alive(struct coordinator *c)
{
	return ports_are_alive(c->ports);
}

/* ---------------------------------------------------------------- reload */

void coordinator_set_owner(struct coordinator *c, const struct config_owner *owner)
{
	c->owner = owner;
}

void coordinator_set_reload_error(struct coordinator *c, const char *error)
{
	snprintf(c->reload_error, sizeof(c->reload_error), "%s", error);
}

int coordinator_reload(struct coordinator *c, const struct config *new_config, char *error, size_t capacity)
{
	struct directory_changes changes;
	int ret = load_directory(c, new_config, &changes);

	if (ret) {
		snprintf(error, capacity, "no memory");
		coordinator_set_reload_error(c, error);
		return ret;
	}
	mark_loaded(c, new_config);
	forward_reload(&c->forward, new_config);
	ports_set_stun(c->ports, new_config->listen.stun);
	registry_begin(c->registry);
	service_reloaded(&c->service, &changes);
	registry_end(c->registry);
	forward_publish(&c->forward); /* before anybody is told that the file applies */
	log_info("coordinator: reloaded: %u members added, %u changed, %u removed", changes.n_added, changes.n_changed,
		 changes.n_removed);
	directory_changes_fini(&changes);
	return 0;
}
