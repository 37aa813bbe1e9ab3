/**
 * Listeners from other processes and for them: socket activation, and a new process that takes
 * over while the old one finishes, without a connection refused or lost. docs/restart.md shows
 * how.
 *
 * A listening socket that two processes have is one queue: either may accept, and it lives until
 * both have closed it. A server never calls shutdown(2) on a listener, which would end it for all.
 *
 * Threads: not a poller of the server's runtime: -EDEADLK. Errors: 0 or a negative errno value;
 * -EPERM in a child of fork(2).
 */
#ifndef NETPOLL_RESTART_H
#define NETPOLL_RESTART_H

#include <netpoll/export.h>
#include <netpoll/server.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Listens on a socket of the caller's, which somebody else may have, too: whom the server has no
 * room for at its end is left to them, and so is a socket file.
 *
 * It is made not to block, for all who have it, and its TCP options become those of the server's
 * connections.
 *
 * @param fd  a TCP or unix stream socket that listens
 * @return 0: the server owns fd; otherwise it stays the caller's: -EINVAL when it does not listen,
 *         -EPROTOTYPE when it is not a stream, -EAFNOSUPPORT when it is neither TCP nor unix,
 *         -ENOTSOCK, -EBADF, -ESHUTDOWN, -EMFILE, -ENOMEM
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_listen_fd(struct netpoll_server *server, int fd);

/**
 * Listens on the sockets that this process was started with, as systemd's socket units do it: see
 * sd_listen_fds(3). They are LISTEN_FDS descriptors from 3 on, if LISTEN_PID is this process.
 *
 * The environment stays as it is, names of sockets are not looked at. Each socket is as of
 * netpoll_server_listen_fd().
 *
 * @return how many; 0 also when they have been taken before; -EINVAL when the variables are none;
 *         what netpoll_server_listen_fd() says of one, and then none has been taken, unless memory
 *         or descriptors ran out
 *
 * Thread: one at a time in the process, for environ(7).
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_listen_activated(struct netpoll_server *server);

/**
 * Duplicates the sockets that the server listens on, for a process that is to be started: with
 * NETPOLL_BALANCING_PER_POLLER there are several to an address.
 *
 * @param fds  gets descriptors, close-on-exec, which the caller owns
 * @param max  of fds
 * @return how many; -ENOSPC when there are more; -EMFILE, -ESHUTDOWN
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_dup_listeners(struct netpoll_server *server,
                                                                int *fds, size_t max);

/**
 * Says whether somebody else accepts on the listeners of the server as well. Then, when it shuts
 * down, it does not go on to accept those who come meanwhile, and leaves socket files where they
 * are.
 *
 * @return 0; -ESHUTDOWN
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_set_shared(struct netpoll_server *server,
                                                             bool is_shared);

/**
 * Hands the listeners over to another process, which calls netpoll_server_take_over() with the
 * other end of a pair of connected unix stream sockets, and waits until that listens on them.
 *
 * Then both accept, netpoll_server_set_shared() holds, and this process may shut down. Whom to
 * trust at the other end is for the caller: SO_PEERCRED in unix(7).
 *
 * @param unix_fd     borrowed
 * @param timeout_ms  for all of it; NETPOLL_TIMEOUT_NONE: none
 * @return 0; otherwise everything is as before: -ENOENT when the server does not listen; -EPIPE
 *         when the other process has gone; -ETIMEDOUT; -EPROTO when it is no such process, or what
 *         it said when it could not; -EINVAL, -EBADF, -ENOTSOCK, -ESHUTDOWN, -EMFILE, -ENOMEM
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_hand_over(struct netpoll_server *server,
                                                            int unix_fd, int64_t timeout_ms);

/**
 * Takes over the listeners that another process hands over, and listens on them.
 *
 * netpoll_server_listen() on one of their addresses then finds that it has been done; so a process
 * takes over first, and then listens on what its configuration says. What it does not mention is
 * listened on as well, as netpoll_server_address() tells.
 *
 * @param unix_fd     borrowed; bytes after the handover stay unread
 * @param timeout_ms  for all of it; NETPOLL_TIMEOUT_NONE: none
 * @return how many sockets have come; otherwise none has been taken: -EPIPE when the other process
 *         has gone; -ETIMEDOUT; -EPROTO when it is no such process; -EINVAL, -EBADF, -ENOTSOCK,
 *         -ESHUTDOWN, -EMFILE, -ENOMEM
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_take_over(struct netpoll_server *server,
                                                            int unix_fd, int64_t timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
