/* Listening: from the address to connections on their pollers. */
#include "listener.h"

#include "log.h"
#include "runtime.h"
#include "server.h"
#include "socket.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* How long accepting rests after an error that repeats, such as the descriptor limit. */
#define RETRY_MS 50
/* A lasting error is logged once in this time. */
#define LOG_MS 1000

static struct np_listener *listener_of(struct np_work *work, size_t offset)
{
    return (struct np_listener *)((char *)work - offset);
}

static void accepted(struct np_listener *listener, int fd)
{
    struct np_poller *here = listener->fd.poller;
    struct np_socket socket = {.fd = fd, .is_unix = listener->is_unix};
    np_count(&here->counters.accepted, 1);
    np_group_open_conn(np_server_group(listener->server), np_runtime_pick(here->runtime), &socket);
}

static void retry(struct np_timer *timer)
{
    struct np_listener *listener =
        (struct np_listener *)((char *)timer - offsetof(struct np_listener, retry));
    struct np_poller *poller = listener->fd.poller;
    if (poller->backend->set_input(poller, &listener->fd, true) != 0)
        np_wheel_add(&poller->wheel, timer, np_poller_now_ms(poller) + RETRY_MS);
}

/* Errors of one connection pass by; those of the process would repeat at once: accept(2). */
static bool is_passing(int error)
{
    return error == -ECONNABORTED || error == -EAGAIN || error == -EINTR || error == -EPROTO;
}

static void rest(struct np_listener *listener, int error)
{
    struct np_poller *poller = listener->fd.poller;
    np_count(&poller->counters.accept_fails, 1);
    if (is_passing(error) || np_timer_is_armed(&listener->retry))
        return;
    uint64_t now_ms = np_poller_now_ms(poller);
    if (now_ms >= listener->next_log_ms) {
        listener->next_log_ms = now_ms + LOG_MS;
        np_log_error(poller->runtime, error, "accept rests for %d ms", RETRY_MS);
    }
    (void)poller->backend->set_input(poller, &listener->fd, false);
    np_wheel_add(&poller->wheel, &listener->retry, np_poller_now_ms(poller) + RETRY_MS);
}

static void accept_done(struct np_fd *fd, int64_t result)
{
    struct np_listener *listener = (struct np_listener *)fd;
    if (result >= 0)
        accepted(listener, (int)result);
    else if (!listener->stopping)
        rest(listener, (int)result);
}

static void closed(struct np_fd *fd)
{
    struct np_listener *listener = (struct np_listener *)fd;
    int conn_fd;
    while ((conn_fd = np_socket_accept(fd->fd)) >= 0)
        accepted(listener, conn_fd);
    close(fd->fd);
    if (listener->path[0] != '\0')
        unlink(listener->path);
    np_server_listener_gone(listener->server, listener);
}

static const struct np_fd_ops listener_ops = {.input_done = accept_done, .closed = closed};

/* A socket file that nobody listens on any more is in the way. */
static void remove_stale(const struct np_address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    struct stat info;
    if (un->sun_family != AF_UNIX || un->sun_path[0] == '\0')
        return;
    if (stat(un->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    if (connect(probe, (const struct sockaddr *)un, address->len) != 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(probe);
}

static int listen_on(const struct np_address *address, int backlog)
{
    int one = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (address->storage.ss_family == AF_UNIX)
        remove_stale(address);
    else
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&address->storage, address->len) == 0 &&
        listen(fd, backlog) == 0)
        return fd;
    int status = -errno;
    close(fd);
    return status;
}

static void start(struct np_work *work)
{
    struct np_listener *listener = listener_of(work, offsetof(struct np_listener, start_work));
    struct np_poller *poller = listener->fd.poller;
    int status = poller->backend->add(poller, &listener->fd);
    if (status == 0)
        status = poller->backend->set_input(poller, &listener->fd, true);
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

int np_listener_create(struct netpoll_server *server, struct np_poller *poller,
                       const struct np_address *address, int backlog, struct np_listener **out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    struct np_listener *listener = mcache_alloc(sizeof *listener);
    if (listener == NULL)
        return -ENOMEM;
    int fd = listen_on(address, backlog);
    if (fd < 0) {
        mcache_free(listener);
        return fd;
    }
    *listener = (struct np_listener){
        .fd = {.fd = fd, .kind = NP_FD_ACCEPT, .ops = &listener_ops, .poller = poller},
        .server = server,
        .start_work.fn = start,
        .stop_work.fn = stop,
        .retry.fn = retry,
        .is_unix = un->sun_family == AF_UNIX,
    };
    if (!listener->is_unix)
        np_socket_set_options(fd, &np_server_group(server)->options);
    if (listener->is_unix && un->sun_path[0] != '\0')
        memcpy(listener->path, un->sun_path, sizeof un->sun_path);
    np_poller_post(poller, &listener->start_work);
    *out = listener;
    return 0;
}

void np_listener_stop(struct np_listener *listener)
{
    np_poller_post(listener->fd.poller, &listener->stop_work);
}

void np_listener_destroy(struct np_listener *listener)
{
    mcache_free(listener);
}
