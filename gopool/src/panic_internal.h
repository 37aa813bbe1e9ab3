/* What the workers need of the panics, beyond the public calls. */
#ifndef GP_PANIC_INTERNAL_H
#define GP_PANIC_INTERNAL_H

#include <gopool/panic.h>

/*
 * As gopool_try(), for the function of a task and for what is told of its panic: gopool_exit_task()
 * ends here, as a return; as a panic when deferred calls raised any. The hook is not told: the
 * caller knows more about the panic than it does.
 */
int gp_panic_try_task(void (*fn)(void *arg), void *arg, struct gopool_panic *panic);

/* Forgets the boundaries and deferred calls of the thread: pthread_exit() has cut their frames. */
void gp_panic_forget(void);

/* Drops deferred calls registered after this one on the calling thread, without making them. */
void gp_panic_drop_above(struct gopool_defer *defer);

#endif
