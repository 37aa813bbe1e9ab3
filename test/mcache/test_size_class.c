#include "size_class.h"

#include <criterion/criterion.h>

static unsigned class_by_search(size_t size)
{
    unsigned cls = 0;
    size_t fits = 16;

    while (fits < size) {
        fits *= 2;
        cls++;
    }
    return cls;
}

Test(size_class, is_the_smallest_that_fits_for_every_small_size)
{
    for (size_t size = 1; size <= 70000; size++) {
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
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        size_t count = mc_class_batch(cls);

        cr_assert(count >= 1 && count <= 256);
        cr_assert(count == 1 || count * mc_class_size(cls) <= (size_t)256 << 10);
    }
}
