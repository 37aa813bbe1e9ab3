/* How many faults are survived within a time. */
#ifndef GP_FAULT_BUDGET_H
#define GP_FAULT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* Before the first fault, by one thread. As gopool_fault_options, defaults filled in. */
void gp_fault_budget_set(uint32_t budget, uint32_t window_s);

/* Takes one fault out of the budget. Returns false when it is used up. Async-signal-safe; the
 * thread must not be interrupted by a handler that calls it. */
bool gp_fault_budget_take(void);

/* In a child of fork(2): frees the lock. */
void gp_fault_budget_clear(void);

#endif
