#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "child.h"
#include "load.h"

/* Hides from the compiler that a pointer is not fit to be freed. */
static void free_hidden(void *pointer)
{
    void *volatile hidden = pointer;

    mcache_free(hidden);
}

static void expect_abort(void (*fn)(void), const char *what)
{
    char text[256];
    int status = child_run(fn, text, sizeof(text));

    cr_assert(WIFSIGNALED(status), "no signal, stderr: %s", text);
    cr_assert_eq(WTERMSIG(status), SIGABRT);
    cr_assert_eq(strncmp(text, "mcache: bad free of 0x", 22), 0, "%s", text);
    cr_assert_not_null(strstr(text, what), "%s", text);
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "more than one line: %s", text);
}

static void free_twice(size_t size)
{
    void *block = mcache_alloc(size);

    mcache_free(block);
    free_hidden(block);
}

static void free_small_twice(void)
{
    free_twice(16);
}

static void free_middle_twice(void)
{
    free_twice(4096);
}

static void free_largest_class_twice(void)
{
    free_twice(MCACHE_CLASS_MAX);
}

static void free_large_twice(void)
{
    free_twice(MCACHE_CLASS_MAX + 1);
}

static void free_unretained_twice(void)
{
    configure(1, 0);
    free_twice(MCACHE_CLASS_MAX + 1);
}

static void free_twice_after_a_flush(void)
{
    void *block = mcache_alloc(64);

    mcache_free(block);
    mcache_flush();
    free_hidden(block);
}

static void free_inside(size_t size, size_t offset)
{
    char *block = mcache_alloc(size);

    free_hidden(block + offset);
}

static void free_inside_by_a_byte(void)
{
    free_inside(64, 1);
}

static void free_inside_small(void)
{
    free_inside(64, 16);
}

static void free_inside_middle(void)
{
    free_inside(16384, 1024);
}

static void free_inside_largest_class(void)
{
    free_inside(MCACHE_CLASS_MAX, MCACHE_CLASS_MAX / 2);
}

static void free_inside_large(void)
{
    free_inside(2 * MCACHE_CLASS_MAX, 64);
}

static void free_far_inside_large(void)
{
    free_inside(16 * MCACHE_CLASS_MAX, 8 * MCACHE_CLASS_MAX);
}

static void free_before_large(void)
{
    char *block = mcache_alloc(2 * MCACHE_CLASS_MAX);

    free_hidden(block - 64);
}

static void free_header_of_aligned(void)
{
    char *block = mcache_aligned_alloc(65536, 2 * MCACHE_CLASS_MAX);

    free_hidden(block - 65536 + 4096);
}

static void free_inside_aligned(void)
{
    char *block = mcache_aligned_alloc(MCACHE_ALIGNMENT_MAX, 2 * MCACHE_CLASS_MAX);

    free_hidden(block + 4096);
}

static void free_aligned_twice(void)
{
    void *block = mcache_aligned_alloc(4096, 100);

    mcache_free(block);
    free_hidden(block);
}

static void free_large_aligned_twice(void)
{
    void *block = mcache_aligned_alloc(65536, 2 * MCACHE_CLASS_MAX);

    mcache_free(block);
    free_hidden(block);
}

/* The mapping serves a block again, which begins elsewhere. */
static void free_former_start(void)
{
    char *block = mcache_aligned_alloc(65536, 2 * MCACHE_CLASS_MAX);
    void *other;

    mcache_free(block);
    other = mcache_alloc(2 * MCACHE_CLASS_MAX);
    free_hidden(block);
    mcache_free(other);
}

static void free_inside_freed_large(void)
{
    char *block = mcache_alloc(2 * MCACHE_CLASS_MAX);

    mcache_free(block);
    free_hidden(block + 64);
}

static void free_after_realloc(void)
{
    void *volatile old = mcache_alloc(100);
    void *block = mcache_realloc(old, 1000);

    free_hidden(old);
    mcache_free(block);
}

static void realloc_freed(void)
{
    void *volatile block = mcache_alloc(100);

    mcache_free(block);
    mcache_free(mcache_realloc(block, 1000));
}

static void expand_freed(void)
{
    void *volatile block = mcache_alloc(100);

    mcache_free(block);
    (void)!mcache_expand(block, 120);
}

static void realloc_freed_large(void)
{
    void *volatile block = mcache_alloc(2 * MCACHE_CLASS_MAX);

    mcache_free(block);
    mcache_free(mcache_realloc(block, 1000));
}

static void expand_freed_large(void)
{
    void *volatile block = mcache_alloc(2 * MCACHE_CLASS_MAX);

    mcache_free(block);
    (void)!mcache_expand(block, 3 * MCACHE_CLASS_MAX);
}

static void free_stack(void)
{
    char array[64];

    free_hidden(array);
}

static void free_from_malloc(void)
{
    free_hidden(malloc(64));
}

static void free_mapped(void)
{
    free_hidden(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void free_no_address(void)
{
    free_hidden((void *)UINTPTR_MAX);
}

static void free_low_address(void)
{
    free_hidden((void *)(uintptr_t)64);
}

static void free_header(void)
{
    void *block = mcache_alloc(64);

    free_hidden((void *)((uintptr_t)block & ~(uintptr_t)((4 << 20) - 1)));
}

Test(bad_free, second_free_aborts)
{
    expect_abort(free_small_twice, "already free");
    expect_abort(free_middle_twice, "already free");
    expect_abort(free_largest_class_twice, "already free");
    expect_abort(free_large_twice, "already free");
    expect_abort(free_large_aligned_twice, "already free");
    expect_abort(free_unretained_twice, "given back to the system");
    expect_abort(free_twice_after_a_flush, "already free");
    expect_abort(free_aligned_twice, "already free");
    expect_abort(free_after_realloc, "already free");
}

Test(bad_free, block_that_is_freed_does_not_grow)
{
    expect_abort(realloc_freed, "already free");
    expect_abort(expand_freed, "already free");
    expect_abort(realloc_freed_large, "already free");
    expect_abort(expand_freed_large, "already free");
}

Test(bad_free, pointer_inside_a_block_aborts)
{
    expect_abort(free_inside_by_a_byte, "not the start");
    expect_abort(free_inside_small, "not the start");
    expect_abort(free_inside_middle, "not the start");
    expect_abort(free_inside_largest_class, "not the start");
    expect_abort(free_inside_large, "not the start");
    expect_abort(free_far_inside_large, "not from mcache");
    expect_abort(free_header, "not the start");
    expect_abort(free_before_large, "not the start");
    expect_abort(free_header_of_aligned, "not the start");
    expect_abort(free_inside_aligned, "not the start");
    expect_abort(free_inside_freed_large, "not the start");
    expect_abort(free_former_start, "not the start");
}

Test(bad_free, foreign_pointer_aborts)
{
    expect_abort(free_stack, "not from mcache");
    expect_abort(free_from_malloc, "not from mcache");
    expect_abort(free_mapped, "not from mcache");
    expect_abort(free_no_address, "not from mcache");
    expect_abort(free_low_address, "not from mcache");
}
