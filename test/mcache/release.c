/*
 * Bad frees in a release build: counted and ignored, and no block is ever handed out twice for
 * them.
 */
#include <mcache/mcache.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    COUNT = 2000
};

static void *blocks[COUNT];

/* Hides from the compiler that a pointer is not fit to be freed. */
static void free_hidden(void *pointer)
{
    void *volatile hidden = pointer;

    mcache_free(hidden);
}

static uint64_t bad_frees(void)
{
    struct mcache_stats stats;

    mcache_stats_read(&stats);
    return stats.bad_free_count;
}

static void expect(int condition, const char *what, size_t size)
{
    if (!condition) {
        (void)fprintf(stderr, "size %zu: %s\n", size, what);
        exit(1);
    }
}

static int compare(const void *a, const void *b)
{
    uintptr_t first = *(const uintptr_t *)a;
    uintptr_t second = *(const uintptr_t *)b;

    return first < second ? -1 : first > second;
}

static void check_distinct(size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = mcache_alloc(size);
        expect(blocks[i] != NULL, "no memory", size);
    }
    qsort(blocks, count, sizeof(blocks[0]), compare);
    for (size_t i = 1; i < count; i++) {
        expect(blocks[i] != blocks[i - 1], "a block was handed out twice", size);
    }
    for (size_t i = 0; i < count; i++) {
        mcache_free(blocks[i]);
    }
}

static void free_badly(size_t size)
{
    uint64_t before = bad_frees();
    char *block = mcache_alloc(size);

    free_hidden(block + 1);
    free_hidden(block + size / 2);
    expect(bad_frees() == before + 2, "pointers inside are not told apart", size);
    mcache_free(block);
    free_hidden(block);
    free_hidden(block);
    expect(bad_frees() == before + 4, "second frees are not told apart", size);
}

/* The block must be as it was: content, size, and free for the next one exactly once. */
static void grow_badly(size_t size)
{
    uint64_t before = bad_frees();
    char *block = mcache_alloc(size);
    void *volatile inside = block + 1;
    void *volatile freed = mcache_alloc(size);

    mcache_free(freed);
    block[0] = 1;
    expect(mcache_realloc(inside, 2 * size) == NULL, "a pointer inside was moved", size);
    expect(!mcache_expand(inside, size), "a pointer inside was expanded", size);
    expect(mcache_realloc(freed, 2 * size) == NULL, "a freed block was moved", size);
    expect(!mcache_expand(freed, size), "a freed block was expanded", size);
    expect(bad_frees() == before + 4, "bad pointers are not told apart", size);
    expect(block[0] == 1 && mcache_capacity(block) >= size, "the block was changed", size);
    mcache_free(block);
}

static void free_foreign(void)
{
    uint64_t before = bad_frees();
    char local[64];
    void *other = malloc(64);

    free_hidden(local);
    free_hidden(other);
    free_hidden((void *)UINTPTR_MAX);
    expect(bad_frees() == before + 3, "foreign pointers are not told apart", 0);
    free(other);
}

int main(void)
{
    for (size_t size = 16; size <= 2 * MCACHE_CLASS_MAX; size *= 2) {
        size_t count = size <= 16384 ? COUNT : ((size_t)32 << 20) / size;

        free_badly(size);
        grow_badly(size);
        check_distinct(size, count);
    }
    free_foreign();
    check_distinct(64, COUNT);
    return 0;
}
