/* Waiting for events, and what several test files ask of the process. */
#ifndef TEST_GOPOOL_SUPPORT_H
#define TEST_GOPOOL_SUPPORT_H

#include <gopool/gopool.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest wait for an event that is sure to come, many times what it takes. */
#define DEADLINE_MS 20000

/* Waits for a condition and fails the test when it does not come true in time. */
#define WAIT_UNTIL(condition)                                                       \
    do {                                                                            \
        const int64_t give_up_ms = now_ms() + DEADLINE_MS;                          \
        while (!(condition)) {                                                      \
            cr_assert(now_ms() < give_up_ms, "waited in vain for: %s", #condition); \
            sched_yield();                                                          \
        }                                                                           \
    } while (0)

int64_t now_ms(void);

/* The figures of a pool, as a value. */
struct gopool_stats stats_of(struct gopool *pool);

/* A pool that the test cannot go on without. */
struct gopool *pool_with(const struct gopool_options *options);

/* Threads of this process. */
size_t thread_count(void);

/* Whether a thread of this process sleeps in the kernel. */
bool thread_sleeps(int thread);

/*
 * Runs fn(arg) in a child process and reads what it writes to stderr, cut to `size` bytes.
 * Returns the status of wait(2).
 */
int run_in_child(void (*fn)(void *arg), void *arg, char *output, size_t size);

/* Makes the next `count` calls of pthread_create() in this process fail; -1: all of them. */
void fail_thread_creation(int count);

/* The same, after so many have succeeded. */
void fail_thread_creation_after(int successes, int count);

#endif
