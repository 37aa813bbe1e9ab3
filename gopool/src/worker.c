/* One worker thread's life: start, take, run, park, leave. And who is woken or started next. */
#include "worker.h"

#include <errno.h>
#include <mcache/mcache.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "call_internal.h"
#include "panic_internal.h"

struct gp_worker {
    struct gopool *pool;
    struct gp_spot spot;
    pthread_t thread;
    uint32_t number;
    bool searcher; /* pool->searching stands for this worker; guarded by the pool's lock */
    /* Of what it took from the queue. Its own, so that they outlive a task that ends its thread. */
    struct gopool_task *taken; /* still to be run */
    uint32_t finished;         /* have ended, but are not counted by the pool yet */
    uint32_t panicked;         /* of those, by a panic */
};

/* Most tasks that a worker takes at once. */
#define TAKE_MAX 64

struct handler_call {
    const struct gp_config *config;
    const struct gopool_panic *panic;
};

/* The worker that the calling thread is; NULL on other threads. */
static _Thread_local struct gp_worker *current;

static struct gp_worker *worker_of(struct gp_spot *spot)
{
    return (struct gp_worker *)(void *)((char *)spot - offsetof(struct gp_worker, spot));
}

/* Takes the warmest worker off the parking and makes it the searcher. Under the lock. */
static struct gp_spot *wake_searcher(struct gopool *pool)
{
    struct gp_spot *spot = gp_parking_pop(&pool->parking);

    if (spot != NULL) {
        worker_of(spot)->searcher = true;
        pool->searching = true;
    }
    return spot;
}

struct gp_summons gp_worker_summon(struct gopool *pool)
{
    struct gp_summons summons = {0};

    if (pool->searching || pool->queue.head == NULL)
        return summons;
    summons.wake = wake_searcher(pool);
    /* Every worker may be blocked in its task, so as long as the cap allows it another one comes:
     * one at a time, because `searching` covers a worker that is only being started too. */
    if (summons.wake == NULL && pool->workers < pool->cap) {
        pool->workers++;
        pool->searching = true;
        summons.start = true;
    }
    return summons;
}

static void call_handler(void *arg)
{
    const struct handler_call *call = arg;

    call->config->panic_handler(call->panic, call->config->panic_handler_arg);
}

static void report_panic(const struct gp_config *config, const struct gopool_panic *panic)
{
    struct handler_call call = {config, panic};
    struct gopool_panic second;

    if (config->panic_handler == NULL)
        gp_panic_print(config->name, panic);
    else if (gopool_try(call_handler, &call, &second) != 0)
        gp_panic_print("panic in the panic handler", &second);
}

/* So many that the other workers find their share. */
static size_t take_max(const struct gopool *pool)
{
    size_t share = pool->queue.count / pool->workers + 1;

    return share < TAKE_MAX ? share : TAKE_MAX;
}

/* Returns whether it panicked. The task is the caller's again as soon as its function runs. */
static bool run(const struct gp_config *config, const struct gopool_task *task)
{
    struct gopool_panic panic;

    if (gp_panic_try_task(task->fn, task->arg, &panic) == 0)
        return false;
    report_panic(config, &panic);
    return true;
}

static void run_taken(struct gp_worker *worker)
{
    while (worker->taken != NULL) {
        struct gopool_task *task = worker->taken;

        worker->taken = task->next;
        worker->panicked += run(&worker->pool->config, task);
        worker->finished++;
    }
}

uint32_t gp_worker_run_here(const struct gopool *pool, struct gopool_task *first)
{
    uint32_t panicked = 0;

    while (first != NULL) {
        struct gopool_task *task = first;

        first = task->next;
        panicked += run(&pool->config, task);
    }
    return panicked;
}

/* Under the lock. */
static void count_finished(struct gp_worker *worker)
{
    worker->pool->finished_count += worker->finished;
    worker->pool->panic_count += worker->panicked;
    worker->finished = 0;
    worker->panicked = 0;
    gp_pool_tell_idle(worker->pool);
}

