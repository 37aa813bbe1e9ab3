/* Bursts of tiny tasks. Main submits, or waits for the producers that do; at the end one task per
 * worker waits for all the others, so that every task before it has been run. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "figures.h"
#include "pool_work.h"

#include <pthread.h>

#define NS_PER_MS  1e6
#define BURSTS_MIN 5
#define BURSTS_MAX 10000

_Thread_local uint64_t pool_burst_done;

static struct burst {
    const struct pool_run *run;
    const struct pool_burst_ops *ops;
    pthread_barrier_t start, sent; /* main and the producers, where there are several */
    pthread_barrier_t end;         /* main and the workers */
    _Atomic uint64_t done;         /* relaxed: the barrier `end` orders the additions and main */
} burst;

/* What a producer submits of a burst. */
struct part {
    uint32_t first, count;
};

void pool_burst_end(void)
{
    atomic_fetch_add_explicit(&burst.done, pool_burst_done, memory_order_relaxed);
    pool_burst_done = 0;
    pthread_barrier_wait(&burst.end);
}

/* Returns when every task before has been run; gives how many tiny ones that were. */
static uint64_t await_end(void)
{
    for (uint32_t i = 0; i < burst.run->workers; i++)
        burst.ops->submit_end(i);
    pthread_barrier_wait(&burst.end);
    return atomic_exchange_explicit(&burst.done, 0, memory_order_relaxed);
}

static _Noreturn void *produce(void *arg)
{
    const struct part part = *(const struct part *)arg;
    while (true) {
        pthread_barrier_wait(&burst.start);
        burst.ops->submit(burst.run, part.first, part.count);
        pthread_barrier_wait(&burst.sent);
    }
}

static void start_producers(void)
{
    static struct part parts[8];
    uint32_t count = burst.run->producers;
    if (count == 1)
        return;
    if (count > sizeof parts / sizeof parts[0])
        pool_fail("too many producers");
    pool_must("pthread_barrier_init", pthread_barrier_init(&burst.start, NULL, count + 1));
    pool_must("pthread_barrier_init", pthread_barrier_init(&burst.sent, NULL, count + 1));
    for (uint32_t i = 0; i < count; i++) {
        pthread_t thread;
        uint32_t each = burst.run->tasks / count;
        parts[i] = (struct part){.first = i * each,
                                 .count = i + 1 < count ? each : burst.run->tasks - i * each};
        pool_must("pthread_create", pthread_create(&thread, NULL, produce, &parts[i]));
    }
}

static void submit_all(void)
{
    if (burst.run->producers == 1) {
        burst.ops->submit(burst.run, 0, burst.run->tasks);
        return;
    }
    pthread_barrier_wait(&burst.start);
    pthread_barrier_wait(&burst.sent);
}

static void settle(void)
{
    if (burst.ops->settle != NULL)
        burst.ops->settle();
}

static struct pool_figure time_burst(void)
{
    double cpu = pool_cpu_ns();
    double start = pool_now_ns();
    submit_all();
    uint64_t done = await_end();
    double ns = pool_now_ns() - start;
    cpu = pool_cpu_ns() - cpu;
    if (done != burst.run->tasks)
        pool_fail("not every task was run once");
    settle();
    return (struct pool_figure){.ns = ns / (double)done, .cpu_ns = cpu / (double)done};
}

struct pool_figure pool_burst_measure(const struct pool_run *run, const struct pool_burst_ops *ops)
{
    static double ns[BURSTS_MAX];
    static double cpu_ns[BURSTS_MAX];
    burst.run = run;
    burst.ops = ops;
    pool_must("pthread_barrier_init", pthread_barrier_init(&burst.end, NULL, run->workers + 1));
    /* Workers run where the thread that has them started runs. */
    pool_place_worker(run->place);
    ops->start(run);
    await_end();
    settle();
    pool_place_producer(run->place);
    start_producers();
    time_burst();
    size_t count = 0;
    double end = pool_now_ns() + (double)run->milliseconds * NS_PER_MS;
    while (count < BURSTS_MAX && (count < BURSTS_MIN || pool_now_ns() < end)) {
        struct pool_figure figure = time_burst();
        ns[count] = figure.ns;
        cpu_ns[count++] = figure.cpu_ns;
    }
    return (struct pool_figure){.ns = figures_quartiles(ns, count).median,
                                .cpu_ns = figures_quartiles(cpu_ns, count).median};
}
