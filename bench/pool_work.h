/**
 * The two ways to load a pool, for sides that say how theirs is used.
 */
#ifndef BENCH_POOL_WORK_H
#define BENCH_POOL_WORK_H

#include "pool_case.h"

/** How a pool takes bursts of tiny tasks. */
struct pool_burst_ops {
    /** Makes the pool, without a thread, and what a burst needs. */
    void (*start)(const struct pool_run *run);
    /** Submits the tiny tasks from one index on, on any producer. */
    void (*submit)(const struct pool_run *run, uint32_t first, uint32_t count);
    /** Submits a task that calls pool_burst_end() and may block. */
    void (*submit_end)(uint32_t worker);
    /** Puts in order what a burst has left, untimed; NULL: nothing. */
    void (*settle)(void);
};

/** What a tiny task increments. */
extern _Thread_local uint64_t pool_burst_done;

/** Ends a worker's part in a burst. Returns when every worker is there. */
void pool_burst_end(void);

/**
 * Nanoseconds per tiny task, from the first submit to the end of the last task: the median of the
 * bursts. Fails when a task was lost.
 */
struct pool_figure pool_burst_measure(const struct pool_run *run, const struct pool_burst_ops *ops);

/** How a pool does one task whose result somebody waits for. */
struct pool_trip_ops {
    void (*start)(const struct pool_run *run); /* NULL: nothing to do */
    void (*go)(void);                          /* there and back */
    void (*settle)(void);                      /* untimed, before each; NULL: nothing to do */
};

/** Nanoseconds for the way there and back: the median of single trips. */
struct pool_figure pool_trip_measure(const struct pool_run *run, const struct pool_trip_ops *ops);

/** Questions of one thread and answers of another, counted. Zeroed is the beginning. */
struct pool_trip {
    enum pool_place place;
    uint32_t count; /* questions; of the thread that asks */
    /* Release in pool_trip_ask(), pairs with the acquire in pool_trip_serve(). */
    __attribute__((aligned(64))) _Atomic uint32_t asked;
    /* Release in whatever answers, pairs with the acquire in whatever awaits it. */
    __attribute__((aligned(64))) _Atomic uint32_t answered;
};

/** Answers the question in hand and wakes who sleeps in pool_trip_await(). */
void pool_trip_answer(struct pool_trip *trip);

/** Sleeps until the question in hand is answered. */
void pool_trip_await(struct pool_trip *trip);

/** Asks the next question of whoever is in pool_trip_serve(), and awaits the answer awake. */
void pool_trip_ask(struct pool_trip *trip);

/** Answers the question in hand and returns when the next one is asked, awake. */
void pool_trip_serve(struct pool_trip *trip);

/** Lets the thread that answers get to where it sleeps. */
void pool_trip_let_park(const struct pool_trip *trip);

/** Calls in a row that are one trip of POOL_TRY. */
#define POOL_TRY_CALLS 1000

/** Time of one call of POOL_TRY. @param go  does POOL_TRY_CALLS of them */
struct pool_figure pool_trip_measure_calls(const struct pool_run *run, void (*go)(void));

#endif