/* Takes the oldest tasks and runs them. Under the lock, which it releases in between. */
static void run_next(struct gp_worker *worker)
{
    struct gopool *pool = worker->pool;

    worker->taken = gp_task_queue_take(&pool->queue, take_max(pool));
    if (pool->room_waiters > 0 && pool->queue.count < pool->config.queue_limit)
        pthread_cond_broadcast(&pool->room);
    struct gp_summons summons = gp_worker_summon(pool);
    pthread_mutex_unlock(&pool->lock);
    gp_worker_answer(pool, summons);
    run_taken(worker);
    pthread_mutex_lock(&pool->lock);
    count_finished(worker);
}

/* The worker is about to look at the queue, so that others may summon the next one again. */
static void end_search(struct gp_worker *worker)
{
    if (worker->searcher) {
        worker->searcher = false;
        worker->pool->searching = false;
    }
}

/*
 * Sleeps until it is summoned or the pool stops; false: idle for too long. Under the lock, which
 * it releases in between.
 */
static bool park(struct gp_worker *worker)
{
    struct gopool *pool = worker->pool;

    gp_parking_push(&pool->parking, &worker->spot);
    pthread_mutex_unlock(&pool->lock);
    bool woken = gp_parking_sleep(&worker->spot, pool->config.idle_timeout_ms);
    pthread_mutex_lock(&pool->lock);
    /* Relaxed: under the lock, as every store of the state. */
    if (!woken &&
        atomic_load_explicit(&worker->spot.state, memory_order_relaxed) != GP_SPOT_AWAKE) {
        gp_parking_leave(&pool->parking);
        return false;
    }
    end_search(worker);
    return true;
}

/* The cap has been lowered below the number of workers. Under the lock. */
static bool is_surplus(const struct gopool *pool)
{
    return pool->workers > pool->cap;
}

/* Returns with the lock held, and the queue empty unless there are too many workers. */
static void work(struct gp_worker *worker)
{
    struct gopool *pool = worker->pool;
    bool wanted = true;

    pthread_mutex_lock(&pool->lock);
    end_search(worker);
    for (;;) {
        if (is_surplus(pool))
            return;
        if (pool->queue.head != NULL)
            run_next(worker);
        else if (pool->phase != GP_PHASE_RUNNING || !wanted)
            return;
        else
            wanted = park(worker);
    }
}

static void fill_slot(struct gopool *pool);

/*
 * Ends a worker's part in the pool. Under the lock, which it releases.
 *
 * The worker waits for the one that left before it, so that at any time at most one thread is
 * unjoined, without a thread that cleans up. Once it is pool->leaver the pool outlives it, for
 * whoever stops the pool joins the leaver.
 */
static void leave(struct gp_worker *worker)
{
    struct gopool *pool = worker->pool;
    struct gp_worker *before = pool->leaver;
    struct gp_summons summons = {0};
    /* Tasks are left by pthread_exit(); then the slot passes on to a successor. */
    bool successor = !is_surplus(pool) && pool->queue.head != NULL && !pool->searching;

    pool->leaver = worker;
    if (successor) {
        pool->searching = true;
    } else {
        if (--pool->workers == 0)
            pthread_cond_broadcast(&pool->ended);
        /* Or because the cap was lowered; then those who stay see to them. */
        summons = gp_worker_summon(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (successor)
        fill_slot(pool);
    gp_worker_answer(pool, summons);
    gp_worker_reap(before);
}

/* The task has ended its thread by pthread_exit(). */
static void leave_by_exit(void *arg)
{
    struct gp_worker *worker = arg;

    gp_call_thread_exits();
    gp_panic_forget();
    pthread_mutex_lock(&worker->pool->lock);
    worker->finished++;
    count_finished(worker);
    gp_task_queue_put_back(&worker->pool->queue, worker->taken);
    leave(worker);
}

static void name_thread(const struct gp_worker *worker)
{
    char name[16];

    snprintf(name, sizeof name, "%s-%u", worker->pool->config.name, worker->number % 10000U);
    pthread_setname_np(pthread_self(), name);
}

/*
 * A batch thread does not preempt on wake-up whoever submitted the task; a thread that a task
 * starts does not inherit it. Where the policy is another one, somebody chose it.
 */
static void ask_for_batch_scheduling(void)
{
    const struct sched_param param = {0};

    if (sched_getscheduler(0) == SCHED_OTHER)
        sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &param);
}

static void *worker_main(void *arg)
{
    struct gp_worker *worker = arg;
    int previous;

    current = worker;
    /* By itself: whoever joins it may do so before pthread_create() has told the creator. */
    worker->thread = pthread_self();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &previous);
    name_thread(worker);
    if (worker->pool->config.batch_scheduling)
        ask_for_batch_scheduling();
    pthread_cleanup_push(leave_by_exit, worker);
    work(worker);
    pthread_cleanup_pop(0);
    leave(worker);
    return NULL;
}

