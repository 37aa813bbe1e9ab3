/* Single tasks whose result somebody waits for. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "figures.h"
#include "pool_work.h"

#include <sched.h>

#define NS_PER_MS   1e6
#define WARM_UP     200
#define TRIPS_MIN   100
#define TRIPS_MAX   65536
#define PAUSES      1000  /* before a waiting thread lets others run, who may be those it needs */
#define PARK_NS     10000 /* from the pool's word that a worker parks to its sleep, and to spare */
#define PARK_YIELDS 3     /* with nothing else to run, a worker sleeps after the first one */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void pool_trip_answer(struct pool_trip *trip)
{
    atomic_fetch_add_explicit(&trip->answered, 1, memory_order_release);
    pool_futex_wake(&trip->answered);
}

void pool_trip_await(struct pool_trip *trip)
{
    uint32_t seen;
    while ((seen = atomic_load_explicit(&trip->answered, memory_order_acquire)) != trip->count)
        pool_futex_wait(&trip->answered, seen);
}

/* One step of waiting without sleeping. */
static void wait_step(enum pool_place place, uint32_t *tries)
{
    if (place == POOL_ONE_CORE || ++*tries > PAUSES)
        sched_yield();
    else
        relax();
}

void pool_trip_ask(struct pool_trip *trip)
{
    uint32_t tries = 0;
    atomic_store_explicit(&trip->asked, ++trip->count, memory_order_release);
    while (atomic_load_explicit(&trip->answered, memory_order_acquire) != trip->count)
        wait_step(trip->place, &tries);
}

void pool_trip_serve(struct pool_trip *trip)
{
    uint32_t tries = 0;
    uint32_t own = atomic_fetch_add_explicit(&trip->answered, 1, memory_order_release) + 1;
    /* The question in hand may not be counted yet. */
    while (atomic_load_explicit(&trip->asked, memory_order_acquire) <= own)
        wait_step(trip->place, &tries);
}

void pool_trip_let_park(const struct pool_trip *trip)
{
    double end = pool_now_ns() + PARK_NS;
    for (int i = 0; i < PARK_YIELDS; i++)
        sched_yield();
    while (trip->place != POOL_ONE_CORE && pool_now_ns() < end)
        relax();
}

static double time_trip(const struct pool_trip_ops *ops)
{
    if (ops->settle != NULL)
        ops->settle();
    double start = pool_now_ns();
    ops->go();
    return pool_now_ns() - start;
}

struct pool_figure pool_trip_measure(const struct pool_run *run, const struct pool_trip_ops *ops)
{
    static double ns[TRIPS_MAX];
    /* Workers run where the thread that has them started runs. */
    pool_place_worker(run->place);
    if (ops->start != NULL)
        ops->start(run);
    ops->go();
    pool_place_producer(run->place);
    for (int i = 0; i < WARM_UP; i++)
        time_trip(ops);
    size_t count = 0;
    double end = pool_now_ns() + (double)run->milliseconds * NS_PER_MS;
    while (count < TRIPS_MAX && (count < TRIPS_MIN || pool_now_ns() < end))
        ns[count++] = time_trip(ops);
    return (struct pool_figure){.ns = figures_quartiles(ns, count).median};
}

struct pool_figure pool_trip_measure_calls(const struct pool_run *run, void (*go)(void))
{
    const struct pool_trip_ops ops = {.go = go};
    return (struct pool_figure){.ns = pool_trip_measure(run, &ops).ns / POOL_TRY_CALLS};
}
