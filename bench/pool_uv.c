/* The operations with libuv's pool, which works for one loop and its thread. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define ENDS_MAX 8

static uv_work_t *requests;
static uv_work_t ends[ENDS_MAX];

static uv_work_t trip_request;
static struct pool_trip trip;

static void limit_workers(uint32_t workers)
{
    char text[16];
    snprintf(text, sizeof text, "%u", workers);
    setenv("UV_THREADPOOL_SIZE", text, 1); /* read when the first task comes */
}

static void do_tiny(uv_work_t *request)
{
    (void)request;
    pool_burst_done++;
}

static void do_end(uv_work_t *request)
{
    (void)request;
    pool_burst_end();
}

static void start_burst(const struct pool_run *run)
{
    limit_workers(run->workers);
    requests = calloc(run->tasks, sizeof *requests);
    if (requests == NULL)
        pool_fail("no memory");
}

static void submit(const struct pool_run *run, uint32_t first, uint32_t count)
{
    (void)run;
    for (uint32_t i = first; i < first + count; i++)
        pool_must("uv_queue_work", uv_queue_work(uv_default_loop(), &requests[i], do_tiny, NULL));
}

static void submit_end(uint32_t worker)
{
    if (worker >= ENDS_MAX)
        pool_fail("too many workers");
    pool_must("uv_queue_work", uv_queue_work(uv_default_loop(), &ends[worker], do_end, NULL));
}

/* The loop learns that the requests have been done. */
static void settle(void)
{
    pool_must("uv_run", uv_run(uv_default_loop(), UV_RUN_DEFAULT));
}

static struct pool_figure measure_burst(const struct pool_run *run)
{
    static const struct pool_burst_ops ops = {
        .start = start_burst, .submit = submit, .submit_end = submit_end, .settle = settle};
    return pool_burst_measure(run, &ops);
}

static void do_nothing(uv_work_t *request)
{
    (void)request;
}

/* Where a result usually arrives. */
static void take_result(uv_work_t *request, int status)
{
    (void)request;
    pool_must("uv_queue_work", status);
    trip.count++;
}

static void start_trip(const struct pool_run *run)
{
    limit_workers(run->workers);
    trip.place = run->place;
}

static void go(void)
{
    uint32_t before = trip.count;
    pool_must("uv_queue_work",
              uv_queue_work(uv_default_loop(), &trip_request, do_nothing, take_result));
    pool_must("uv_run", uv_run(uv_default_loop(), UV_RUN_DEFAULT));
    if (trip.count != before + 1)
        pool_fail("libuv has no result");
}

static void let_park(void)
{
    pool_trip_let_park(&trip);
}

static struct pool_figure measure_parked(const struct pool_run *run)
{
    static const struct pool_trip_ops ops = {.start = start_trip, .go = go, .settle = let_park};
    return pool_trip_measure(run, &ops);
}

const struct pool_side pool_uv = {
    .name = "libuv",
    .ops = {[POOL_SUBMIT] = measure_burst, [POOL_PARKED] = measure_parked},
    .has_one_producer = true,
};
