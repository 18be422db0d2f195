/* ctl/doctor.h - what a host says of itself -> what is wrong with it, and the command that mends it
 *
 * doctor.c gathers the facts; judging them needs neither a host nor a daemon. */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

struct doctor_facts {
	const json_t *status, *netcheck; /* the daemon's documents; NULL: it does not answer */
	const json_t *routes;            /* likewise; of a peer only */
	const char *net;                 /* as for -n; NULL: not known */
	int tun_error;                   /* errno of opening /dev/net/tun, 0: it opens */
	int rp_filter; /* the strictest of all interfaces but the tunnel's and the loopback; -1: not known */
	int forwarding4, forwarding6;  /* 0, 1; -1: not known */
	int clock_is_synchronised;     /* 0, 1; -1: not known */
	int tun_mtu, underlay_mtu;     /* of the tunnel, and the smallest with a default route; 0: not known */
	const char *routes4, *routes6; /* /proc/net/route, /proc/net/ipv6_route; NULL: not known */
	const json_t *ruleset;         /* what `nft -j list ruleset` prints; NULL: not known */
};

/* An array of {"check","state","message","mend"}, in a fixed order; state is "ok", "warn", "bad" or "unknown", mend null or
 * a command line. NULL if memory is short. */
json_t *doctor_judge(const struct doctor_facts *f);

#endif
