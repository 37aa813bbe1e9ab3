/* A listener: from the queue of a listening socket to connections on their pollers. Poller thread,
 * unless listener.h says otherwise. */
#include "listener.h"

#include "log.h"
#include "runtime.h"
#include "server.h"
#include "socket.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

/* How long accepting rests after an error that repeats, such as the descriptor limit: from the
 * first to the second, twice as long each time. */
#define REST_MIN_MS 10
#define REST_MAX_MS 500
/* A lasting error is logged once in this time. */
#define LOG_MS 1000
/* Connections accepted, or shed, before others have their turn. */
#define ACCEPT_BUDGET 64
/* No queue is longer. */
#define QUEUE_MAX 65536U

static struct np_listener *listener_of(struct np_work *work, size_t offset)
{
    return (struct np_listener *)((char *)work - offset);
}

static void refuse(struct np_listener *listener, int fd)
{
    np_count(&listener->fd.poller->counters.refused, 1);
    np_socket_reset_on_close(fd);
    close(fd);
}

static void open_conn(struct np_listener *listener, int fd)
{
    struct netpoll_server *server = listener->server;
    struct np_socket socket = {.fd = fd, .is_unix = listener->socket.is_unix};
    struct np_poller *poller =
        listener->socket.keeps ? listener->fd.poller : np_server_pick(server);
    np_group_open_conn(&server->group, poller, &socket);
    np_server_admission_used(server);
}

static void end_rest(struct np_listener *listener)
{
    if (listener->rest_ms == 0)
        return;
    listener->rest_ms = 0;
    np_server_set_waiting(listener->server, listener, false);
}

/* Accepted before anybody asked whether there is room. */
static void accepted(struct np_listener *listener, int fd)
{
    np_count(&listener->fd.poller->counters.accepted, 1);
    end_rest(listener);
    if (np_server_admit(listener->server))
        open_conn(listener, fd);
    else
        refuse(listener, fd);
}

/* Errors of one connection pass by; those of the process would repeat at once: accept(2). */
static bool is_passing(int error)
{
    switch (error) {
    case -EAGAIN:
    case -EINTR:
    case -ECONNABORTED:
    case -EPROTO:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -EPERM: /* a firewall's */
        return true;
    default:
        return false;
    }
}

