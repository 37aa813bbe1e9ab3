/* What the workers need of the panics, beyond the public calls. */
#ifndef GP_PANIC_INTERNAL_H
#define GP_PANIC_INTERNAL_H

#include <gopool/panic.h>

/* The innermost boundary of a thread, which panics jump to. */
struct gp_panic_boundary {
    const void *address; /* in the frame that holds it */
    bool is_in_panic;    /* deferred calls are being made just now */
};

/*
 * Finds the calling thread's innermost boundary for a signal handler. Returns false where a fault
 * must not become a panic: there is none, this is a critical section, or too many are in progress.
 * Async-signal-safe.
 */
bool gp_panic_boundary_for_fault(struct gp_panic_boundary *out);

/* The first half of a panic: takes the frames' deferred calls off and runs them. The panic is
 * complete but for `nested`. */
void gp_panic_run_deferred(struct gopool_panic *panic);

/* The second half: the boundary's call returns with the panic, which is copied. */
__attribute__((__noreturn__)) void gp_panic_jump(const struct gopool_panic *panic);

/*
 * As gopool_try(), for the function of a task and for what is told of its panic: gopool_exit_task()
 * ends here, as a return; as a panic when deferred calls raised any. The hook is not told: the
 * caller knows more about the panic than it does.
 */
int gp_panic_try_task(void (*fn)(void *arg), void *arg, struct gopool_panic *panic);

/* Forgets the boundaries and deferred calls of the thread: pthread_exit() has cut their frames. */
void gp_panic_forget(void);

#endif
