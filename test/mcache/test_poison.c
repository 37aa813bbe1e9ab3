#include "poison.h"

#include <criterion/criterion.h>
#include <mcache/mcache.h>

#ifdef MC_ASAN

#    include <stdbool.h>
#    include <stdlib.h>
#    include <string.h>
#    include <sys/wait.h>

#    include "child.h"

static void expect_report(void (*fn)(void))
{
    char text[4096];
    int status = child_run(fn, text, sizeof(text));

    cr_assert_neq(status, 0, "the child lived on");
    cr_assert_not_null(strstr(text, "use-after-poison"), "no report of a use after free");
}

static volatile char sink;

static void read_freed(size_t size, size_t offset)
{
    volatile char *block = mcache_alloc(size);

    mcache_free((void *)block);
    sink = block[offset];
}

static void read_first_byte(void)
{
    read_freed(16, 0);
}

static void read_last_byte(void)
{
    read_freed(4096, 4095);
}

static void read_largest_class(void)
{
    read_freed(MCACHE_CLASS_MAX, MCACHE_CLASS_MAX / 2);
}

static void read_large(void)
{
    read_freed(3 * MCACHE_CLASS_MAX, 2 * MCACHE_CLASS_MAX);
}

/* Its mapping serves a block that begins later. */
static void read_in_front_of_reused(void)
{
    volatile char *block = mcache_alloc(4 * MCACHE_CLASS_MAX);

    mcache_free((void *)block);
    (void)!mcache_aligned_alloc(MCACHE_CLASS_MAX, 3 * MCACHE_CLASS_MAX);
    sink = block[0];
}

static void write_freed(void)
{
    volatile char *block = mcache_alloc(256);

    mcache_free((void *)block);
    block[20] = 1;
}

static void read_after_flush(void)
{
    volatile char *block = mcache_alloc(256);

    mcache_free((void *)block);
    mcache_flush();
    sink = block[100];
}

static void read_never_handed_out(void)
{
    volatile char *block = mcache_alloc(64);

    sink = block[32 << 10];
}

Test(poison, use_after_free_is_reported)
{
    expect_report(read_first_byte);
    expect_report(read_last_byte);
    expect_report(read_largest_class);
    expect_report(read_large);
    expect_report(read_in_front_of_reused);
    expect_report(write_freed);
    expect_report(read_after_flush);
    expect_report(read_never_handed_out);
}

enum {
    ODD_SIZE = 12345
};

static void keep_pointer_in_block(void)
{
    static void **block;

    block = mcache_alloc(64);
    *block = malloc(ODD_SIZE);
    exit(0);
}

static void lose_pointer(void)
{
    static void **block;

    block = mcache_alloc(64);
    *block = malloc(ODD_SIZE);
    *block = NULL;
    exit(0);
}

/* Whatever else the test program leaks is of another size. */
static bool is_leak_reported(void (*fn)(void))
{
    char text[16384];

    (void)child_run(fn, text, sizeof(text));
    return strstr(text, "12345 byte") != NULL;
}

Test(poison, leak_check_sees_pointers_in_blocks)
{
    cr_assert(is_leak_reported(lose_pointer), "leaks are not looked for");
    cr_assert_not(is_leak_reported(keep_pointer_in_block));
}

#endif

Test(poison, capacity_beyond_the_request_is_usable)
{
    char *block = mcache_alloc(33);

    for (size_t i = 0; i < mcache_capacity(block); i++) {
        block[i] = 1;
    }
    mcache_free(block);
}
