/* daemon/config/config.h - the configuration file (libconfuse) -> const struct config
 *
 * config_load parses NAME.conf and then NAME.conf.d/ *.conf by name, checks everything that can be checked without a
 * network, and reads no key file (config_check_keys does, for `--check` and start). Errors name file and line and, for an
 * unknown key, the nearest known one; they never quote a secret. The struct is const once loaded.
 * Thread: loop.  Manual: warren.conf(5). */
#ifndef DAEMON_CONFIG_CONFIG_H
#define DAEMON_CONFIG_CONFIG_H

#include "crypto/keyfile.h"
#include "crypto/sign.h"
#include "daemon/base/addr.h"
#include "daemon/wire/cert.h"
#include "daemon/wire/wire.h"

#define CONFIG_COORDINATORS_MAX 4
#define CONFIG_TCP_PORTS_MAX 8
#define CONFIG_ERROR_BYTES 512
#define CONFIG_WORKERS_MAX 8
#define CONFIG_ENDPOINTS_MAX 4
#define CONFIG_HOST_BYTES 256
#define CONFIG_ROUTES_MAX CERT_ROUTES_MAX

enum config_role {
	CONFIG_PEER,
	CONFIG_COORDINATOR
};

enum config_compression {
	CONFIG_COMPRESSION_OFF,
	CONFIG_COMPRESSION_AUTO,
	CONFIG_COMPRESSION_ON
};

struct config_coordinator { /* a peer's: coordinator "c1" { endpoint = "host:port"  public_key = "..." } */
	char name[WIRE_NAME_MAX_BYTES + 1];
	char host[CONFIG_HOST_BYTES]; /* name or numeric address, no brackets */
	uint16_t port;
	struct pubkey key;
};

struct config_endpoint {
	char host[CONFIG_HOST_BYTES]; /* as above */
	uint16_t port;                /* 0: there is none */
};

struct config_endpoints {
	unsigned n;
	struct config_endpoint v[CONFIG_ENDPOINTS_MAX];
};

struct config_member { /* a coordinator's: member "alice" { public_key = "..."  address = ".."  address6 = ".." } */
	char name[WIRE_NAME_MAX_BYTES + 1];
	struct pubkey key;
	struct ip address, address6; /* none: allocated and remembered */
	int line;
};

enum config_path { /* which ways to a peer may be used */
	CONFIG_PATH_AUTO,
	CONFIG_PATH_DIRECT,
	CONFIG_PATH_RELAY
};

struct config_routes { /* networks behind a node; no host bits */
	unsigned n;
	struct prefix v[CONFIG_ROUTES_MAX];
};

struct config_peer { /* a peer's: peer "bob" { path = auto|direct|relay  routes = {"192.168.7.0/24"} } */
	char name[WIRE_NAME_MAX_BYTES + 1];
	enum config_path path;
	struct config_routes routes; /* behind it, which this node uses */
};

struct config_metrics_listen {
	char path[108];          /* of a Unix socket, "": none */
	struct endpoint address; /* on the loopback; port 0: none */
};

struct config_origin {      /* where a value was written */
	uint16_t key, file; /* by place in the table of keys, and in `files` */
	unsigned which;     /* block of a titled section, from 0 */
	int line;
};

struct config_origins { /* config_settings.h reads it */
	unsigned n, capacity, n_files;
	struct config_origin *v;
	char **files;
};

