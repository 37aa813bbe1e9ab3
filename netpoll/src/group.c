/* Connections that begin and end together. Any thread but the pollers and handlers, unless group.h
 * says otherwise. */
#include "group.h"

#include "clock.h"
#include "conn.h"
#include "log.h"
#include "runtime.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum sweep_kind {
    SWEEP_CLOSE_USED, /* those on which nothing has come yet are left and counted */
    SWEEP_CLOSE,
    SWEEP_ABORT,
};

/* A visit of one poller to all its connections of the group. */
struct np_sweep {
    struct np_work work;
    struct np_group *group;
    struct np_poller *poller;
    enum sweep_kind kind;
};

static void init_locks(struct np_group *group)
{
    np_clock_cond_init(&group->changed);
    pthread_mutex_init(&group->mutex, NULL);
    pthread_mutex_init(&group->shutdown, NULL);
}

int np_group_init(struct np_group *group, struct netpoll_runtime *runtime,
                  const struct netpoll_conn_options *options)
{
    memset(group, 0, sizeof *group);
    group->runtime = runtime;
    atomic_init(&group->refs, 1);
    group->options = *options;
    int status = np_conn_options_complete(&group->options);
    if (status == 0 && np_runtime_is_foreign(runtime))
        status = -EPERM;
    if (status != 0)
        return status;
    group->sweeps = mcache_alloc(runtime->poller_count * sizeof *group->sweeps);
    if (group->sweeps == NULL)
        return -ENOMEM;
    init_locks(group);
    /* Relaxed: counts up only; the caller keeps the runtime from being destroyed meanwhile. */
    atomic_fetch_add_explicit(&runtime->group_count, 1, memory_order_relaxed);
    return 0;
}

void np_group_fini(struct np_group *group)
{
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->mutex);
    pthread_mutex_destroy(&group->shutdown);
    mcache_free(group->sweeps);
    /* Release: pairs with netpoll_runtime_destroy(). */
    atomic_fetch_sub_explicit(&group->runtime->group_count, 1, memory_order_release);
}

void np_group_ref(struct np_group *group)
{
    /* Relaxed: the owner's count is still there. */
    atomic_fetch_add_explicit(&group->refs, 1, memory_order_relaxed);
}

void np_group_unref(struct np_group *group)
{
    /* Release: what this one did; acquire: what all of them did, before the free. */
    if (atomic_fetch_sub_explicit(&group->refs, 1, memory_order_acq_rel) == 1)
        mcache_free(group);
}

bool np_group_is_shutting_down(const struct np_group *group)
{
    /* Acquire: pairs with the release in shut_down(). */
    return atomic_load_explicit(&group->shutting_down, memory_order_acquire);
}

void np_group_notify(struct np_group *group)
{
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
}

void np_group_conn_added(struct np_group *group, struct np_poller *poller)
{
    /* Relaxed: a figure; counted here, so that a burst of accepts is spread. */
    atomic_fetch_add_explicit(&poller->conn_count, 1, memory_order_relaxed);
    pthread_mutex_lock(&group->mutex);
    group->conn_count++;
    pthread_mutex_unlock(&group->mutex);
}

void np_group_conn_gone(struct np_group *group)
{
    pthread_mutex_lock(&group->mutex);
    group->conn_count--;
    if (group->on_conn_gone != NULL)
        group->on_conn_gone(group);
    np_group_notify(group);
}

/* A connected socket on its way to its poller. */
struct arrival {
    struct np_work work;
    struct np_group *group;
    struct np_poller *poller;
    struct np_socket socket;
    bool is_adopted; /* and has not been counted as accepted */
};

static void open_here(struct np_group *group, struct np_poller *poller,
                      const struct np_socket *socket)
{
    int status = np_conn_open(group, poller, socket, NULL);
    if (status == 0)
        return;
    np_count(status == -ECONNABORTED ? &poller->counters.refused : &poller->counters.accept_drops,
             1);
    if (status != -ECONNABORTED)
        np_log_error(poller->runtime, status, "an accepted connection is dropped");
    /* Relaxed: a figure; takes back what np_group_conn_added() has counted, before the peer sees
     * the end. */
    atomic_fetch_sub_explicit(&poller->conn_count, 1, memory_order_relaxed);
    close(socket->fd);
    np_group_conn_gone(group);
}

static void arrived(struct np_work *work)
{
    struct arrival arrival = *(struct arrival *)work;
    mcache_free(work);
    np_count(&arrival.poller->counters.accepted, arrival.is_adopted);
    open_here(arrival.group, arrival.poller, &arrival.socket);
}

void np_group_open_conn(struct np_group *group, struct np_poller *poller,
                        const struct np_socket *socket)
{
    struct arrival *arrival = NULL;
    if (!np_poller_is_current(poller))
        arrival = mcache_alloc(sizeof *arrival);
    /* Without memory to hand it over it stays here. */
    struct np_poller *its = arrival != NULL ? poller : np_poller_current();
    np_group_conn_added(group, its);
    if (arrival == NULL) {
        open_here(group, its, socket);
        return;
    }
    *arrival =
        (struct arrival){.work.fn = arrived, .group = group, .poller = poller, .socket = *socket};
    np_poller_post(poller, &arrival->work);
}

