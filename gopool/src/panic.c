/* Panics: a chain of boundaries per thread, the deferred calls between them, and the jump. */
/* Its longjmp() takes a jump for an error that comes from the emergency stack of fault_thread.c. */
#undef _FORTIFY_SOURCE

#include <gopool/fault.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "backtrace.h"
#include "block.h"
#include "panic_internal.h"
#include "report.h"

/*
 * Panics a thread may be in the middle of. A deferred call that panics, deferred by one that
 * panics, and so on, is a chain without a natural end on a stack that has one.
 */
#define DEPTH_MAX 8

/* Lives in the frame of gopool_try(). */
struct boundary {
    struct boundary *previous;
    struct gopool_defer *outer_defers; /* those registered before; not this boundary's to run */
    struct gopool_panic *panic;        /* what to fill in */
    uint32_t outer_depth;              /* panics in progress around it */
    uint32_t outer_critical;           /* critical sections around it */
    bool is_task;                      /* gopool_exit_task() ends here */
    jmp_buf env;
};

/* What a boundary is told by the jump. */
enum jump {
    JUMP_PANIC = 1,
    JUMP_EXIT,
};

struct panic_thread {
    struct boundary *innermost;
    struct gopool_defer *defers; /* the one registered last */
    uint32_t depth;              /* panics in progress */
    uint32_t critical;           /* critical sections the thread is in */
};

/* Static TLS: a call into the loader would cost as much as the rest of gopool_try(). */
static _Thread_local struct panic_thread self __attribute__((tls_model("initial-exec")));

void gp_panic_forget(void)
{
    self = (struct panic_thread){0};
}

static __attribute__((noreturn)) void die(const char *where, const struct gopool_panic *panic)
{
    gp_report_last_words(where, panic);
    abort();
}

/* Runs the deferred calls down to `outer`. Returns how many panics they raised. */
static uint32_t run_deferred(const struct gopool_defer *outer)
{
    uint32_t nested = 0;

    while (self.defers != outer) {
        const struct gopool_defer defer = *self.defers;
        struct gopool_panic inner;

        /* Off the list before it runs: if it panics, it is not run again. */
        self.defers = defer.previous;
        atomic_signal_fence(memory_order_acq_rel);
        if (gopool_try(defer.fn, defer.arg, &inner) != 0)
            nested += 1 + inner.nested;
    }
    return nested;
}

static __attribute__((noreturn)) void jump_to(struct boundary *boundary,
                                              const struct gopool_panic *panic, enum jump how)
{
    self.innermost = boundary->previous;
    self.critical = boundary->outer_critical;
    if (how == JUMP_PANIC)
        *boundary->panic = *panic;
    /* Not _longjmp(), which does the same after _setjmp() but is unknown to ThreadSanitizer. */
    longjmp(boundary->env, (int)how);
}

bool gp_panic_boundary_for_fault(struct gp_panic_boundary *out)
{
    const struct boundary *boundary = self.innermost;

    if (boundary == NULL || self.critical != 0 || self.depth == DEPTH_MAX)
        return false;
    *out = (struct gp_panic_boundary){.address = boundary, .is_in_panic = self.depth != 0};
    return true;
}

void gp_panic_run_deferred(struct gopool_panic *panic)
{
    self.depth++;
    /* Before the jump, while the frames that hold the deferred calls still exist. */
    panic->nested = run_deferred(self.innermost->outer_defers);
    self.depth--;
}

void gp_panic_jump(const struct gopool_panic *panic)
{
    jump_to(self.innermost, panic, JUMP_PANIC);
}

void gopool_panic_at(const char *file, int line, const char *function, const char *format, ...)
{
    /* Here and not in the boundary: the arguments may point into the panic it will fill in. */
    struct gopool_panic panic = {.file = file, .function = function, .line = line};
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(panic.message, sizeof panic.message, format, arguments);
    va_end(arguments);
    if (length <= 0)
        snprintf(panic.message, sizeof panic.message, "panic");

    if (self.innermost == NULL)
        die("panic outside a task and gopool_try()", &panic);
    if (self.depth == DEPTH_MAX)
        die("panics in deferred calls are nested too deep", &panic);
    panic.frame_count =
        gp_backtrace_take_from(__builtin_return_address(0), panic.frames, GOPOOL_PANIC_FRAMES);
    gp_panic_run_deferred(&panic);
    gp_panic_jump(&panic);
}

