/**
 * The work that an allocator's twin measures. All of it uses allocator.h.
 *
 * Threads: one; alloc_work_cross() starts another. Errors: 0 or a negative errno value.
 */
#ifndef BENCH_ALLOC_WORK_H
#define BENCH_ALLOC_WORK_H

#include "alloc_case.h"

#include <stdint.h>

/** A measurement in progress. */
struct alloc_run {
    const struct alloc_case *which;
    void **blocks;   /* which->depth of them, NULL where there is none */
    uint64_t random; /* state of the generator, never 0 */
};

/**
 * Allocates and frees a number of blocks, at least; alone for the work that is done on one thread.
 *
 * @return pairs done; ends the process when there is no memory
 */
uint64_t alloc_work_do(struct alloc_run *run, uint64_t pairs);

/** Frees the blocks that are left. */
void alloc_work_end(struct alloc_run *run);

/** Writes one byte to every page of a block. */
void alloc_work_touch(void *block, size_t size);

/** A size between 16 B and 64 KiB, every octave of them equally often. */
size_t alloc_work_random_size(uint64_t *random);

/** allocator_alloc(), or the end of the process with a line on stderr. */
void *alloc_work_must(size_t size);

/** A second thread that frees what this one allocates. */
struct alloc_cross;

/**
 * Starts the thread that frees.
 *
 * @param cpu  where it runs
 * @param out  NULL on failure
 *
 * Memory: the caller owns it and ends it with alloc_cross_stop().
 */
int alloc_cross_start(const struct alloc_case *which, unsigned cpu, struct alloc_cross **out);

/** Allocates so many blocks and returns when the other thread has freed the last of them. */
uint64_t alloc_cross_do(struct alloc_cross *cross, uint64_t pairs);

/** Ends the thread. */
void alloc_cross_stop(struct alloc_cross *cross);

/**
 * Share of the memory of a burst of 1 GiB that has gone back to the system, in percent.
 *
 * The blocks have random sizes, are filled, and all freed. Then, ALLOC_BURST_WAIT: one small block
 * is allocated and freed every 10 ms for 5 s; ALLOC_BURST_TRIM: allocator_trim().
 */
int alloc_burst(enum alloc_work work, double *percent);

#endif
