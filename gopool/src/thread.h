/* Threads of a pool: how they are started, and joined without a thread that cleans up. */
#ifndef GP_THREAD_H
#define GP_THREAD_H

#include "pool.h"

/* A thread's object: a block of mcache whose first member this is. */
struct gp_thread {
    struct gopool *pool;
    pthread_t id;
    uint32_t number;
    void (*main)(struct gp_thread *thread);
    bool has_left;                 /* its own */
    struct gp_fault_thread *fault; /* its own; freed with the thread */
};

/* The thread of a pool that the calling thread is; NULL on other threads. */
struct gp_thread *gp_thread_current(void);

/*
 * Starts a thread with asynchronous signals blocked; faults stay deliverable to a handler.
 * Returns 0 or a positive errno value; then the object stays the caller's.
 */
int gp_thread_start(struct gp_thread *thread);

/* As gp_thread_start(), for a thread that needs nothing but its pool: makes its object, too. */
int gp_thread_start_helper(struct gopool *pool, void (*main)(struct gp_thread *thread));

/*
 * Makes the calling thread the pool's leaver. Under lock. Returns the one before it, which the
 * caller hands to gp_thread_reap() without a lock.
 *
 * Every thread that leaves waits for the one that left before it, so that nobody has to wait for
 * all of them in the end. Once it is the leaver the pool outlives it, for whoever stops the pool
 * joins the leaver.
 */
struct gp_thread *gp_thread_leave(struct gp_thread *thread);

/*
 * The end of such a thread. Under lock, which it releases. *exists, guarded by lock, is false then
 * unless another thread has been started in its place.
 */
void gp_thread_end_helper(struct gp_thread *thread, bool *exists, bool is_passed_on);

/* Joins a thread that has left, and with it all that left before; frees it. NULL does nothing. */
void gp_thread_reap(struct gp_thread *thread);

#endif
