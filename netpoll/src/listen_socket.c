/* Listening sockets: opened by an address, or given by others. Any thread. */
#include "listen_socket.h"

#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A socket file that nobody listens on any more is in the way. */
static void remove_stale(const struct np_address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    struct stat info;
    if (un->sun_path[0] == '\0')
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

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static int set_ip(int fd, const struct np_address *address,
                  const struct netpoll_server_options *options)
{
    int status = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (status == 0 && (options->reuse_port || options->balancing == NETPOLL_BALANCING_PER_POLLER))
        status = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    /* Always said: the system's own default may be either. */
    if (status == 0 && address->storage.ss_family == AF_INET6)
        status = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, address->ip6_only || options->ip6_only);
    if (status == 0 && options->defer_accept_s > 0)
        status = set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->defer_accept_s);
    if (status == 0 && options->fast_open_queue > 0)
        status = set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, options->fast_open_queue);
    return status;
}

/* Before listen(2): nobody can connect as long as the file has another mode. */
static int set_mode(const struct sockaddr_un *un, uint32_t mode)
{
    if (mode == 0 || un->sun_path[0] == '\0')
        return 0;
    return chmod(un->sun_path, (mode_t)mode) == 0 ? 0 : -errno;
}

static int open_ip(int fd, const struct np_address *address,
                   const struct netpoll_server_options *options)
{
    int status = set_ip(fd, address, options);
    if (status != 0)
        return status;
    if (bind(fd, (const struct sockaddr *)&address->storage, address->len) != 0 ||
        listen(fd, options->backlog) != 0)
        return -errno;
    return 0;
}

static int open_unix(int fd, const struct np_address *address,
                     const struct netpoll_server_options *options)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    remove_stale(address);
    if (bind(fd, (const struct sockaddr *)un, address->len) != 0)
        return -errno;
    int status = set_mode(un, options->unix_mode);
    if (status == 0 && listen(fd, options->backlog) != 0)
        status = -errno;
    if (status != 0 && un->sun_path[0] != '\0')
        unlink(un->sun_path);
    return status;
}

int np_listen_open(const struct np_address *address, const struct netpoll_server_options *options,
                   struct np_listen_socket *out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    bool is_unix = address->storage.ss_family == AF_UNIX;
    *out = (struct np_listen_socket){.is_unix = is_unix, .is_first = true};
    out->fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (out->fd < 0)
        return -errno;
    int status =
        is_unix ? open_unix(out->fd, address, options) : open_ip(out->fd, address, options);
    if (status != 0) {
        close(out->fd);
        return status;
    }
    if (is_unix && un->sun_path[0] != '\0')
        memcpy(out->path, un->sun_path, sizeof un->sun_path);
    return 0;
}

void np_listen_close(const struct np_listen_socket *socket)
{
    close(socket->fd);
    if (!socket->is_shared && socket->path[0] != '\0')
        unlink(socket->path);
}

static int read_option(int fd, int name, int *out)
{
    socklen_t n = sizeof *out;
    return getsockopt(fd, SOL_SOCKET, name, out, &n) == 0 ? 0 : -errno;
}

int np_listen_check(int fd, struct np_listen_socket *out)
{
    int type;
    int listens;
    int domain;
    *out = (struct np_listen_socket){.fd = fd, .is_shared = true, .is_first = true};
    int status = read_option(fd, SO_TYPE, &type);
    if (status != 0)
        return status;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    status = read_option(fd, SO_ACCEPTCONN, &listens);
    if (status != 0)
        return status;
    if (listens == 0)
        return -EINVAL;
    status = read_option(fd, SO_DOMAIN, &domain);
    if (status != 0)
        return status;
    out->is_unix = domain == AF_UNIX;
    return out->is_unix || domain == AF_INET || domain == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

int np_listen_prepare(int fd)
{
    struct np_socket_flags before;
    return np_socket_set_flags(fd, &before);
}
