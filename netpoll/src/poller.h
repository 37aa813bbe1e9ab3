/*
 * A poller: one thread that waits for the kernel, an inbox for the others, timers, and the block
 * that input lands in.
 */
#ifndef NP_POLLER_H
#define NP_POLLER_H

#include "backend.h"
#include "counters.h"
#include "fd.h"
#include "fd_table.h"
#include "timer.h"

#include <gopool/gopool.h>
#include <linkbuffer/block.h>

#include <pthread.h>
#include <stdatomic.h>

struct netpoll_runtime;
struct netpoll_conn;

/* Something to do on the poller thread; lives in its owner and is on one list at most. */
struct np_work {
    struct np_work *next;
    void (*fn)(struct np_work *work);
};

/* Memory that input lands in; what is kept of it holds counts of its own. */
struct np_hot_block {
    struct linkbuffer_block *block; /* NULL: none yet */
    size_t used;                    /* bytes at its start that may be in use by others */
};

struct np_poller {
    struct netpoll_runtime *runtime;
    const struct np_backend *backend;
    void *backend_state;
    pthread_t thread;
    struct np_work stop_work;
    pthread_barrier_t *all_stopped; /* set before stopping */

    struct np_fd_table fds;
    struct np_wheel wheel;
    uint32_t timer_share;         /* timers that may still run in this round */
    struct np_timer memory_timer; /* armed while there may be free memory to give back */
    struct np_hot_block hot;
    struct netpoll_conn *running; /* whose inline turn this thread is in; it sends at its end */
    struct gopool_task *tasks;    /* turns for the pool, submitted together */
    struct gopool_task **tasks_end;
    struct np_work *ready; /* work that this thread gave itself */
    struct np_work **ready_end;

    uint64_t woke_ns; /* monotonic clock as of the last return from the kernel */

    struct np_fd wake_fd;
    /*
     * Pushed to by anybody with release, taken whole by the poller with acquire. A pusher looks
     * at awake after its push, the poller looks at the inbox after it has cleared awake; both
     * seq_cst, so one of the two sees the other.
     */
    _Atomic(struct np_work *) inbox;
    /* Threads inside np_poller_post(): what they post may end the runtime before they are out. */
    _Atomic uint32_t posting;
    _Atomic uint32_t conn_count; /* changed by whoever hands a connection over; balancing reads */
    uint32_t index;
    uint32_t demote_idle_ms; /* see struct netpoll_runtime_options; 0: never */
    _Atomic bool awake;
    bool stopping;
    struct np_counters counters;
    struct np_shared_counters shared;
};

/* Starts the thread and returns when its backend is open: 0 or -errno, nothing left behind. */
int np_poller_start(struct np_poller *poller, struct netpoll_runtime *runtime,
                    const struct np_backend *backend, uint32_t index);
/* Tells the thread to end when as many as the barrier waits for have left their loops. No
 * connection or listener is left. */
void np_poller_stop(struct np_poller *poller, pthread_barrier_t *all_stopped);
/* Waits for its end. */
void np_poller_join(struct np_poller *poller);

/* Runs work->fn(work) on the poller thread, soon and not from here. Any thread. */
void np_poller_post(struct np_poller *poller, struct np_work *work);
/* Runs a task on the runtime's pool, with the others of this round. Poller thread. */
void np_poller_submit(struct np_poller *poller, struct gopool_task *task);
bool np_poller_is_current(const struct np_poller *poller);
/* NULL when the calling thread is not a poller. */
struct np_poller *np_poller_current(void);

/* Room for input in the hot block: 0 or -ENOMEM. */
int np_poller_lend_hot(struct np_poller *poller, struct iovec *iov);
/* n bytes of what was lent are filled. */
void np_poller_use_hot(struct np_poller *poller, size_t n);
/* The backend has come back from the kernel: a round begins. Poller thread. */
void np_poller_woke(struct np_poller *poller);
/* Milliseconds of the monotonic clock as of the last return from the kernel. */
uint64_t np_poller_now_ms(const struct np_poller *poller);

/* on_request is called. Any thread. */
void np_poller_count_request(struct np_poller *poller);
/* The kernel took n bytes. Any thread. */
void np_poller_count_sent(struct np_poller *poller, size_t n);

#endif