int np_group_adopt(struct np_group *group, struct np_poller *poller, const struct np_socket *socket)
{
    struct arrival *arrival = mcache_alloc(sizeof *arrival);
    if (arrival == NULL)
        return -ENOMEM;
    *arrival = (struct arrival){.work.fn = arrived,
                                .group = group,
                                .poller = poller,
                                .socket = *socket,
                                .is_adopted = true};
    /* Under the mutex: it is on its way before the sweep is, or comes too late. */
    pthread_mutex_lock(&group->mutex);
    bool is_late = np_group_is_shutting_down(group);
    if (!is_late) {
        group->conn_count++;
        /* Relaxed: a figure. */
        atomic_fetch_add_explicit(&poller->conn_count, 1, memory_order_relaxed);
        np_poller_post(poller, &arrival->work);
    }
    pthread_mutex_unlock(&group->mutex);
    if (is_late)
        mcache_free(arrival);
    return is_late ? -ESHUTDOWN : 0;
}

static bool is_unused(const struct netpoll_conn *conn)
{
    /* Relaxed: this thread writes it. */
    return atomic_load_explicit(&conn->input.bytes, memory_order_relaxed) == 0 &&
           (np_state_read(&conn->state) & NP_CONN_CLOSING) == 0;
}

/* The counts are under the mutex. */
static void visit(const struct np_sweep *sweep, struct netpoll_conn *conn)
{
    bool is_left = sweep->kind == SWEEP_CLOSE_USED && is_unused(conn);
    if (sweep->kind == SWEEP_CLOSE || (sweep->kind == SWEEP_CLOSE_USED && !is_left)) {
        np_conn_begin_shutdown(conn);
        return;
    }
    pthread_mutex_lock(&sweep->group->mutex);
    sweep->group->unused += is_left;
    sweep->group->aborted += !is_left;
    pthread_mutex_unlock(&sweep->group->mutex);
    if (!is_left)
        np_conn_close(conn, NETPOLL_CLOSE_SHUTDOWN, NP_CONN_ABORTED);
}

static void sweep_poller(struct np_work *work)
{
    struct np_sweep *sweep = (struct np_sweep *)work;
    struct np_fd_table *fds = &sweep->poller->fds;
    /* A visit may remove any descriptor and add others: those are of no group that ends. */
    for (uint32_t slot = 0; slot < fds->count; slot++) {
        struct np_fd *fd = np_fd_table_entry(fds, slot)->fd;
        if (fd == NULL || fd->kind != NP_FD_STREAM)
            continue;
        struct netpoll_conn *conn = (struct netpoll_conn *)fd;
        if (conn->group == sweep->group)
            visit(sweep, conn);
    }
    struct np_group *group = sweep->group;
    pthread_mutex_lock(&group->mutex);
    group->sweeping--;
    np_group_notify(group);
}

/* Under the mutex, which it leaves while it waits. */
static void sweep_all(struct np_group *group, enum sweep_kind kind)
{
    struct netpoll_runtime *runtime = group->runtime;
    group->sweeping = runtime->poller_count;
    for (uint32_t i = 0; i < runtime->poller_count; i++) {
        group->sweeps[i] = (struct np_sweep){
            .work.fn = sweep_poller, .group = group, .poller = &runtime->pollers[i], .kind = kind};
        np_poller_post(&runtime->pollers[i], &group->sweeps[i].work);
    }
    while (group->sweeping > 0)
        pthread_cond_wait(&group->changed, &group->mutex);
}

/* Under the mutex, which it leaves while it waits. deadline NULL: none. */
static void wait_for_conns(struct np_group *group, const struct timespec *deadline)
{
    int status = 0;
    while (group->conn_count > 0 && status != ETIMEDOUT) {
        status = deadline == NULL
                     ? pthread_cond_wait(&group->changed, &group->mutex)
                     : pthread_cond_timedwait(&group->changed, &group->mutex, deadline);
    }
}

/* Under both mutexes, of which it leaves the inner one while it waits. */
static void shut_down(struct np_group *group, const struct timespec *deadline,
                      void (*before_sweep)(struct np_group *group))
{
    if (!np_group_is_shutting_down(group)) {
        /* Release: pairs with np_group_is_shutting_down(). A connection that is opened before
         * its poller sees this is on the list when the sweep comes. */
        atomic_store_explicit(&group->shutting_down, true, memory_order_release);
        if (before_sweep != NULL)
            before_sweep(group);
    }
    group->aborted = 0;
    sweep_all(group, SWEEP_CLOSE);
    wait_for_conns(group, deadline);
    if (group->conn_count > 0)
        sweep_all(group, SWEEP_ABORT);
    wait_for_conns(group, NULL);
}

size_t np_group_close_used(struct np_group *group)
{
    pthread_mutex_lock(&group->mutex);
    group->unused = 0;
    sweep_all(group, SWEEP_CLOSE_USED);
    size_t unused = group->unused;
    pthread_mutex_unlock(&group->mutex);
    return unused;
}

int np_group_check_shut_down(const struct np_group *group, int64_t timeout_ms)
{
    const struct netpoll_runtime *runtime = group->runtime;
    if (timeout_ms < NETPOLL_TIMEOUT_NONE || timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    if (netpoll_runtime_is_poller(runtime) || gopool_is_worker(runtime->pool))
        return -EDEADLK;
    return 0;
}

int np_group_shut_down(struct np_group *group, int64_t timeout_ms,
                       void (*before_sweep)(struct np_group *group))
{
    int status = np_group_check_shut_down(group, timeout_ms);
    if (status != 0)
        return status;
    struct timespec deadline = np_clock_in(timeout_ms);
    pthread_mutex_lock(&group->shutdown);
    pthread_mutex_lock(&group->mutex);
    shut_down(group, timeout_ms == NETPOLL_TIMEOUT_NONE ? NULL : &deadline, before_sweep);
    int aborted = (int)group->aborted;
    pthread_mutex_unlock(&group->mutex);
    pthread_mutex_unlock(&group->shutdown);
    return aborted;
}
