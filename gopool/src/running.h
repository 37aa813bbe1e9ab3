/* What a worker is running, for its pool's watchdog to read without stopping it. */
#ifndef GP_RUNNING_H
#define GP_RUNNING_H

#include <gopool/gopool.h>

#include <stdatomic.h>

/* All zero is a worker before its first task. Written by the worker alone. */
struct gp_running {
    _Atomic uint32_t number; /* odd while a task runs, another one for every task */
    _Atomic(gopool_fn *) fn;
    _Atomic(void *) arg;
};

struct gp_running_task {
    uint32_t number;
    gopool_fn *fn;
    void *arg;
};

static inline void gp_running_begin(struct gp_running *running, gopool_fn *fn, void *arg)
{
    uint32_t number = atomic_load_explicit(&running->number, memory_order_relaxed);

    atomic_store_explicit(&running->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&running->arg, arg, memory_order_relaxed);
    /* Release: pairs with the first load in gp_running_read(). */
    atomic_store_explicit(&running->number, number + 1, memory_order_release);
}

static inline void gp_running_end(struct gp_running *running)
{
    uint32_t number = atomic_load_explicit(&running->number, memory_order_relaxed);

    atomic_store_explicit(&running->number, number + 1, memory_order_relaxed);
    /* Pairs with the fence in gp_running_read(): who sees the next task sees that this has ended.
     */
    atomic_thread_fence(memory_order_release);
}

/* Any thread. Returns false when no task runs. */
static inline bool gp_running_read(const struct gp_running *running, struct gp_running_task *out)
{
    /* Acquire: pairs with the store in gp_running_begin(). */
    out->number = atomic_load_explicit(&running->number, memory_order_acquire);
    out->fn = atomic_load_explicit(&running->fn, memory_order_relaxed);
    out->arg = atomic_load_explicit(&running->arg, memory_order_relaxed);
    /* Pairs with the fence in gp_running_end(). */
    atomic_thread_fence(memory_order_acquire);
    return out->number % 2 != 0 &&
           out->number == atomic_load_explicit(&running->number, memory_order_relaxed);
}

#endif
