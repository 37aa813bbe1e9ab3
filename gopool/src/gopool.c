/* The public calls of a pool: create, submit, stop, figures. Any thread. */
#include <gopool/gopool.h>

#include <errno.h>
#include <mcache/mcache.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "cancel.h"
#include "deadline.h"
#include "fork.h"
#include "here.h"
#include "interrogation.h"
#include "monitor.h"
#include "registry.h"
#include "summon.h"
#include "thread.h"
#include "watchdog.h"
#include "worker.h"

#define DEFAULT_NAME            "gopool"
#define DEFAULT_IDLE_TIMEOUT_MS 10000

static uint32_t cpus_allowed(void)
{
    cpu_set_t allowed;
    long cpus;

    /* Fails on machines with more CPUs than the set holds. */
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        cpus = CPU_COUNT(&allowed);
    else
        cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (uint32_t)cpus : 1;
}

static uint32_t cap_or_default(uint32_t cap)
{
    return cap != 0 ? cap : 10 * cpus_allowed() + 64;
}

static int read_options(const struct gopool_options *options, struct gp_config *config)
{
    const char *name = options->name != NULL ? options->name : DEFAULT_NAME;
    size_t length = strnlen(name, GP_NAME_MAX + 1);

    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    if (length > GP_NAME_MAX || (unsigned)options->when_full > GOPOOL_WHEN_FULL_CALLER_RUNS ||
        options->cap > GOPOOL_CAP_MAX || options->max_blocked > GOPOOL_CAP_MAX)
        return -EINVAL;
    *config = (struct gp_config){
        .batch_scheduling = !options->disable_batch_scheduling,
        .idle_timeout_ms =
            options->idle_timeout_ms != 0 ? options->idle_timeout_ms : DEFAULT_IDLE_TIMEOUT_MS,
        .queue_limit =
            options->queue_limit != 0 ? options->queue_limit : GOPOOL_QUEUE_LIMIT_DEFAULT,
        .when_full = options->when_full,
        .max_blocked = options->max_blocked,
        .eager_workers = GOPOOL_EAGER_WORKERS_PER_CPU * cpus_allowed(),
        .stuck_after_ms = options->stuck_after_ms,
        .stuck_handler = options->stuck_handler,
        .stuck_handler_arg = options->stuck_handler_arg,
    };
    memcpy(config->name, name, length);
    return 0;
}

/* None of these can fail with such attributes on Linux. */
static void init_sync(struct gopool *pool)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->drain.seen, &monotonic);
    pthread_cond_init(&pool->monitor.wake, &monotonic);
    pthread_cond_init(&pool->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&pool->room.made, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_mutex_init(&pool->take_lock, NULL);
}

static void destroy_sync(struct gopool *pool)
{
    pthread_mutex_destroy(&pool->take_lock);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->room.made);
    pthread_cond_destroy(&pool->ended);
    pthread_cond_destroy(&pool->monitor.wake);
    pthread_cond_destroy(&pool->drain.seen);
}

int gopool_create(const struct gopool_options *options, struct gopool **out)
{
    static const struct gopool_options defaults;
    struct gp_config config;

    *out = NULL;
    if (options == NULL)
        options = &defaults;
    int status = read_options(options, &config);
    if (status != 0)
        return status;
    struct gopool *pool = mcache_aligned_alloc(_Alignof(struct gopool), sizeof *pool);
    if (pool == NULL)
        return -ENOMEM;
    gp_fork_prepare();
    if (config.stuck_after_ms != 0)
        gp_interrogation_prepare();
    *pool = (struct gopool){
        .config = config,
        .fork_count = gp_fork_count,
        .cap = cap_or_default(options->cap),
        .panic_listener = {options->panic_handler, options->panic_handler_arg},
    };
    init_sync(pool);
    *out = pool;
    return 0;
}

static bool is_alive(const struct gopool *pool)
{
    return pool->workers > 0 || pool->monitor.exists || pool->watchdog.exists ||
           pool->here_running > 0;
}

/* Ends every thread, and waits for submitters that run tasks. Under lock, which it releases in
 * between. */
static void end_threads(struct gopool *pool)
{
    gp_summon_all(pool);
    pthread_cond_broadcast(&pool->room.made);
    while (is_alive(pool))
        pthread_cond_wait(&pool->ended, &pool->lock);
    struct gp_thread *leaver = pool->leaver;
    pthread_mutex_unlock(&pool->lock);
    gp_thread_reap(leaver);
    pthread_mutex_lock(&pool->lock);
}

