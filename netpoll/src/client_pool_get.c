/* Gets: of an idle connection, of a new one, or of a place to wait for. Any thread; what does not
 * block goes on on a poller. */
#include "client_pool.h"

#include "clock.h"
#include "conn.h"
#include "dial.h"
#include "runtime.h"

#include <gopool/gopool.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stddef.h>

/* Under the mutex. */
static struct netpoll_conn *hand_out(struct netpoll_client_pool *pool,
                                     const struct np_client *client)
{
    pool->stats.gets++;
    pool->stats.reuses += client->is_reused;
    return client->conn;
}

static bool is_full(const struct netpoll_client_pool *pool, const struct np_client_address *address)
{
    return pool->options.max_per_address != 0 && address->count >= pool->options.max_per_address;
}

/* A place is the caller's: it is going to dial. Under the mutex. */
static void note_dial(struct netpoll_client_pool *pool)
{
    pool->stats.dialing++;
    pool->stats.dials++;
}

/*
 * Under the mutex. 0: *conn is handed out, or it is NULL and the caller dials; -EAGAIN when there
 * is no place; -ESHUTDOWN, -EINVAL, -ENOMEM; -EDEADLK when there is nothing idle and the caller may
 * not block.
 */
static int enter(struct netpoll_client_pool *pool, const char *text, bool may_go_on,
                 struct np_client_address **address, struct netpoll_conn **conn)
{
    if (pool->is_stopped)
        return -ESHUTDOWN;
    int status = np_client_address_get(pool, text, address);
    if (status != 0)
        return status;
    struct np_client *client = np_client_take(pool, *address);
    if (client != NULL) {
        pool->stats.in_use++;
        *conn = hand_out(pool, client);
        return 0;
    }
    if (!may_go_on) {
        np_client_address_drop(pool, *address);
        return -EDEADLK;
    }
    if (is_full(pool, *address)) {
        pool->stats.full++;
        return -EAGAIN;
    }
    (*address)->count++;
    pool->under_way++;
    note_dial(pool);
    return 0;
}

/* A dial has come to this: what the get comes to. The connection is let go of if it cannot be
 * handed out. */
static int take_dialed(struct netpoll_client_pool *pool, struct np_client_address *address,
                       struct netpoll_conn *conn, int status)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stats.dialing--;
    pool->under_way--;
    if (status == 0)
        status = np_client_add(pool, address, conn);
    if (status == 0) {
        pool->stats.in_use++;
        pool->stats.gets++;
    } else {
        pool->stats.dial_fails++;
        np_client_give_place(pool, address);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (status != 0 && conn != NULL) {
        (void)netpoll_conn_close(conn);
        netpoll_conn_release(conn);
    }
    return status;
}

/* A thread that waits for a place. */
struct blocked {
    struct np_client_wait wait;
    pthread_cond_t turned;
};

static void wake_blocked(struct np_client_wait *wait)
{
    pthread_cond_signal(&((struct blocked *)wait)->turned);
}

/* Under the mutex, which it leaves while it waits. */
static void sleep_until_turn(struct netpoll_client_pool *pool, struct blocked *blocked)
{
    struct timespec limit = np_clock_in(pool->options.wait_timeout_ms);
    np_clock_cond_init(&blocked->turned);
    int status = 0;
    while (blocked->wait.turn == NP_CLIENT_WAITS && status != ETIMEDOUT) {
        status = pool->options.wait_timeout_ms == NETPOLL_TIMEOUT_NONE
                     ? pthread_cond_wait(&blocked->turned, &pool->mutex)
                     : pthread_cond_timedwait(&blocked->turned, &pool->mutex, &limit);
    }
    pthread_cond_destroy(&blocked->turned);
}

