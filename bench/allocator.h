/**
 * The allocator a benchmark is built with, chosen by one BENCH_ALLOCATOR_* definition.
 *
 * Inline calls of the allocator's own interface, so that none of them pays for the choice.
 */
#ifndef BENCH_ALLOCATOR_H
#define BENCH_ALLOCATOR_H

#include <stddef.h>

#if defined(BENCH_ALLOCATOR_MCACHE)
#    include <mcache/mcache.h>
#elif defined(BENCH_ALLOCATOR_MIMALLOC)
#    include <mimalloc.h>
#elif defined(BENCH_ALLOCATOR_JEMALLOC)
#    include <jemalloc/jemalloc.h>
#    include <stdio.h>
#    include <stdlib.h>
#elif defined(BENCH_ALLOCATOR_GLIBC)
#    include <malloc.h>
#    include <stdlib.h>
#else
#    error "no BENCH_ALLOCATOR_* is defined"
#endif

/** Not initialised; NULL when there is no memory. Memory: freed with allocator_free(). */
static inline void *allocator_alloc(size_t size)
{
#if defined(BENCH_ALLOCATOR_MCACHE)
    return mcache_alloc(size);
#elif defined(BENCH_ALLOCATOR_MIMALLOC)
    return mi_malloc(size);
#else
    return malloc(size);
#endif
}

/** On any thread. */
static inline void allocator_free(void *block)
{
#if defined(BENCH_ALLOCATOR_MCACHE)
    mcache_free(block);
#elif defined(BENCH_ALLOCATOR_MIMALLOC)
    mi_free(block);
#else
    free(block);
#endif
}

/** Gives what is free back to the system, as far as the allocator can be told to. */
static inline void allocator_trim(void)
{
#if defined(BENCH_ALLOCATOR_MCACHE)
    (void)mcache_trim();
#elif defined(BENCH_ALLOCATOR_MIMALLOC)
    mi_collect(true);
#elif defined(BENCH_ALLOCATOR_JEMALLOC)
    char purge[32];
    snprintf(purge, sizeof purge, "arena.%d.purge", MALLCTL_ARENAS_ALL);
    (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    (void)mallctl(purge, NULL, NULL, NULL, 0);
#else
    (void)malloc_trim(0);
#endif
}

#endif
