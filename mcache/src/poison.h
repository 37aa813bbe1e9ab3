/*
 * What AddressSanitizer is told about free blocks, and the only access to memory it guards.
 *
 * A free block is poisoned as a whole, its links too, so that a use after the free is reported even
 * in a block of 16 bytes. The links are therefore read and written by functions that are not
 * instrumented; compilers do not inline those into functions that are.
 */
#ifndef MC_POISON_H
#define MC_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#    define MC_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define MC_ASAN 1
#    endif
#endif

#ifdef MC_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/lsan_interface.h>
#    define MC_UNCHECKED __attribute__((no_sanitize_address))
#else
#    define MC_UNCHECKED
#endif

static inline void mc_poison(void *memory, size_t size)
{
#ifdef MC_ASAN
    ASAN_POISON_MEMORY_REGION(memory, size);
#else
    (void)memory;
    (void)size;
#endif
}

static inline void mc_unpoison(void *memory, size_t size)
{
#ifdef MC_ASAN
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
#else
    (void)memory;
    (void)size;
#endif
}

/* Lets LeakSanitizer see pointers that callers keep in blocks; mappings are not searched else. */
static inline void mc_leak_root_add(void *memory, size_t size)
{
#ifdef MC_ASAN
    __lsan_register_root_region(memory, size);
#else
    (void)memory;
    (void)size;
#endif
}

static inline void mc_leak_root_remove(void *memory, size_t size)
{
#ifdef MC_ASAN
    __lsan_unregister_root_region(memory, size);
#else
    (void)memory;
    (void)size;
#endif
}

/* The two words of a free block: the next block of its list, the next batch of a stack. */
MC_UNCHECKED static inline void *mc_next_block(void *block)
{
    return ((void **)block)[0];
}

MC_UNCHECKED static inline void mc_set_next_block(void *block, void *next)
{
    ((void **)block)[0] = next;
}

MC_UNCHECKED static inline void *mc_next_batch(void *block)
{
    return ((void **)block)[1];
}

MC_UNCHECKED static inline void mc_set_next_batch(void *block, void *next)
{
    ((void **)block)[1] = next;
}

#endif
