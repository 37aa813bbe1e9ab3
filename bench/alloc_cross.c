/* A bounded ring of blocks between the thread that allocates and the one that frees. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "alloc_work.h"
#include "allocator.h"
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RING_MAX     256
#define GROUPS       8 /* parts of the ring that are handed over as a whole */
#define LINE_ALIGNED __attribute__((aligned(64)))

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what each side writes is apart. */
struct alloc_cross {
    /* Both are counts since the start. The release of `sent` pairs with the acquire in free_all():
       the blocks behind it are in the ring. The release of `freed` pairs with the acquire in
       wait_for(): their places are empty. */
    LINE_ALIGNED _Atomic uint64_t sent;
    LINE_ALIGNED _Atomic uint64_t freed;
    LINE_ALIGNED void *ring[RING_MAX]; /* NULL: the end */
    size_t depth, group, size;
    uint64_t made; /* blocks allocated, some of them not sent */
    unsigned cpu;
    pthread_t thread;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void *free_all(void *arg)
{
    struct alloc_cross *cross = arg;
    (void)process_pin(cross->cpu);
    uint64_t done = 0;
    while (true) {
        uint64_t sent = atomic_load_explicit(&cross->sent, memory_order_acquire);
        if (sent == done)
            relax();
        while (done < sent) {
            char *block = cross->ring[done % cross->depth];
            if (block == NULL)
                return NULL;
            (void)*(volatile char *)block; /* as its reader would */
            allocator_free(block);
            done++;
            if (done % cross->group == 0 || done == sent)
                atomic_store_explicit(&cross->freed, done, memory_order_release);
        }
    }
}

static void wait_for(const struct alloc_cross *cross, uint64_t freed)
{
    while (atomic_load_explicit(&cross->freed, memory_order_acquire) < freed)
        relax();
}

static void publish(struct alloc_cross *cross)
{
    atomic_store_explicit(&cross->sent, cross->made, memory_order_release);
}

uint64_t alloc_cross_do(struct alloc_cross *cross, uint64_t pairs)
{
    for (uint64_t i = 0; i < pairs; i++) {
        /* The first of a group makes sure that there is room for all of it. */
        if (cross->made % cross->group == 0 && cross->made + cross->group > cross->depth)
            wait_for(cross, cross->made + cross->group - cross->depth);
        void *block = alloc_work_must(cross->size);
        alloc_work_touch(block, cross->size);
        cross->ring[cross->made++ % cross->depth] = block;
        if (cross->made % cross->group == 0)
            publish(cross);
    }
    publish(cross);
    wait_for(cross, cross->made);
    return pairs;
}

int alloc_cross_start(const struct alloc_case *which, unsigned cpu, struct alloc_cross **out)
{
    static struct alloc_cross cross;
    cross = (struct alloc_cross){
        .depth = which->depth, .group = which->depth / GROUPS, .size = which->size, .cpu = cpu};
    *out = NULL;
    int error = pthread_create(&cross.thread, NULL, free_all, &cross);
    if (error != 0)
        return -error;
    *out = &cross;
    return 0;
}

void alloc_cross_stop(struct alloc_cross *cross)
{
    cross->ring[cross->made++ % cross->depth] = NULL;
    publish(cross);
    pthread_join(cross->thread, NULL);
}
