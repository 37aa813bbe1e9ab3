/* Every scanner of this processor finds what the portable one finds. */
#include "scan.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(scan, .timeout = 60);

static size_t plain_value(const uint8_t *data, size_t from, size_t n)
{
    while (from < n && (data[from] >= 0x20 || data[from] == '\t') && data[from] != 0x7f)
        from++;
    return from;
}

static size_t plain_target(const uint8_t *data, size_t from, size_t n)
{
    while (from < n && data[from] > ' ' && data[from] < 0x7f)
        from++;
    return from;
}

/* Each byte at each place of lines up to three vectors long, from each place on. */
Test(scan, finds_every_byte_at_every_place)
{
    for (const struct nh_scanner *const *it = nh_scanners(); *it != NULL; it++) {
        for (size_t n = 0; n <= 100; n++) {
            uint8_t *data = malloc(n > 0 ? n : 1);
            memset(data, 'a', n);
            for (size_t at = 0; at < n; at += 1 + n / 40) {
                for (unsigned byte = 0; byte < 256; byte++) {
                    data[at] = (uint8_t)byte;
                    size_t from = at / 2;
                    cr_assert_eq((*it)->value(data, from, n), plain_value(data, from, n),
                                 "%s: value, %#x at %zu of %zu", (*it)->name, byte, at, n);
                    cr_assert_eq((*it)->target(data, from, n), plain_target(data, from, n),
                                 "%s: target, %#x at %zu of %zu", (*it)->name, byte, at, n);
                }
                data[at] = 'a';
            }
            cr_assert_eq((*it)->value(data, n, n), n);
            free(data);
        }
    }
}

Test(scan, the_chosen_one_is_one_of_them)
{
    const struct nh_scanner *const *it = nh_scanners();
    while (*it != NULL && *it != nh_scanner())
        it++;
    cr_assert_not_null(*it);
    cr_assert_eq(nh_scanner(), nh_scanner());
}
