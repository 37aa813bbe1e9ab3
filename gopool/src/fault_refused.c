/* In place of the other fault_ files, where faults cannot be recovered from. */
#include "fault.h"

#include <gopool/fault.h>

#include <errno.h>

_Atomic bool gp_fault_enabled;

struct gp_fault_thread *gp_fault_arm(struct gp_worker *worker)
{
    (void)worker;
    return NULL;
}

void gp_fault_disarm(struct gp_fault_thread *thread)
{
    (void)thread;
}

void gp_fault_clear(void)
{
}

int gopool_fault_recovery_enable(const struct gopool_fault_options *options)
{
    (void)options;
    return -ENOTSUP;
}

const char *gopool_fault_recovery_refusal(void)
{
    return "it needs x86-64, glibc 2.35, and no link-time optimisation by clang";
}

uint64_t gopool_fault_count(void)
{
    return 0;
}
