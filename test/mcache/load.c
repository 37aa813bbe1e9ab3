#include "load.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void *alloc_chain(size_t size, size_t count)
{
    void *chain = NULL;

    for (size_t i = 0; i < count; i++) {
        void **block = mcache_alloc(size);

        cr_assert_not_null(block);
        *block = chain;
        chain = block;
    }
    return chain;
}

void free_chain(void *chain)
{
    while (chain != NULL) {
        void *next = *(void **)chain;

        mcache_free(chain);
        chain = next;
    }
}

struct mcache_stats stats_now(void)
{
    struct mcache_stats stats;

    mcache_stats_read(&stats);
    return stats;
}

size_t resident_bytes(void)
{
    char line[128];
    FILE *file = fopen("/proc/self/statm", "r");
    char *end;

    cr_assert_not_null(file);
    cr_assert_not_null(fgets(line, sizeof(line), file));
    (void)fclose(file);
    /* The first number is the address space. */
    (void)strtoull(line, &end, 10);
    return strtoull(end, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void configure(size_t retain_limit, unsigned decay_ms)
{
    struct mcache_options options = {.retain_limit = retain_limit, .decay_ms = decay_ms};

    mcache_configure(&options);
}

void pass_ms(int64_t ms)
{
    struct timespec length = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&length, NULL);
}

void tick_to_the_end(int64_t limit_ms)
{
    int64_t start = now_ms();

    while (mcache_tick() != 0) {
        cr_assert_lt(now_ms() - start, limit_ms, "there is always more to do");
        pass_ms(1);
    }
}
