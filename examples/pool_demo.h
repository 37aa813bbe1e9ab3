/* The parts of pool_demo, each a line or more on stdout. */
#ifndef EXAMPLES_POOL_DEMO_H
#define EXAMPLES_POOL_DEMO_H

#include <gopool/gopool.h>

/* What a submit does that finds the queue full. The other pool has a worker to spare. */
void show_full_queue(struct gopool *other);
void show_blocking(void);
/* How many workers there are, and what the cap does. */
void show_worker_counts(void);
void show_watchdog(void);
/* Enables the recovery from faults, for the rest of the process. */
void show_faults(void);

#endif