int gopool_stop(struct gopool *pool)
{
    if (gp_fork_is_foreign(pool) || gp_registry_is_default(pool))
        return -EPERM;
    if (gopool_is_worker(pool))
        return -EDEADLK;
    /* The thread may be a worker of another pool. */
    bool counts = gopool_block_begin() == 0;
    int cancel_state = gp_cancel_disable();
    pthread_mutex_lock(&pool->lock);
    if (pool->phase == GP_PHASE_RUNNING) {
        pool->phase = GP_PHASE_STOPPING;
        end_threads(pool);
        pool->phase = GP_PHASE_STOPPED;
        pthread_cond_broadcast(&pool->ended);
    }
    while (pool->phase != GP_PHASE_STOPPED)
        pthread_cond_wait(&pool->ended, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    gp_cancel_restore(cancel_state);
    if (counts)
        gopool_block_end();
    return 0;
}

void gopool_destroy(struct gopool *pool)
{
    if (pool == NULL || gp_fork_is_foreign(pool))
        return;
    int status = gopool_stop(pool);
    if (status == -EPERM)
        gopool_panic("gopool_destroy() of gopool_default()");
    /* Its stack would outlive the pool. */
    if (status == -EDEADLK)
        gopool_panic("gopool_destroy() on a thread of the pool");
    gp_registry_remove(pool);
    destroy_sync(pool);
    mcache_free(pool);
}

/* Under lock. */
static bool is_full(const struct gopool *pool)
{
    return pool->phase == GP_PHASE_RUNNING && gp_pool_queued(pool) >= pool->config.queue_limit;
}

/* Under no lock. */
static void wait_for_room(struct gopool *pool)
{
    /* Both: a worker that has taken a task since is seen, one that takes one from now on sees the
     * call. */
    gp_pool_lock_both(pool);
    pool->room.waiters++;
    gp_pool_update_attention(pool);
    pthread_mutex_unlock(&pool->take_lock);
    while (is_full(pool))
        pthread_cond_wait(&pool->room.made, &pool->lock);
    pool->room.waiters--;
    gp_pool_update_attention(pool);
    pthread_mutex_unlock(&pool->lock);
}

static bool is_to_be_rejected(const struct gp_task_list *list)
{
    return (list->flags & GOPOOL_TASK_REJECT_WHEN_FULL) != 0;
}

static bool may_run_here(const struct gopool *pool, const struct gp_task_list *list)
{
    return pool->config.when_full == GOPOOL_WHEN_FULL_CALLER_RUNS && !is_to_be_rejected(list) &&
           gp_here_is_allowed();
}

/* Under lock. */
static void count_here(struct gopool *pool, const struct gp_task_list *list)
{
    pool->here_count += list->count;
    pool->here_running++;
}

/* What is done about a full queue: 0 when the tasks may come in, -EAGAIN when they may not. Under
 * lock, which it may release in between. */
static int meet_full_queue(struct gopool *pool, const struct gp_task_list *list)
{
    pool->full_count++;
    if (pool->config.when_full != GOPOOL_WHEN_FULL_BLOCK || is_to_be_rejected(list))
        return -EAGAIN;
    if (gopool_is_worker(pool))
        return -EDEADLK;
    while (is_full(pool)) {
        pthread_mutex_unlock(&pool->lock);
        /* The thread may be a worker of another pool. */
        bool counts = gopool_block_begin() == 0;
        int cancel_state = gp_cancel_disable();
        wait_for_room(pool);
        gp_cancel_restore(cancel_state);
        if (counts)
            gopool_block_end();
        pthread_mutex_lock(&pool->lock);
    }
    return 0;
}

/* Under lock. */
static int admit(struct gopool *pool, const struct gp_task_list *list, struct gp_summons *summons)
{
    if (pool->phase != GP_PHASE_RUNNING)
        return -ESHUTDOWN;
    /* Under the lock, so that nobody else's task relies on a thread that may not come. */
    int status = gp_monitor_ensure(pool);
    if (status == 0 && pool->workers == 0)
        status = gp_summon_first(pool);
    if (status != 0)
        return status;
    gp_task_queue_append(&pool->inbox, list);
    pool->accepted_count += list->count;
    *summons = gp_summon(pool);
    gp_watchdog_ensure(pool);
    return 0;
}

/* Accepts a measured list that is not empty. */
static int accept_tasks(struct gopool *pool, const struct gp_task_list *list)
{
    struct gp_summons summons = {0};
    int status = 0;

    if (gp_fork_is_foreign(pool))
        return -EPERM;
    pthread_mutex_lock(&pool->lock);
    if (is_full(pool))
        status = meet_full_queue(pool, list);
    bool runs_here = status == -EAGAIN && may_run_here(pool, list);
    if (status == 0)
        status = admit(pool, list, &summons);
    else if (runs_here)
        count_here(pool, list);
    pthread_mutex_unlock(&pool->lock);
    gp_summon_answer(pool, summons);
    if (!runs_here)
        return status;
    gp_here_run(pool, list->first);
    return 0;
}

int gopool_go(struct gopool *pool, gopool_fn *fn, void *arg)
{
    if (fn == NULL)
        return -EINVAL;
    struct gopool_task *task = mcache_alloc(sizeof *task);
    if (task == NULL)
        return -ENOMEM;
    *task = (struct gopool_task){.fn = fn, .arg = arg, .flags = GP_TASK_OWNED};
    const struct gp_task_list list = {.first = task, .last = task, .count = 1};
    int status = accept_tasks(pool, &list);
    if (status != 0)
        mcache_free(task);
    return status;
}

int gopool_submit(struct gopool *pool, struct gopool_task *task)
{
    struct gp_task_list list;

    task->next = NULL;
    int status = gp_task_list_measure(task, &list);
    return status != 0 ? status : accept_tasks(pool, &list);
}

int gopool_submit_batch(struct gopool *pool, struct gopool_task *first)
{
    struct gp_task_list list;

    if (first == NULL)
        return 0;
    int status = gp_task_list_measure(first, &list);
    return status != 0 ? status : accept_tasks(pool, &list);
}

int gopool_set_cap(struct gopool *pool, uint32_t cap)
{
    if (gp_fork_is_foreign(pool))
        return -EPERM;
    if (cap > GOPOOL_CAP_MAX)
        return -EINVAL;
    pthread_mutex_lock(&pool->lock);
    pool->cap = cap_or_default(cap);
    pool->workers_max = pool->cap + pool->blocked;
    gp_summon_surplus(pool);
    gp_pool_update_attention(pool);
    struct gp_summons summons = gp_summon(pool);
    pthread_mutex_unlock(&pool->lock);
    gp_summon_answer(pool, summons);
    return 0;
}

void gopool_set_panic_handler(struct gopool *pool, gopool_panic_fn *handler, void *arg)
{
    if (gp_fork_is_foreign(pool))
        return;
    pthread_mutex_lock(&pool->lock);
    pool->panic_listener.fn = handler;
    pool->panic_listener.arg = arg;
    pthread_mutex_unlock(&pool->lock);
}

/* Under lock, which it releases in between. */
static int wait_until_idle(struct gopool *pool, int timeout_ms)
{
    const struct timespec deadline = gp_deadline_after((uint32_t)(timeout_ms > 0 ? timeout_ms : 0));
    uint32_t times = pool->drain.times;
    int error = 0;

    while (pool->drain.times == times && error == 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&pool->drain.seen, &pool->lock);
        else
            error = pthread_cond_timedwait(&pool->drain.seen, &pool->lock, &deadline);
    }
    return pool->drain.times == times ? -ETIMEDOUT : 0;
}

