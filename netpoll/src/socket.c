/* System calls on sockets that more than one file makes. */
#include "socket.h"

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

ssize_t np_socket_send(struct np_fd *fd, const struct iovec *iov, int n)
{
    ssize_t result;
    do {
        if (n == 1) {
            result = send(fd->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        } else {
            struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
            result = sendmsg(fd->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

ssize_t np_socket_send_more(struct np_fd *fd, const struct iovec *iov, int n)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    ssize_t result;
    do {
        result = sendmsg(fd->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

ssize_t np_socket_receive(int fd, const struct iovec *iov)
{
    ssize_t result;
    do {
        result = recv(fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int np_socket_accept(int listener)
{
    int fd;
    do {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int np_socket_take_error(int fd)
{
    char byte;
    if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno == EAGAIN || errno == EINTR)
        return 0;
    return -errno;
}

size_t np_socket_unread(int fd)
{
    int n = 0;
    return ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

/* Does not fail on a TCP socket; if it does, the connection works without. */
static void set_tcp(int fd, int name, int value)
{
    (void)setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value);
}

void np_socket_set_options(int fd, const struct netpoll_conn_options *options)
{
    int one = 1;
    set_tcp(fd, TCP_NODELAY, !options->disable_nodelay);
    if (options->keepalive_s > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
        set_tcp(fd, TCP_KEEPIDLE, options->keepalive_s);
        set_tcp(fd, TCP_KEEPINTVL, (options->keepalive_s + 1) / 2);
    }
    if (options->user_timeout_ms > 0)
        set_tcp(fd, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
}

void np_socket_reset_on_close(int fd)
{
    struct linger off = {.l_onoff = 1, .l_linger = 0};
    /* Not a socket that can be reset: close(2) ends it as well. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

int np_socket_check_stream(int fd, bool *is_unix)
{
    struct sockaddr_storage peer = {0};
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return -errno;
    *is_unix = peer.ss_family == AF_UNIX;
    bool is_known = *is_unix || peer.ss_family == AF_INET || peer.ss_family == AF_INET6;
    return is_known ? 0 : -EAFNOSUPPORT;
}

int np_socket_set_flags(int fd, struct np_socket_flags *before)
{
    before->status = fcntl(fd, F_GETFL);
    before->descriptor = fcntl(fd, F_GETFD);
    if (before->status < 0 || before->descriptor < 0)
        return -errno;
    if (fcntl(fd, F_SETFL, before->status | O_NONBLOCK) == 0 &&
        fcntl(fd, F_SETFD, before->descriptor | FD_CLOEXEC) == 0)
        return 0;
    int status = -errno;
    np_socket_restore_flags(fd, before);
    return status;
}

void np_socket_restore_flags(int fd, const struct np_socket_flags *before)
{
    (void)fcntl(fd, F_SETFL, before->status);
    (void)fcntl(fd, F_SETFD, before->descriptor);
}
