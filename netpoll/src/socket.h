/* System calls on sockets, with EINTR taken care of. Any thread. */
#ifndef NP_SOCKET_H
#define NP_SOCKET_H

#include <netpoll/conn_options.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct iovec;
struct np_fd;

/* A connected descriptor that is to become a connection. */
struct np_socket {
    int fd;
    bool is_unix;
};

/* One send without waiting and without SIGPIPE: bytes or -errno. */
ssize_t np_socket_send(struct np_fd *fd, const struct iovec *iov, int n);
/* The same, when more follows at once. */
ssize_t np_socket_send_more(struct np_fd *fd, const struct iovec *iov, int n);
/* One receive without waiting: bytes, 0 for the end, or -errno. */
ssize_t np_socket_receive(int fd, const struct iovec *iov);
/* A connection that is waiting, or -errno. */
int np_socket_accept(int listener);
/* Bytes received and not read; 0 when that cannot be told. */
size_t np_socket_unread(int fd);
/* The error that the next receive would give, which does not give it any more: 0 or -errno. */
int np_socket_take_error(int fd);
/* TCP options of a connection; those of a listening socket are inherited by what it accepts. */
void np_socket_set_options(int fd, const struct netpoll_conn_options *options);
/* From here on close(2) resets the connection. */
void np_socket_reset_on_close(int fd);

/* A socket that somebody else has connected: 0, or -EBADF, -ENOTSOCK, -EPROTOTYPE,
 * -EAFNOSUPPORT, -ENOTCONN. */
int np_socket_check_stream(int fd, bool *is_unix);

/* As fcntl(2) has them. */
struct np_socket_flags {
    int status;
    int descriptor;
};

/* Adds O_NONBLOCK and FD_CLOEXEC: 0, or -errno and nothing has changed. */
int np_socket_set_flags(int fd, struct np_socket_flags *before);
void np_socket_restore_flags(int fd, const struct np_socket_flags *before);

#endif
