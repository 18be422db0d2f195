/* daemon/coordinator/service.h - what the coordinator does for registered members
 *
 * Registers them (the newest confirmed registration of a key wins), looks members up, lists them, introduces pairs on
 * demand and tells those introduced when one restarts, goes or is removed. Cost grows with pairs that talk: nothing
 * is sent to everybody. Messages over a member's limit are dropped. CONTROL_RELAY goes to the forwarder (forward.h).
 * No sockets; wall and round-trip times are read from base/clock.h. Thread: loop. */
#ifndef DAEMON_COORDINATOR_SERVICE_H
#define DAEMON_COORDINATOR_SERVICE_H

#include "daemon/coordinator/forward.h"
#include "daemon/coordinator/registration.h"
#include "daemon/peer/indices.h"

/* Requests that make others work (look-ups, introductions, candidates, pings): a node that meets many peers at once
 * asks in bursts. */
#define SERVICE_REQUESTS_PER_S 50
#define SERVICE_REQUESTS_BURST 200
/* Pages of the directory: 10 000 members are 417. */
#define SERVICE_PAGES_PER_S 50
#define SERVICE_PAGES_BURST 500
/* Unknown keys that are logged, so that a scan does not fill the log. */
#define SERVICE_STRANGERS_PER_S 1
#define SERVICE_STRANGERS_BURST 5

struct service {
	struct directory *directory;
	struct indices *indices;
	struct forward *forward;
	struct counters *counters;
	char network[WIRE_NAME_MAX_BYTES + 1];
	uint16_t udp_port, alternate_port; /* as bound */
	struct ip alternate_address;       /* none: it has but one */
	struct bucket strangers;           /* log lines about unknown keys */
	struct trust *trust;               /* borrowed; NULL: no network key */
	const char *state_dir;             /* where the revocation list is kept */
	uint64_t sweep_ms;                 /* when to look for expired certificates, */
	uint64_t prune_ms;                 /* and for invitations that need not be remembered */
	bool is_list_unsaved;              /* the revocation list that is in force could not be written */
};

void service_init(struct service *s, struct directory *directory, struct indices *indices, struct forward *forward,
		  struct counters *counters, const struct config *config);

/* The events of struct registration_env. */
enum cert_verdict service_judge(struct service *s, const struct registration *r, const struct wire_trust *shown,
				struct cert *cert);
struct member *service_find(struct service *s, const struct registration *r, const struct pubkey *key);
void service_registering(struct service *s, struct registration *r, const struct wire_register *m, uint64_t now_ms);
void service_message(struct service *s, struct registration *r, int type, uint8_t *data, size_t len, uint64_t now_ms);

/* Under a network key: expired certificates, revocation lists that are being fetched. */
void service_tick(struct service *s, uint64_t now_ms);
uint64_t service_next_ms(const struct service *s);
/* A whole revocation list from an administrator. 0, -EALREADY (not newer), -EBADMSG (none, or not signed by the network key),
 * -EOPNOTSUPP (no network key). The caller is between registry_begin and registry_end. */
int service_revoke(struct service *s, const uint8_t *list, size_t len, uint64_t now_ms);
/* The list that was kept. 0, also if there was none; -EBADMSG: it cannot be used. */
int service_read_revocations(struct service *s);
/* The members by certificate that were known before a restart. How many, or a negative errno. */
int service_restore(struct service *s);

/* A registration has ended, however: its member is offline unless a newer one is there. */
void service_closed(struct service *s, struct registration *r, uint64_t now_ms);

/* The directory was loaded anew: ends the registrations of removed members, and of changed ones, which come back and
 * learn their new names and addresses. */
void service_reloaded(struct service *s, const struct directory_changes *changes);

#endif
