/* Listeners that come from others, and those that others get. Not a poller of the runtime. */
#include "listener.h"
#include "runtime.h"
#include "server.h"

#include <netpoll/restart.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first descriptor that is passed: sd_listen_fds(3). */
#define ACTIVATED_FIRST 3
#define ACTIVATED_MAX   65536

/* Adds a duplicate, so that the caller's is still there when that fails. */
static int add_copy(struct netpoll_server *server, const struct np_listen_socket *socket)
{
    struct np_listen_socket copy = *socket;
    copy.fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
    if (copy.fd < 0)
        return -errno;
    int status = np_listen_prepare(copy.fd);
    if (status != 0) {
        close(copy.fd);
        return status;
    }
    pthread_mutex_lock(&server->listening);
    pthread_mutex_lock(&server->group.mutex);
    uint32_t before = server->listener_count;
    status = np_server_add_socket(server, &copy);
    pthread_mutex_unlock(&server->group.mutex);
    pthread_mutex_unlock(&server->listening);
    if (status == 0)
        np_server_log_listeners(server, before);
    return status;
}

int netpoll_server_listen_fd(struct netpoll_server *server, int fd)
{
    struct np_listen_socket socket;
    int status = np_server_check_caller(server);
    if (status == 0)
        status = np_listen_check(fd, &socket);
    if (status == 0)
        status = add_copy(server, &socket);
    if (status == 0)
        close(fd);
    return status;
}

/* A number from the environment; 0: there is none. -EINVAL when it is no number up to max. */
static int read_number(const char *name, long max, long *out)
{
    const char *text = getenv(name);
    *out = 0;
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return end == text || *end != '\0' || errno != 0 || *out < 0 || *out > max ? -EINVAL : 0;
}

/* How many descriptors this process was started with for us. */
static int activated_count(void)
{
    long process;
    long count;
    int status = read_number("LISTEN_PID", INT32_MAX, &process);
    if (status == 0)
        status = read_number("LISTEN_FDS", ACTIVATED_MAX, &count);
    if (status != 0)
        return status;
    return process == (long)getpid() ? (int)count : 0;
}

int netpoll_server_listen_activated(struct netpoll_server *server)
{
    /* Once in a process: afterwards the numbers may be anybody's. Relaxed: one thread at a time. */
    static _Atomic pid_t taken_by;
    struct np_listen_socket socket;
    int status = np_server_check_caller(server);
    int count = status == 0 ? activated_count() : status;
    if (count <= 0 || atomic_load_explicit(&taken_by, memory_order_relaxed) == getpid())
        return count < 0 ? count : 0;
    for (int i = 0; i < count && status == 0; i++)
        status = np_listen_check(ACTIVATED_FIRST + i, &socket);
    if (status != 0)
        return status;
    atomic_store_explicit(&taken_by, getpid(), memory_order_relaxed);
    for (int i = 0; i < count && status == 0; i++)
        status = netpoll_server_listen_fd(server, ACTIVATED_FIRST + i);
    return status == 0 ? count : status;
}

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

/* Under the mutex. */
static int dup_all(const struct netpoll_server *server, int *fds, size_t max)
{
    int count = 0;
    if (server->stopping)
        return -ESHUTDOWN;
    if (server->socket_count > max)
        return -ENOSPC;
    for (const struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next) {
        fds[count] = fcntl(listener->fd.fd, F_DUPFD_CLOEXEC, 0);
        if (fds[count] < 0) {
            int status = -errno;
            close_all(fds, count);
            return status;
        }
        count++;
    }
    return count;
}

int netpoll_server_dup_listeners(struct netpoll_server *server, int *fds, size_t max)
{
    int status = np_server_check_caller(server);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->group.mutex);
    status = dup_all(server, fds, max);
    pthread_mutex_unlock(&server->group.mutex);
    return status;
}

int netpoll_server_set_shared(struct netpoll_server *server, bool is_shared)
{
    int status = np_server_check_caller(server);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->group.mutex);
    if (server->stopping)
        status = -ESHUTDOWN;
    else
        server->is_shared = is_shared;
    pthread_mutex_unlock(&server->group.mutex);
    return status;
}
