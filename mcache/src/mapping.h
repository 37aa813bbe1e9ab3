/*
 * Memory from the system at multiples of the segment size, and the registry of it. Any thread.
 */
#ifndef MC_MAPPING_H
#define MC_MAPPING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MC_SEGMENT_SHIFT 22
#define MC_SEGMENT_SIZE  ((size_t)1 << MC_SEGMENT_SHIFT)

/* User addresses that the registry covers; the kernel goes beyond only when asked to. */
#define MC_ADDRESS_BITS 48

/*
 * A byte per segment-sized piece of the address space: 1 where one of our mappings begins. 64 MiB
 * of zero pages, of which the few that cover our mappings exist; a bit each would be an eighth of
 * that and cost every free four more instructions.
 */
extern _Atomic uint8_t mc_registry[1 << (MC_ADDRESS_BITS - MC_SEGMENT_SHIFT)]
    __attribute__((visibility("hidden")));

/*
 * Tells whether one of our mappings begins in the segment-sized piece that holds the address.
 * Relaxed: whatever handed the pointer over also ordered it behind the setting of the byte.
 */
static inline bool mc_is_ours(const void *pointer)
{
    uintptr_t number = (uintptr_t)pointer >> MC_SEGMENT_SHIFT;

    if (__builtin_expect(number >> (MC_ADDRESS_BITS - MC_SEGMENT_SHIFT) != 0, 0)) {
        return false;
    }
    return atomic_load_explicit(&mc_registry[number], memory_order_relaxed) != 0;
}

/*
 * Maps zeroed bytes (a multiple of the page size) at a multiple of the segment size and enters them
 * in the registry.
 *
 * Returns NULL when the system has no memory. The caller owns it and gives it to mc_unmap().
 */
void *mc_map(size_t bytes);

/* Takes a mapping out of the registry and gives it back; false, as before, when the system refuses.
 */
bool mc_unmap(void *memory, size_t bytes);

/*
 * Gives the end of a mapping back, multiples of the page size; false, as before, when the system
 * refuses. What goes is touched by nobody any more.
 */
bool mc_map_cut(void *memory, size_t old_bytes, size_t bytes);

/* Grows a mapping where it lies, with zeroed bytes; false when the addresses behind it are taken.
 */
bool mc_map_grow(void *memory, size_t old_bytes, size_t bytes);

#endif
