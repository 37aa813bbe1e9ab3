/* Sockets that connect, and what became of them. */
#include "dial_socket.h"

#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Ports are searched for by chance, so when few are free connect(2) may not find them at once. */
#define RETRIES_MAX 2

static int bind_local(int fd, const struct np_address *local)
{
    int one = 1;
    /* With port 0 the port is chosen by connect(2), which knows the peer and so has more of them.
     * A system that refuses has fewer. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    return bind(fd, (const struct sockaddr *)&local->storage, local->len) == 0 ? 0 : -errno;
}

static int prepare(const struct np_dial_socket *how, int fd)
{
    int one = 1;
    np_socket_set_options(fd, how->options);
    /* A system without it takes the time of one more round trip. */
    if (how->fast_open)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one);
    return how->local != NULL ? bind_local(fd, how->local) : 0;
}

static bool is_self_connected(int fd, const struct sockaddr_storage *peer, socklen_t peer_len)
{
    struct sockaddr_storage own;
    socklen_t own_len = sizeof own;
    memset(&own, 0, sizeof own);
    return peer->ss_family != AF_UNIX && getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           own_len == peer_len && memcmp(&own, peer, peer_len) == 0;
}

int np_dial_result(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int error = 0;
    socklen_t error_len = sizeof error;
    memset(&peer, 0, sizeof peer);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0)
        return -errno;
    if (error != 0)
        return -error;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return errno == ENOTCONN ? -EALREADY : -errno;
    if (!is_self_connected(fd, &peer, len))
        return 0;
    np_socket_reset_on_close(fd); /* so that the port is free at once */
    return -ELOOP;
}

bool np_dial_has_own_port(const struct np_dial_socket *how)
{
    if (how->local == NULL)
        return false;
    /* At the same place in both: in_port_t after the family. */
    const struct sockaddr_in *in = (const struct sockaddr_in *)&how->local->storage;
    return in->sin_port != 0;
}

static int connect_to(const struct np_dial_socket *how, const struct np_address *address, int fd)
{
    const struct sockaddr *peer = (const struct sockaddr *)&address->storage;
    int status = connect(fd, peer, address->len);
    for (int i = 0; i < RETRIES_MAX && status != 0 && errno == EADDRNOTAVAIL; i++)
        status = connect(fd, peer, address->len);
    if (status == 0) {
        /* With fast open the SYN may still be to be sent: there is no peer to look at. */
        return address->storage.ss_family == AF_UNIX || how->fast_open ? 0 : np_dial_result(fd);
    }
    /* It goes on by itself after a signal: connect(2). */
    return errno == EINTR ? -EINPROGRESS : -errno;
}

int np_dial_connect(const struct np_dial_socket *how, const struct np_address *address, int *out)
{
    int family = address->storage.ss_family;
    if (family != AF_UNIX && how->local != NULL && how->local->storage.ss_family != family)
        return -EADDRNOTAVAIL;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = family == AF_UNIX ? 0 : prepare(how, fd);
    if (status == 0)
        status = connect_to(how, address, fd);
    if (status == 0 || status == -EINPROGRESS) {
        *out = fd;
        return status;
    }
    close(fd);
    return status;
}