/* Under the mutex. What a wait has come to, as enter(); the first that asks ends it. */
static int end_wait(struct netpoll_client_pool *pool, struct np_client_wait *wait,
                    struct netpoll_conn **conn)
{
    switch (wait->turn) {
    case NP_CLIENT_WAITS:
        np_client_wait_remove(pool, wait);
        pool->stats.wait_timeouts++;
        pool->under_way--;
        return -ETIMEDOUT;
    case NP_CLIENT_GETS_CONN:
        *conn = hand_out(pool, wait->client);
        pool->under_way--;
        return 0;
    case NP_CLIENT_GETS_PLACE:
        note_dial(pool);
        return 0;
    default:
        pool->under_way--;
        return -ESHUTDOWN;
    }
}

/* Under the mutex, which it leaves while it waits; as enter(). */
static int wait_for_place(struct netpoll_client_pool *pool, struct np_client_address *address,
                          struct netpoll_conn **conn)
{
    if (pool->options.wait_timeout_ms == 0)
        return -EAGAIN;
    int status = gopool_block_begin();
    if (status != 0 && status != -EPERM)
        return status;
    bool is_replaced = status == 0;
    struct blocked blocked = {.wait.wake = wake_blocked};
    pool->under_way++;
    np_client_wait_add(pool, address, &blocked.wait);
    sleep_until_turn(pool, &blocked);
    status = end_wait(pool, &blocked.wait, conn);
    if (is_replaced)
        gopool_block_end();
    return status;
}

static int check(const struct netpoll_client_pool *pool, int64_t *timeout_ms)
{
    if (np_runtime_is_foreign(pool->dialer->group.runtime))
        return -EPERM;
    return np_timeout_complete(timeout_ms, pool->dialer->timeout_ms);
}

int netpoll_client_pool_get(struct netpoll_client_pool *pool, const char *text, int64_t timeout_ms,
                            struct netpoll_conn **out)
{
    struct np_client_address *address = NULL;
    *out = NULL;
    int status = check(pool, &timeout_ms);
    if (status != 0)
        return status;
    bool may_block = !np_dialer_is_on_poller(pool->dialer);
    pthread_mutex_lock(&pool->mutex);
    status = enter(pool, text, may_block, &address, out);
    if (status == -EAGAIN)
        status = wait_for_place(pool, address, out);
    pthread_mutex_unlock(&pool->mutex);
    if (status != 0 || *out != NULL)
        return status;
    struct netpoll_conn *conn;
    status = netpoll_dialer_dial(pool->dialer, text, timeout_ms, &conn);
    status = take_dialed(pool, address, conn, status);
    if (status == 0)
        *out = conn;
    return status;
}

/* A get that does not block. The first work is what it is woken by, the second arms its timer. */
struct get {
    struct np_client_wait wait; /* first */
    struct np_work work;
    struct np_work arm_work;
    struct np_timer timer;
    struct netpoll_client_pool *pool;
    struct np_client_address *address;
    struct np_poller *poller;
    netpoll_dialed_fn *fn;
    void *arg;
    int64_t timeout_ms;
    uint64_t limit_ms; /* of the wait; 0: none */
    struct netpoll_conn *conn;
    bool is_armed; /* poller */
    bool is_woken; /* poller: before it was armed */
};

/* The last step. Poller. */
static void tell(struct get *get, struct netpoll_conn *conn, int status)
{
    struct np_dialed_call call = {.fn = get->fn, .arg = get->arg, .conn = conn, .status = status};
    struct netpoll_runtime *runtime = get->poller->runtime;
    mcache_free(get);
    np_dialed_call(runtime, &call);
}

static void tell_work(struct np_work *work)
{
    struct get *get = (struct get *)(void *)((char *)work - offsetof(struct get, work));
    tell(get, get->conn, 0);
}

/* Poller, as a function of a dial, where a panic is contained. */
static void dialed(struct netpoll_conn *conn, int status, void *arg)
{
    struct get get = *(struct get *)arg;
    mcache_free(arg);
    status = take_dialed(get.pool, get.address, conn, status);
    get.fn(status == 0 ? conn : NULL, status, get.arg);
}

static int start_dial(struct get *get)
{
    /* The text stays as long as the place is this one's. */
    int status = netpoll_dialer_start(get->pool->dialer, get->address->text, get->timeout_ms,
                                      dialed, get, NULL);
    return status == 0 ? 0 : take_dialed(get->pool, get->address, NULL, status);
}

