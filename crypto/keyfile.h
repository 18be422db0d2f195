/* crypto/keyfile.h - secret keys, and a proxy's login, in files
 *
 * One line: of base64, or USER:PASSWORD. A file must belong to us or root and give nothing to group and others; it is opened with
 * O_NOFOLLOW. Errors: -ENOENT, -EACCES, -ELOOP (a link), -EPERM (others can read it), -EUCLEAN (foreign owner),
 * -EINVAL (not a key), -EBADMSG (not a login), -EIO ...  keyfile_error() says each in words.  Thread: any. */
#ifndef CRYPTO_KEYFILE_H
#define CRYPTO_KEYFILE_H

#include "crypto/key.h"
#include "crypto/sign.h"

/* USER:PASSWORD as HTTP's Basic scheme wants it (RFC 7617), in base64; "" is none. Wiped by whoever holds it. */
#define LOGIN_MAX_BYTES 255
struct login {
	char base64[(LOGIN_MAX_BYTES + 2) / 3 * 4 + 1];
};

int keyfile_read(struct seckey *out, const char *path);
int keyfile_read_psk(struct psk *out, const char *path);
int keyfile_read_login(struct login *out, const char *path);
int keyfile_read_signkey(struct signkey *out, const char *path);
/* Creates `path` (O_EXCL, 0600, fsynced with its directory). -EEXIST if there. */
int keyfile_create(const char *path, const struct seckey *key);
/* A sentence without the path, e.g. "others can read it (chmod 600)". Static. */
const char *keyfile_error(int err);

#endif