int gopool_drain(struct gopool *pool, int timeout_ms)
{
    int status = 0;

    if (gp_fork_is_foreign(pool))
        return -EPERM;
    if (gopool_is_worker(pool))
        return -EDEADLK;
    /* The thread may be a worker of another pool. */
    bool counts = timeout_ms != 0 && gopool_block_begin() == 0;
    int cancel_state = gp_cancel_disable();
    gp_pool_lock_both(pool);
    bool is_idle = gp_pool_is_idle(pool);
    pool->drain.waiters++;
    pthread_mutex_unlock(&pool->take_lock);
    if (!is_idle)
        status = wait_until_idle(pool, timeout_ms);
    pool->drain.waiters--;
    pthread_mutex_unlock(&pool->lock);
    gp_cancel_restore(cancel_state);
    if (counts)
        gopool_block_end();
    return status;
}

bool gopool_is_worker(const struct gopool *pool)
{
    const struct gp_thread *thread = gp_thread_current();

    return !gp_fork_is_foreign(pool) &&
           ((thread != NULL && thread->pool == pool) || gp_here_is_inside(pool));
}

void gopool_stats_read(struct gopool *pool, struct gopool_stats *out)
{
    *out = (struct gopool_stats){0};
    if (gp_fork_is_foreign(pool))
        return;
    gp_pool_lock_both(pool);
    *out = (struct gopool_stats){
        .workers = pool->workers,
        .cap = pool->cap,
        .idle_workers = pool->parking.count,
        .blocked_workers = pool->blocked,
        .submitted_count = pool->accepted_count + pool->here_count,
        .finished_count = pool->finished_count,
        .panic_count = pool->panic_count,
        .fault_count = pool->fault_count,
        .queued = gp_pool_queued(pool),
        .full_count = pool->full_count,
        .stuck_count = pool->watchdog.stuck_count,
    };
    gp_pool_unlock_both(pool);
}
