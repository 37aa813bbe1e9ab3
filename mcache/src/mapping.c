/* mmap and munmap at multiples of the segment size, and the registry of what is mapped. */
#include "mapping.h"

#include <sys/mman.h>

#include "poison.h"

_Atomic uint8_t mc_registry[1 << (MC_ADDRESS_BITS - MC_SEGMENT_SHIFT)];

/* Relaxed, see mc_is_ours(). */
static void registry_set(const void *memory, uint8_t ours)
{
    atomic_store_explicit(&mc_registry[(uintptr_t)memory >> MC_SEGMENT_SHIFT], ours,
                          memory_order_relaxed);
}

static size_t bytes_to_boundary(const void *memory)
{
    return -(uintptr_t)memory & (MC_SEGMENT_SIZE - 1);
}

static void *map_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Maps more than needed and cuts off what lies outside of the aligned part. */
static void *map_aligned_by_cutting(size_t bytes)
{
    char *start = map_pages(bytes + MC_SEGMENT_SIZE);
    size_t before;

    if (start == NULL) {
        return NULL;
    }
    before = bytes_to_boundary(start);
    if (before != 0) {
        (void)munmap(start, before);
    }
    (void)munmap(start + before + bytes, MC_SEGMENT_SIZE - before);
    return start + before;
}

void *mc_map(size_t bytes)
{
    /* The kernel places mappings side by side, so what follows an aligned one is often aligned. */
    void *memory = map_pages(bytes);

    if (memory != NULL && bytes_to_boundary(memory) != 0) {
        (void)munmap(memory, bytes);
        memory = map_aligned_by_cutting(bytes);
    }
    if (memory == NULL) {
        return NULL;
    }
    if ((uintptr_t)memory >> MC_ADDRESS_BITS != 0) {
        (void)munmap(memory, bytes);
        return NULL;
    }
    mc_leak_root_add(memory, bytes);
    registry_set(memory, 1);
    return memory;
}

bool mc_unmap(void *memory, size_t bytes)
{
    registry_set(memory, 0);
    mc_leak_root_remove(memory, bytes);
    mc_unpoison(memory, bytes);
    if (munmap(memory, bytes) == 0) {
        return true;
    }
    /* Cutting a mapping in two can exceed the number of mappings that a process may have. */
    mc_leak_root_add(memory, bytes);
    registry_set(memory, 1);
    return false;
}

bool mc_map_cut(void *memory, size_t old_bytes, size_t bytes)
{
    char *end = (char *)memory + bytes;

    /* A piece of a root must not be unmapped while the whole may be searched. */
    mc_leak_root_remove(memory, old_bytes);
    mc_leak_root_add(memory, bytes);
    mc_unpoison(end, old_bytes - bytes);
    if (munmap(end, old_bytes - bytes) == 0) {
        return true;
    }
    mc_leak_root_remove(memory, bytes);
    mc_leak_root_add(memory, old_bytes);
    return false;
}

bool mc_map_grow(void *memory, size_t old_bytes, size_t bytes)
{
    if (mremap(memory, old_bytes, bytes, 0) == MAP_FAILED) {
        return false;
    }
    mc_leak_root_remove(memory, old_bytes);
    mc_leak_root_add(memory, bytes);
    return true;
}
