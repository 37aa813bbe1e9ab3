/* Checks of results, and waits that end. */
#include "pool_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS_FAILED 1

_Noreturn void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "pool_demo: %s%s\n", what, why);
    exit(STATUS_FAILED);
}

void check(bool holds, const char *what)
{
    if (!holds)
        fail("does not hold: ", what);
}

static const char *name_of(int status)
{
    switch (status) {
    case 0:
        return "0";
    case -EAGAIN:
        return "-EAGAIN";
    case -EALREADY:
        return "-EALREADY";
    case -ECANCELED:
        return "-ECANCELED";
    case -EDEADLK:
        return "-EDEADLK";
    case -ENOTSUP:
        return "-ENOTSUP";
    case -ESHUTDOWN:
        return "-ESHUTDOWN";
    case -ETIMEDOUT:
        return "-ETIMEDOUT";
    default:
        return strerror(-status);
    }
}

const char *expect(int status, int expected, const char *call)
{
    if (status != expected) {
        (void)fprintf(stderr, "pool_demo: %s returned %s, not %s\n", call, name_of(status),
                      name_of(expected));
        exit(STATUS_FAILED);
    }
    return name_of(status);
}

void must(int status)
{
    if (status != 0)
        fail("a call returned ", name_of(status));
}

struct gopool *make_pool(const struct gopool_options *options)
{
    struct gopool *pool;
    must(gopool_create(options, &pool));
    return pool;
}

struct gopool_stats stats_of(struct gopool *pool)
{
    struct gopool_stats stats;
    gopool_stats_read(pool, &stats);
    return stats;
}

void settle(struct gopool *pool)
{
    must(gopool_drain(pool, DEADLINE_MS));
}

void wait_for_post(sem_t *semaphore)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_MS / 1000;
    while (sem_timedwait(semaphore, &deadline) != 0) {
        if (errno != EINTR)
            fail("waited in vain: ", strerror(errno));
    }
}

void wait_for_figures(struct gopool *pool, bool (*reached)(const struct gopool_stats *stats))
{
    const struct timespec pause = {.tv_nsec = 100000};
    struct gopool_stats stats = stats_of(pool);
    for (int looks = 1; !reached(&stats); looks++) {
        check(looks < DEADLINE_MS * 10, "the figures come to what they should");
        nanosleep(&pause, NULL);
        stats = stats_of(pool);
    }
}

void gate_shut(struct gate *gate)
{
    sem_init(&gate->arrived, 0, 0);
    sem_init(&gate->open, 0, 0);
}

void gate_pass(void *arg)
{
    struct gate *gate = arg;
    sem_post(&gate->arrived);
    wait_for_post(&gate->open);
}

void gate_occupy(struct gate *gate, struct gopool *pool, unsigned tasks)
{
    for (unsigned i = 0; i < tasks; i++)
        must(gopool_go(pool, gate_pass, gate));
    for (unsigned i = 0; i < tasks; i++)
        wait_for_post(&gate->arrived);
}

void gate_open(struct gate *gate, unsigned tasks)
{
    for (unsigned i = 0; i < tasks; i++)
        sem_post(&gate->open);
}
