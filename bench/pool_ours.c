/* The operations with gopool. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_work.h"

#include <gopool/fault.h>
#include <gopool/gopool.h>

#include <sched.h>
#include <stdlib.h>

#define STAY_MS  3600000 /* no worker ends while it is measured */
#define ENDS_MAX 8

static struct gopool *pool;
static struct gopool_task *tasks;
static struct gopool_task ends[ENDS_MAX];

static struct pool_trip trip;
static struct gopool_task trip_task;

static void create(uint32_t workers)
{
    const struct gopool_options options = {.cap = workers, .idle_timeout_ms = STAY_MS};
    pool_must("gopool_create", gopool_create(&options, &pool));
}

static void do_tiny(void *arg)
{
    (void)arg;
    pool_burst_done++;
}

static void do_end(void *arg)
{
    (void)arg;
    pool_burst_end();
}

static bool is_nonblocking(enum pool_op op)
{
    return op == POOL_SUBMIT_NONBLOCKING || op == POOL_BATCH_NONBLOCKING;
}

static void start_burst(const struct pool_run *run)
{
    create(run->workers);
    tasks = calloc(run->tasks, sizeof *tasks);
    if (tasks == NULL)
        pool_fail("no memory");
    for (uint32_t i = 0; i < run->tasks; i++) {
        tasks[i].fn = do_tiny;
        tasks[i].flags = is_nonblocking(run->op) ? GOPOOL_TASK_NONBLOCKING : 0;
    }
}

static void submit_each(struct gopool_task *first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        pool_must("gopool_submit", gopool_submit(pool, &first[i]));
}

static void submit_batches(struct gopool_task *first, uint32_t count)
{
    for (uint32_t done = 0; done < count; done += POOL_BATCH_TASKS) {
        uint32_t last = done + POOL_BATCH_TASKS < count ? done + POOL_BATCH_TASKS - 1 : count - 1;
        for (uint32_t i = done; i < last; i++)
            first[i].next = &first[i + 1];
        first[last].next = NULL;
        pool_must("gopool_submit_batch", gopool_submit_batch(pool, &first[done]));
    }
}

static void submit(const struct pool_run *run, uint32_t first, uint32_t count)
{
    if (run->op == POOL_GO) {
        for (uint32_t i = 0; i < count; i++)
            pool_must("gopool_go", gopool_go(pool, do_tiny, NULL));
    } else if (run->op == POOL_BATCH || run->op == POOL_BATCH_NONBLOCKING) {
        submit_batches(&tasks[first], count);
    } else {
        submit_each(&tasks[first], count);
    }
}

static void submit_end(uint32_t worker)
{
    if (worker >= ENDS_MAX)
        pool_fail("too many workers");
    ends[worker] = (struct gopool_task){.fn = do_end};
    pool_must("gopool_submit", gopool_submit(pool, &ends[worker]));
}

static struct pool_figure measure_burst(const struct pool_run *run)
{
    static const struct pool_burst_ops ops = {
        .start = start_burst, .submit = submit, .submit_end = submit_end};
    return pool_burst_measure(run, &ops);
}

static void answer(void *arg)
{
    pool_trip_answer(arg);
}

static void serve(void *arg)
{
    pool_trip_serve(arg);
}

static void start_trip(const struct pool_run *run)
{
    create(run->workers);
    trip.place = run->place;
    trip_task.fn = run->op == POOL_BUSY ? serve : answer;
    trip_task.arg = &trip;
}

static void go_parked(void)
{
    trip.count++;
    pool_must("gopool_submit", gopool_submit(pool, &trip_task));
    pool_trip_await(&trip);
}

static void await_parked(void)
{
    struct gopool_stats stats;
    gopool_stats_read(pool, &stats);
    while (stats.idle_workers == 0) {
        sched_yield();
        gopool_stats_read(pool, &stats);
    }
    pool_trip_let_park(&trip);
}

static struct pool_figure measure_parked(const struct pool_run *run)
{
    static const struct pool_trip_ops ops = {
        .start = start_trip, .go = go_parked, .settle = await_parked};
    return pool_trip_measure(run, &ops);
}

/* The task before has started, so its object is free again. */
static void go_busy(void)
{
    pool_must("gopool_submit", gopool_submit(pool, &trip_task));
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

static void try_often(void)
{
    for (int i = 0; i < POOL_TRY_CALLS; i++)
        pool_must("gopool_try", gopool_try(do_nothing, NULL, NULL));
}

static struct pool_figure measure_try(const struct pool_run *run)
{
    return pool_trip_measure_calls(run, try_often);
}

const struct pool_side pool_ours = {
    .name = "gopool",
    .ops = {[POOL_SUBMIT] = measure_burst,
            [POOL_SUBMIT_NONBLOCKING] = measure_burst,
            [POOL_GO] = measure_burst,
            [POOL_BATCH] = measure_burst,
            [POOL_BATCH_NONBLOCKING] = measure_burst,
            [POOL_PARKED] = measure_parked,
            [POOL_BUSY] = measure_busy,
            [POOL_TRY] = measure_try},
};

/* Of the process, which is a figure's own. */
static struct pool_figure measure_recovering(const struct pool_run *run)
{
    pool_must("gopool_fault_recovery_enable", gopool_fault_recovery_enable(NULL));
    return pool_ours.ops[run->op](run);
}

const struct pool_side pool_recovering = {
    .name = "recovering",
    .ops = {[POOL_SUBMIT] = measure_recovering,
            [POOL_SUBMIT_NONBLOCKING] = measure_recovering,
            [POOL_GO] = measure_recovering,
            [POOL_BATCH] = measure_recovering,
            [POOL_BATCH_NONBLOCKING] = measure_recovering,
            [POOL_PARKED] = measure_recovering,
            [POOL_BUSY] = measure_recovering,
            [POOL_TRY] = measure_recovering},
};
