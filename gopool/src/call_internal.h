/* What the workers need of the calls. */
#ifndef GP_CALL_INTERNAL_H
#define GP_CALL_INTERNAL_H

/* The thread ends in the middle of its calls: whoever waits for them is told. */
void gp_call_thread_exits(void);

#endif
