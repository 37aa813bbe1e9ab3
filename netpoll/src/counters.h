/*
 * What a poller counts; struct netpoll_stats says what each figure means.
 *
 * Every access is relaxed: each figure stands for itself and orders nothing.
 */
#ifndef NP_COUNTERS_H
#define NP_COUNTERS_H

#include <netpoll/conn_options.h>

#include <stdatomic.h>
#include <stdint.h>

/* Written by the poller thread only, with np_count(): no locked instruction. */
struct np_counters {
    _Atomic uint64_t wakeups;
    _Atomic uint64_t round_ns_sum;
    _Atomic uint64_t round_ns_max;
    /* Of bytes_out, sends and requests what happened on this thread; the rest is shared. */
    _Atomic uint64_t requests;
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t receives;
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t sends;
    _Atomic uint64_t bytes_copied;
    _Atomic uint64_t pin_limits;
    _Atomic uint64_t input_pauses;
    _Atomic uint64_t output_pauses;
    _Atomic uint64_t user_pauses;
    _Atomic uint64_t accept_pauses;
    _Atomic uint64_t buffers_exhausted;
    _Atomic uint64_t accepted;
    _Atomic uint64_t accept_fails;
    _Atomic uint64_t accept_drops;
    _Atomic uint64_t refused;
    _Atomic uint64_t dialed;
    _Atomic uint64_t dial_fails;
    _Atomic uint64_t read_timeouts;
    _Atomic uint64_t write_timeouts;
    _Atomic uint64_t idle_timeouts;
    _Atomic uint64_t request_timeouts;
    _Atomic uint64_t close_timeouts;
    _Atomic uint64_t dial_timeouts;
    _Atomic uint64_t closed[NETPOLL_CLOSE_REASON_COUNT];
};

/* Added to by handlers, senders and posters on any thread, with np_count_shared(); on a cache line
 * of their own. */
struct np_shared_counters {
    _Alignas(64) _Atomic uint64_t requests;
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t sends;
    _Atomic uint64_t panics;
    _Atomic uint64_t flushes_refused;
    _Atomic uint64_t wait_timeouts;
    _Atomic uint64_t posts_woke;
};

/* The counter's one writer. */
static inline void np_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* The counter's one writer. */
static inline void np_count_max(_Atomic uint64_t *counter, uint64_t n)
{
    if (n > atomic_load_explicit(counter, memory_order_relaxed))
        atomic_store_explicit(counter, n, memory_order_relaxed);
}

/* Any thread. */
static inline void np_count_shared(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
