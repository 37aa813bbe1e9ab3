/* A server: its listeners, the count of its connections, and its end. */
#include "server.h"

#include "conn.h"
#include "listener.h"
#include "runtime.h"

#include <gopool/gopool.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* A visit of one poller to all its connections of the server. */
struct sweep {
    struct np_work work;
    struct netpoll_server *server;
    struct np_poller *poller;
    bool abort;
};

struct netpoll_server {
    struct netpoll_runtime *runtime;
    struct netpoll_server_options options;
    _Atomic bool shutting_down; /* set under the mutex; pollers read it alone, see sweep() */
    pthread_mutex_t shutdown;   /* held by the thread that shuts down, with the sweeps its own */
    struct sweep *sweeps;       /* one for each poller */
    pthread_mutex_t mutex;      /* guards what follows */
    pthread_cond_t changed;
    struct np_listener *listeners;
    struct np_listener **listeners_end;
    uint32_t listener_count;
    uint32_t open_sockets; /* listeners whose descriptor is not closed */
    size_t conn_count;
    uint32_t sweeping; /* pollers that have not looked at all their connections */
    size_t aborted;
};

const struct netpoll_server_options *np_server_options(const struct netpoll_server *server)
{
    return &server->options;
}

bool np_server_is_shutting_down(const struct netpoll_server *server)
{
    /* Acquire: pairs with the release in netpoll_server_shutdown(). */
    return atomic_load_explicit(&server->shutting_down, memory_order_acquire);
}

/* Each ends with the caller's last touch: the waiter may free the server when it has the mutex. */
static void notify(struct netpoll_server *server)
{
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

void np_server_conn_added(struct netpoll_server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->conn_count++;
    pthread_mutex_unlock(&server->mutex);
}

void np_server_conn_gone(struct netpoll_server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->conn_count--;
    notify(server);
}

void np_server_listener_started(struct netpoll_server *server, struct np_listener *listener,
                                int status)
{
    pthread_mutex_lock(&server->mutex);
    listener->started = true;
    listener->start_status = status;
    notify(server);
}

void np_server_listener_gone(struct netpoll_server *server, struct np_listener *listener)
{
    pthread_mutex_lock(&server->mutex);
    listener->closed = true;
    server->open_sockets--;
    notify(server);
}

static int check_options(const struct netpoll_server_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    if (options->on_request == NULL || options->backlog < 0)
        return -EINVAL;
    if (options->handler != NETPOLL_HANDLER_POOL && options->handler != NETPOLL_HANDLER_INLINE)
        return -EINVAL;
    return 0;
}

int netpoll_server_create(struct netpoll_runtime *runtime,
                          const struct netpoll_server_options *options, struct netpoll_server **out)
{
    *out = NULL;
    int status = check_options(options);
    if (status == 0 && np_runtime_is_foreign(runtime))
        status = -EPERM;
    if (status != 0)
        return status;
    struct netpoll_server *server = mcache_alloc(sizeof *server);
    if (server == NULL)
        return -ENOMEM;
    memset(server, 0, sizeof *server);
    server->sweeps = mcache_alloc(runtime->poller_count * sizeof *server->sweeps);
    if (server->sweeps == NULL) {
        mcache_free(server);
        return -ENOMEM;
    }
    server->runtime = runtime;
    server->options = *options;
    if (server->options.close_timeout_ms == 0)
        server->options.close_timeout_ms = NETPOLL_CLOSE_TIMEOUT_MS_DEFAULT;
    if (server->options.backlog == 0)
        server->options.backlog = NETPOLL_BACKLOG_DEFAULT;
    server->listeners_end = &server->listeners;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&server->mutex, NULL);
    pthread_mutex_init(&server->shutdown, NULL);
    /* Relaxed: counts up only; the caller keeps the runtime from being destroyed meanwhile. */
    atomic_fetch_add_explicit(&runtime->server_count, 1, memory_order_relaxed);
    *out = server;
    return 0;
}

static struct np_poller *listener_poller(struct netpoll_server *server)
{
    struct netpoll_runtime *runtime = server->runtime;
    return &runtime->pollers[server->listener_count % runtime->poller_count];
}

/* Under the mutex, which it leaves while it waits. The poller could not watch it. */
static void drop_listener(struct netpoll_server *server, struct np_listener *listener)
{
    np_listener_stop(listener);
    while (!listener->closed)
        pthread_cond_wait(&server->changed, &server->mutex);
    np_listener_destroy(listener);
}

/* Under the mutex, which it leaves while it waits. */
static int add_listener(struct netpoll_server *server, const struct np_address *address)
{
    struct np_listener *listener;
    if (np_server_is_shutting_down(server))
        return -ESHUTDOWN;
    int status = np_listener_create(server, listener_poller(server), address,
                                    server->options.backlog, &listener);
    if (status != 0)
        return status;
    server->open_sockets++;
    while (!listener->started)
        pthread_cond_wait(&server->changed, &server->mutex);
    status = listener->start_status;
    if (status == 0 && np_server_is_shutting_down(server))
        status = -ESHUTDOWN; /* its sweep of the listeners did not see this one */
    if (status != 0) {
        drop_listener(server, listener);
        return status;
    }
    *server->listeners_end = listener;
    server->listeners_end = &listener->next;
    server->listener_count++;
    return 0;
}

static bool is_poller_of(const struct netpoll_runtime *runtime)
{
    const struct np_poller *poller = np_poller_current();
    return poller != NULL && poller->runtime == runtime;
}

