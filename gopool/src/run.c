/* Running one task. Any thread. */
#include "run.h"

#include <mcache/mcache.h>
#include <stdlib.h>
#include <unistd.h>

#include "call_internal.h"
#include "fork.h"
#include "panic_internal.h"
#include "report.h"

static _Noreturn void end_child(void)
{
    static const char line[] = "gopool: a task has returned in a child of fork(2)\n";

    /* A lost line has no one to tell. */
    ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
    (void)written;
    _exit(EXIT_FAILURE);
}

void gp_run(struct gopool *pool, struct gopool_task *task, struct gp_running *running,
            uint32_t *panicked)
{
    const struct gopool_task copy = *task;
    struct gopool_panic panic;
    gopool_fn *fn = copy.fn;
    void *arg = copy.arg;

    if (copy.fn == gp_call_run)
        gp_call_origin(task, &fn, &arg);
    /* Before the call, which may end in pthread_exit(). */
    if ((copy.flags & GP_TASK_OWNED) != 0)
        mcache_free(task);
    if (running != NULL)
        gp_running_begin(running, fn, arg);
    int status = gp_panic_try_task(copy.fn, copy.arg, &panic);
    if (running != NULL)
        gp_running_end(running);
    if (status != 0) {
        (*panicked)++;
        panic.task_fn = fn;
        panic.task_arg = arg;
        gp_report(pool, &panic);
    }
    /* Whoever waits may let go of what the report has shown. */
    if (copy.fn == gp_call_run)
        gp_call_ended(copy.arg);
    if (gp_fork_is_foreign(pool))
        end_child();
}
