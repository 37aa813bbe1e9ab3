/* What a worker keeps ready for its faults, and how it goes on after one. */
#ifndef GP_FAULT_THREAD_H
#define GP_FAULT_THREAD_H

#include <setjmp.h>
#include <sys/types.h>

#include "fault.h"
#include "fault_walk.h"

/* What a fault was, for the panic that it becomes. */
struct gp_fault_record {
    int signal;
    int code;
    const void *address;
    bool is_overflow;
    struct gp_fault_frames frames;
};

/* Lives at the upper end of the emergency stack. */
struct gp_fault_thread {
    struct gp_worker *worker;
    void *mapping; /* of both stacks and their guards */
    size_t mapping_bytes;
    pid_t tid;
    uintptr_t guard;         /* start of the guard of the thread's own stack */
    uintptr_t stack;         /* its lowest usable byte */
    uintptr_t stack_end;     /* behind its highest */
    uintptr_t emergency;     /* lowest usable byte of the emergency stack */
    uintptr_t emergency_end; /* behind its highest */
    struct gp_fault_record record;
    volatile bool is_walking; /* the stack, which may be broken: a fault goes to `escape` */
    jmp_buf escape;
};

/* That of the calling thread; NULL where its faults are fatal. Async-signal-safe. */
struct gp_fault_thread *gp_fault_thread_current(void);

/*
 * Where the handler returns to instead of the fault: makes a panic of the record. Called as a
 * function is, with the stack pointer and everything else as at the beginning of one.
 */
__attribute__((__noreturn__)) void gp_fault_land(struct gp_fault_thread *thread);

#endif
