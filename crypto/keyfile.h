/* crypto/keyfile.h - secret keys in files
 *
 * One line of base64. A file must belong to us or root and give nothing to group and others; it is opened with
 * O_NOFOLLOW. Errors: -ENOENT, -EACCES, -ELOOP (a link), -EPERM (others can read it), -EUCLEAN (foreign owner),
 * -EINVAL (not a key), -EIO ...  keyfile_error() says each in words.  Thread: any. */
#ifndef CRYPTO_KEYFILE_H
#define CRYPTO_KEYFILE_H

#include "crypto/key.h"

int keyfile_read(struct seckey *out, const char *path);
int keyfile_read_psk(struct psk *out, const char *path);
/* Creates `path` (O_EXCL, 0600, fsynced with its directory). -EEXIST if there. */
int keyfile_create(const char *path, const struct seckey *key);
/* A sentence without the path, e.g. "others can read it (chmod 600)". Static. */
const char *keyfile_error(int err);

#endif
