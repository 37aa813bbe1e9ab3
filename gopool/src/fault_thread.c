/* The stacks of a worker that may fault, and the way from a fault to a panic. The worker's thread.
 */
#include "fault_thread.h"

#include <gopool/fault.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "panic_internal.h"
#include "worker.h"

/* Multiples of every page size there is on the machine. The walk needs a few KiB, and the kernel
 * pushes the registers. */
#define HANDLER_BYTES   ((size_t)65536)
#define EMERGENCY_BYTES ((size_t)65536)

#define STACK_ALIGN 16

/* All exceptions masked, rounding to the nearest; the psABI, 3.4.1. */
#define MXCSR_DEFAULT 0x1f80

/* Async-signal-safe as static TLS. */
static _Thread_local struct gp_fault_thread *current __attribute__((tls_model("initial-exec")));

static _Atomic uint64_t landed_count;

struct gp_fault_thread *gp_fault_thread_current(void)
{
    return current;
}

uint64_t gopool_fault_count(void)
{
    /* Relaxed: a count. */
    return atomic_load_explicit(&landed_count, memory_order_relaxed);
}

static size_t round_up(size_t bytes, size_t page)
{
    return (bytes + page - 1) / page * page;
}

/* A guard, the emergency stack, a guard, the handler's stack: both grow down into a guard. */
static char *map_stacks(size_t handler_bytes, size_t *total)
{
    *total = GP_FAULT_GUARD_BYTES + EMERGENCY_BYTES + GP_FAULT_GUARD_BYTES + handler_bytes;
    char *mapping = mmap(NULL, *total, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    if (mprotect(mapping, GP_FAULT_GUARD_BYTES, PROT_NONE) != 0 ||
        mprotect(mapping + GP_FAULT_GUARD_BYTES + EMERGENCY_BYTES, GP_FAULT_GUARD_BYTES,
                 PROT_NONE) != 0) {
        munmap(mapping, *total);
        return NULL;
    }
    return mapping;
}

static bool find_own_stack(struct gp_fault_thread *thread)
{
    pthread_attr_t attr;
    size_t bytes = 0;
    size_t guard = 0;
    void *stack = NULL;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return false;
    int error = pthread_attr_getstack(&attr, &stack, &bytes);
    if (error == 0)
        error = pthread_attr_getguardsize(&attr, &guard);
    pthread_attr_destroy(&attr);
    thread->stack = (uintptr_t)stack;
    thread->stack_end = thread->stack + bytes;
    thread->guard = thread->stack - guard;
    return error == 0;
}

struct gp_fault_thread *gp_fault_arm(struct gp_worker *worker)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    long signal_bytes = sysconf(_SC_SIGSTKSZ);
    size_t handler_bytes =
        HANDLER_BYTES + round_up(signal_bytes > 0 ? (size_t)signal_bytes : 0, page);
    size_t total;
    char *mapping = map_stacks(handler_bytes, &total);

    if (mapping == NULL)
        return NULL;
    char *emergency = mapping + GP_FAULT_GUARD_BYTES;
    char *emergency_end = emergency + EMERGENCY_BYTES;
    /* Aligned, as the page is. */
    struct gp_fault_thread *thread =
        (struct gp_fault_thread *)(void *)(emergency_end - round_up(sizeof *thread, STACK_ALIGN));
    *thread = (struct gp_fault_thread){.worker = worker,
                                       .mapping = mapping,
                                       .mapping_bytes = total,
                                       .tid = gettid(),
                                       .emergency = (uintptr_t)emergency,
                                       .emergency_end = (uintptr_t)thread};
    const stack_t handler_stack = {.ss_sp = mapping + total - handler_bytes,
                                   .ss_size = handler_bytes};
    if (!find_own_stack(thread) || sigaltstack(&handler_stack, NULL) != 0) {
        munmap(mapping, total);
        return NULL;
    }
    current = thread;
    return thread;
}

void gp_fault_disarm(struct gp_fault_thread *thread)
{
    if (thread != NULL)
        munmap(thread->mapping, thread->mapping_bytes);
}

static void describe(const struct gp_fault_record *record, struct gopool_panic *panic)
{
    const char *name = sigabbrev_np(record->signal);

    if (record->is_overflow)
        (void)snprintf(panic->message, sizeof panic->message, "stack overflow");
    else if (record->signal == SIGABRT)
        (void)snprintf(panic->message, sizeof panic->message, "SIGABRT: abort() was called");
    else
        (void)snprintf(panic->message, sizeof panic->message, "SIG%s at address 0x%" PRIxPTR,
                       name != NULL ? name : "?", (uintptr_t)record->address);
}

/* Also of the registers of the x87, which have to be free where a function begins. */
static void reset_floating_point(void)
{
    const uint32_t mxcsr = MXCSR_DEFAULT;

    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
}

void gp_fault_land(struct gp_fault_thread *thread)
{
    const struct gp_fault_record record = thread->record;
    struct gopool_panic panic = {.file = "?",
                                 .function = "?",
                                 .frame_count = record.frames.frame_count,
                                 .signal = record.signal,
                                 .signal_code = record.code,
                                 .address = record.address};

    reset_floating_point();
    memcpy(panic.frames, record.frames.frames, sizeof panic.frames);
    describe(&record, &panic);
    thread->worker->fault_count++;
    /* Relaxed: a count. */
    atomic_fetch_add_explicit(&landed_count, 1, memory_order_relaxed);
    gp_panic_run_deferred(&panic);
    gp_panic_jump(&panic);
}
