/**
 * mcache: size-class memory pools with a cache per thread.
 *
 * Invariants
 * - A block belongs to the power-of-two class that holds its size; its class is found from the
 *   pointer alone, in constant time, and nothing is stored in front of the payload.
 * - Every payload is aligned to 16 bytes, one of 4 KiB or more to 64 bytes.
 * - errno changes only when a call fails.
 * - After fork() the child may make any call; what other threads had cached is lost to it.
 * - A request of exactly a power of two gets exactly that class.
 * - Any thread may free a block, whichever thread allocated it.
 * - A request above the largest class gets memory of its own, from the system or of a freed one
 * that is not smaller and at most a quarter larger.
 * - Free memory that nobody has asked for during mcache_options.decay_ms goes back to the system,
 *   a bounded piece at a time, inside calls that are made anyway; there is no thread for it.
 *
 * Threads: every call may be made on any thread at any time, unless it says otherwise. A thread's
 * cache is given back when the thread ends. None of the calls is async-signal-safe.
 * Memory: mcache owns what it hands out until mcache_alloc() returns it; the caller owns it from
 * there to mcache_free(). Memory is not initialised.
 */
#ifndef MCACHE_MCACHE_H
#define MCACHE_MCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MCACHE_API        __attribute__((visibility("default")))
#define MCACHE_MUST_CHECK __attribute__((warn_unused_result))

/** Smallest class, in bytes. Smaller requests, 0 among them, get a block of this class. */
#define MCACHE_CLASS_MIN ((size_t)16)
/** Largest class, in bytes. A larger request gets memory of its own. */
#define MCACHE_CLASS_MAX ((size_t)1 << 20)
/** Number of classes: 16 B, 32 B, ... 1 MiB. */
#define MCACHE_CLASS_COUNT 17
/** Largest alignment that can be asked for, in bytes. */
#define MCACHE_ALIGNMENT_MAX ((size_t)2 << 20)

/** Default of mcache_options.retain_limit, in bytes. */
#define MCACHE_RETAIN_LIMIT_DEFAULT ((size_t)1 << 30)
/** Default of mcache_options.decay_ms. */
#define MCACHE_DECAY_MS_DEFAULT 500

/**
 * Allocates a block of at least size bytes.
 *
 * @param size  bytes wanted; 0 gives a block of the smallest class
 * @return the block; NULL with errno ENOMEM when the system has no memory or size is absurd
 *
 * Memory: the caller owns the block and gives it back with mcache_free().
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_alloc(size_t size);

/**
 * Allocates a block for size bytes now that can hold up to capacity bytes.
 *
 * @param size      bytes wanted now
 * @param capacity  bytes the block must be able to hold; less than size counts as size
 * @return the block; NULL with errno ENOMEM
 *
 * Memory: as mcache_alloc().
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_alloc_capacity(size_t size, size_t capacity);

/**
 * Allocates a block of count * size bytes, all of them zero.
 *
 * Bytes between count * size and the block's capacity are not initialised.
 *
 * @return the block; NULL with errno ENOMEM, also when count * size exceeds SIZE_MAX
 *
 * Memory: as mcache_alloc().
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_calloc(size_t count, size_t size);

/**
 * Allocates a block whose address is a multiple of alignment.
 *
 * @param alignment  bytes; a power of two up to MCACHE_ALIGNMENT_MAX
 * @param size       bytes wanted; any, not only multiples of the alignment
 * @return the block; NULL with errno ENOMEM, or EINVAL when the alignment is none of these
 *
 * Memory: as mcache_alloc().
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_aligned_alloc(size_t alignment, size_t size);

/**
 * Makes a live block hold at least size bytes without moving it.
 *
 * A block of a class can grow to the size of its class; one above the largest class as far as the
 * addresses behind it are free. The contents stay as they are.
 *
 * @param block  live; NULL gives false
 * @return whether it does
 */
MCACHE_API MCACHE_MUST_CHECK bool mcache_expand(void *block, size_t size);

/**
 * Makes a block hold at least size bytes, in place where possible, else in a new one.
 *
 * A block that would use less than a quarter of its capacity is exchanged for a smaller one. The
 * contents are kept up to the smaller of size and the old capacity. The alignment of a block from
 * mcache_aligned_alloc() is not kept by a move.
 *
 * @param block  live; NULL: as mcache_alloc(size)
 * @param size   bytes wanted; 0 gives a block of the smallest class
 * @return the block, which may have moved; NULL with errno ENOMEM, the old block being as before;
 * NULL with errno EINVAL for what mcache_free() would ignore
 *
 * Memory: takes the old block when it succeeds; the caller owns the result.
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_realloc(void *block, size_t size);

/**
 * Gives a block back.
 *
 * @param block  from an allocating call of mcache and not freed since; NULL does nothing
 *
 * A pointer that is not the start of a live block ends the program with one line on stderr when
 * assertions are on; otherwise it is counted (mcache_stats.bad_free_count) and ignored as far as
 * it can be told from a live block. Without assertions two frees of one block on two threads at the
 * same instant may go unnoticed.
 */
