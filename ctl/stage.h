/* ctl/stage.h - files that come to be all together
 *
 * They are written into a directory of their own beside where they belong. When all are there and on the disk its name changes;
 * from then on they count, and are moved to their places one by one, each without replacing anything. What a kill leaves is
 * cleared away by the next call if it was before that moment, and finished by it if it was after: no key that anybody may have
 * used is ever thrown away.
 *   DIR/.NAME.KIND.tmp   being written
 *   DIR/.NAME.KIND       whole, and perhaps in part moved already
 * The network's directory is locked meanwhile (network.h). Codes of control/proto.h; words on ctl->err. */
#ifndef CTL_STAGE_H
#define CTL_STAGE_H

#include "ctl/network.h"

struct stage {
	const struct network *network; /* borrowed: whose directory it is */
	const char *name;              /* of the files, without their endings; borrowed */
	const char *const *endings; /* NULL ends them; in the order in which they are moved: the last stands for all */
	char whole[2200];           /* .NAME.KIND, absolute */
	struct network inside;      /* .NAME.KIND.tmp, for network_write; nothing else of it counts */
};

/* Deals with what a call before left. *is_finished: its files were whole, and are in their places now. */
int stage_open(struct stage *s, const struct ctl *ctl, const struct network *n, const char *kind, const char *name,
	       const char *const *endings, bool *is_finished);
int stage_begin(const struct stage *s, const struct ctl *ctl);
/* As network_write. */
int stage_write(const struct stage *s, const struct ctl *ctl, const char *ending, const char *text, bool is_shared);
/* From here on they are there, whatever happens. */
int stage_commit(const struct stage *s, const struct ctl *ctl);
void stage_discard(const struct stage *s); /* what was not committed */

#endif
