/* The system calls of connecting. Any thread; none blocks. */
#ifndef NP_DIAL_SOCKET_H
#define NP_DIAL_SOCKET_H

#include "address.h"

#include <netpoll/conn_options.h>

#include <stdbool.h>

/* How a socket is made. */
struct np_dial_socket {
    const struct np_address *local; /* NULL: the system's choice */
    bool fast_open;
    const struct netpoll_conn_options *options;
};

/* The port to dial from is given. */
bool np_dial_has_own_port(const struct np_dial_socket *how);
/*
 * Begins to connect. 0: connected; -EINPROGRESS: the socket becomes writable when that is decided;
 * otherwise -errno: -EAGAIN when the peer's backlog is full (unix), -EADDRNOTAVAIL also when local
 * is of another family. *out is the socket, untouched on failure.
 */
int np_dial_connect(const struct np_dial_socket *how, const struct np_address *address, int *out);
/* What a socket that has become writable has come to: 0 or -errno; -EALREADY when it has not,
 * -ELOOP when it has connected to itself. */
int np_dial_result(int fd);

#endif
