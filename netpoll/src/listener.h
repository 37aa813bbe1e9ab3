/*
 * A listening descriptor: opens it, accepts on one poller, hands connections to the others.
 */
#ifndef NP_LISTENER_H
#define NP_LISTENER_H

#include "address.h"
#include "poller.h"

struct netpoll_server;

struct np_listener {
    struct np_fd fd; /* first: the backend's view */
    struct netpoll_server *server;
    struct np_listener *next; /* the server's list */
    struct np_work start_work;
    struct np_work stop_work;
    struct np_timer retry; /* accepting rests after an error */
    uint64_t next_log_ms;  /* no line about such an error before */
    bool is_unix;
    bool stopping;
    bool started;     /* the poller has reported; under the server's mutex */
    int start_status; /* what it reported */
    bool closed;      /* likewise: the descriptor is gone */
    char path[sizeof(struct sockaddr_storage)]; /* socket file to remove at the end; "" for none */
};

/* Listens, and has the poller start to accept: np_server_listener_started() follows. 0 or -errno,
 * nothing left behind. Not the poller's thread. */
int np_listener_create(struct netpoll_server *server, struct np_poller *poller,
                       const struct np_address *address, int backlog, struct np_listener **out);
/* Accepts what is waiting and closes; np_server_listener_gone() follows. Any thread. */
void np_listener_stop(struct np_listener *listener);
void np_listener_destroy(struct np_listener *listener);

#endif
