/* What becomes of a panic once it has ended a task. */
#ifndef GP_REPORT_H
#define GP_REPORT_H

#include "pool.h"

/*
 * Fills in the panic's pool and tells whoever the pool's options name, on the calling thread. A
 * panic of theirs goes no further. Not under the lock.
 */
void gp_report(struct gopool *pool, struct gopool_panic *panic);

#endif
