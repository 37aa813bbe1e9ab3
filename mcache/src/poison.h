/*
 * What AddressSanitizer and valgrind are told about blocks, and the only access to memory they
 * guard.
 *
 * A free block is poisoned as a whole, its links too, so that a use after the free is reported even
 * in a block of 16 bytes. The links are therefore read and written by functions that are not
 * instrumented; compilers do not inline those into functions that are. Valgrind is told in builds
 * with assertions, where its header is installed: its requests cost instructions without it, too.
 */
#ifndef MC_POISON_H
#define MC_POISON_H

#include <stdbool.h>
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
#    if !defined(NDEBUG) && defined(__has_include)
#        if __has_include(<valgrind/memcheck.h>)
#            include <valgrind/memcheck.h>
#            define MC_VALGRIND 1
#        endif
#    endif
#endif

/* Nobody may touch the memory; of blocks that were never handed out. */
static inline void mc_poison(void *memory, size_t size)
{
    (void)memory;
    (void)size;
#ifdef MC_ASAN
    ASAN_POISON_MEMORY_REGION(memory, size);
#elif defined(MC_VALGRIND)
    (void)VALGRIND_MAKE_MEM_NOACCESS(memory, size);
#endif
}

/* Before the addresses go back to the system. */
static inline void mc_unpoison(void *memory, size_t size)
{
    (void)memory;
    (void)size;
#ifdef MC_ASAN
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
#endif
}

/* A caller owns the block from here on; zeroed: and may read it at once. */
static inline void mc_mark_live(void *block, size_t size, bool zeroed)
{
    (void)block;
    (void)size;
    (void)zeroed;
#ifdef MC_ASAN
    ASAN_UNPOISON_MEMORY_REGION(block, size);
#elif defined(MC_VALGRIND)
    VALGRIND_MALLOCLIKE_BLOCK(block, size, 0, zeroed);
#endif
}

/* No caller owns the block any more. */
static inline void mc_mark_free(void *block, size_t size)
{
    (void)block;
    (void)size;
#ifdef MC_ASAN
    ASAN_POISON_MEMORY_REGION(block, size);
#elif defined(MC_VALGRIND)
    VALGRIND_FREELIKE_BLOCK(block, 0);
#endif
}

/* A live block has grown where it lies. */
static inline void mc_mark_grown(void *block, size_t old_size, size_t size)
{
    (void)block;
    (void)old_size;
    (void)size;
#ifdef MC_VALGRIND
    VALGRIND_RESIZEINPLACE_BLOCK(block, old_size, size, 0);
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
MC_UNCHECKED static inline void *mc_link_read(void *block, size_t word)
{
    void **link = (void **)block + word;
    void *value;

#ifdef MC_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(link, sizeof(*link));
#endif
    value = *link;
#ifdef MC_VALGRIND
    (void)VALGRIND_MAKE_MEM_NOACCESS(link, sizeof(*link));
#endif
    return value;
}

MC_UNCHECKED static inline void mc_link_write(void *block, size_t word, void *value)
{
    void **link = (void **)block + word;

#ifdef MC_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(link, sizeof(*link));
#endif
    *link = value;
#ifdef MC_VALGRIND
    (void)VALGRIND_MAKE_MEM_NOACCESS(link, sizeof(*link));
#endif
}

MC_UNCHECKED static inline void *mc_next_block(void *block)
{
    return mc_link_read(block, 0);
}

MC_UNCHECKED static inline void mc_set_next_block(void *block, void *next)
{
    mc_link_write(block, 0, next);
}

MC_UNCHECKED static inline void *mc_next_batch(void *block)
{
    return mc_link_read(block, 1);
}

MC_UNCHECKED static inline void mc_set_next_batch(void *block, void *next)
{
    mc_link_write(block, 1, next);
}

#endif
