/* What the workers need of the calls. */
#ifndef GP_CALL_INTERNAL_H
#define GP_CALL_INTERNAL_H

#include <gopool/gopool.h>

/* The function of a task that is a call. */
void gp_call_run(void *arg);

/* What the user submitted with such a task. */
void gp_call_origin(const struct gopool_task *task, gopool_fn **fn, void **arg);

/* Such a task is over, and what is to be told of it has been told: whoever waits for one that did
 * not return is told, too. */
void gp_call_ended(struct gopool_future *future);

/* The thread ends in the middle of its calls: whoever waits for them is told. */
void gp_call_thread_exits(void);

#endif
