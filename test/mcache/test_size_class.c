#include "size_class.h"

#include <criterion/criterion.h>

static unsigned class_by_search(size_t size)
{
    unsigned class = 0;
    size_t fits = 16;

    while (fits < size) {
        fits *= 2;
        class ++;
    }
    return class;
}

Test(size_class, is_the_smallest_that_fits_for_every_small_size)
{
    for (size_t size = 0; size <= 70000; size++) {
        cr_assert_eq(mc_class_of(size), class_by_search(size), "size %zu", size);
    }
}

Test(size_class, changes_right_after_each_power_of_two)
{
    for (size_t power = 16; power <= MCACHE_CLASS_MAX; power *= 2) {
        cr_assert_eq(mc_class_of(power - 1), class_by_search(power - 1));
        cr_assert_eq(mc_class_size(mc_class_of(power)), power);
        if (power < MCACHE_CLASS_MAX) {
            cr_assert_eq(mc_class_size(mc_class_of(power + 1)), 2 * power);
        }
    }
}

Test(size_class, batches_are_bounded_in_blocks_and_bytes)
{
    for (unsigned class = 0; class < MCACHE_CLASS_COUNT; class ++) {
        size_t count = mc_class_batch(class);

        cr_assert(count >= 1 && count <= 64);
        cr_assert(count == 1 || count * mc_class_size(class) <= (size_t)128 << 10);
    }
}
