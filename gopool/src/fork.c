/* Counting forks. */
#include "fork.h"

#include "fault.h"
#include "interrogation.h"
#include "registry.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

uint32_t gp_fork_count;

static void enter_child(void)
{
    gp_fork_count++;
    gp_registry_clear();
    gp_interrogation_clear();
    gp_fault_clear();
}

static void register_handler(void)
{
    /* Fails for want of memory only; then a pool used in a child hangs, as without this. */
    (void)pthread_atfork(NULL, NULL, enter_child);
}

void gp_fork_prepare(void)
{
    pthread_once(&once, register_handler);
}