static void open_reserve(struct np_listener *listener)
{
    if (listener->reserve < 0 && listener->server->options.shed_after_ms > 0)
        listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void close_reserve(struct np_listener *listener)
{
    if (listener->reserve >= 0)
        close(listener->reserve);
    listener->reserve = -1;
}

/* The limit has stood for long: those who wait learn it one by one through the reserve. Another
 * thread may take the number meanwhile; then the next rest tries again. True: the limit is over,
 * and one of them has been served. */
static bool shed(struct np_listener *listener)
{
    const struct np_poller *poller = listener->fd.poller;
    int64_t after_ms = listener->server->options.shed_after_ms;
    if (after_ms <= 0 || listener->reserve < 0 ||
        np_poller_now_ms(poller) - listener->rests_since_ms < (uint64_t)after_ms)
        return false;
    close_reserve(listener);
    for (int i = 0; i < ACCEPT_BUDGET; i++) {
        int fd = np_socket_accept(listener->fd.fd);
        if (fd < 0)
            break;
        open_reserve(listener);
        if (listener->reserve >= 0) {
            accepted(listener, fd);
            return true;
        }
        np_count(&listener->fd.poller->counters.accepted, 1);
        refuse(listener, fd);
    }
    open_reserve(listener);
    return false;
}

static void log_rest(struct np_listener *listener, int error)
{
    uint64_t now_ms = np_poller_now_ms(listener->fd.poller);
    if (now_ms < listener->next_log_ms)
        return;
    listener->next_log_ms = now_ms + LOG_MS;
    np_log_error(listener->fd.poller->runtime, error, "accept rests for %u ms", listener->rest_ms);
}

static void rest(struct np_listener *listener, int error)
{
    struct np_poller *poller = listener->fd.poller;
    np_count(&poller->counters.accept_fails, 1);
    if (is_passing(error) || np_timer_is_armed(&listener->retry))
        return;
    uint64_t now_ms = np_poller_now_ms(poller);
    if (listener->rest_ms == 0)
        listener->rests_since_ms = now_ms;
    listener->rest_ms = listener->rest_ms == 0 ? REST_MIN_MS : listener->rest_ms * 2;
    if (listener->rest_ms > REST_MAX_MS)
        listener->rest_ms = REST_MAX_MS;
    log_rest(listener, error);
    if (shed(listener))
        return;
    (void)poller->backend->set_input(poller, &listener->fd, false);
    np_wheel_add(&poller->wheel, &listener->retry, now_ms + listener->rest_ms);
    np_server_set_waiting(listener->server, listener, true);
}

/* With a bound on connections nothing may be accepted before there is room: here the backend only
 * tells that somebody waits. */
static void accept_while_there_is_room(struct np_listener *listener)
{
    struct netpoll_server *server = listener->server;
    for (int i = 0; i < ACCEPT_BUDGET; i++) {
        if (!np_server_admit_or_wait(server, listener)) {
            np_count(&listener->fd.poller->counters.accept_pauses, !listener->is_full);
            listener->is_full = true;
            return;
        }
        listener->is_full = false;
        int fd = np_socket_accept(listener->fd.fd);
        if (fd < 0) {
            np_server_admission_used(server);
            if (fd != -EAGAIN)
                rest(listener, fd);
            if (fd == -EAGAIN || !is_passing(fd))
                return;
            continue;
        }
        np_count(&listener->fd.poller->counters.accepted, 1);
        end_rest(listener);
        open_conn(listener, fd);
    }
    np_server_wake_listener(server, listener);
}

static void go_on(struct np_listener *listener)
{
    struct np_poller *poller = listener->fd.poller;
    if (poller->backend->set_input(poller, &listener->fd, true) != 0) {
        np_wheel_add(&poller->wheel, &listener->retry, np_poller_now_ms(poller) + REST_MAX_MS);
        return;
    }
    if (listener->fd.kind == NP_FD_POLL)
        accept_while_there_is_room(listener);
}

static void retry(struct np_timer *timer)
{
    go_on((struct np_listener *)((char *)timer - offsetof(struct np_listener, retry)));
}

/* There is room, or a descriptor: or the last round's share was used up. */
static void wake(struct np_work *work)
{
    struct np_listener *listener = listener_of(work, offsetof(struct np_listener, wake_work));
    if (np_server_listener_woke(listener->server, listener)) {
        np_server_listener_gone(listener->server, listener);
        return;
    }
    if (listener->stopping)
        return;
    np_wheel_remove(&listener->fd.poller->wheel, &listener->retry);
    go_on(listener);
}

static void accept_done(struct np_fd *fd, int64_t result)
{
    struct np_listener *listener = (struct np_listener *)fd;
    if (result < 0 && listener->stopping)
        return;
    if (result < 0)
        rest(listener, (int)result);
    else if (fd->kind == NP_FD_ACCEPT)
        accepted(listener, (int)result);
    else if (!np_timer_is_armed(&listener->retry))
        accept_while_there_is_room(listener);
}

/*
 * What waits is served. Of our own sockets only we can. Of those that others accept on, too, the
 * kernel may have told us alone: an accept that io_uring keeps armed is woken exclusively. Who came
 * after the backend let go wakes the others, and is behind all who came before.
 */
static void accept_the_rest(struct np_listener *listener, uint32_t most)
{
    for (uint32_t i = 0; i < most && np_server_admit(listener->server); i++) {
        int fd = np_socket_accept(listener->fd.fd);
        if (fd < 0) {
            np_server_admission_used(listener->server);
            return;
        }
        np_count(&listener->fd.poller->counters.accepted, 1);
        open_conn(listener, fd);
    }
}

static void closed(struct np_fd *fd)
{
    struct np_listener *listener = (struct np_listener *)fd;
    struct netpoll_server *server = listener->server;
    pthread_mutex_lock(&server->group.mutex);
    bool is_shared = server->is_shared || listener->socket.is_shared;
    pthread_mutex_unlock(&server->group.mutex);
    close_reserve(listener);
    accept_the_rest(listener, is_shared ? QUEUE_MAX : UINT32_MAX);
    /* Never shutdown(2): that would end it for all who share it. */
    close(fd->fd);
    if (!is_shared && listener->socket.path[0] != '\0')
        unlink(listener->socket.path);
    if (!np_server_end_waits_for_wake(server, listener))
        np_server_listener_gone(server, listener);
}

static const struct np_fd_ops listener_ops = {.input_done = accept_done, .closed = closed};

static void start(struct np_work *work)
{
    struct np_listener *listener = listener_of(work, offsetof(struct np_listener, start_work));
    struct np_poller *poller = listener->fd.poller;
    int status = poller->backend->add(poller, &listener->fd);
    if (status == 0)
        status = poller->backend->set_input(poller, &listener->fd, true);
    open_reserve(listener);
    np_server_listener_started(listener->server, listener, status);
}

static void stop(struct np_work *work)
{
    struct np_listener *listener = listener_of(work, offsetof(struct np_listener, stop_work));
    struct np_poller *poller = listener->fd.poller;
    listener->stopping = true;
    np_wheel_remove(&poller->wheel, &listener->retry);
    poller->backend->remove(poller, &listener->fd);
}

struct np_listener *np_listener_create(struct netpoll_server *server, struct np_poller *poller,
                                       const struct np_listen_socket *socket)
{
    const struct netpoll_server_options *options = &server->options;
    bool asks_first = options->max_connections > 0 && options->when_full == NETPOLL_WHEN_FULL_WAIT;
    struct np_listener *listener = mcache_alloc(sizeof *listener);
    if (listener == NULL)
        return NULL;
    *listener = (struct np_listener){
        .fd = {.fd = socket->fd,
               .kind = asks_first ? NP_FD_POLL : NP_FD_ACCEPT,
               .ops = &listener_ops,
               .poller = poller},
        .server = server,
        .socket = *socket,
        .start_work.fn = start,
        .stop_work.fn = stop,
        .wake_work.fn = wake,
        .retry.fn = retry,
        .reserve = -1,
    };
    /* It is bound: what could fail has been done. */
    (void)np_address_read(socket->fd, &listener->address);
    /* What is accepted inherits them. */
    if (!socket->is_unix)
        np_socket_set_options(socket->fd, &server->group.options);
    np_poller_post(poller, &listener->start_work);
    return listener;
}

void np_listener_stop(struct np_listener *listener)
{
    np_poller_post(listener->fd.poller, &listener->stop_work);
}

void np_listener_destroy(struct np_listener *listener)
{
    mcache_free(listener);
}
