/* The pool's state, shared by its public calls, its workers and its monitor. */
#ifndef GP_POOL_H
#define GP_POOL_H

#include <gopool/gopool.h>

#include <pthread.h>
#include <stdatomic.h>

#include "parking.h"
#include "task_queue.h"

/* Longest prefix of the threads' names: the kernel takes 15 bytes, "-9999" needs five. */
#define GP_NAME_MAX 10

/* Bytes between what different threads write all the time: two lines, for they are fetched in
 * pairs. */
#define GP_CACHE_LINES 128

struct gp_thread;
struct gp_worker;

enum gp_phase {
    GP_PHASE_RUNNING,
    GP_PHASE_STOPPING, /* refuses tasks, runs those it has */
    GP_PHASE_STOPPED,  /* no thread is left, all are joined */
};

/* What the options said, defaults filled in. Never changes. */
struct gp_config {
    char name[GP_NAME_MAX + 1];
    bool batch_scheduling;
    uint32_t idle_timeout_ms;
    uint32_t queue_limit;
    uint32_t max_blocked; /* 0: half of the cap */
    enum gopool_when_full when_full;
    uint32_t stuck_after_ms; /* 0: no watchdog */
    gopool_stuck_fn *stuck_handler;
    void *stuck_handler_arg;
    uint32_t eager_workers; /* so many are started without waiting for a task to age */
};

/* Why a worker that comes for a task has to take the lock, too. */
enum gp_attention {
    GP_ATTENTION_OVER = 1, /* more workers are at work, or exist, than may */
    GP_ATTENTION_ROOM = 2, /* a submitter waits for the queue to be less than full */
};

/* Who waits for every task to have ended. */
struct gp_drain {
    uint32_t waiters;
    uint32_t times;      /* how often it was seen that every task had ended */
    pthread_cond_t seen; /* times has grown */
};

/* Who waits for the queue to be less than full. */
struct gp_room {
    uint32_t waiters;
    pthread_cond_t made; /* fewer tasks wait than the limit, or the pool stops */
};

/* Who is told of panics that end tasks. */
struct gp_panic_listener {
    gopool_panic_fn *fn; /* NULL: stderr */
    void *arg;
};

/* See monitor.h. */
struct gp_monitor {
    bool exists;         /* its thread runs or is being started */
    bool is_watching;    /* it looks every millisecond whether tasks are left waiting */
    uint64_t aged_count; /* of the accepted tasks so many came at least a millisecond ago */
    uint32_t wanted;     /* so many workers come at once, for fewer have left tasks to age */
    pthread_cond_t wake; /* there is something to watch, or no worker any more */
};

/* See watchdog.h. */
struct gp_watchdog {
    bool exists; /* its thread runs or is being started */
    uint64_t stuck_count;
};

/*
 * Two locks, so that submitters and workers meet once for many tasks: tasks are submitted into the
 * inbox under `lock`, where it is also decided which worker is summoned; workers take them from the
 * outbox under `take_lock`, and only one that finds the outbox empty moves the inbox there, under
 * both. Who needs both takes `take_lock` first.
 *
 * Invariant that no wake-up is lost: while a task waits and `lock` is free, either `searching` is
 * set, or as many workers are at work as may be, each of which looks for a task when its own ends,
 * or summons another worker when it leaves, or nobody is parked and the monitor watches. So a
 * worker that takes a task from the outbox and leaves others has nobody to summon: the searcher
 * has, when it looks.
 * - A worker parks holding both locks, having seen both boxes empty or more workers at work than
 *   the cap: a submit comes before it and is seen, or after it and finds it parked.
 * - `searching` is cleared under `lock` by the worker it stands for, after it has looked into the
 *   outbox and before it looks into the inbox for the last time; a submit that relied on it has
 *   filled the inbox by then.
 *
 * The atomics. The first two are relaxed, because the locks order what they are used for.
 * - `taken_count` is stored under `take_lock` and read under either lock. Read under `lock` alone
 *   it may be behind: then more tasks seem to wait than do, never fewer, because tasks come under
 *   `lock`. It is taken back under both locks only.
 * - `attention` is stored under `lock` and read under `take_lock`. ROOM, which somebody relies on,
 *   is set under both; a bit that is read although it has been cleared costs a look.
 * - gp_spot.state is stored under `lock` with release, after gp_worker.searcher. The sleeper's load
 *   in gp_parking_sleep() acquires it: who was woken looks at gp_worker.searcher under `take_lock`.
 */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): it keeps the two sides apart. */
