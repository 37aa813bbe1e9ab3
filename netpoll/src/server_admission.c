/* Whom a server lets in, on which poller, and which listeners wait until somebody has gone. */
#include "listener.h"
#include "runtime.h"
#include "server.h"

static struct np_poller *in_turn(struct netpoll_server *server)
{
    struct netpoll_runtime *runtime = server->group.runtime;
    /* Relaxed: only the number matters. */
    uint32_t turn = atomic_fetch_add_explicit(&server->next_poller, 1, memory_order_relaxed);
    return &runtime->pollers[turn % runtime->poller_count];
}

struct np_poller *np_server_pick(struct netpoll_server *server)
{
    return server->options.balancing == NETPOLL_BALANCING_ROUND_ROBIN
               ? in_turn(server)
               : np_runtime_pick(server->group.runtime);
}

/* Under the mutex. Connections on their way are in neither count twice for long. */
static bool has_room(const struct netpoll_server *server)
{
    return server->group.conn_count + server->admitted < server->options.max_connections;
}

bool np_server_admit(struct netpoll_server *server)
{
    if (server->options.max_connections == 0)
        return true;
    pthread_mutex_lock(&server->group.mutex);
    bool is_admitted = has_room(server);
    server->admitted += is_admitted;
    pthread_mutex_unlock(&server->group.mutex);
    return is_admitted;
}

bool np_server_admit_or_wait(struct netpoll_server *server, struct np_listener *listener)
{
    if (server->options.max_connections == 0)
        return true;
    pthread_mutex_lock(&server->group.mutex);
    bool is_admitted = has_room(server);
    server->admitted += is_admitted;
    listener->waits = !is_admitted;
    pthread_mutex_unlock(&server->group.mutex);
    return is_admitted;
}

/* Under the mutex. */
static void wake(const struct netpoll_server *server, struct np_listener *listener)
{
    if (listener->wake_posted || server->stopping)
        return;
    listener->wake_posted = true;
    np_poller_post(listener->fd.poller, &listener->wake_work);
}

/* Under the mutex. */
static void wake_waiting(struct netpoll_server *server)
{
    for (struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next) {
        if (!listener->waits)
            continue;
        listener->waits = false;
        wake(server, listener);
    }
}

void np_server_admission_used(struct netpoll_server *server)
{
    if (server->options.max_connections == 0)
        return;
    pthread_mutex_lock(&server->group.mutex);
    server->admitted--;
    /* Another listener may have found the connection and its admission, both. */
    if (has_room(server))
        wake_waiting(server);
    pthread_mutex_unlock(&server->group.mutex);
}

void np_server_set_waiting(struct netpoll_server *server, struct np_listener *listener, bool waits)
{
    pthread_mutex_lock(&server->group.mutex);
    listener->waits = waits;
    pthread_mutex_unlock(&server->group.mutex);
}

void np_server_wake_listener(struct netpoll_server *server, struct np_listener *listener)
{
    pthread_mutex_lock(&server->group.mutex);
    wake(server, listener);
    pthread_mutex_unlock(&server->group.mutex);
}

bool np_server_listener_woke(struct netpoll_server *server, struct np_listener *listener)
{
    pthread_mutex_lock(&server->group.mutex);
    listener->wake_posted = false;
    bool was_last = listener->end_waits;
    pthread_mutex_unlock(&server->group.mutex);
    return was_last;
}

bool np_server_end_waits_for_wake(struct netpoll_server *server, struct np_listener *listener)
{
    pthread_mutex_lock(&server->group.mutex);
    listener->end_waits = listener->wake_posted;
    bool waits = listener->end_waits;
    pthread_mutex_unlock(&server->group.mutex);
    return waits;
}

void np_server_conn_gone(struct np_group *group)
{
    wake_waiting((struct netpoll_server *)group);
}
