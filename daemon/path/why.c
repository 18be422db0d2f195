#include "daemon/path/why.h"

static const struct {
	const char *name, *text, *fix;
} causes[] = {
	[WHY_NONE] = { 0 },
	[WHY_UDP_BLOCKED] = { "udp-blocked", "a firewall on one side lets no UDP through, only TCP to the coordinator",
			      "allow outgoing UDP there and the answers to it" },
	[WHY_HARD_HARD_NAT] = { "hard-hard-nat", "both sides change ports, so neither can guess the other's",
				"one of: forward warren's UDP port on either router; turn on UPnP or PCP; enable IPv6; "
				"name a relay nearer to both" },
	[WHY_HARD_EASY_PENDING] = { "hard-easy-pending",
				    "one side changes ports, and the other lets in only the ports it has sent to",
				    "one of: forward warren's UDP port on either router; turn on UPnP or PCP; enable "
				    "IPv6" },
	[WHY_NO_COMMON_FAMILY] = { "no-common-family", "one side has only IPv4 and the other only IPv6",
				   "enable IPv6 on the side that has none" },
	[WHY_NO_HAIRPIN] = { "no-hairpin",
			     "both sides are behind one NAT that leads nothing back inside, and their own addresses do "
			     "not reach each other",
			     "one of: turn on PCP, NAT-PMP or UPnP in the routers of both sides; let the hosts of that "
			     "network reach each other; enable IPv6" },
	[WHY_FIREWALL_DROP] = { "firewall-drop",
				"no probe was answered although neither NAT stands in the way: a firewall drops them",
				"allow UDP from and to warren's port in the firewalls of both sides" },
	[WHY_PEER_OFFLINE] = { "peer-offline", "no coordinator in reach knows the peer to be online",
			       "check that warrend runs there, and that both sides reach a coordinator: "
			       "warrenctl status" },
	[WHY_ENDPOINT_INSIDE_MESH_ROUTE] = { "endpoint-inside-mesh-route",
					     "the peer's address lies in a network that is routed into the mesh or "
					     "another VPN, and so leads in a circle",
					     "take the peer's own network out of what is routed there, or give the peer's "
					     "address a route of its own" },
	[WHY_POLICY_RELAY_ONLY] = { "policy-relay-only", "the configuration allows the relay only",
				    "allow direct paths in the configuration" },
	[WHY_MTU_BLACKHOLE] = { "mtu-blackhole", "small datagrams pass, large ones vanish without an error",
				"lower tun { mtu } or let ICMP through" },
	[WHY_VERSION_MISMATCH] = { "version-mismatch", "the two sides speak different versions of the protocol",
				   "install the same version of warren on both sides" },
	[WHY_KEY_REFUSED] = { "key-refused",
			      "the peer is online and answers no handshake: it takes our key or psk for wrong",
			      "compare the network's psk_file on both sides, and the public keys with the coordinator's "
			      "members" },
	[WHY_CLOCK_SKEW] = { "clock-skew", "the clocks of the two sides are too far apart",
			     "set the clock on both sides, for example with an NTP service" },
	[WHY_NO_COMMON_CIPHER] = { "no-common-cipher", "the two sides have no cipher in common",
				   "allow one that both have in `ciphers` on both sides; warrenctl status names them" },
	[WHY_PROBING] = { "probing", "direct paths are being tried right now", NULL },
	[WHY_KEY_REFUSED_BY_COORDINATOR] = { "key-refused",
					     "no coordinator is connected: one closes the connection during the "
					     "handshake, as it does with a key that is no member's",
					     "compare our public key with the coordinator's members, and its own with "
					     "public_key here" },
	[WHY_VERSION_MISMATCH_OF_COORDINATOR] = { "version-mismatch",
						  "no coordinator is connected: it speaks another version of the "
						  "protocol",
						  "install the same version of warren at the coordinator and here" },
	[WHY_PEER_OFFLINE_OR_ELSEWHERE] = { "peer-offline",
					    "no coordinator is connected, and the peer does not answer where it was "
					    "last: it is off, or its address is another now",
					    "bring a coordinator back: it knows where the peer is" },
};

const char *why_name(enum why_cause c)
{
	return (unsigned)c < sizeof(causes) / sizeof(causes[0]) ? causes[c].name : NULL;
}

const char *why_text(enum why_cause c)
{
	return (unsigned)c < sizeof(causes) / sizeof(causes[0]) ? causes[c].text : NULL;
}

const char *why_fix(enum why_cause c)
{
	return (unsigned)c < sizeof(causes) / sizeof(causes[0]) ? causes[c].fix : NULL;
}

struct attempts {
	unsigned n_tried;    /* endpoints of the peer that probes were sent to */
	unsigned n_pending;  /* endpoints whose round is not over */
	unsigned n_answered; /* endpoints that answer, though they are not in use */
};

static struct attempts count_attempts(const struct path_set *paths)
{
	struct attempts a = { 0 };

