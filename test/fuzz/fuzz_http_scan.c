/* Every scanner of this processor finds what a plain loop finds, and reads nothing else. */
#include "input.h"
#include "scan.h"

#include <stdlib.h>
#include <string.h>

FUZZ_UNTRACED static size_t plain_value(const uint8_t *data, size_t from, size_t n)
{
    while (from < n && (data[from] == '\t' || (data[from] >= ' ' && data[from] != 0x7f)))
        from++;
    return from;
}

FUZZ_UNTRACED static size_t plain_target(const uint8_t *data, size_t from, size_t n)
{
    while (from < n && data[from] > ' ' && data[from] < 0x7f)
        from++;
    return from;
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    size_t choice = fuzz_u16(&in);
    size_t n = in.left;
    size_t from = choice % (n + 1);
    uint8_t *copy = malloc(n > 0 ? n : 1);

    fuzz_count();
    FUZZ_CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, in.at, n);
    for (const struct nh_scanner *const *it = nh_scanners(); *it != NULL; it++) {
        FUZZ_CHECK((*it)->value(copy, from, n) == plain_value(copy, from, n));
        FUZZ_CHECK((*it)->target(copy, from, n) == plain_target(copy, from, n));
    }
    free(copy);
    return 0;
}