MCACHE_API void mcache_free(void *block);

/**
 * Tells how many bytes the block can hold: the size of its class; above the largest class what was
 * asked for, rounded up, or up to a quarter more.
 *
 * @param block  a live block; NULL gives 0
 */
MCACHE_API MCACHE_MUST_CHECK size_t mcache_capacity(const void *block);

/**
 * Moves everything in the calling thread's cache to the shared pool.
 *
 * For a thread that is about to sleep for long.
 */
MCACHE_API void mcache_flush(void);

/**
 * Gives all free memory of the shared pool back to the system, however young.
 *
 * Flushes the calling thread's cache first; the caches of other threads are not touched.
 *
 * @return bytes of free memory given back; the addresses are kept while a segment has live blocks
 */
MCACHE_API size_t mcache_trim(void);

/**
 * Gives back what has been free for long enough, at most 32 MiB per call.
 *
 * Allocations do this now and then by themselves; a thread that makes none, but runs a timer,
 * calls it from there: every 10 ms to decay_ms for as long as the result is not 0. Costs a look at
 * the clock when nothing is due. One thread at a time does the work, others return at once.
 *
 * @return bytes of free memory that are retained and will be given back later; blocks in threads'
 *         caches are not among them. 0: nothing is left to do until memory is freed again
 */
MCACHE_API size_t mcache_tick(void);

/** How much free memory stays with the process, and for how long. A field of 0 is its default. */
struct mcache_options {
    size_t retain_limit;  /**< bytes of free memory in the shared pool; what is freed beyond goes
                               back at once. 15/64 of it are for blocks above the largest class.
                               1 retains nothing. Metric: mcache_stats.retained_bytes.
                               Default: MCACHE_RETAIN_LIMIT_DEFAULT */
    unsigned decay_ms;    /**< memory goes back after it was free for one to three times this,
                               later where 32 MiB per call are not enough.
                               Default: MCACHE_DECAY_MS_DEFAULT */
    uint32_t reserved[4]; /**< must be zero */
};

/**
 * Sets the options of the whole process.
 *
 * May be called at any time; memory above a lowered limit goes back by decay or mcache_trim().
 *
 * @param options  borrowed; NULL: all defaults
 * @return 0; -EINVAL, nothing changed, when a reserved field is set
 */
MCACHE_API int mcache_configure(const struct mcache_options *options);

/** Figures of one class. */
struct mcache_class_stats {
    size_t size;          /**< bytes of a block of this class */
    uint64_t alloc_count; /**< blocks handed out since the start */
    uint64_t free_count;  /**< blocks given back since the start */
};

/** Figures of the whole process. Counters of running threads may lag by the call in progress. */
struct mcache_stats {
    struct mcache_class_stats classes[MCACHE_CLASS_COUNT];
    uint64_t system_alloc_count;  /**< requests above the largest class */
    uint64_t system_free_count;   /**< of those, given back */
    size_t system_bytes;          /**< bytes live above the largest class */
    size_t segment_bytes;         /**< bytes of address space held in segments for the classes */
    size_t retained_bytes;        /**< bytes free in the shared pool that the system gets back by
                                       decay or mcache_trim(): of segment_bytes, and
                                       system_retained_bytes; bounded by retain_limit */
    size_t retain_limit;          /**< as configured */
    uint64_t returned_bytes;      /**< bytes of free memory given back since the start */
    size_t live_bytes;            /**< bytes in blocks that callers own, by class size; those
                                       above the largest class are in system_bytes only */
    uint64_t bad_free_count;      /**< pointers that were ignored, see mcache_free() */
    uint64_t system_reuse_count;  /**< of system_alloc_count, those that got freed memory of others
                                       and nothing from the system */
    size_t system_retained_bytes; /**< bytes of freed blocks above the largest class that are kept
                                       for the next ones, with what they were mapped in */
};

/**
 * Reads the figures of the whole process.
 *
 * @param out  borrowed; overwritten
 */
MCACHE_API void mcache_stats_read(struct mcache_stats *out);

#ifdef __cplusplus
}
#endif

#endif
