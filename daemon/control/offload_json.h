/* daemon/control/offload_json.h - the words of `status` for what of the kernel's help is in use
 *
 * Of two objects, "offload" says what is on, "offload_off" why the rest is not. Thread: loop. */
#ifndef DAEMON_CONTROL_OFFLOAD_JSON_H
#define DAEMON_CONTROL_OFFLOAD_JSON_H

#include <jansson.h>
#include <stdbool.h>

#define OFFLOAD_NOT_THERE "not in this kernel"
#define OFFLOAD_ONE_WORKER "one worker"

/* If it is off: refused with `error`, if not 0; else turned off by the file or the environment; else `why`. */
void offload_json_add(json_t *on, json_t *off, const char *name, bool is_on, bool is_disabled, int error,
		      const char *why);
/* Part of what is on was refused. */
void offload_json_refused(json_t *off, const char *name, int error);

#endif