int netpoll_server_listen(struct netpoll_server *server, const char *address)
{
    struct np_address parsed;
    if (np_runtime_is_foreign(server->runtime))
        return -EPERM;
    if (is_poller_of(server->runtime))
        return -EDEADLK;
    int status = np_address_parse(address, &parsed);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->mutex);
    status = add_listener(server, &parsed);
    pthread_mutex_unlock(&server->mutex);
    return status;
}

size_t netpoll_server_listeners(struct netpoll_server *server)
{
    if (np_runtime_is_foreign(server->runtime))
        return 0;
    pthread_mutex_lock(&server->mutex);
    size_t count = server->listener_count;
    pthread_mutex_unlock(&server->mutex);
    return count;
}

int netpoll_server_address(struct netpoll_server *server, size_t index, char *out, size_t size)
{
    if (np_runtime_is_foreign(server->runtime))
        return -EPERM;
    pthread_mutex_lock(&server->mutex);
    struct np_listener *listener = server->listeners;
    while (listener != NULL && index-- > 0)
        listener = listener->next;
    int status = -EINVAL;
    if (listener != NULL && !listener->closed)
        status = np_address_of_socket(listener->fd.fd, out, size);
    pthread_mutex_unlock(&server->mutex);
    return status;
}

static void visit(struct sweep *sweep, struct netpoll_conn *conn)
{
    if (!sweep->abort) {
        np_state_set(&conn->state, NP_CONN_SHUTDOWN);
        np_conn_sync(conn);
        return;
    }
    pthread_mutex_lock(&sweep->server->mutex);
    sweep->server->aborted++;
    pthread_mutex_unlock(&sweep->server->mutex);
    np_conn_close(conn, NETPOLL_CLOSE_SHUTDOWN, NP_CONN_ABORTED);
}

static void sweep_poller(struct np_work *work)
{
    struct sweep *sweep = (struct sweep *)work;
    struct netpoll_conn *next;
    /* A visit may take the connection off the list, but no other one. */
    for (struct netpoll_conn *conn = sweep->poller->conns; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->server == sweep->server)
            visit(sweep, conn);
    }
    struct netpoll_server *server = sweep->server;
    pthread_mutex_lock(&server->mutex);
    server->sweeping--;
    notify(server);
}

/* Under the mutex, which it leaves while it waits. */
static void sweep_all(struct netpoll_server *server, bool abort)
{
    struct netpoll_runtime *runtime = server->runtime;
    server->sweeping = runtime->poller_count;
    for (uint32_t i = 0; i < runtime->poller_count; i++) {
        server->sweeps[i] = (struct sweep){.work.fn = sweep_poller,
                                           .server = server,
                                           .poller = &runtime->pollers[i],
                                           .abort = abort};
        np_poller_post(&runtime->pollers[i], &server->sweeps[i].work);
    }
    while (server->sweeping > 0)
        pthread_cond_wait(&server->changed, &server->mutex);
}

static struct timespec deadline_in(uint32_t timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Under the mutex, which it leaves while it waits. */
static void stop_listeners(struct netpoll_server *server)
{
    for (struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next)
        np_listener_stop(listener);
    while (server->open_sockets > 0)
        pthread_cond_wait(&server->changed, &server->mutex);
}

/* Under both mutexes, of which it leaves the inner one while it waits. */
static void shut_down(struct netpoll_server *server, const struct timespec *deadline)
{
    if (!np_server_is_shutting_down(server)) {
        /* Release: pairs with np_server_is_shutting_down(). A connection that is opened before
         * its poller sees this is on the list when the sweep comes. */
        atomic_store_explicit(&server->shutting_down, true, memory_order_release);
        stop_listeners(server);
    }
    server->aborted = 0;
    sweep_all(server, false);
    while (server->conn_count > 0 &&
           pthread_cond_timedwait(&server->changed, &server->mutex, deadline) != ETIMEDOUT)
        ;
    if (server->conn_count > 0)
        sweep_all(server, true);
    while (server->conn_count > 0)
        pthread_cond_wait(&server->changed, &server->mutex);
}

int netpoll_server_shutdown(struct netpoll_server *server, uint32_t timeout_ms)
{
    if (np_runtime_is_foreign(server->runtime))
        return -EPERM;
    if (is_poller_of(server->runtime) || gopool_is_worker(server->runtime->pool))
        return -EDEADLK;
    struct timespec deadline = deadline_in(timeout_ms);
    pthread_mutex_lock(&server->shutdown);
    pthread_mutex_lock(&server->mutex);
    shut_down(server, &deadline);
    int aborted = (int)server->aborted;
    pthread_mutex_unlock(&server->mutex);
    pthread_mutex_unlock(&server->shutdown);
    return aborted;
}

int netpoll_server_destroy(struct netpoll_server *server)
{
    if (server == NULL)
        return 0;
    int status = netpoll_server_shutdown(server, 0);
    if (status < 0)
        return status;
    while (server->listeners != NULL) {
        struct np_listener *next = server->listeners->next;
        np_listener_destroy(server->listeners);
        server->listeners = next;
    }
    struct netpoll_runtime *runtime = server->runtime;
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    pthread_mutex_destroy(&server->shutdown);
    mcache_free(server->sweeps);
    mcache_free(server);
    /* Release: pairs with netpoll_runtime_destroy(). */
    atomic_fetch_sub_explicit(&runtime->server_count, 1, memory_order_release);
    return 0;
}
