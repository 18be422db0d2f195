#include "daemon/control/request.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/log.h"

static const struct control_command *find(const struct control_command *commands, const char *name)
{
	for (; commands->name; commands++)
		if (strcmp(commands->name, name) == 0)
			return commands;
	return NULL;
}

enum exit_code control_request_parse(const char *line, size_t len, const struct control_command *commands,
				     bool may_write, const struct control_command **command, json_t **args,
				     char error[static CONTROL_ERROR_BYTES])
{
	json_error_t why;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	const char *name = json_string_value(json_object_get(request, "cmd"));
	enum exit_code code = EXIT_BAD_USAGE;
	char shown[65];

	if (!request) {
		snprintf(error, CONTROL_ERROR_BYTES, "the request is no JSON (column %d)", why.column);
	} else if (!name) {
		snprintf(error, CONTROL_ERROR_BYTES, "the request has no \"cmd\"");
	} else {
		*command = find(commands, name);
		log_escape(shown, sizeof(shown), name, strlen(name));
		if (!*command) {
			snprintf(error, CONTROL_ERROR_BYTES, "this daemon knows no command \"%s\"", shown);
		} else if ((*command)->flags & CONTROL_WRITE && !may_write) {
			code = EXIT_NOT_PERMITTED;
			snprintf(error, CONTROL_ERROR_BYTES, "%s is for root and the daemon's own user", shown);
		} else {
			*args = request;
			return EXIT_YES;
		}
	}
	json_decref(request);
	return code;
}

json_t *control_error_document(enum exit_code code, const char *message)
{
	json_t *document = json_pack("{s:{s:i,s:s}}", "error", "code", (int)code, "message", message);
	char shown[1024];

	if (document)
		return document;
	/* Not UTF-8: what a client sent, or a letter cut in two. */
	log_escape(shown, sizeof(shown), message, strlen(message));
	return json_pack("{s:{s:i,s:s}}", "error", "code", (int)code, "message", shown);
}
