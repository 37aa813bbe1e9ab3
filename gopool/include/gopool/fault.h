/**
 * Faults that are survived: SIGSEGV, SIGBUS, SIGFPE, SIGILL and abort(3) in a task end the task as
 * a panic does, where it is certain that nothing but the task's own code was left half done.
 *
 * Off until gopool_fault_recovery_enable() is called. From then on a fault becomes a panic of the
 * innermost boundary (gopool_try(), gopool_try_task(), the task) if all of this holds:
 * - the thread is a worker of a pool, inside of a task, and not in a critical section;
 * - the kernel raised the signal for what the thread did: no kill(2), no pthread_kill(3). For
 *   SIGABRT: the task itself called abort(3) or failed an assert(3);
 * - every frame from the fault up to the boundary can be unwound and is the task's own code: that
 *   of the program, or of a module that the options name. The innermost one may be a memory or
 *   string function of the C library. None is the toolkit's, apart from functions of it that do
 *   nothing but call the task or what the task has deferred; none is malloc(3) or the like;
 * - for SIGSEGV and SIGBUS: the address is in the first 64 KiB, which are never mapped, or the
 * stack of the worker has overflowed, or the options allow any address;
 * - there were not too many faults lately.
 *
 * Everything else ends as if none of this were there: a handler that was installed before is
 * called, or the process dies by the same signal, with the context of the fault in the core file.
 * In the second case a line on stderr says why.
 *
 * After a recovered fault the deferred calls run, on a stack of their own where the worker's is
 * used up; the pool's panic handler is told, with the signal (gopool_panic.signal); and when the
 * task is over its worker ends and another one takes its place. What the task had locked, and
 * deferred no call for, stays locked. The floating-point environment is the default one, and the
 * five signals are not blocked.
 *
 * Code that is linked statically into the program counts as the task's, also that of other
 * libraries; gopool_critical_begin() says where a fault must not be survived. See
 * docs/fault-isolation.md for what this can and cannot do.
 */
#ifndef GOPOOL_FAULT_H
#define GOPOOL_FAULT_H

#include <gopool/panic.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Signals that may be recovered from; bits of gopool_fault_options.signals. */
#define GOPOOL_FAULT_SEGV UINT32_C(1)
#define GOPOOL_FAULT_BUS  UINT32_C(2)
#define GOPOOL_FAULT_FPE  UINT32_C(4)
#define GOPOOL_FAULT_ILL  UINT32_C(8)
#define GOPOOL_FAULT_ABRT UINT32_C(16)

/** Default of gopool_fault_options.budget. */
#define GOPOOL_FAULT_BUDGET_DEFAULT 5

/** Largest gopool_fault_options.budget that is counted. */
#define GOPOOL_FAULT_BUDGET_MAX 1000

/** As gopool_fault_options.budget: no limit. For tests. */
#define GOPOOL_FAULT_BUDGET_UNLIMITED UINT32_MAX

/** Default of gopool_fault_options.window_s. */
#define GOPOOL_FAULT_WINDOW_S_DEFAULT 60

/** Largest gopool_fault_options.module_count. */
#define GOPOOL_FAULT_MODULES_MAX 64

/** Zero is the default of every field. */
struct gopool_fault_options {
    uint32_t signals;  /**< bits of GOPOOL_FAULT_...; 0: all of them */
    bool any_address;  /**< true: memory faults at any address. A wild pointer may have written
                            elsewhere before it met an address that faults */
    uint32_t budget;   /**< most faults recovered from within window_s; the next one is not. 0:
                            GOPOOL_FAULT_BUDGET_DEFAULT. Metric: gopool_fault_count() */
    uint32_t window_s; /**< seconds; 0: GOPOOL_FAULT_WINDOW_S_DEFAULT */
    const void *const *modules; /**< shared objects whose code counts as the task's, besides the
                                     program: an address in each, as of one of its functions.
                                     Borrowed for the call; a module must stay loaded */
    size_t module_count;        /**< of modules */
    uint32_t reserved[4];       /**< must be zero */
};

/**
 * Enables the recovery for the process and for pools that its children create. Workers that exist
 * take part from the next time on that they take tasks. There is no way back.
 *
 * @param options  borrowed; NULL: all defaults
 * @return 0; -ENOTSUP where gopool_fault_recovery_refusal() says why; -EINVAL when a reserved field
 *         is set, a signal is unknown, the budget or the number of modules is too large, no module
 *         with unwind tables lies at one of the addresses, or it is the C library; -EALREADY when
 *         it is enabled; -ENOMEM. On failure nothing has changed.
 *
 * Thread: any. Signal handlers that are installed later replace the recovery of their signals.
 */
GOPOOL_API GOPOOL_MUST_CHECK int
gopool_fault_recovery_enable(const struct gopool_fault_options *options);

/**
 * Why faults cannot be recovered from here.
 *
 * On x86-64 with glibc 2.35 or later they can, unless the program is linked statically with it,
 * runs with AddressSanitizer or its relatives or under valgrind(1), has no unwind tables, or mixes
 * its code with the toolkit's by link-time optimisation, which gcc's -fno-lto at the link turns
 * off; or the toolkit is built with clang's link-time optimisation or with -ffunction-sections.
 *
 * @return a phrase for a message, never freed; NULL: they can. Modules of the options are not
 *         looked at.
 */
GOPOOL_API GOPOOL_MUST_CHECK const char *gopool_fault_recovery_refusal(void);

/** Faults that the process has recovered from. */
GOPOOL_API uint64_t gopool_fault_count(void);

/**
 * Begins a critical section: until its end a fault on this thread is fatal, for what it would leave
 * behind would not be the task's alone. May be nested. Costs a handful of instructions, whether or
 * not the recovery is enabled.
 *
 * A panic or gopool_exit_task() that leaves it ends it, as does the end of the task or of
 * gopool_try().
 */
GOPOOL_API void gopool_critical_begin(void);

/** Ends it. Without a gopool_critical_begin() inside of the same boundary it raises a panic. */
GOPOOL_API void gopool_critical_end(void);

#ifdef __cplusplus
}
#endif

#endif
