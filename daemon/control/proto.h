/* daemon/control/proto.h - the control socket's protocol, shared with ctl/
 *
 * AF_UNIX stream; one JSON object a line each way. Request: {"cmd":"peers", ...arguments}. Answer: the document
 * (with "schema"), or {"error":{"code":N,"message":"..."}} with code one of the exit codes below; "nearest" in it lists
 * names that may have been meant. One request at a time per connection, more may follow. */
#ifndef DAEMON_CONTROL_PROTO_H
#define DAEMON_CONTROL_PROTO_H

#define CONTROL_REQUEST_MAX_BYTES 65536 /* with the newline */
#define CONTROL_ANSWER_MAX_BYTES (16 << 20)
#define CONTROL_DIR "/run/warren"

enum exit_code { /* DESIGN: sysexits where they exist */
	EXIT_YES = 0,
	EXIT_NO = 1,
	EXIT_NOT_DIRECT = 2,
	EXIT_BAD_USAGE = 64,
	EXIT_NO_DAEMON = 69,
	EXIT_NOT_PERMITTED = 77,
	EXIT_BAD_CONFIG = 78,
};

#endif
