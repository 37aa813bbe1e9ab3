/* The same work without a pool: two threads that hand over by themselves, a plain call, and a
 * thread of its own for every task. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_work.h"

#include <pthread.h>

static struct pool_trip trip;

/* Sleeps there. Release in go_parked(), pairs with the acquire in answer_parked(). */
static _Atomic uint32_t call_word;

static _Noreturn void *answer_parked(void *arg)
{
    uint32_t seen = 0;
    (void)arg;
    while (true) {
        while (atomic_load_explicit(&call_word, memory_order_acquire) == seen)
            pool_futex_wait(&call_word, seen);
        seen++;
        pool_trip_answer(&trip);
    }
}

static _Noreturn void *answer_busy(void *arg)
{
    (void)arg;
    while (true)
        pool_trip_serve(&trip);
}

static void start_trip(const struct pool_run *run)
{
    pthread_t thread;
    trip.place = run->place;
    /* The first question is there when the one who serves comes, as it is for a pool's worker. */
    pool_must(
        "pthread_create",
        pthread_create(&thread, NULL, run->op == POOL_BUSY ? answer_busy : answer_parked, NULL));
}

static void go_parked(void)
{
    trip.count++;
    atomic_fetch_add_explicit(&call_word, 1, memory_order_release);
    pool_futex_wake(&call_word);
    pool_trip_await(&trip);
}

static void let_park(void)
{
    pool_trip_let_park(&trip);
}

static struct pool_figure measure_parked(const struct pool_run *run)
{
    static const struct pool_trip_ops ops = {
        .start = start_trip, .go = go_parked, .settle = let_park};
    return pool_trip_measure(run, &ops);
}

static void go_busy(void)
{
    pool_trip_ask(&trip);
}

static struct pool_figure measure_busy(const struct pool_run *run)
{
    static const struct pool_trip_ops ops = {.start = start_trip, .go = go_busy};
    return pool_trip_measure(run, &ops);
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static void call_often(void)
{
    static void (*volatile function)(void *arg) = do_nothing;
    for (int i = 0; i < POOL_TRY_CALLS; i++)
        function(NULL);
}

static struct pool_figure measure_call(const struct pool_run *run)
{
    return pool_trip_measure_calls(run, call_often);
}

const struct pool_side pool_bare = {
    .name = "bare",
    .ops = {[POOL_PARKED] = measure_parked, [POOL_BUSY] = measure_busy, [POOL_TRY] = measure_call},
    .is_floor = true,
};

static void *do_and_end(void *arg)
{
    return arg;
}

static void create_and_join(void)
{
    pthread_t thread;
    pool_must("pthread_create", pthread_create(&thread, NULL, do_and_end, NULL));
    pool_must("pthread_join", pthread_join(thread, NULL));
}

static struct pool_figure measure_thread(const struct pool_run *run)
{
    static const struct pool_trip_ops ops = {.go = create_and_join};
    return pool_trip_measure(run, &ops);
}

const struct pool_side pool_thread = {
    .name = "thread",
    .ops = {[POOL_PARKED] = measure_thread},
    .is_together = true,
};
