/**
 * What is measured of a pool: the operations, done by each side in its best usual way.
 *
 * Every figure comes from a process of its own, which ends with it: nothing here is given back.
 * What fails ends the process with a line on stderr and status 1.
 */
#ifndef BENCH_POOL_CASE_H
#define BENCH_POOL_CASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pool_op {
    POOL_SUBMIT,             /* tiny tasks in objects of the caller's, one by one */
    POOL_SUBMIT_NONBLOCKING, /* the same, marked as not blocking */
    POOL_GO,                 /* tiny tasks without an object, one by one */
    POOL_BATCH,              /* tiny tasks in lists of POOL_BATCH_TASKS */
    POOL_BATCH_NONBLOCKING,  /* the same, marked as not blocking */
    POOL_PARKED,             /* submit and wait for the result; the worker sleeps before */
    POOL_BUSY,               /* the same; the worker is at the end of another task */
    POOL_TRY,                /* call of an empty function that may panic */
    POOL_OP_COUNT
};

#define POOL_BATCH_TASKS 64

/** Where threads may run. */
enum pool_place {
    POOL_ONE_CORE,   /* all of them on the first CPU */
    POOL_APART,      /* who submits on the first one, workers on the second */
    POOL_BOTH_CORES, /* where the system wants to, on these two */
    POOL_PLACE_COUNT
};

/** One figure to be taken. */
struct pool_run {
    enum pool_op op;
    enum pool_place place;
    uint32_t producers, workers;
    uint32_t tasks; /* of a burst */
    uint32_t milliseconds;
};

struct pool_figure {
    double ns;     /* clock; of POOL_TRY CPU time */
    double cpu_ns; /* of all threads per task; 0: not measured */
};

/** Takes a figure in a fresh process of one thread. */
typedef struct pool_figure pool_measure_fn(const struct pool_run *run);

/** One of those compared. */
struct pool_side {
    const char *name;
    pool_measure_fn *ops[POOL_OP_COUNT]; /* NULL where it has no such operation */
    bool is_floor;                       /* does the same work without a pool */
    bool has_one_producer;               /* takes tasks from one thread only */
    bool is_together;                    /* cannot keep its threads on another CPU */
};

extern const struct pool_side pool_ours;
/* The same, ready to recover from faults: see gopool/fault.h. */
extern const struct pool_side pool_recovering;
extern const struct pool_side pool_uv;
extern const struct pool_side pool_bare;
extern const struct pool_side pool_thread;

/** Finds the CPUs. False: there is only one, and POOL_ONE_CORE the only place. */
bool pool_place_init(void);

/** Moves the calling thread, and what it starts later, to where tasks are submitted. */
void pool_place_producer(enum pool_place place);

/** Likewise to where workers run. */
void pool_place_worker(enum pool_place place);

/** Ends the process unless status is 0. */
void pool_must(const char *call, int status);

/** Says what is wrong and ends the process. */
_Noreturn void pool_fail(const char *what);

/** Nanoseconds of the clock. */
double pool_now_ns(void);

/** Nanoseconds that the threads of this process have run. */
double pool_cpu_ns(void);

/** Sleeps while a word has this value. */
void pool_futex_wait(_Atomic uint32_t *word, uint32_t value);

/** Wakes one sleeper. */
void pool_futex_wake(_Atomic uint32_t *word);

/** What was counted while a pool had nothing to do. */
struct pool_idle {
    uint64_t parked_switches; /* context switches of parked workers */
    uint64_t reaped_switches; /* of whatever is left when they have ended */
    uint32_t reaped_threads;  /* threads that are left then */
};

/** Leaves pools of four workers alone, for so long each: one with its workers, one without. */
struct pool_idle pool_idle_measure(uint32_t seconds);

#endif
