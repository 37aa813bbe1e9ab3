/* The signals: which of them become panics, and what becomes of the others. */
#include "fault.h"

#include <gopool/fault.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "fault_budget.h"
#include "fault_code.h"
#include "fault_thread.h"
#include "fork.h"

#define SIGNALS 5

/* Never mapped, see mmap_min_addr in proc(5): what a null pointer and an offset point to. */
#define NULL_BYTES 65536

/* How far an overflow's stack pointer is from the guard at most: a frame, and some. */
#define OVERFLOW_REACH_BYTES 65536

/* What the panic and the deferred calls get at least, of the worker's stack or of another one. */
#define ROOM_BYTES           32768
#define EMERGENCY_ROOM_BYTES 16384

/* A function may use 128 bytes below its stack pointer: psABI, 3.2.2. Twice that, to be sure. */
#define RED_ZONE_BYTES 256

/* Of EFLAGS: functions begin with both clear. */
#define FLAG_DIRECTION UINT64_C(0x400)
#define FLAG_ALIGNMENT UINT64_C(0x40000)

struct handled {
    uint32_t bit;
    int signal;
    bool is_memory; /* si_addr is what was accessed */
    const char *name;
};

static const struct handled handled[SIGNALS] = {
    {GOPOOL_FAULT_SEGV, SIGSEGV, true, "SIGSEGV"},  {GOPOOL_FAULT_BUS, SIGBUS, true, "SIGBUS"},
    {GOPOOL_FAULT_FPE, SIGFPE, false, "SIGFPE"},    {GOPOOL_FAULT_ILL, SIGILL, false, "SIGILL"},
    {GOPOOL_FAULT_ABRT, SIGABRT, false, "SIGABRT"},
};

_Atomic bool gp_fault_enabled;

static pthread_mutex_t enabling = PTHREAD_MUTEX_INITIALIZER;

/* Written before the handlers are installed, and not again. */
static bool any_address;
static struct sigaction previous[SIGNALS];

static size_t index_of(int signal)
{
    size_t i = 0;

    while (handled[i].signal != signal)
        i++;
    return i;
}

static uintptr_t reg(const ucontext_t *context, int index)
{
    return (uintptr_t)context->uc_mcontext.gregs[index];
}

static void set_reg(ucontext_t *context, int index, uintptr_t value)
{
    context->uc_mcontext.gregs[index] = (greg_t)value;
}

static bool is_on_stack(const struct gp_fault_thread *thread, uintptr_t sp)
{
    return sp >= thread->stack && sp < thread->stack_end;
}

static bool is_on_emergency(const struct gp_fault_thread *thread, uintptr_t sp)
{
    return sp >= thread->emergency && sp < thread->emergency_end;
}

/* The signal is for what the thread itself has done: the kernel's, or its own abort(3). */
static bool is_own(const siginfo_t *info)
{
    if (info->si_signo == SIGABRT)
        return info->si_code == SI_TKILL && info->si_pid == getpid();
    return info->si_code > 0;
}

/*
 * The stack pointer or what was accessed below it has run into the guard. A wild pointer that hits
 * the guard has a stack pointer that is elsewhere.
 */
static bool is_overflow(const struct gp_fault_thread *thread, const siginfo_t *info, uintptr_t sp)
{
    uintptr_t address = (uintptr_t)info->si_addr;

    return info->si_signo == SIGSEGV && info->si_code != SI_KERNEL && address >= thread->guard &&
           address < thread->stack && sp < thread->stack + OVERFLOW_REACH_BYTES &&
           sp > thread->guard - OVERFLOW_REACH_BYTES;
}

/* An address that no object lies at. One that is none at all, SI_KERNEL, says 0 whatever it was. */
static bool is_null(const siginfo_t *info)
{
    return info->si_signo == SIGSEGV && info->si_code == SEGV_MAPERR &&
           (uintptr_t)info->si_addr < NULL_BYTES;
}

/* Where the panic is to be made; 0: nowhere. */
static uintptr_t landing_sp(const struct gp_fault_thread *thread,
                            const struct gp_panic_boundary *boundary, uintptr_t sp)
{
    if (is_on_stack(thread, sp) && sp - thread->stack >= ROOM_BYTES)
        return sp - RED_ZONE_BYTES;
    if (is_on_emergency(thread, sp) && sp - thread->emergency >= EMERGENCY_ROOM_BYTES)
        return sp - RED_ZONE_BYTES;
    /* While deferred calls are being made they may be on it. */
    return boundary->is_in_panic ? 0 : thread->emergency_end;
}

/*
 * A call of what is not code has left its return address, and no frame that could be unwound. Goes
 * back to the call, in the context. False: it is no such call.
 */
static bool undo_call(const struct gp_fault_thread *thread, const siginfo_t *info,
                      ucontext_t *context)
{
    uintptr_t sp = reg(context, REG_RSP);

    if (info->si_signo != SIGSEGV || reg(context, REG_RIP) != (uintptr_t)info->si_addr ||
        !(is_on_stack(thread, sp) || is_on_emergency(thread, sp)) || sp % sizeof(uintptr_t) != 0)
        return false;
    set_reg(context, REG_RIP, *(const uintptr_t *)sp - 1);
    set_reg(context, REG_RSP, sp + sizeof(uintptr_t));
    return true;
}

