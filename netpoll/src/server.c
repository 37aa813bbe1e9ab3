/* A server from its options to its end. */
#include "server.h"

#include "clock.h"
#include "listener.h"
#include "log.h"
#include "runtime.h"
#include "socket.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <string.h>

#define UNIX_MODE_MAX 0777U
/* How often connections are looked at on which nothing has come yet. */
#define GRACE_LOOK_MS 10

static int check_numbers(const struct netpoll_server_options *options)
{
    bool is_negative =
        options->backlog < 0 || options->defer_accept_s < 0 || options->fast_open_queue < 0;
    bool is_unknown = options->balancing < NETPOLL_BALANCING_LEAST_CONNECTIONS ||
                      options->balancing > NETPOLL_BALANCING_PER_POLLER ||
                      options->when_full < NETPOLL_WHEN_FULL_WAIT ||
                      options->when_full > NETPOLL_WHEN_FULL_REFUSE;
    return is_negative || is_unknown || options->unix_mode > UNIX_MODE_MAX ? -EINVAL : 0;
}

/* 0 or -EINVAL. */
static int complete_options(struct netpoll_server_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    int status = check_numbers(options);
    if (status == 0)
        status = np_timeout_complete(&options->shed_after_ms, NETPOLL_TIMEOUT_NONE);
    if (status == 0)
        status = np_timeout_complete(&options->address_wait_ms, NETPOLL_ADDRESS_WAIT_MS_DEFAULT);
    if (status == 0)
        status =
            np_timeout_complete(&options->shutdown_grace_ms, NETPOLL_SHUTDOWN_GRACE_MS_DEFAULT);
    if (options->backlog == 0)
        options->backlog = NETPOLL_BACKLOG_DEFAULT;
    return status;
}

int netpoll_server_create(struct netpoll_runtime *runtime, const struct netpoll_conn_options *conn,
                          const struct netpoll_server_options *options, struct netpoll_server **out)
{
    static const struct netpoll_server_options defaults;
    *out = NULL;
    struct netpoll_server_options complete = options != NULL ? *options : defaults;
    int status = conn->on_request == NULL ? -EINVAL : complete_options(&complete);
    if (status != 0)
        return status;
    struct netpoll_server *server = mcache_alloc(sizeof *server);
    if (server == NULL)
        return -ENOMEM;
    memset(server, 0, sizeof *server);
    status = np_group_init(&server->group, runtime, conn);
    if (status != 0) {
        mcache_free(server);
        return status;
    }
    pthread_mutex_init(&server->stop, NULL);
    pthread_mutex_init(&server->listening, NULL);
    server->group.on_conn_gone = np_server_conn_gone;
    server->options = complete;
    server->listeners_end = &server->listeners;
    *out = server;
    return 0;
}

static int adopt(struct netpoll_server *server, const struct np_socket *socket)
{
    struct np_socket_flags before;
    int status = np_socket_set_flags(socket->fd, &before);
    if (status != 0)
        return status;
    if (!socket->is_unix)
        np_socket_set_options(socket->fd, &server->group.options);
    status = np_group_adopt(&server->group, np_server_pick(server), socket);
    if (status != 0)
        np_socket_restore_flags(socket->fd, &before);
    return status;
}

int netpoll_server_adopt(struct netpoll_server *server, int fd)
{
    struct np_socket socket = {.fd = fd};
    if (np_runtime_is_foreign(server->group.runtime))
        return -EPERM;
    int status = np_socket_check_stream(fd, &socket.is_unix);
    if (status != 0)
        return status;
    if (np_group_is_shutting_down(&server->group))
        return -ESHUTDOWN;
    if (!np_server_admit(server))
        return -EBUSY;
    status = adopt(server, &socket);
    np_server_admission_used(server);
    return status;
}

/* Under the mutex, which it leaves while it waits. */
static void stop_listeners(struct netpoll_server *server)
{
    server->stopping = true;
    for (struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next)
        np_listener_stop(listener);
    while (server->open_sockets > 0)
        pthread_cond_wait(&server->group.changed, &server->group.mutex);
}

/* Gives those who have connected and are about to send the time to do so: what is used meanwhile
 * is closed as soon as it is idle. */
static void grant_grace(struct netpoll_server *server, int64_t timeout_ms)
{
    struct np_group *group = &server->group;
    int64_t left_ms = server->options.shutdown_grace_ms;
    if (timeout_ms != NETPOLL_TIMEOUT_NONE && left_ms > timeout_ms / 2)
        left_ms = timeout_ms / 2;
    for (; left_ms > 0 && np_group_close_used(group) > 0; left_ms -= GRACE_LOOK_MS) {
        struct timespec at = np_clock_in(GRACE_LOOK_MS);
        pthread_mutex_lock(&group->mutex);
        while (group->conn_count > 0 &&
               pthread_cond_timedwait(&group->changed, &group->mutex, &at) != ETIMEDOUT)
            ;
        pthread_mutex_unlock(&group->mutex);
    }
}

/* Under the stop mutex. */
static void stop_once(struct netpoll_server *server, int64_t timeout_ms)
{
    pthread_mutex_lock(&server->group.mutex);
    server->stopper = pthread_self();
    server->stops = true;
    stop_listeners(server);
    pthread_mutex_unlock(&server->group.mutex);
    if (server->options.on_shutdown != NULL)
        server->options.on_shutdown(server, server->options.arg);
    grant_grace(server, timeout_ms);
    pthread_mutex_lock(&server->group.mutex);
    server->stops = false;
    pthread_mutex_unlock(&server->group.mutex);
    server->stopped = true;
}

static bool is_stopping_here(struct netpoll_server *server)
{
    pthread_mutex_lock(&server->group.mutex);
    bool is_here = server->stops && pthread_equal(server->stopper, pthread_self());
    pthread_mutex_unlock(&server->group.mutex);
    return is_here;
}

int netpoll_server_shutdown(struct netpoll_server *server, int64_t timeout_ms)
{
    int status = np_group_check_shut_down(&server->group, timeout_ms);
    if (status == 0 && is_stopping_here(server))
        status = -EDEADLK;
    if (status != 0)
        return status;
    struct timespec deadline = np_clock_in(timeout_ms);
    pthread_mutex_lock(&server->stop);
    bool is_first = !server->stopped;
    if (is_first)
        stop_once(server, timeout_ms);
    pthread_mutex_unlock(&server->stop);
    int64_t left_ms =
        timeout_ms == NETPOLL_TIMEOUT_NONE ? timeout_ms : np_clock_ms_until(&deadline);
    int aborted = np_group_shut_down(&server->group, left_ms, NULL);
    if (is_first && aborted >= 0)
        np_log(server->group.runtime, NETPOLL_LOG_INFO,
               "a server has shut down, connections aborted: %d", aborted);
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
    pthread_mutex_destroy(&server->stop);
    pthread_mutex_destroy(&server->listening);
    np_group_fini(&server->group);
    np_group_unref(&server->group);
    return 0;
}
