/* The listeners of a server: added, taken back, named. */
#include "clock.h"
#include "listener.h"
#include "log.h"
#include "runtime.h"
#include "server.h"

#include <errno.h>

/* Between tries at an address that is in use: from this on, doubling, for each may ask who has it.
 */
#define ADDRESS_RETRY_MS 5

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

int np_server_check_caller(const struct netpoll_server *server)
{
    if (np_runtime_is_foreign(server->group.runtime))
        return -EPERM;
    return netpoll_runtime_is_poller(server->group.runtime) ? -EDEADLK : 0;
}

/* A set has one on each poller; otherwise they take turns. */
static struct np_poller *listener_poller(const struct netpoll_server *server)
{
    const struct netpoll_runtime *runtime = server->group.runtime;
    return &runtime->pollers[server->socket_count % runtime->poller_count];
}

/* Under the mutex, which it leaves while it waits. */
static void drop_listener(struct netpoll_server *server, struct np_listener *listener)
{
    np_listener_stop(listener);
    while (!listener->closed)
        pthread_cond_wait(&server->group.changed, &server->group.mutex);
    np_listener_destroy(listener);
}

static void append(struct netpoll_server *server, struct np_listener *listener)
{
    *server->listeners_end = listener;
    server->listeners_end = &listener->next;
    server->socket_count++;
    server->listener_count += listener->socket.is_first;
    /* It may have begun to wait before anybody could find it. */
    if (listener->waits) {
        listener->wake_posted = true;
        np_poller_post(listener->fd.poller, &listener->wake_work);
    }
}

int np_server_add_socket(struct netpoll_server *server, const struct np_listen_socket *socket)
{
    struct np_listener *listener = NULL;
    if (!server->stopping)
        listener = np_listener_create(server, listener_poller(server), socket);
    if (listener == NULL) {
        np_listen_close(socket);
        return server->stopping ? -ESHUTDOWN : -ENOMEM;
    }
    server->open_sockets++;
    while (!listener->started)
        pthread_cond_wait(&server->group.changed, &server->group.mutex);
    int status = listener->start_status;
    if (status == 0 && server->stopping)
        status = -ESHUTDOWN; /* its sweep of the listeners did not see this one */
    if (status != 0)
        drop_listener(server, listener);
    else
        append(server, listener);
    return status;
}

void np_server_drop_sockets(struct netpoll_server *server, uint32_t keep)
{
    struct np_listener **link = &server->listeners;
    for (uint32_t i = 0; i < keep; i++)
        link = &(*link)->next;
    while (*link != NULL && !server->stopping) {
        struct np_listener *listener = *link;
        *link = listener->next;
        server->socket_count--;
        server->listener_count -= listener->socket.is_first;
        if (server->listeners_end == &listener->next)
            server->listeners_end = link;
        drop_listener(server, listener);
    }
}

/* Under the mutex, which it leaves while it waits. A socket for each poller, at the port of the
 * first. */
static int add_set(struct netpoll_server *server, const struct np_listen_socket *first)
{
    struct np_listen_socket socket = *first;
    struct np_address address;
    uint32_t keep = server->socket_count;
    socket.keeps = true;
    int status = np_address_read(first->fd, &address);
    if (status != 0) {
        np_listen_close(first);
        return status;
    }
    status = np_server_add_socket(server, &socket);
    for (uint32_t i = 1; i < server->group.runtime->poller_count && status == 0; i++) {
        status = np_listen_open(&address, &server->options, &socket);
        if (status != 0)
            break;
        socket.keeps = true;
        socket.is_first = false;
        status = np_server_add_socket(server, &socket);
    }
    if (status != 0)
        np_server_drop_sockets(server, keep);
    return status;
}

/* Under the mutex. */
static bool has_been_taken(const struct netpoll_server *server, const struct np_address *address)
{
    for (const struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->socket.is_taken && np_address_is_equal(&listener->address, address))
            return true;
    }
    return false;
}

/* The end of the server comes first. Under the mutex, which it leaves. */
static void rest(struct netpoll_server *server, int64_t ms)
{
    const struct timespec until = np_clock_in(ms);
    while (!server->stopping && np_clock_ms_until(&until) > 0)
        pthread_cond_timedwait(&server->group.changed, &server->group.mutex, &until);
}

/* As np_listen_open(), for as long as the address may take to become free. Under the mutex, which
 * it leaves while it waits. */
static int open_when_free(struct netpoll_server *server, const struct np_address *address,
                          struct np_listen_socket *out)
{
    int64_t left_ms = server->options.address_wait_ms;
    for (int64_t rest_ms = ADDRESS_RETRY_MS;; rest_ms *= 2) {
        int status = server->stopping ? -ESHUTDOWN : np_listen_open(address, &server->options, out);
        if (status != -EADDRINUSE || left_ms <= 0)
            return status;
        rest(server, rest_ms < left_ms ? rest_ms : left_ms);
        left_ms -= rest_ms;
    }
}

/* Under both mutexes, of which it leaves the inner one while it waits. */
static int listen_on(struct netpoll_server *server, const struct np_address *address)
{
    struct np_listen_socket socket;
    if (server->stopping)
        return -ESHUTDOWN;
    if (has_been_taken(server, address))
        return 0;
    int status = open_when_free(server, address, &socket);
    if (status != 0)
        return status;
    bool is_set = !socket.is_unix && server->options.balancing == NETPOLL_BALANCING_PER_POLLER;
    return is_set ? add_set(server, &socket) : np_server_add_socket(server, &socket);
}

void np_server_log_listeners(struct netpoll_server *server, size_t from)
{
    char address[NETPOLL_ADDRESS_BYTES];
    /* Not under the mutex: the log function may ask the server. */
    for (size_t i = from; netpoll_server_address(server, i, address, sizeof address) == 0; i++)
        np_log(server->group.runtime, NETPOLL_LOG_INFO, "listening on %s", address);
}

int netpoll_server_listen(struct netpoll_server *server, const char *address)
{
    struct np_address parsed;
    int status = np_server_check_caller(server);
    if (status == 0)
        status = np_address_parse(address, &parsed);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->listening);
    pthread_mutex_lock(&server->group.mutex);
    uint32_t before = server->listener_count;
    status = listen_on(server, &parsed);
    pthread_mutex_unlock(&server->group.mutex);
    pthread_mutex_unlock(&server->listening);
    if (status == 0)
        np_server_log_listeners(server, before);
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

/* Under the mutex. NULL: there are not so many. */
static struct np_listener *find_listener(const struct netpoll_server *server, size_t index)
{
    for (struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->socket.is_first && index-- == 0)
            return listener;
    }
    return NULL;
}

int netpoll_server_address(struct netpoll_server *server, size_t index, char *out, size_t size)
{
    if (np_runtime_is_foreign(server->group.runtime))
        return -EPERM;
    pthread_mutex_lock(&server->group.mutex);
    const struct np_listener *listener = find_listener(server, index);
    int status = -EINVAL;
    if (listener != NULL)
        status = np_address_format(&listener->address, out, size);
    pthread_mutex_unlock(&server->group.mutex);
    return status;
}
