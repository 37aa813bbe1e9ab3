#include "input.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned long long operations;

uint8_t fuzz_byte(struct fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

size_t fuzz_u16(struct fuzz_input *in)
{
    size_t high = fuzz_byte(in);
    return high << 8 | fuzz_byte(in);
}

static void print_operations(void)
{
    fprintf(stderr, "operations: %llu\n", operations);
}

void fuzz_count(void)
{
    if (operations++ == 0)
        (void)atexit(print_operations);
}

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}