/* Its turn has come. Poller. */
static void go_on(struct get *get)
{
    struct netpoll_client_pool *pool = get->pool;
    struct netpoll_conn *conn = NULL;
    np_wheel_remove(&get->poller->wheel, &get->timer);
    pthread_mutex_lock(&pool->mutex);
    int status = end_wait(pool, &get->wait, &conn);
    pthread_mutex_unlock(&pool->mutex);
    if (status == 0 && conn == NULL) {
        status = start_dial(get);
        if (status == 0)
            return;
    }
    tell(get, conn, status);
}

static void woken_work(struct np_work *work)
{
    struct get *get = (struct get *)(void *)((char *)work - offsetof(struct get, work));
    /* The two may overtake each other: the second one goes on. */
    if (get->is_armed)
        go_on(get);
    else
        get->is_woken = true;
}

static void wake_get(struct np_client_wait *wait)
{
    struct get *get = (struct get *)wait;
    np_poller_post(get->poller, &get->work);
}

static void time_up(struct np_timer *timer)
{
    struct get *get = (struct get *)(void *)((char *)timer - offsetof(struct get, timer));
    struct netpoll_client_pool *pool = get->pool;
    pthread_mutex_lock(&pool->mutex);
    /* If not: the work that goes on is on its way. */
    bool has_waited = get->wait.turn == NP_CLIENT_WAITS;
    int status = has_waited ? end_wait(pool, &get->wait, &get->conn) : 0;
    pthread_mutex_unlock(&pool->mutex);
    if (has_waited)
        tell(get, NULL, status);
}

static void arm_work(struct np_work *work)
{
    struct get *get = (struct get *)(void *)((char *)work - offsetof(struct get, arm_work));
    get->is_armed = true;
    if (get->is_woken)
        go_on(get);
    else if (get->limit_ms != 0)
        np_wheel_add(&get->poller->wheel, &get->timer, get->limit_ms);
}

/* Under the mutex. */
static int begin_wait(struct netpoll_client_pool *pool, struct get *get)
{
    int64_t wait_ms = pool->options.wait_timeout_ms;
    if (wait_ms == 0)
        return -EAGAIN;
    if (wait_ms != NETPOLL_TIMEOUT_NONE)
        get->limit_ms = np_clock_ms() + (uint64_t)wait_ms + 1;
    get->work.fn = woken_work;
    get->poller = np_runtime_pick(pool->dialer->group.runtime);
    pool->under_way++;
    np_client_wait_add(pool, get->address, &get->wait);
    np_poller_post(get->poller, &get->arm_work);
    return -EINPROGRESS;
}

static int start(struct get *get, const char *text)
{
    struct netpoll_client_pool *pool = get->pool;
    pthread_mutex_lock(&pool->mutex);
    int status = enter(pool, text, true, &get->address, &get->conn);
    if (status == -EAGAIN)
        status = begin_wait(pool, get);
    pthread_mutex_unlock(&pool->mutex);
    if (status != 0)
        return status == -EINPROGRESS ? 0 : status;
    if (get->conn == NULL)
        return start_dial(get);
    get->poller = get->conn->fd.poller;
    np_poller_post(get->poller, &get->work);
    return 0;
}

int netpoll_client_pool_start_get(struct netpoll_client_pool *pool, const char *text,
                                  int64_t timeout_ms, netpoll_dialed_fn *fn, void *arg)
{
    int status = check(pool, &timeout_ms);
    if (status == 0 && fn == NULL)
        status = -EINVAL;
    if (status != 0)
        return status;
    struct get *get = mcache_alloc(sizeof *get);
    if (get == NULL)
        return -ENOMEM;
    *get = (struct get){
        .wait.wake = wake_get,
        .work.fn = tell_work,
        .arm_work.fn = arm_work,
        .timer.fn = time_up,
        .pool = pool,
        .fn = fn,
        .arg = arg,
        .timeout_ms = timeout_ms,
    };
    status = start(get, text);
    if (status != 0)
        mcache_free(get);
    return status;
}
