/* A worker: its state, and what the rest of the pool asks of it. */
#ifndef GP_WORKER_H
#define GP_WORKER_H

#include "pool.h"
#include "running.h"
#include "thread.h"

/* What the watchdog knows about a worker. */
struct gp_watched {
    uint32_t number;  /* of the task it was seen in; 0: in none */
    int64_t since_ms; /* on CLOCK_MONOTONIC */
    bool is_told;
};

struct gp_worker {
    struct gp_thread thread; /* first, as gp_thread_start() wants it */
    struct gp_spot spot;
    bool searcher; /* pool->searching stands for this worker; its own once it is awake */
    /* Of what it took from the queue. Its own, so that they outlive a task that ends its thread. */
    struct gopool_task *taken; /* still to be run */
    uint32_t finished;         /* have ended, but are not counted by the pool yet */
    uint32_t panicked;         /* of those, by a panic */
    uint32_t fault_count;      /* faults it has recovered from; then it is to leave */
    uint32_t block_depth;      /* gopool_block_begin() without gopool_block_end(); its own */
    struct gp_running running;
    /* Guarded by lock. */
    struct gp_worker *next;
    struct gp_worker **link; /* to this one */
    bool is_blocked;
    struct gp_watched watched;
};

/* What a worker's thread runs. */
void gp_worker_main(struct gp_thread *thread);

/* The worker that has this place in the parking. */
struct gp_worker *gp_worker_of(struct gp_spot *spot);

/* The worker that the calling thread is; NULL on other threads, and when it has left its pool. */
struct gp_worker *gp_worker_current(void);

#endif
