/* The public timers of a poller, as the poller sees them. */
#ifndef NP_USER_TIMER_H
#define NP_USER_TIMER_H

#include "poller.h"

/* Drops the timers of a wheel that have not run. No call on them is made meanwhile. Poller thread,
 * at its end. */
void np_user_timers_drop(struct np_wheel *wheel);

#endif
