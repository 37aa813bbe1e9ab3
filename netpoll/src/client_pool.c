/* A pool of client connections: its options, its timer and its end. */
#include "client_pool.h"

#include "clock.h"
#include "dialer.h"
#include "runtime.h"

#include <gopool/gopool.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

static struct netpoll_client_pool *of_work(struct np_work *work, size_t offset)
{
    return (struct netpoll_client_pool *)(void *)((char *)work - offset);
}

/* Under the mutex. When the first of the idle ones has been so for too long; a tick later, for
 * the one it became idle in had begun. */
static uint64_t next_timeout_ms(const struct netpoll_client_pool *pool)
{
    const struct np_client *oldest = np_client_of_pool_link(pool->idle.newer);
    return oldest->idle_since_ms + (uint64_t)pool->options.idle_timeout_ms + 1;
}

static bool has_idle(const struct netpoll_client_pool *pool)
{
    return pool->idle.newer != &pool->idle;
}

/* Under the mutex. Poller. */
static void set_timer(struct netpoll_client_pool *pool)
{
    pool->timer_state = NP_CLIENT_TIMER_OFF;
    if (!pool->is_stopped && has_idle(pool)) {
        pool->timer_state = NP_CLIENT_TIMER_ARMED;
        np_wheel_add(&pool->poller->wheel, &pool->timer, next_timeout_ms(pool));
    }
    pthread_cond_broadcast(&pool->changed);
}

static void arm_work(struct np_work *work)
{
    struct netpoll_client_pool *pool =
        of_work(work, offsetof(struct netpoll_client_pool, arm_work));
    pthread_mutex_lock(&pool->mutex);
    set_timer(pool);
    pthread_mutex_unlock(&pool->mutex);
}

static void disarm_work(struct np_work *work)
{
    struct netpoll_client_pool *pool =
        of_work(work, offsetof(struct netpoll_client_pool, disarm_work));
    pthread_mutex_lock(&pool->mutex);
    np_wheel_remove(&pool->poller->wheel, &pool->timer);
    set_timer(pool);
    pthread_mutex_unlock(&pool->mutex);
}

static void time_up(struct np_timer *timer)
{
    struct netpoll_client_pool *pool =
        (struct netpoll_client_pool *)(void *)((char *)timer -
                                               offsetof(struct netpoll_client_pool, timer));
    uint64_t now_ms = np_poller_now_ms(pool->poller);
    pthread_mutex_lock(&pool->mutex);
    while (has_idle(pool) && next_timeout_ms(pool) <= now_ms) {
        pool->stats.idle_timeouts++;
        np_client_close_idle(np_client_of_pool_link(pool->idle.newer));
    }
    /* If not: disarm_work is on its way, and the last to touch the pool. */
    if (!pool->is_stopped)
        set_timer(pool);
    pthread_mutex_unlock(&pool->mutex);
}

void np_client_pool_arm(struct netpoll_client_pool *pool)
{
    if (pool->options.idle_timeout_ms == NETPOLL_TIMEOUT_NONE ||
        pool->timer_state != NP_CLIENT_TIMER_OFF)
        return;
    pool->timer_state = NP_CLIENT_TIMER_POSTED;
    np_poller_post(pool->poller, &pool->arm_work);
}

static int complete_timeouts(struct netpoll_client_pool_options *options)
{
    int status =
        np_timeout_complete(&options->idle_timeout_ms, NETPOLL_CLIENT_IDLE_TIMEOUT_MS_DEFAULT);
    if (status == 0)
        status = np_timeout_complete(&options->max_age_ms, NETPOLL_TIMEOUT_NONE);
    return status != 0 ? status : np_timeout_complete(&options->wait_timeout_ms, 0);
}

static int complete(struct netpoll_client_pool_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    if (options->max_idle_per_address == 0)
        options->max_idle_per_address = NETPOLL_CLIENT_IDLE_PER_ADDRESS_DEFAULT;
    if (options->max_idle == 0)
        options->max_idle = NETPOLL_CLIENT_IDLE_DEFAULT;
    return complete_timeouts(options);
}

static void init(struct netpoll_client_pool *pool, struct netpoll_dialer *dialer)
{
    np_clock_cond_init(&pool->changed);
    pthread_mutex_init(&pool->mutex, NULL);
    np_client_list_init(&pool->idle);
    pool->dialer = dialer;
    pool->poller = np_runtime_pick(dialer->group.runtime);
    pool->timer.fn = time_up;
    pool->arm_work.fn = arm_work;
    pool->disarm_work.fn = disarm_work;
}

int netpoll_client_pool_create(struct netpoll_dialer *dialer,
                               const struct netpoll_client_pool_options *options,
                               struct netpoll_client_pool **out)
{
    *out = NULL;
    if (np_runtime_is_foreign(dialer->group.runtime))
        return -EPERM;
    struct netpoll_client_pool *pool = mcache_alloc(sizeof *pool);
    if (pool == NULL)
        return -ENOMEM;
    memset(pool, 0, sizeof *pool);
    if (options != NULL)
        pool->options = *options;
    int status = complete(&pool->options);
    if (status != 0) {
        mcache_free(pool);
        return status;
    }
    init(pool, dialer);
    *out = pool;
    return 0;
}

void netpoll_client_pool_stats_read(struct netpoll_client_pool *pool,
                                    struct netpoll_client_pool_stats *out)
{
    pthread_mutex_lock(&pool->mutex);
    *out = pool->stats;
    out->addresses = pool->addresses.count;
    pthread_mutex_unlock(&pool->mutex);
}

/* Under the mutex, for the first time. */
static void stop(struct netpoll_client_pool *pool)
{
    pool->is_stopped = true;
    while (has_idle(pool))
        np_client_close_idle(np_client_of_pool_link(pool->idle.newer));
    for (size_t i = 0; i < pool->addresses.slot_count; i++) {
        for (struct np_hash_node *node = pool->addresses.slots[i]; node != NULL; node = node->next)
            np_client_end_waits(pool, (struct np_client_address *)node);
    }
    if (pool->timer_state == NP_CLIENT_TIMER_ARMED)
        np_poller_post(pool->poller, &pool->disarm_work);
}

void netpoll_client_pool_stop(struct netpoll_client_pool *pool)
{
    if (np_runtime_is_foreign(pool->dialer->group.runtime))
        return;
    pthread_mutex_lock(&pool->mutex);
    if (!pool->is_stopped)
        stop(pool);
    pthread_mutex_unlock(&pool->mutex);
}

/* -EBUSY when somebody has to come back to the pool. */
static int wait_for_end(struct netpoll_client_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    int status = pool->stats.in_use > 0 || pool->under_way > 0 ? -EBUSY : 0;
    while (status == 0 && (pool->conns.count > 0 || pool->timer_state != NP_CLIENT_TIMER_OFF))
        pthread_cond_wait(&pool->changed, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    return status;
}

int netpoll_client_pool_destroy(struct netpoll_client_pool *pool)
{
    if (pool == NULL)
        return 0;
    const struct netpoll_runtime *runtime = pool->dialer->group.runtime;
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    if (np_dialer_is_on_poller(pool->dialer) || gopool_is_worker(runtime->pool))
        return -EDEADLK;
    netpoll_client_pool_stop(pool);
    int status = wait_for_end(pool);
    if (status != 0)
        return status;
    np_hash_fini(&pool->addresses);
    np_hash_fini(&pool->conns);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    mcache_free(pool);
    return 0;
}
