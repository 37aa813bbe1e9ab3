/*
 * Which process a pool belongs to. In a child of fork(2) its threads do not exist, and its locks
 * may be held for ever by one of them.
 */
#ifndef GP_FORK_H
#define GP_FORK_H

#include "pool.h"

/* Makes the process count its forks. Any thread. */
void gp_fork_prepare(void);

/* Forks between the first process and this one. Written where there is one thread only. */
extern uint32_t gp_fork_count;

/* Whether the pool was made before a fork of which this process is the child. */
static inline bool gp_fork_is_foreign(const struct gopool *pool)
{
    return pool->fork_count != gp_fork_count;
}

#endif
