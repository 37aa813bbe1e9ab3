/* The times of the last faults, as many as the budget has. Any thread. */
#include "fault_budget.h"

#include <gopool/fault.h>

#include <stdatomic.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

static uint32_t limit;
static int64_t window_ns;

/* Held for some instructions only; a mutex is not for signal handlers. */
static atomic_flag lock = ATOMIC_FLAG_INIT;
/* Guarded by it. */
static int64_t times_ns[GOPOOL_FAULT_BUDGET_MAX]; /* on CLOCK_MONOTONIC, a ring */
static uint64_t taken;

void gp_fault_budget_set(uint32_t budget, uint32_t window_s)
{
    limit = budget;
    window_ns = window_s * NS_PER_S;
}

/* Under the lock. */
static bool take_at(int64_t now_ns)
{
    int64_t *slot = &times_ns[taken % limit];

    if (taken >= limit && now_ns - *slot < window_ns)
        return false;
    *slot = now_ns;
    taken++;
    return true;
}

bool gp_fault_budget_take(void)
{
    struct timespec now;

    if (limit == GOPOOL_FAULT_BUDGET_UNLIMITED)
        return true;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return false;
    /* Acquire: pairs with the clear of who held it before. */
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) {
    }
    bool is_taken = take_at(now.tv_sec * NS_PER_S + now.tv_nsec);
    /* Release: pairs with the test of who holds it next. */
    atomic_flag_clear_explicit(&lock, memory_order_release);
    return is_taken;
}

void gp_fault_budget_clear(void)
{
    atomic_flag_clear_explicit(&lock, memory_order_relaxed);
}
