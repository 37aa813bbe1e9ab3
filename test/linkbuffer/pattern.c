/* Content that tells its position. */
#include "pattern.h"

uint8_t pattern_at(size_t position)
{
    return (uint8_t)((position * 0x9E3779B97F4A7C15U) >> 56);
}

void pattern_fill(void *into, size_t n, size_t position)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)into)[i] = pattern_at(position + i);
}

bool pattern_holds(const void *from, size_t n, size_t position)
{
    for (size_t i = 0; i < n; i++) {
        if (((const uint8_t *)from)[i] != pattern_at(position + i))
            return false;
    }
    return true;
}
