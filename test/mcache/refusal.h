/*
 * Refusals of the system: mmap and its family as mcache's objects call them, by the linker's
 * --wrap. Any thread, but one at a time arms.
 */
#ifndef TEST_MCACHE_REFUSAL_H
#define TEST_MCACHE_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

enum refused_call {
    REFUSED_NONE,
    REFUSED_MMAP,    /* ENOMEM */
    REFUSED_MREMAP,  /* ENOMEM */
    REFUSED_MUNMAP,  /* ENOMEM, as for a process with too many mappings */
    REFUSED_MADVISE, /* EAGAIN */
};

/* Refuses the nth such call from here on, counted from 1, and if so said every later one. */
void refusal_start(enum refused_call call, size_t nth, bool and_later);

/* Refuses no more. Returns how many calls were refused. */
size_t refusal_stop(void);

/* Calls of mmap since the start of the process. */
size_t mmap_count(void);

#endif
