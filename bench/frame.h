/** The message of the framed load. */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stddef.h>
#include <stdint.h>

/** Bytes of the length before a payload. */
#define FRAME_HEAD_BYTES sizeof(uint32_t)

/**
 * Creates a frame: the length, 32 bits in network order, and that many bytes of a pattern.
 *
 * @return FRAME_HEAD_BYTES + payload bytes, NULL without memory. Memory: freed with free(3).
 */
char *frame_create(uint32_t payload);

#endif
