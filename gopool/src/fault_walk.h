/*
 * Whether a fault has left nothing half done but the task's own code: the frames from the fault up
 * to the boundary that a panic would jump to.
 */
#ifndef GP_FAULT_WALK_H
#define GP_FAULT_WALK_H

#include <gopool/panic.h>

#include "panic_internal.h"

/* The fault, as the signal handler sees it. */
struct gp_fault_place {
    uintptr_t pc;
    uintptr_t sp;
    bool is_abort; /* SIGABRT: the innermost frames are the C library's way to raise(3) */
    bool is_call;  /* what was called is no code: pc and sp are those of the call */
};

struct gp_fault_frames {
    const char *refusal; /* a phrase: why the fault is fatal, if it is */
    uint32_t frame_count;
    void *frames[GOPOOL_PANIC_FRAMES]; /* as gopool_panic.frames */
};

/*
 * Walks the calling thread's frames, from the one that a signal has interrupted at `place`.
 * Returns true when every frame that a jump to the boundary cuts off is the task's, as
 * gopool/fault.h has it.
 *
 * Only in a signal handler; async-signal-safe. It takes as long as there are frames.
 */
bool gp_fault_walk(const struct gp_fault_place *place, const struct gp_panic_boundary *boundary,
                   struct gp_fault_frames *out);

#endif
