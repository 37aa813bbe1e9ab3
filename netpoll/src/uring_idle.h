/*
 * Connections that have had no input for long: their receive, which stays armed, makes way for a
 * poll that costs the kernel a third of the memory. The first news arms it again.
 *
 * Poller thread.
 */
#ifndef NP_URING_IDLE_H
#define NP_URING_IDLE_H

#include "uring_operation.h"

/* The timer's function. */
void np_uring_look(struct np_timer *timer);
/* A receive has been armed: from here on it is looked at, when the runtime wants that. */
void np_uring_watch_idle(struct np_uring *state);

#endif
