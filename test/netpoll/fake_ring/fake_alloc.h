/*
 * Allocations that fail on demand: mcache_alloc(), replaced by the linker.
 */
#ifndef FAKE_ALLOC_H
#define FAKE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* From here on every allocation of at least this many bytes is refused; 0: none is. */
void fake_alloc_refuse(size_t bytes);
/* Bytes that are allocated and not freed. */
size_t fake_alloc_live_bytes(void);

#endif