struct config {
	enum config_role role;
	char name[WIRE_NAME_MAX_BYTES + 1];
	char *path; /* of the file, as given */
	char *private_key_file, *psk_file /* NULL: none */, *control_socket, *state_dir;
	char *proxy_auth_file; /* peer; NULL: none */
	/* "FILE:LINE" that named them, for config_read_keys() and its like; NULL: by default */
	char *private_key_at, *psk_at, *proxy_auth_at, *certificate_at;
	struct verifykey network_key;        /* zeros: none, and no certificates */
	char *certificate_file;              /* peer; NULL: none */
	unsigned workers;                    /* 0: one per core */
	bool offload;                        /* offload = auto|off */
	enum config_compression compression; /* peer */
	uint16_t ciphers;                    /* bits 1 << enum aead_suite; all by default */
	char *on_mapping_change;             /* peer: a program, NULL: none */
	char *log_level;                     /* "info" by default */
	struct {
		struct ip address;           /* none: any */
		uint16_t port;               /* peer: 0 draws one and keeps it; coordinator: 27700 */
		uint16_t alternate_port;     /* coordinator: 27701; 0: none */
		struct ip alternate_address; /* coordinator: none by default */
		char bind_interface[16];
		unsigned n_tcp_ports; /* coordinator: { port } by default */
		uint16_t tcp_ports[CONFIG_TCP_PORTS_MAX];
		bool stun;                                /* coordinator: answer stock STUN clients; true by default */
		bool portmap;                             /* peer: ask the gateway for a port; true by default */
		struct config_endpoints public_endpoints; /* peer: where it is reached, by somebody else's doing */
	} listen;
	struct {
		char name[16]; /* "warren0" */
		unsigned mtu;  /* 0: automatic */
	} tun;
	struct config_endpoints stun; /* peer; port 3478 by default */
	struct config_endpoint proxy; /* peer: of HTTP, for connections to coordinators */
	struct config_routes routes;  /* peer: behind this node; none under a network key: those of its certificate */
	unsigned n_coordinators;      /* peer */
	struct config_coordinator coordinators[CONFIG_COORDINATORS_MAX];
	unsigned n_peers; /* peer: those with settings of their own */
	struct config_peer *peers;
	struct { /* coordinator */
		char name[WIRE_NAME_MAX_BYTES + 1];
		struct prefix prefix;  /* IPv4, none if the overlay has only IPv6 */
		struct prefix prefix6; /* "auto" (default): fd00::/8 with 40 bits of a hash of the name, /64; "none" */
	} network;
	struct { /* coordinator */
		bool enabled;
		uint64_t rate_per_peer;    /* bit/s, 20 Mbit by default */
		uint64_t rate_total;       /* bit/s of the network, 100 Mbit by default */
		uint32_t packets_per_peer; /* a second, 5000 by default */
	} relay;
	struct {
		struct config_metrics_listen listen;
		bool peer_labels;
	} metrics;
	unsigned n_members;
	struct config_member *members;
	struct config_origins origins;
};

enum config_path config_path_of(const struct config *c, const char *peer_name);
/* NULL: a network that may be reached through a peer; else why not, in words that go behind it. */
const char *config_route_error(const struct prefix *p);

/* NULL on error, with one line in `error` ("FILE:LINE: words"). */
struct config *config_load(const char *path, char error[static CONFIG_ERROR_BYTES]);
void config_free(struct config *c);
/* Reads the key files named, and proxy_auth_file; wipes what it read unless asked to hand it over (either may be NULL). Honours
 * $CREDENTIALS_DIRECTORY/warren.key before private_key_file, and warren.psk and warren.proxy in it, but for an empty line, before
 * psk_file and proxy_auth_file. 0, or -1 with a line in `error`. */
int config_read_keys(const struct config *c, struct seckey *secret, struct psk *psk,
		     char error[static CONFIG_ERROR_BYTES]);
/* The proxy's login alone; empty if no file is named. 0, or -1 with a line in `error`. */
int config_read_login(const struct config *c, struct login *login, char error[static CONFIG_ERROR_BYTES]);
bool config_has_network_key(const struct config *c);
/* Reads certificate_file: one of network_key, for the key that goes with `secret`. Its time is left to the caller: *out may have
 * expired. 0, or -1 with a line in `error`. Only where there is a network_key, in a peer's file. */
int config_read_certificate(const struct config *c, const struct seckey *secret, struct cert *out,
			    char error[static CONFIG_ERROR_BYTES]);
/* Compares for a reload. Writes the names of changed keys, comma-separated, that need a restart ("" if none) into
 * `restart`, and of those that a reload applies into `reload`. */
void config_diff(const struct config *old, const struct config *new, char *reload, char *restart, size_t capacity);

struct config_setting; /* config_settings.h */
typedef void config_setting_fn(void *arg, const struct config_setting *s);
typedef void config_change_fn(void *arg, const struct config_setting *from, const struct config_setting *to);

/* What a reload did or, if it is dry, would do. Who asks sets the first three; the rest is the answer. */
struct config_reload {
	bool is_dry;
	config_change_fn *on_change; /* told each change of a good file, NULL: nobody wants to know */
	void *change_arg;
	bool ok;
	char error[CONFIG_ERROR_BYTES];
	char applied[512], restart[512]; /* as config_diff writes them */
};

/* Who holds the configuration, for what is asked and told at a role's control socket. */
struct config_owner {
	void *arg;
	void (*reload)(void *arg, struct config_reload *r);
	void (*each)(void *arg, config_setting_fn *fn, void *fn_arg); /* setting that is in force */
};

#endif
