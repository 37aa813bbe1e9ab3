/*
 * What pool_demo checks with. Whatever does not hold, or does not come in time, ends the process
 * with a line on stderr and status 1. Any thread.
 */
#ifndef EXAMPLES_POOL_CHECK_H
#define EXAMPLES_POOL_CHECK_H

#include <gopool/gopool.h>

#include <semaphore.h>
#include <stdbool.h>

/* Longest wait for what comes at once, on a slow machine as well. */
#define DEADLINE_MS 20000

_Noreturn void fail(const char *what, const char *why);
void check(bool holds, const char *what);
/* Every call that can fail says so by its result: 0, or a negative errno value. */
void must(int status);
/* For a result that has to be this one: its name, as "-EAGAIN". */
const char *expect(int status, int expected, const char *call);

struct gopool *make_pool(const struct gopool_options *options);
struct gopool_stats stats_of(struct gopool *pool);
/* Waits until no task waits and none runs. */
void settle(struct gopool *pool);
void wait_for_post(sem_t *semaphore);
/* For what nothing else tells of: looks every now and then. */
void wait_for_figures(struct gopool *pool, bool (*reached)(const struct gopool_stats *stats));

/* Where tasks wait until they are let go. Must outlive them. */
struct gate {
    sem_t arrived;
    sem_t open;
};

void gate_shut(struct gate *gate);
/* A task: waits at the gate that is its argument. */
void gate_pass(void *arg);
/* Submits so many tasks and waits until workers have come to the gate with them. */
void gate_occupy(struct gate *gate, struct gopool *pool, unsigned tasks);
void gate_open(struct gate *gate, unsigned tasks);

#endif
