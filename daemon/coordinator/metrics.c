#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/coordinator/role_private.h"

void coordinator_count(const struct coordinator *c, uint64_t sums[static COUNTER_COUNT])
{
	counters_sum(sums, &c->counters);
	for (unsigned i = 0; i < ports_workers(c->ports); i++)
		counters_sum(sums, ports_counters(c->ports, i));
}

char *coordinator_metrics(const struct coordinator *c, enum metrics_format format)
{
	uint64_t sums[COUNTER_COUNT] = { 0 };
	unsigned online = directory_online(c->directory);
	struct metrics m;

	coordinator_count(c, sums);
	metrics_init(&m, format);
	metrics_add_common(&m, "coordinator", !c->reload_error[0], clock_wall_ms() - (clock_now_ms() - c->started_ms));
	metrics_family(&m, "warren_members", METRICS_GAUGE, "Members of the network.");
	metrics_count(&m, online, "state", "online", NULL);
	metrics_count(&m, directory_count(c->directory) - online, "state", "offline", NULL);
	metrics_family(&m, "warren_registrations", METRICS_COUNTER, "Registrations of members.");
	metrics_count(&m, sums[COUNTER_registrations], NULL);
	if (c->config->metrics.peer_labels) {
		const struct member *member;

		metrics_family(&m, "warren_member_online", METRICS_GAUGE, "1 where the member is registered.");
		for (unsigned i = 0; (member = directory_at(c->directory, i)); i++)
			metrics_gauge(&m, member->registration != NULL, "member", member->name, NULL);
	}
	metrics_add_counters(&m, sums);
	return metrics_end(&m);
}
