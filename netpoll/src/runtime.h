/*
 * The inside of a runtime: its pollers, its pool, and whom it tells.
 */
#ifndef NP_RUNTIME_H
#define NP_RUNTIME_H

#include "log.h"
#include "poller.h"
#include "resolver.h"

#include <netpoll/runtime.h>

#define NP_REASON_BYTES 160

struct netpoll_runtime {
    struct np_poller *pollers;
    uint32_t poller_count;
    bool batch_scheduling;
    bool owns_pool;
    uint32_t demote_idle_ms; /* 0: never */
    uint32_t fork_count;     /* when it was made: a child of fork(2) has none of its threads */
    struct gopool *pool;
    struct np_resolver resolver;
    struct np_log log;
    const struct np_backend *backend;
    char reason[NP_REASON_BYTES];
    _Atomic uint32_t group_count; /* servers, dialers and watches; what they did is ordered by their
                                    own end */
    _Atomic uint64_t next_conn_id; /* unique is enough */
    _Atomic uint32_t next_poller;  /* whose turn it is to get a timer or a watch */
};

/* Whether this process is a child of the one that made the runtime. */
bool np_runtime_is_foreign(const struct netpoll_runtime *runtime);

/* Whether a line of this level would be told; for what only the line needs. Any thread. */
static inline bool np_log_is_on(const struct netpoll_runtime *runtime, enum netpoll_log_level level)
{
    /* Relaxed: pairs with netpoll_runtime_set_log_level(). */
    return (int)level <= atomic_load_explicit(&runtime->log.level, memory_order_relaxed);
}

/* The poller that has the fewest connections. */
struct np_poller *np_runtime_pick(struct netpoll_runtime *runtime);
/* The current one, or the pollers in turn. Any thread. */
struct np_poller *np_runtime_next_poller(struct netpoll_runtime *runtime);

#endif
