/* Position-dependent data and random numbers, both from splitmix64. */
#include "pattern.h"

#include <string.h>

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Up to 8 bytes from offset to the end of its word. */
static size_t word_at(uint64_t seed, uint64_t offset, size_t n, unsigned char word[8])
{
    uint64_t value = mix(seed * UINT64_C(0x9e3779b97f4a7c15) + offset / 8);
    size_t skip = offset % 8;
    value >>= 8 * skip;
    memcpy(word, &value, sizeof value);
    return n < 8 - skip ? n : 8 - skip;
}

void pattern_fill(uint64_t seed, uint64_t offset, void *into, size_t n)
{
    unsigned char word[8];
    for (size_t done = 0; done < n;) {
        size_t step = word_at(seed, offset + done, n - done, word);
        memcpy((char *)into + done, word, step);
        done += step;
    }
}

bool pattern_matches(uint64_t seed, uint64_t offset, const void *data, size_t n)
{
    unsigned char word[8];
    for (size_t done = 0; done < n;) {
        size_t step = word_at(seed, offset + done, n - done, word);
        if (memcmp((const char *)data + done, word, step) != 0)
            return false;
        done += step;
    }
    return true;
}

uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

size_t random_size(uint64_t *state, size_t max)
{
    unsigned bits = 1;
    while (bits < 63 && max >> bits != 0)
        bits++;
    size_t limit = (size_t)1 << random_below(state, bits + 1);
    return 1 + (size_t)random_below(state, limit < max ? limit : max);
}
