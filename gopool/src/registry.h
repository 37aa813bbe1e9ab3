/* What the end of a pool asks of the registry. */
#ifndef GP_REGISTRY_H
#define GP_REGISTRY_H

#include <gopool/gopool.h>

/* Takes a pool out, if it is in. */
void gp_registry_remove(struct gopool *pool);

/* Forgets all pools. In a child of fork(2), where nobody else runs. */
void gp_registry_clear(void);

/* Whether it is the pool of the process. */
bool gp_registry_is_default(const struct gopool *pool);

#endif
