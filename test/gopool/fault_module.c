/* A shared object that is loaded at run time, and calls back. */
#include "fault_kinds.h"

__attribute__((visibility("default"))) void fault_module_call(void (*fn)(void *arg), void *arg);

void fault_module_call(void (*fn)(void *arg), void *arg)
{
    volatile char frame[1]; /* keeps the call below from being the last thing */
    frame[0] = 0;
    fn(arg);
    (void)frame[0];
}
