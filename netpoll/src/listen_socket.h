/*
 * Listening sockets: opened by an address, or given by others. Any thread.
 */
#ifndef NP_LISTEN_SOCKET_H
#define NP_LISTEN_SOCKET_H

#include "address.h"

#include <netpoll/server.h>

#include <sys/un.h>

struct np_listen_socket {
    int fd;
    bool is_unix;
    bool is_shared; /* others accept on it too: what waits at our end is for them, and so is path */
    bool is_taken;  /* came from the process before this one */
    bool keeps;     /* one of a set with one for each poller, which keeps what it accepts */
    bool is_first;  /* of its set */
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path + 1]; /* file to remove; "": none */
};

/* Binds and listens: 0 or -errno, nothing left behind. */
int np_listen_open(const struct np_address *address, const struct netpoll_server_options *options,
                   struct np_listen_socket *out);
/* Not used after all: closes it, and removes its file unless that is somebody else's. */
void np_listen_close(const struct np_listen_socket *socket);
/* Whether it is a stream socket that listens: 0, -ENOTSOCK, -EPROTOTYPE, -EINVAL, -EAFNOSUPPORT.
 * out is filled in as for a socket of others. */
int np_listen_check(int fd, struct np_listen_socket *out);
/* What an accepting poller needs of a socket that others made: 0 or -errno. */
int np_listen_prepare(int fd);

#endif
