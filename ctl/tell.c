/* What a daemon is told to do, and has nothing to say about. */
#include "ctl/ctl.h"

static int tell(struct ctl *ctl, const char *command, const char *schema)
{
	json_t *answer;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", command), schema, CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	json_decref(answer);
	return EXIT_YES;
}

int ctl_rebind(struct ctl *ctl)
{
	return tell(ctl, "rebind", "warren.rebind");
}

int ctl_up(struct ctl *ctl)
{
	return tell(ctl, "up", "warren.interface");
}

int ctl_down(struct ctl *ctl)
{
	return tell(ctl, "down", "warren.interface");
}
