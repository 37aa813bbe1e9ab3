/*
 * Content that tells its position.
 */
#ifndef TEST_LINKBUFFER_PATTERN_H
#define TEST_LINKBUFFER_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Byte of the endless pattern; a shift by any amount shows. */
uint8_t pattern_at(size_t position);
void pattern_fill(void *into, size_t n, size_t position);
bool pattern_holds(const void *from, size_t n, size_t position);

#endif