void gopool_exit_task(void)
{
    struct boundary *boundary = self.innermost;
    struct gopool_panic panic = {
        .message = "gopool_exit_task()", .file = __FILE__, .function = __func__, .line = __LINE__};

    while (boundary != NULL && !boundary->is_task)
        boundary = boundary->previous;
    if (boundary == NULL)
        die("the end of a task outside a task", &panic);
    /* Those of the boundaries in between, too: their frames are left as well. */
    panic.nested = run_deferred(boundary->outer_defers);
    /* One in a deferred call gives up the panics whose calls those are, but does not hide them. */
    panic.nested += self.depth - boundary->outer_depth;
    self.depth = boundary->outer_depth;
    if (panic.nested != 0)
        panic.frame_count =
            gp_backtrace_take_from(__builtin_return_address(0), panic.frames, GOPOOL_PANIC_FRAMES);
    jump_to(boundary, &panic, panic.nested == 0 ? JUMP_EXIT : JUMP_PANIC);
}

static int call_within(void (*fn)(void *arg), void *arg, struct gopool_panic *panic, bool is_task)
{
    struct boundary boundary;

    /* One by one: not the space for the registers. */
    boundary.previous = self.innermost;
    boundary.outer_defers = self.defers;
    boundary.panic = panic;
    boundary.outer_depth = self.depth;
    boundary.outer_critical = self.critical;
    boundary.is_task = is_task;
    /* Not sigsetjmp(): saving the signal mask is a system call. */
    switch (_setjmp(boundary.env)) {
    case 0:
        break;
    case JUMP_EXIT:
        return 0;
    default:
        return -ECANCELED;
    }
    self.innermost = &boundary;
    fn(arg);
    self.innermost = boundary.previous;
    self.defers = boundary.outer_defers;
    self.critical = boundary.outer_critical;
    return 0;
}

int gopool_try(void (*fn)(void *arg), void *arg, struct gopool_panic *panic)
{
    struct gopool_panic unwanted;

    if (panic == NULL)
        panic = &unwanted;
    int status = call_within(fn, arg, panic, false);
    if (status != 0)
        gp_report_to_hook(panic);
    return status;
}

int gopool_try_task(void (*fn)(void *arg), void *arg, struct gopool_panic *panic)
{
    struct gopool_panic unwanted;

    uint32_t block_depth = gp_block_depth();

    if (panic == NULL)
        panic = &unwanted;
    int status = gp_panic_try_task(fn, arg, panic);
    gp_block_restore(block_depth);
    if (status != 0)
        gp_report_to_hook(panic);
    return status;
}

int gp_panic_try_task(void (*fn)(void *arg), void *arg, struct gopool_panic *panic)
{
    return call_within(fn, arg, panic, true);
}

/*
 * The fences below are for the compiler: once inlined, a push and its pop without a call between
 * them would be dead stores to it, and what the frame stored before a push could sink below it.
 */
void gopool_defer_push(struct gopool_defer *defer, void (*fn)(void *arg), void *arg)
{
    defer->previous = self.defers;
    defer->fn = fn;
    defer->arg = arg;
    atomic_signal_fence(memory_order_acq_rel);
    self.defers = defer;
    atomic_signal_fence(memory_order_acq_rel);
}

NETPOLL_DISPATCH void gopool_defer_pop(struct gopool_defer *defer, bool run)
{
    const struct boundary *boundary = self.innermost;

    /* Below its boundary the list belongs to frames further out. */
    if (self.defers != defer || (boundary != NULL && boundary->outer_defers == defer))
        gopool_panic("gopool_defer_pop() of one that is not the last of its boundary");
    atomic_signal_fence(memory_order_acq_rel);
    self.defers = defer->previous;
    atomic_signal_fence(memory_order_acq_rel);
    if (run)
        defer->fn(defer->arg);
}

void gopool_critical_begin(void)
{
    self.critical++;
    /* For the compiler, as above: what the section does must not come before its beginning. */
    atomic_signal_fence(memory_order_acq_rel);
}

void gopool_critical_end(void)
{
    const struct boundary *boundary = self.innermost;

    if (self.critical == (boundary != NULL ? boundary->outer_critical : 0))
        gopool_panic("gopool_critical_end() without a gopool_critical_begin()");
    atomic_signal_fence(memory_order_acq_rel);
    self.critical--;
}