struct gopool {
    struct gp_config config;
    uint32_t fork_count;            /* gp_fork_count of the process that made it; never changes */
    struct gopool *next_registered; /* guarded by the registry's lock */

    /* Guarded by lock. */
    _Alignas(GP_CACHE_LINES) pthread_mutex_t lock;
    struct gp_task_queue inbox;
    uint64_t accepted_count; /* tasks that came into the inbox */
    uint64_t here_count;     /* tasks that their submitters have run themselves */
    uint32_t here_running;   /* submits that run theirs just now */
    /*
     * One worker has been woken or is being started to look at the queue and has not looked yet.
     * Nobody needs to summon a second one: the first summons the next if it leaves tasks.
     */
    bool searching;
    enum gp_phase phase;
    struct gp_parking parking;
    uint32_t cap;         /* most workers at work */
    uint32_t blocked;     /* workers that are not at work, because their tasks block */
    uint32_t workers;     /* slots in use: threads that exist or are being started */
    uint32_t workers_max; /* above it workers end; the most there have been since the cap was set */
    uint32_t leaving;     /* of the workers, those that will give their slot up */
    uint32_t started;     /* threads ever started, numbers their names */
    struct gp_drain drain;
    struct gp_room room;
    uint64_t full_count;
    struct gp_panic_listener panic_listener;
    struct gp_monitor monitor;
    struct gp_watchdog watchdog;
    struct gp_worker *all;    /* workers whose threads run */
    struct gp_thread *leaver; /* the last thread to leave; the next to leave joins and frees it */
    pthread_cond_t ended;     /* a thread has left, or phase became GP_PHASE_STOPPED */

    /* Guarded by take_lock. */
    _Alignas(GP_CACHE_LINES) pthread_mutex_t take_lock;
    struct gp_task_queue outbox;
    size_t share; /* of the tasks in the outbox, each worker's when they came there */
    uint64_t finished_count;
    uint64_t panic_count;
    uint64_t fault_count;

    /* Guarded as said above. */
    _Atomic uint64_t taken_count; /* tasks that have left the outbox */
    _Atomic uint32_t attention;   /* of enum gp_attention */
};

static inline void gp_pool_lock_both(struct gopool *pool)
{
    pthread_mutex_lock(&pool->take_lock);
    pthread_mutex_lock(&pool->lock);
}

static inline void gp_pool_unlock_both(struct gopool *pool)
{
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->take_lock);
}

static inline uint64_t gp_pool_taken(const struct gopool *pool)
{
    return atomic_load_explicit(&pool->taken_count, memory_order_relaxed);
}

/* Tasks waiting, or more. Under lock; exact under both. */
static inline uint64_t gp_pool_queued(const struct gopool *pool)
{
    return pool->accepted_count - gp_pool_taken(pool);
}

/* Workers that count towards the cap. Under lock. */
static inline uint32_t gp_pool_at_work(const struct gopool *pool)
{
    return pool->workers - pool->parking.count - pool->blocked;
}

/* Counts a slot out that is not in use any more. Under lock. */
static inline void gp_pool_drop_slot(struct gopool *pool)
{
    if (--pool->workers > 0)
        return;
    pthread_cond_broadcast(&pool->ended);
    pthread_cond_signal(&pool->monitor.wake);
}

/* Computes `attention` anew. Under lock, after what it depends on may have changed. */
void gp_pool_update_attention(struct gopool *pool);

/* Counts tasks that have ended. Under take_lock. */
static inline void gp_pool_count_finished(struct gopool *pool, size_t finished, size_t panicked)
{
    pool->finished_count += finished;
    pool->panic_count += panicked;
}

/* Whether every task has ended. Under both locks. */
static inline bool gp_pool_is_idle(const struct gopool *pool)
{
    return pool->finished_count == pool->accepted_count + pool->here_count;
}

/* Tells who waits for it that every task has ended, if so. Under both locks. */
void gp_pool_tell_idle(struct gopool *pool);

#endif
