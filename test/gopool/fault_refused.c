/* What stands in for the recovery on other machines, by itself. */
#include <gopool/fault.h>

#include <errno.h>
#include <string.h>

#include "../support/check.h"
#include "fault.h"

int main(void)
{
    const char *refusal = gopool_fault_recovery_refusal();
    CHECK(gopool_fault_recovery_enable(NULL) == -ENOTSUP);
    CHECK(refusal != NULL && strstr(refusal, "x86-64") != NULL);
    CHECK(!gp_fault_is_enabled() && gp_fault_arm(NULL) == NULL);
    CHECK(gopool_fault_count() == 0);
    gp_fault_disarm(NULL);
    gp_fault_clear();
    return 0;
}
