/* ctl/grant.h - what a member may be, as options and as a certificate's text */
#ifndef CTL_GRANT_H
#define CTL_GRANT_H

#include "ctl/ctl.h"
#include "daemon/wire/cert.h"

/* Name, a new serial, and what --ip, --group and --route say; addresses may be none. EXIT_YES, or EXIT_BAD_USAGE with words. */
int ctl_grant(const struct ctl *ctl, const char *name, struct cert *c);

/* cert.c: a certificate as text; a file of "-" is standard input. EXIT_YES, or EXIT_NO with words. */
int ctl_read_cert(const struct ctl *ctl, const char *file, struct cert *out);

#endif
