/* tests/unit/fake_gateway.h - a home router that maps ports, and a portmap that asks it, without a network and without waiting
 *
 * Answers what portmap.h's PCP, NAT-PMP and UPnP requests deserve, at once. The test drives the time. */
#ifndef TESTS_UNIT_FAKE_GATEWAY_H
#define TESTS_UNIT_FAKE_GATEWAY_H

#include "daemon/path/portmap.h"
#include "daemon/wire/natpmp.h"
#include "daemon/wire/pcp.h"

#define FAKE_QUEUE_MAX 64

struct fake_datagram {
	struct endpoint to;
	size_t len;
	uint8_t data[PCP_REQUEST_MAX_BYTES];
};

struct fake {
	struct portmap *pm;
	uint64_t now_ms;
	/* how the gateway is */
	bool has_pcp, has_natpmp, has_upnp;
	bool is_deaf;        /* hears nothing at all */
	bool has_no_options; /* PCP: refuses PREFER_FAILURE */
	uint16_t taken;      /* an outside port that is another's; 0: none is */
	bool all_taken;
	uint8_t pcp_result;
	uint16_t natpmp_result;
	const char *upnp_error; /* of every item */
	uint32_t life_s;        /* it grants no more; 0: what was asked */
	uint32_t error_life_s;  /* PCP */
	uint16_t shift;         /* external port less internal port */
	uint64_t born_ms;       /* its epoch */
	struct ip outer;
	/* what it was asked */
	unsigned n_queue;
	struct fake_datagram queue[FAKE_QUEUE_MAX];
	unsigned n_announce, n_address, n_pcp_map, n_natpmp_map, n_upnp, n_removed;
	struct pcp_request last_pcp;
	struct natpmp_request last_natpmp;
	struct portmap_upnp_job job; /* under way, if has_job */
	bool has_job, holds_upnp;    /* holds: jobs stay until fake_finish_upnp() */
	unsigned n_changed;
};

/* A PCP-speaking gateway 192.168.1.1 with 9.0.0.1 outside; nothing is wanted yet. */
void fake_start(struct fake *f);
void fake_stop(struct fake *f);
/* Our side's network: 192.168.1.2 behind it, or IPv6. */
void fake_connect(struct fake *f);
/* Lets the gateway answer all it was asked, and the portmap do what is due now. */
void fake_settle(struct fake *f);
/* The same, over this time, at every instant that the portmap names. */
void fake_run(struct fake *f, uint64_t ms);
void fake_finish_upnp(struct fake *f);
/* Forgets all mappings, as a reboot does. */
void fake_forget(struct fake *f);
/* The external endpoint, NULL: not granted. */
const char *fake_external(const struct fake *f, uint8_t protocol, uint16_t port);

/* A datagram to the portmap, as if from there. */
void fake_deliver(struct fake *f, const char *from, const void *data, size_t len);
size_t fake_pcp_answer(uint8_t out[static PCP_MAP_BYTES], const struct pcp_request *q, uint8_t result,
		       uint32_t lifetime_s, uint32_t epoch_s, const struct ip *external, uint16_t external_port);
size_t fake_natpmp_answer(uint8_t out[static NATPMP_RESPONSE_MAX_BYTES], const struct natpmp_request *q,
			  uint16_t result, uint32_t lifetime_s, uint32_t epoch_s, const struct ip *external,
			  uint16_t external_port);

#endif
