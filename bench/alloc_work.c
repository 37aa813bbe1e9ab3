/* Work of one thread on the allocator. */
#include "alloc_work.h"

#include "allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES   4096
#define OCTAVES      12 /* from 16 B to 64 KiB */
#define SMALLEST_LOG 4

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

/* Evenly among the octaves by the upper bits, and within one by the lower ones. */
static size_t size_of_random(uint64_t random)
{
    uint64_t octave = ((random >> 32) * OCTAVES) >> 32;
    return (size_t)(((uint64_t)1 << 16 | (random & 0xffff)) >> (16 - SMALLEST_LOG) << octave);
}

size_t alloc_work_random_size(uint64_t *random)
{
    return size_of_random(next_random(random));
}

void *alloc_work_must(size_t size)
{
    void *block = allocator_alloc(size);
    if (block == NULL) {
        perror("bench: no memory");
        exit(1);
    }
    return block;
}

void alloc_work_touch(void *block, size_t size)
{
    volatile char *bytes = block;
    for (size_t i = 0; i < size; i += PAGE_BYTES)
        bytes[i] = 1;
}

static void touch_first(void *block)
{
    *(volatile char *)block = 1;
}

static uint64_t do_pairs(const struct alloc_run *run, uint64_t pairs)
{
    size_t size = run->which->size;
    for (uint64_t i = 0; i < pairs; i++) {
        void *block = alloc_work_must(size);
        touch_first(block);
        allocator_free(block);
    }
    return pairs;
}

static uint64_t do_pages(const struct alloc_run *run, uint64_t pairs)
{
    size_t size = run->which->size;
    for (uint64_t i = 0; i < pairs; i++) {
        void *block = alloc_work_must(size);
        alloc_work_touch(block, size);
        allocator_free(block);
    }
    return pairs;
}

static uint64_t do_batches(struct alloc_run *run, uint64_t pairs)
{
    size_t size = run->which->size;
    size_t depth = run->which->depth;
    uint64_t done = 0;
    for (; done < pairs; done += depth) {
        for (size_t i = 0; i < depth; i++) {
            run->blocks[i] = alloc_work_must(size);
            touch_first(run->blocks[i]);
        }
        for (size_t i = 0; i < depth; i++)
            allocator_free(run->blocks[i]);
    }
    memset(run->blocks, 0, depth * sizeof *run->blocks);
    return done;
}

static uint64_t do_mix(struct alloc_run *run, uint64_t pairs)
{
    uint64_t mask = run->which->depth - 1;
    for (uint64_t i = 0; i < pairs; i++) {
        uint64_t random = next_random(&run->random);
        void **slot = &run->blocks[(random >> 20) & mask];
        size_t size = size_of_random(random);
        if (*slot != NULL)
            allocator_free(*slot);
        *slot = alloc_work_must(size);
        alloc_work_touch(*slot, size);
    }
    return pairs;
}

uint64_t alloc_work_do(struct alloc_run *run, uint64_t pairs)
{
    switch (run->which->work) {
    case ALLOC_PAIR:
        return do_pairs(run, pairs);
    case ALLOC_PAGES:
        return do_pages(run, pairs);
    case ALLOC_BATCH:
        return do_batches(run, pairs);
    default:
        return do_mix(run, pairs);
    }
}

void alloc_work_end(struct alloc_run *run)
{
    for (size_t i = 0; i < run->which->depth; i++) {
        if (run->blocks[i] != NULL)
            allocator_free(run->blocks[i]);
        run->blocks[i] = NULL;
    }
}
