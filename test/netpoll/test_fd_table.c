/* Keys of descriptors: one that has ended finds nothing. */
#include "../support/pattern.h"

#include "fd_table.h"

#include <criterion/criterion.h>
#include <stdint.h>

Test(fd_table, a_key_finds_its_descriptor_until_that_ends)
{
    struct np_fd_table table = {0};
    struct np_fd fd = {0};
    cr_assert_null(np_fd_table_find(&table, 0), "an empty table has nothing");
    cr_assert_eq(np_fd_table_add(&table, &fd), 0);
    uint64_t key = np_fd_table_key(&table, &fd);
    cr_assert_eq(np_fd_table_find(&table, key), &fd);
    np_fd_table_remove(&table, &fd);
    cr_assert_null(np_fd_table_find(&table, key));
    np_fd_table_fini(&table);
}

Test(fd_table, a_slot_that_is_used_again_has_another_key)
{
    struct np_fd_table table = {0};
    struct np_fd first = {0};
    struct np_fd second = {0};
    cr_assert_eq(np_fd_table_add(&table, &first), 0);
    uint64_t stale = np_fd_table_key(&table, &first);
    np_fd_table_remove(&table, &first);
    for (unsigned i = 0; i < 100000; i++) {
        cr_assert_eq(np_fd_table_add(&table, &second), 0);
        cr_assert_eq(second.slot, first.slot);
        cr_assert_neq(np_fd_table_key(&table, &second), stale);
        cr_assert_null(np_fd_table_find(&table, stale));
        np_fd_table_remove(&table, &second);
    }
    np_fd_table_fini(&table);
}

Test(fd_table, keys_leave_the_upper_byte_to_the_backend)
{
    struct np_fd_table table = {0};
    struct np_fd fd = {0};
    /* Every generation but the last two is passed over. */
    cr_assert_eq(np_fd_table_add(&table, &fd), 0);
    np_fd_table_entry(&table, fd.slot)->generation = (UINT32_C(1) << NP_FD_GENERATION_BITS) - 2;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t key = np_fd_table_key(&table, &fd);
        cr_assert_eq(key >> 56, 0);
        cr_assert_eq(np_fd_table_find(&table, key), &fd);
        np_fd_table_remove(&table, &fd);
        cr_assert_null(np_fd_table_find(&table, key));
        cr_assert_eq(np_fd_table_add(&table, &fd), 0);
    }
    np_fd_table_fini(&table);
}

#define FDS 1000

Test(fd_table, many_descriptors_that_come_and_go)
{
    static struct np_fd fds[FDS];
    static uint64_t keys[FDS]; /* 0: not in the table; the first key of slot 0 is not given here */
    struct np_fd_table table = {0};
    struct np_fd filler = {0};
    uint64_t random = 9;
    cr_assert_eq(np_fd_table_add(&table, &filler), 0);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned k = (unsigned)random_below(&random, FDS);
        if (keys[k] == 0) {
            cr_assert_eq(np_fd_table_add(&table, &fds[k]), 0);
            keys[k] = np_fd_table_key(&table, &fds[k]);
        } else {
            cr_assert_eq(np_fd_table_find(&table, keys[k]), &fds[k]);
            np_fd_table_remove(&table, &fds[k]);
            cr_assert_null(np_fd_table_find(&table, keys[k]));
            keys[k] = 0;
        }
    }
    cr_assert_leq(table.count, 2 * FDS, "slots are used again");
    np_fd_table_fini(&table);
}
