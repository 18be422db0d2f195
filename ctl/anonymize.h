/* ctl/anonymize.h - names, addresses and keys of a report, each replaced by the same stand-in wherever it stands
 *
 * Addresses become ones of documentation and benchmarking (RFC 3849, RFC 2544), so that prefixes and documents stay readable;
 * the loopback's and unspecified ones stay. Keys and hardware addresses, those in names of interfaces too (enx525400123456), are
 * recognised by their form, names by being told.
 * Two reports do not share stand-ins.
 * Thread: any, one at a time. */
#ifndef CTL_ANONYMIZE_H
#define CTL_ANONYMIZE_H

#include <stddef.h>

struct anonymizer;
struct anonymizer *anonymizer_new(void); /* NULL: memory is short */
void anonymizer_free(struct anonymizer *a);

/* From now on this word is replaced, wherever it stands alone. A single letter says nothing of anybody, and stays. */
void anonymizer_add_name(struct anonymizer *a, const char *name);
/* The text with everything replaced; the caller frees it. NULL: memory is short. */
char *anonymize(struct anonymizer *a, const char *text);

#endif
