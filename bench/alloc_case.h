/**
 * What is measured of an allocator: the list that its twins and bench_allocators share.
 */
#ifndef BENCH_ALLOC_CASE_H
#define BENCH_ALLOC_CASE_H

#include <stdbool.h>
#include <stddef.h>

enum alloc_work {
    ALLOC_PAIR,       /* alloc, touch, free */
    ALLOC_PAGES,      /* the same, a byte of every page written */
    ALLOC_BATCH,      /* depth allocs, then as many frees in the same order */
    ALLOC_MIX,        /* random slots replaced by blocks of random sizes */
    ALLOC_CROSS,      /* one thread allocates, another frees */
    ALLOC_BURST_WAIT, /* memory back from a burst after a quiet time */
    ALLOC_BURST_TRIM, /* memory back from a burst when it is asked for */
};

struct alloc_case {
    const char *name;
    enum alloc_work work;
    size_t size;  /* bytes of a block; 0: of the work's own choice */
    size_t depth; /* blocks that live at a time */
};

#define ALLOC_CASE_COUNT 32

/** Every case, in the order of the results. */
extern const struct alloc_case alloc_cases[ALLOC_CASE_COUNT];

/** The case of a name; NULL: there is none. */
const struct alloc_case *alloc_case_find(const char *name);

/** Whether the figure is a share of memory and not a time. */
bool alloc_case_is_memory(const struct alloc_case *which);

#endif