/* A walk along a stack that is broken may fault itself: that refuses the first fault. */
static bool walk_guarded(struct gp_fault_thread *thread, const struct gp_fault_place *place,
                         const struct gp_panic_boundary *boundary)
{
    volatile bool is_task = false;
    sigset_t faults;

    (void)sigemptyset(&faults);
    (void)sigaddset(&faults, SIGSEGV);
    (void)sigaddset(&faults, SIGBUS);
    if (_setjmp(thread->escape) == 0) {
        thread->is_walking = true;
        (void)pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
        is_task = gp_fault_walk(place, boundary, &thread->record.frames);
    }
    (void)pthread_sigmask(SIG_BLOCK, &faults, NULL);
    thread->is_walking = false;
    return is_task;
}

static __attribute__((__noreturn__)) void escape(struct gp_fault_thread *thread)
{
    longjmp(thread->escape, 1);
}

static bool is_of_task_alone(struct gp_fault_thread *thread, const siginfo_t *info,
                             ucontext_t *context, const struct gp_panic_boundary *boundary)
{
    const uintptr_t pc = reg(context, REG_RIP);
    const uintptr_t sp = reg(context, REG_RSP);

    bool is_call = undo_call(thread, info, context);
    const struct gp_fault_place place = {.pc = reg(context, REG_RIP),
                                         .sp = reg(context, REG_RSP),
                                         .is_abort = info->si_signo == SIGABRT,
                                         .is_call = is_call};
    bool is_task = walk_guarded(thread, &place, boundary);

    set_reg(context, REG_RIP, pc);
    set_reg(context, REG_RSP, sp);
    return is_task;
}

/* NULL: the fault is the task's alone, and the thread's record is filled in. A phrase: why not. */
static const char *refusal(struct gp_fault_thread *thread, const siginfo_t *info,
                           ucontext_t *context, const struct gp_panic_boundary *boundary)
{
    bool is_memory = handled[index_of(info->si_signo)].is_memory;
    bool overflow = is_overflow(thread, info, reg(context, REG_RSP));

    if (!is_own(info))
        return "somebody has sent it";
    if (is_memory && !overflow && !is_null(info) && !any_address)
        return "its address is not in the first 64 KiB";
    thread->record.signal = info->si_signo;
    thread->record.code = info->si_code;
    thread->record.address = info->si_signo != SIGABRT ? info->si_addr : NULL;
    thread->record.is_overflow = overflow;
    return is_of_task_alone(thread, info, context, boundary) ? NULL : thread->record.frames.refusal;
}

/* Makes the handler return to fn(thread). */
static void redirect(ucontext_t *context, uintptr_t sp, void (*fn)(struct gp_fault_thread *thread),
                     struct gp_fault_thread *thread)
{
    /* As a call leaves it: aligned before the return address was pushed. */
    sp = (sp & ~(uintptr_t)15) - sizeof(uintptr_t);
    *(uintptr_t *)sp = 0;
    set_reg(context, REG_RSP, sp);
    set_reg(context, REG_RBP, 0);
    set_reg(context, REG_RIP, (uintptr_t)fn);
    set_reg(context, REG_RDI, (uintptr_t)thread);
    set_reg(context, REG_EFL, reg(context, REG_EFL) & ~(FLAG_DIRECTION | FLAG_ALIGNMENT));
}

/* Some versions of abort(3) have blocked signals by then, and the next fault must not be blocked.
 */
static void unblock_faults(ucontext_t *context)
{
    for (size_t i = 0; i < SIGNALS; i++)
        (void)sigdelset(&context->uc_sigmask, handled[i].signal);
}

/* NULL: the handler returns to a panic. A phrase: why not. */
static const char *recover(const siginfo_t *info, ucontext_t *context)
{
    struct gp_fault_thread *thread = gp_fault_thread_current();
    struct gp_panic_boundary boundary;

    /* In a child of fork(2) or vfork(2) there is no task to go back to. */
    if (thread == NULL || thread->tid != gettid())
        return "it is not on a worker of a pool";
    if (!gp_panic_boundary_for_fault(&boundary))
        return "it is in a critical section, or in no task";
    uintptr_t sp = landing_sp(thread, &boundary, reg(context, REG_RSP));
    if (sp == 0)
        return "there is no stack left to go on with";
    const char *why = refusal(thread, info, context, &boundary);
    if (why == NULL && !gp_fault_budget_take())
        why = "there were too many lately";
    if (why != NULL)
        return why;
    redirect(context, sp, gp_fault_land, thread);
    unblock_faults(context);
    return NULL;
}

static void set_default(int signal)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};

    (void)sigaction(signal, &action, NULL);
}

