/*
 * What the fuzz targets share: an input read as choices, checks, and the count of operations.
 *
 * An input that is used up gives zeros, so every prefix and every extension of an input is one.
 */
#ifndef TEST_FUZZ_INPUT_H
#define TEST_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

uint8_t fuzz_byte(struct fuzz_input *in);
/* Two bytes. */
size_t fuzz_u16(struct fuzz_input *in);

/* Counts one operation; the sum is printed when the process exits. */
void fuzz_count(void);

_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* Ends the process where the debugger and libFuzzer see it. */
#define FUZZ_CHECK(condition) fuzz_check((condition), __FILE__, __LINE__, #condition)
static inline void fuzz_check(bool holds, const char *file, int line, const char *condition)
{
    if (!holds)
        fuzz_fail(file, line, condition);
}

/* For loops over content: what they compare is no news to the fuzzer, and costs it dearly. */
#define FUZZ_UNTRACED __attribute__((no_sanitize("coverage")))

/* Byte i of the content that the seed stands for. Never above 127. */
FUZZ_UNTRACED static inline uint8_t fuzz_content(uint64_t seed, size_t i)
{
    uint64_t x = (seed + i) * 0x9E3779B97F4A7C15U;
    return (uint8_t)(x >> 57);
}

#endif
