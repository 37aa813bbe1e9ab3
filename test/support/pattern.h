/* Data whose every byte tells its seed and position, and a random number generator. */
#ifndef TEST_SUPPORT_PATTERN_H
#define TEST_SUPPORT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes [offset, offset + n) of the data of this seed. */
void pattern_fill(uint64_t seed, uint64_t offset, void *into, size_t n);
bool pattern_matches(uint64_t seed, uint64_t offset, const void *data, size_t n);

/* The next number of a generator; any start. */
uint64_t random_next(uint64_t *state);
/* In [0, bound). */
uint64_t random_below(uint64_t *state, uint64_t bound);
/* In [1, max], every magnitude equally likely. */
size_t random_size(uint64_t *state, size_t max);

#endif