/* Whether the fault was one of walk_guarded(). */
static bool leave_walk(ucontext_t *context)
{
    struct gp_fault_thread *thread = gp_fault_thread_current();

    if (thread == NULL || !thread->is_walking)
        return false;
    redirect(context, reg(context, REG_RSP) - RED_ZONE_BYTES, escape, thread);
    return true;
}

/* One line, for a core file does not say it. */
static void tell(int signal, const char *why)
{
    const char *const words[] = {"gopool: ", handled[index_of(signal)].name, " is fatal: ", why,
                                 "\n"};
    struct iovec line[sizeof words / sizeof *words];

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        line[i] =
            (struct iovec){.iov_base = (void *)(uintptr_t)words[i], .iov_len = strlen(words[i])};
    /* A lost line has no one to tell. */
    ssize_t written = writev(STDERR_FILENO, line, sizeof line / sizeof *line);
    (void)written;
}

/* The process dies by the signal as it came, once the handler has returned. */
static void die(int signal, siginfo_t *info, const char *why)
{
    tell(signal, why);
    set_default(signal);
    (void)syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info);
}

/* As the kernel would have called it. */
static void call(const struct sigaction *action, int signal, siginfo_t *info, ucontext_t *context)
{
    sigset_t mask = context->uc_sigmask;

    if (((unsigned)action->sa_flags & SA_RESETHAND) != 0)
        set_default(signal);
    (void)sigorset(&mask, &mask, &action->sa_mask);
    if ((action->sa_flags & SA_NODEFER) == 0)
        (void)sigaddset(&mask, signal);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if ((action->sa_flags & SA_SIGINFO) != 0)
        action->sa_sigaction(signal, info, context);
    else
        action->sa_handler(signal);
}

/* What would have happened without this handler. */
static void pass_on(int signal, siginfo_t *info, ucontext_t *context, const char *why)
{
    const struct sigaction *action = &previous[index_of(signal)];
    bool is_plain = (action->sa_flags & SA_SIGINFO) == 0;

    if (is_plain && action->sa_handler == SIG_DFL) {
        die(signal, info, why);
    } else if (is_plain && action->sa_handler == SIG_IGN) {
        /* The kernel ignores only what others send. */
        if (info->si_code > 0)
            die(signal, info, why);
    } else {
        call(action, signal, info, context);
    }
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    int saved = errno;

    if (!leave_walk(context)) {
        const char *why = recover(info, context);

        if (why != NULL)
            pass_on(signal, info, context, why);
    }
    errno = saved;
}

static void install(uint32_t signals)
{
    /* With everything blocked a fault in the handler is the end, which it should be. */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    (void)sigfillset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++) {
        if ((signals & handled[i].bit) == 0)
            continue;
        /* Before the handler is there, which may be needed at once. */
        (void)sigaction(handled[i].signal, NULL, &previous[i]);
        (void)sigaction(handled[i].signal, &action, NULL);
    }
}

static bool is_valid(const struct gopool_fault_options *options)
{
    uint32_t all = 0;

    for (size_t i = 0; i < SIGNALS; i++)
        all |= handled[i].bit;
    for (size_t i = 0; i < sizeof options->reserved / sizeof *options->reserved; i++) {
        if (options->reserved[i] != 0)
            return false;
    }
    return (options->signals & ~all) == 0 &&
           (options->budget <= GOPOOL_FAULT_BUDGET_MAX ||
            options->budget == GOPOOL_FAULT_BUDGET_UNLIMITED) &&
           options->module_count <= GOPOOL_FAULT_MODULES_MAX;
}

/* Under the lock. */
static int enable(const struct gopool_fault_options *options, const void *caller)
{
    const char *reason;

    if (gp_fault_is_enabled())
        return -EALREADY;
    int status = gp_code_init(options, caller, &reason);
    if (status != 0)
        return status;
    any_address = options->any_address;
    gp_fault_budget_set(options->budget != 0 ? options->budget : GOPOOL_FAULT_BUDGET_DEFAULT,
                        options->window_s != 0 ? options->window_s : GOPOOL_FAULT_WINDOW_S_DEFAULT);
    install(options->signals != 0 ? options->signals : UINT32_MAX);
    /* Relaxed: the handlers are there before, which the kernel has seen to. */
    atomic_store_explicit(&gp_fault_enabled, true, memory_order_relaxed);
    return 0;
}

int gopool_fault_recovery_enable(const struct gopool_fault_options *options)
{
    static const struct gopool_fault_options defaults;

    if (options == NULL)
        options = &defaults;
    if (!is_valid(options))
        return -EINVAL;
    pthread_mutex_lock(&enabling);
    int status = enable(options, __builtin_return_address(0));
    pthread_mutex_unlock(&enabling);
    return status;
}

const char *gopool_fault_recovery_refusal(void)
{
    const char *reason = NULL;

    if (gp_fault_is_enabled() || gp_code_check(__builtin_return_address(0), &reason) != -ENOTSUP)
        return NULL;
    return reason;
}

void gp_fault_clear(void)
{
    pthread_mutex_init(&enabling, NULL);
    gp_fault_budget_clear();
}