/* Creates a thread with asynchronous signals blocked; faults stay deliverable to a handler. */
static int create_thread(struct gp_worker *worker)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t blocked;
    sigset_t previous;
    pthread_t thread;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &previous);
    int error = pthread_create(&thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    return error;
}

/* Starts a worker on a slot that is counted already, as the searcher. */
static int start(struct gopool *pool, uint32_t number)
{
    struct gp_worker *worker = mcache_alloc(sizeof *worker);

    if (worker == NULL)
        return -EAGAIN;
    *worker = (struct gp_worker){.pool = pool, .number = number, .searcher = true};
    if (create_thread(worker) != 0) {
        mcache_free(worker);
        return -EAGAIN;
    }
    return 0;
}

/* Gives a slot back that could not be filled; false when the tasks have nobody else to run them. */
static bool give_slot_back(struct gopool *pool)
{
    struct gp_spot *wake = NULL;

    pthread_mutex_lock(&pool->lock);
    bool give_back = pool->workers > 1 || pool->queue.head == NULL;
    if (give_back) {
        pool->searching = false;
        if (--pool->workers == 0)
            pthread_cond_broadcast(&pool->ended);
        else if (pool->queue.head != NULL)
            wake = wake_searcher(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (wake != NULL)
        gp_parking_ring(wake);
    return give_back;
}

/*
 * Fills a counted slot whose worker-to-be is the searcher. Not under the lock.
 *
 * Where no thread is to be had, the tasks stay with the workers there are. Accepted tasks whose
 * workers have all left are the one case in which it has to wait until the system has a thread.
 */
static void fill_slot(struct gopool *pool)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    pthread_mutex_lock(&pool->lock);
    uint32_t number = ++pool->started;
    pthread_mutex_unlock(&pool->lock);
    while (start(pool, number) != 0) {
        if (give_slot_back(pool))
            return;
        nanosleep(&pause, NULL);
    }
}

void gp_worker_answer(struct gopool *pool, struct gp_summons summons)
{
    if (summons.wake != NULL)
        gp_parking_ring(summons.wake);
    if (summons.start)
        fill_slot(pool);
}

int gp_worker_start_first(struct gopool *pool)
{
    int status = start(pool, ++pool->started);

    if (status == 0) {
        pool->workers = 1;
        pool->searching = true;
    }
    return status;
}

void gp_worker_wake_surplus(struct gopool *pool)
{
    uint32_t surplus = is_surplus(pool) ? pool->workers - pool->cap : 0;
    struct gp_spot *spot;

    for (; surplus > 0 && (spot = gp_parking_pop(&pool->parking)) != NULL; surplus--)
        gp_parking_ring(spot);
}

void gp_worker_wake_all(struct gopool *pool)
{
    struct gp_spot *spot;

    while ((spot = gp_parking_pop(&pool->parking)) != NULL)
        gp_parking_ring(spot);
}

void gp_worker_reap(struct gp_worker *worker)
{
    if (worker == NULL)
        return;
    pthread_join(worker->thread, NULL);
    mcache_free(worker);
}

bool gp_worker_is_current(const struct gopool *pool)
{
    return current != NULL && current->pool == pool;
}