	for (unsigned i = 0; paths && i < path_set_count(paths); i++) {
		const struct path *p = path_set_at(paths, i);

		if (p->addr.kind != PATH_UDP)
			continue;
		a.n_tried += p->n_sent > 0;
		a.n_pending += p->state == PATH_PROBING;
		a.n_answered += p->state == PATH_STANDBY;
	}
	return a;
}

static bool is_direct(const struct path_set *paths)
{
	const struct path *best = paths ? path_set_best(paths) : NULL;

	return best && best->addr.kind == PATH_UDP;
}

/* What it carries is less than what it was found to carry before, and nobody said so. */
static bool has_lost_large_ones(const struct why_facts *f)
{
	const struct path *best = path_set_best(f->paths);

	return best->n_mtu_drops && best->mtu_bytes && best->mtu_bytes < f->wanted_bytes;
}

static bool is_relayed(const struct path_set *paths)
{
	return paths && path_set_best(paths) && !is_direct(paths);
}

static bool is_udp_blocked(const struct nat_facts *nat)
{
	return (nat->flags & NAT_TESTED) && (nat->flags & NAT_UDP_BLOCKED);
}

/* Both sides have addresses, none of the same family. */
static bool has_no_common_family(const struct why_facts *f)
{
	bool here = f->here_has_v4 || f->here_has_v6;
	bool there = f->has_there && (f->there_has_v4 || f->there_has_v6);

	return here && there && !(f->here_has_v4 && f->there_has_v4) && !(f->here_has_v6 && f->there_has_v6);
}

/* Behind one NAT whatever else it does is of no use to the two. */
static bool has_no_hairpin(const struct why_facts *f)
{
	return f->is_same_nat && (f->here.flags & NAT_HAIRPIN_TESTED) && !(f->here.flags & NAT_HAIRPIN);
}

/* Why no direct path was found, after it was looked for. */
static enum why_cause judge_attempts(const struct why_facts *f)
{
	struct attempts a = count_attempts(f->paths);

	if (has_no_common_family(f))
		return WHY_NO_COMMON_FAMILY;
	if (a.n_tried == 0 && f->n_inside)
		return WHY_ENDPOINT_INSIDE_MESH_ROUTE;
	if (a.n_tried == 0 || a.n_pending > 0 || a.n_answered > 0)
		return WHY_PROBING;
	if (has_no_hairpin(f))
		return WHY_NO_HAIRPIN;
	if (f->has_there && nat_is_hard(&f->here) && nat_is_hard(&f->there))
		return WHY_HARD_HARD_NAT;
	if (f->has_there &&
	    ((nat_is_hard(&f->here) && nat_is_easy(&f->there)) || (nat_is_easy(&f->here) && nat_is_hard(&f->there))))
		return WHY_HARD_EASY_PENDING;
	return f->n_inside ? WHY_ENDPOINT_INSIDE_MESH_ROUTE : WHY_FIREWALL_DROP;
}

static enum why_cause judge_coordinators(const struct why_facts *f)
{
	if (f->is_version_refused)
		return WHY_VERSION_MISMATCH_OF_COORDINATOR;
	if (f->is_key_refused)
		return WHY_KEY_REFUSED_BY_COORDINATOR;
	return f->is_cached ? WHY_PEER_OFFLINE_OR_ELSEWHERE : WHY_PEER_OFFLINE;
}

/* Why there is no path at all; NONE: a session may come yet, or none is wanted. */
static enum why_cause judge_session(const struct why_facts *f, bool *is_decided)
{
	*is_decided = true;
	if (f->is_offline)
		return WHY_PEER_OFFLINE;
	/* What the last try showed holds, though nothing is tried now. */
	if (f->is_other_version)
		return WHY_VERSION_MISMATCH;
	if (f->is_certificate_refused)
		return WHY_KEY_REFUSED;
	if (f->no_common_cipher)
		return WHY_NO_COMMON_CIPHER;
	if (f->is_stale)
		return WHY_CLOCK_SKEW;
	if (f->is_idle)
		return WHY_NONE;
	if (f->no_coordinator)
		return judge_coordinators(f);
	if (f->handshake_unanswered)
		return f->is_clock_off ? WHY_CLOCK_SKEW : WHY_KEY_REFUSED;
	*is_decided = false;
	return WHY_NONE;
}

enum why_cause why_judge(const struct why_facts *f)
{
	bool is_decided = false;
	enum why_cause cause = WHY_NONE;

	if (is_direct(f->paths))
		return has_lost_large_ones(f) ? WHY_MTU_BLACKHOLE : WHY_NONE;
	if (!is_relayed(f->paths))
		cause = judge_session(f, &is_decided);
	if (is_decided)
		return cause;
	if (f->is_relay_only)
		return WHY_POLICY_RELAY_ONLY;
	/* No round over UDP can find anything, so its end is not waited for. */
	if (is_udp_blocked(&f->here) || (f->has_there && is_udp_blocked(&f->there)))
		return WHY_UDP_BLOCKED;
	if (!f->paths || path_set_is_probing(f->paths) || path_set_last_round_ms(f->paths) == 0)
		return WHY_PROBING;
	return judge_attempts(f);
}
