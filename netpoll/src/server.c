/* A server: its listeners and the group of their connections. */
#include "server.h"

#include "listener.h"
#include "log.h"
#include "runtime.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct netpoll_server {
    struct np_group group; /* first; its mutex guards what follows */
    int backlog;
    struct np_listener *listeners;
    struct np_listener **listeners_end;
    uint32_t listener_count;
    uint32_t open_sockets; /* listeners whose descriptor is not closed */
};

struct np_group *np_server_group(struct netpoll_server *server)
{
    return &server->group;
}

void np_server_listener_started(struct netpoll_server *server, struct np_listener *listener,
                                int status)
{
    pthread_mutex_lock(&server->group.mutex);
    listener->started = true;
    listener->start_status = status;
    np_group_notify(&server->group);
}

void np_server_listener_gone(struct netpoll_server *server, struct np_listener *listener)
{
    pthread_mutex_lock(&server->group.mutex);
    listener->closed = true;
    server->open_sockets--;
    np_group_notify(&server->group);
}

static int check_options(const struct netpoll_conn_options *conn,
                         const struct netpoll_server_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    return conn->on_request == NULL || options->backlog < 0 ? -EINVAL : 0;
}

int netpoll_server_create(struct netpoll_runtime *runtime, const struct netpoll_conn_options *conn,
                          const struct netpoll_server_options *options, struct netpoll_server **out)
{
    static const struct netpoll_server_options defaults;
    *out = NULL;
    if (options == NULL)
        options = &defaults;
    int status = check_options(conn, options);
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
    server->backlog = options->backlog != 0 ? options->backlog : NETPOLL_BACKLOG_DEFAULT;
    server->listeners_end = &server->listeners;
    *out = server;
    return 0;
}

static struct np_poller *listener_poller(struct netpoll_server *server)
{
    struct netpoll_runtime *runtime = server->group.runtime;
    return &runtime->pollers[server->listener_count % runtime->poller_count];
}

/* Under the mutex, which it leaves while it waits. The poller could not watch it. */
static void drop_listener(struct netpoll_server *server, struct np_listener *listener)
{
    np_listener_stop(listener);
    while (!listener->closed)
        pthread_cond_wait(&server->group.changed, &server->group.mutex);
    np_listener_destroy(listener);
}

/* Under the mutex, which it leaves while it waits. */
static int add_listener(struct netpoll_server *server, const struct np_address *address,
                        char listening_on[NETPOLL_ADDRESS_BYTES])
{
    struct np_listener *listener;
    if (np_group_is_shutting_down(&server->group))
        return -ESHUTDOWN;
    int status =
        np_listener_create(server, listener_poller(server), address, server->backlog, &listener);
    if (status != 0)
        return status;
    server->open_sockets++;
    while (!listener->started)
        pthread_cond_wait(&server->group.changed, &server->group.mutex);
    status = listener->start_status;
    if (status == 0 && np_group_is_shutting_down(&server->group))
        status = -ESHUTDOWN; /* its sweep of the listeners did not see this one */
    if (status != 0) {
        drop_listener(server, listener);
        return status;
    }
    *server->listeners_end = listener;
    server->listeners_end = &listener->next;
    server->listener_count++;
    if (np_address_of_socket(listener->fd.fd, listening_on, NETPOLL_ADDRESS_BYTES) != 0)
        listening_on[0] = '\0'; /* for the log only */
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
    char listening_on[NETPOLL_ADDRESS_BYTES];
    if (np_runtime_is_foreign(server->group.runtime))
        return -EPERM;
    if (is_poller_of(server->group.runtime))
        return -EDEADLK;
    int status = np_address_parse(address, &parsed);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->group.mutex);
    status = add_listener(server, &parsed, listening_on);
    pthread_mutex_unlock(&server->group.mutex);
    /* Not under the mutex: the log function may ask the server. */
    if (status == 0)
        np_log(server->group.runtime, NETPOLL_LOG_INFO, "listening on %s", listening_on);
    return status;
}

size_t netpoll_server_listeners(struct netpoll_server *server)
{
    if (np_runtime_is_foreign(server->group.runtime))
        return 0;
    pthread_mutex_lock(&server->group.mutex);
    size_t count = server->listener_count;
    pthread_mutex_unlock(&server->group.mutex);
    return count;
}

int netpoll_server_address(struct netpoll_server *server, size_t index, char *out, size_t size)
{
    if (np_runtime_is_foreign(server->group.runtime))
        return -EPERM;
    pthread_mutex_lock(&server->group.mutex);
    struct np_listener *listener = server->listeners;
    while (listener != NULL && index-- > 0)
        listener = listener->next;
    int status = -EINVAL;
    if (listener != NULL && !listener->closed)
        status = np_address_of_socket(listener->fd.fd, out, size);
    pthread_mutex_unlock(&server->group.mutex);
    return status;
}

/* Under the mutex, which it leaves while it waits. */
static void stop_listeners(struct np_group *group)
{
    struct netpoll_server *server = (struct netpoll_server *)group;
    for (struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next)
        np_listener_stop(listener);
    while (server->open_sockets > 0)
        pthread_cond_wait(&server->group.changed, &server->group.mutex);
}

int netpoll_server_shutdown(struct netpoll_server *server, int64_t timeout_ms)
{
    bool is_first = !np_group_is_shutting_down(&server->group);
    int aborted = np_group_shut_down(&server->group, timeout_ms, stop_listeners);
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
    np_group_fini(&server->group);
    mcache_free(server);
    return 0;
}
