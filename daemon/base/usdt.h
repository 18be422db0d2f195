/* daemon/base/usdt.h - static tracepoints (USDT), for bpftrace and its like
 *
 * With <sys/sdt.h> at build (systemtap-sdt-dev, a header only), each is a NOP where it stands and a note in the binary; without,
 * it is nothing. warrend(8) says what each is and what its arguments are: names and their order are for others to rely on.
 * Arguments are evaluated while nobody traces too: only what is at hand. */
#ifndef DAEMON_BASE_USDT_H
#define DAEMON_BASE_USDT_H

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define USDT2(name, a, b) DTRACE_PROBE2(warren, name, a, b)
#define USDT3(name, a, b, c) DTRACE_PROBE3(warren, name, a, b, c)
#else
#define USDT2(name, a, b) ((void)(a), (void)(b))
#define USDT3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
