/* Compiled without unwind tables: see CMakeLists.txt. */
#include "fault_kinds.h"

void fault_without_tables(void *arg)
{
    volatile char frame[1]; /* keeps the call below from being the last thing */
    frame[0] = 0;
    fault_null_read(arg);
    (void)frame[0];
}
