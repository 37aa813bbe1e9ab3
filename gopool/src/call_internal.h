/* What the workers need of the calls. */
#ifndef GP_CALL_INTERNAL_H
#define GP_CALL_INTERNAL_H

#include <gopool/gopool.h>

/* What the user submitted: the function of the call when the task is one, else the task's own. */
void gp_call_origin(const struct gopool_task *task, gopool_fn **fn, void **arg);

/* The thread ends in the middle of its calls: whoever waits for them is told. */
void gp_call_thread_exits(void);

#endif
