/* Places, time and failures of the pools' cases. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_case.h"

#include "process.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static unsigned cpus[2];

bool pool_place_init(void)
{
    return process_pick_cpus(cpus) == 0;
}

static void move_to(bool first, bool second)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (first)
        CPU_SET(cpus[0], &set);
    if (second)
        CPU_SET(cpus[1], &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        pool_fail("cannot choose the CPU");
}

void pool_place_producer(enum pool_place place)
{
    move_to(true, place == POOL_BOTH_CORES);
}

void pool_place_worker(enum pool_place place)
{
    move_to(place != POOL_APART, place != POOL_ONE_CORE);
}

_Noreturn void pool_fail(const char *what)
{
    fprintf(stderr, "bench_gopool: %s\n", what);
    _exit(1);
}

void pool_must(const char *call, int status)
{
    if (status == 0)
        return;
    fprintf(stderr, "bench_gopool: %s: %s\n", call, strerror(abs(status)));
    _exit(1);
}

static double clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double pool_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

double pool_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void pool_futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void pool_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
