/*
 * What a server counts; struct nhttp_server_stats says what each figure means.
 *
 * Every access is relaxed: each figure stands for itself and orders nothing.
 */
#ifndef HS_COUNTERS_H
#define HS_COUNTERS_H

#include <nhttp/server.h>

#include <stdatomic.h>
#include <stdint.h>

/* Threads count in different shards, as far as there are as many. */
#define HS_COUNTER_SHARDS 8

enum hs_counter {
    HS_COUNT_OPENED,
    HS_COUNT_CLOSED,
    HS_COUNT_REQUESTS,
    HS_COUNT_ANSWERS,
    HS_COUNT_PANICS,
    HS_COUNT_CANCELLED,
    HS_COUNT_HEADER_TIMEOUTS,
    HS_COUNT_BODY_TIMEOUTS,
    HS_COUNT_BODY_RATE_LIMITS,
    HS_COUNT_IDLE_TIMEOUTS,
    HS_COUNT_HANDLER_TIMEOUTS,
    HS_COUNT_QUEUE_TIMEOUTS,
    HS_COUNT_QUEUE_FULL,
    HS_COUNT_WATCHDOG,
    HS_COUNT_REQUEST_LIMITS,
    HS_COUNT_AGE_LIMITS,
    HS_COUNT_ADDRESS_LIMITS,
    HS_COUNT_BODY_PAUSES,
    HS_COUNT_DRAIN_LIMITS,
    HS_COUNT_LINGER_TIMEOUTS,
    HS_COUNT_REFUSED, /* with status 400; the others follow by their number */
    HS_COUNTERS = HS_COUNT_REFUSED + NHTTP_REFUSALS,
};

struct hs_counters {
    _Alignas(64) _Atomic uint64_t values[HS_COUNTERS];
};

/* stats.c. The shard of this thread. */
unsigned hs_shard(void);

static inline void hs_count(struct hs_counters *shards, unsigned counter)
{
    atomic_fetch_add_explicit(&shards[hs_shard()].values[counter], 1, memory_order_relaxed);
}

/* A request that the server itself has refused; those beyond the table are not counted. */
static inline void hs_count_refusal(struct hs_counters *shards, int status)
{
    if (status >= 400 && status < 400 + NHTTP_REFUSALS)
        hs_count(shards, HS_COUNT_REFUSED + (unsigned)status - 400U);
}

#endif
