#include "daemon/net/offload.h"

#include <stdlib.h>
#include <string.h>

unsigned offload_disabled(bool is_on)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {
		{ "reuseport", OFFLOAD_NO_REUSEPORT },
		{ "multiqueue", OFFLOAD_NO_MULTIQUEUE },
		{ "gso", OFFLOAD_NO_GSO },
		{ "gro", OFFLOAD_NO_GRO },
		{ "vnet", OFFLOAD_NO_VNET },
	};
	const char *list = getenv("WARREN_DISABLE");
	unsigned bits = is_on ? 0 : OFFLOAD_NO_GSO | OFFLOAD_NO_GRO | OFFLOAD_NO_VNET;

	while (list && *list) {
		size_t len = strcspn(list, ",");

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strlen(names[i].name) == len && strncmp(names[i].name, list, len) == 0)
				bits |= names[i].bit;
		list += len;
		list += *list == ',';
	}
	return bits;
}
