/*
 * Recovery from hardware faults and abort(3), for the workers. Where the machine or the C library
 * cannot do it, fault_refused.c stands in for the rest of the fault_ files.
 */
#ifndef GP_FAULT_H
#define GP_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guard that a stack gets below it while recovery is enabled: more than most frames skip. */
#define GP_FAULT_GUARD_BYTES 65536

struct gp_fault_thread;
struct gp_worker;

/* Whether gopool_fault_recovery_enable() has succeeded. */
extern _Atomic bool gp_fault_enabled;

static inline bool gp_fault_is_enabled(void)
{
    /* Relaxed: a thread that sees it late recovers from its next task on. */
    return atomic_load_explicit(&gp_fault_enabled, memory_order_relaxed);
}

/*
 * Makes the calling worker ready for faults: stacks for the signal handler and for the deferred
 * calls when its own is used up. Returns NULL where the system has no memory for them; then its
 * faults are fatal.
 */
struct gp_fault_thread *gp_fault_arm(struct gp_worker *worker);

/* Frees them. Any thread, after the worker's has ended. NULL does nothing. */
void gp_fault_disarm(struct gp_fault_thread *thread);

/* In a child of fork(2): frees locks that other threads held. */
void gp_fault_clear(void);

#endif
