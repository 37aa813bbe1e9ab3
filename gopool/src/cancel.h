/* No call is a cancellation point: a thread that is cancelled in a wait would keep the locks. */
#ifndef GP_CANCEL_H
#define GP_CANCEL_H

#include <pthread.h>

/* Returns what gp_cancel_restore() takes. */
static inline int gp_cancel_disable(void)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void gp_cancel_restore(int state)
{
    int ours;

    pthread_setcancelstate(state, &ours);
}

#endif
