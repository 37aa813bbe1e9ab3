/*
 * A thread's private blocks, a list per class. The fast paths touch nothing that is shared.
 *
 * Per class a cache keeps a current list of up to one batch and at times one spare batch; they move
 * as wholes to and from the shared pool, so no list is ever walked. A cache outlives its thread and
 * serves the next one, its counters running on; so the sum over all caches is exact.
 */
#ifndef MC_THREAD_CACHE_H
#define MC_THREAD_CACHE_H

#include <mcache/mcache.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "poison.h"
#include "segment.h"

/* One class of one cache. A cache line. */
struct mc_list {
    void *head; /* the current list */
    /*
     * Written by the owner only. The store of free_count (release) pairs with its load in
     * mc_cache_stats_add() (acquire): who counts a free also counts the allocation before it. The
     * store of alloc_count is ordered by that, and by what handed the block over.
     */
    _Atomic uint64_t alloc_count;
    _Atomic uint64_t free_count;
    /* The current list is full when free_count - alloc_count reaches this: no third counter. */
    int64_t full_mark;
    void *spare; /* a whole batch, or NULL */
    /* The thread looks whether memory is to be given back when alloc_count has reached this. */
    uint64_t tick_mark;
} __attribute__((aligned(64)));

struct mc_cache {
    struct mc_list lists[MCACHE_CLASS_COUNT];
    size_t spare_bytes;         /* in spare batches, all classes */
    struct mc_cache *next;      /* of all caches; never changes */
    struct mc_cache *next_idle; /* of those without a thread */
};

/* The calling thread's cache; before the first call and after the last a cache always empty and
   always full, so that the fast paths need no check of their own. */
extern __thread struct mc_cache *mc_cache_mine
    __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* Hands out a block, or NULL when the list is empty or it is time to look at the clock. */
static inline void *mc_list_pop(struct mc_list *list)
{
    void *block = list->head;
    uint64_t taken = atomic_load_explicit(&list->alloc_count, memory_order_relaxed);

    if (__builtin_expect(block == NULL || (int64_t)(taken - list->tick_mark) >= 0, 0)) {
        return NULL;
    }
    list->head = mc_next_block(block);
    atomic_store_explicit(&list->alloc_count, taken + 1, memory_order_relaxed);
    return block;
}

/* Takes over the block and returns true, or does nothing when the current list is full. */
static inline bool mc_list_push(struct mc_list *list, void *block)
{
    uint64_t freed = atomic_load_explicit(&list->free_count, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&list->alloc_count, memory_order_relaxed);

    if (__builtin_expect((int64_t)(freed - taken) >= list->full_mark, 0)) {
        return false;
    }
    mc_set_next_block(block, list->head);
    list->head = block;
    atomic_store_explicit(&list->free_count, freed + 1, memory_order_release);
    return true;
}

/* Takes a block when mc_list_pop() had none. NULL when the system has no memory. */
void *mc_cache_pop_slow(unsigned cls);

/* Takes over a block when the current list is full. */
void mc_cache_push_slow(unsigned cls, void *block);

/* Moves the calling thread's blocks to the shared pool, and those of threads that are ending. */
void mc_cache_flush(void);

/* Adds the counters of all caches to the counts in out. */
void mc_cache_stats_add(struct mcache_stats *out);

#endif
