/* One line from a client of the control socket: a known command with its arguments, or a code and a sentence. */
#include <stdlib.h>
#include <string.h>

#include "daemon/control/request.h"

static void never(void *arg, struct control_request *req, const json_t *args)
{
	(void)arg;
	(void)req;
	(void)args;
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct control_command commands[] = { { "peers", 0, never },
							   { "reload", CONTROL_WRITE, never },
							   { NULL, 0, NULL } };
	const struct control_command *command = NULL;
	char error[CONTROL_ERROR_BYTES] = "";
	json_t *args = NULL, *document;
	enum exit_code code;

	code = control_request_parse((const char *)data, size, commands, false, &command, &args, error);
	if (code == EXIT_YES) {
		if (!json_is_object(args) || command != &commands[0])
			abort();
		json_decref(args);
		return 0;
	}
	document = control_error_document(code, error);
	if (args || error[0] == '\0' || !document)
		abort();
	json_decref(document);
	return 0;
}
