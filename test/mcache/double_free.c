/*
 * Two threads free one block at the same instant, again and again: with assertions one of the two
 * is caught each time. abort() is replaced by the linker, so that the program can go on and count.
 */
#include <mcache/mcache.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    SECONDS = 2,
    ROUNDS_MIN = 1000,
    SPINS = 2000 /* so that both are at work at once, but where there is one core only */
};

static const size_t sizes[] = {16, 64, 1024, 65536, MCACHE_CLASS_MAX, 2 * MCACHE_CLASS_MAX};

/* Release with acquire: who has seen the number of the round sees its block. */
static atomic_uint round_number;
/* As round_number, the other way: who has seen it sees what the other one has caught. */
static atomic_uint round_done;
static atomic_uint caught;
static void *block;
static __thread jmp_buf back;

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): names that the linker
 * gives. */
_Noreturn void __wrap_abort(void);

_Noreturn void __wrap_abort(void)
{
    atomic_fetch_add_explicit(&caught, 1, memory_order_relaxed);
    longjmp(back, 1);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */

static void free_caught(void *pointer)
{
    if (setjmp(back) == 0) {
        mcache_free(pointer);
    }
}

static void wait_for(atomic_uint *number, unsigned value)
{
    for (unsigned i = 1; atomic_load_explicit(number, memory_order_acquire) != value; i++) {
        if (i % SPINS == 0) {
            (void)sched_yield();
        }
    }
}

static void *free_each_block(void *arg)
{
    (void)arg;
    for (unsigned round = 1;; round++) {
        wait_for(&round_number, round);
        if (block == NULL) {
            return NULL;
        }
        free_caught(block);
        atomic_store_explicit(&round_done, round, memory_order_release);
    }
}

/* Returns whether exactly one of both frees was caught. */
static int run_round(unsigned round)
{
    block = mcache_alloc(sizes[round % (sizeof(sizes) / sizeof(sizes[0]))]);
    atomic_store_explicit(&caught, 0, memory_order_relaxed);
    atomic_store_explicit(&round_number, round, memory_order_release);
    free_caught(block);
    wait_for(&round_done, round);
    return atomic_load_explicit(&caught, memory_order_relaxed) == 1;
}

int main(void)
{
    struct mcache_stats stats;
    time_t end = time(NULL) + SECONDS;
    unsigned round = 0;
    unsigned missed = 0;
    int nowhere = open("/dev/null", O_WRONLY);
    pthread_t thread;

#ifdef NDEBUG
    return 77;
#endif
    /* Where the line about each of them goes. */
    if (nowhere < 0 || dup2(nowhere, STDERR_FILENO) < 0 ||
        pthread_create(&thread, NULL, free_each_block, NULL) != 0) {
        return 1;
    }
    while (time(NULL) < end || round < ROUNDS_MIN) {
        missed += !run_round(++round);
    }
    block = NULL;
    atomic_store_explicit(&round_number, round + 1, memory_order_release);
    (void)pthread_join(thread, NULL);
    mcache_stats_read(&stats);
    stats.live_bytes += stats.system_bytes;
    (void)printf("%u of %u second frees missed, %zu bytes live\n", missed, round, stats.live_bytes);
    return missed == 0 && stats.live_bytes == 0 ? 0 : 1;
}
