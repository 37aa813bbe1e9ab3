/*
 * A listener: accepts on one poller, and hands connections to the others.
 */
#ifndef NP_LISTENER_H
#define NP_LISTENER_H

#include "listen_socket.h"
#include "poller.h"

struct netpoll_server;

struct np_listener {
    struct np_fd fd; /* first: the backend's view */
    struct netpoll_server *server;
    struct np_listener *next;       /* the server's list */
    struct np_listen_socket socket; /* is_shared is under the server's mutex */
    struct np_address address;      /* with the port that the system chose */
    struct np_work start_work;
    struct np_work stop_work;
    struct np_work wake_work;

    /* The poller's. */
    struct np_timer retry; /* accepting rests after an error */
    uint32_t rest_ms;      /* how long it rested last; 0: it did not */
    uint64_t rests_since_ms;
    uint64_t next_log_ms; /* no line about such an error before */
    int reserve;          /* a descriptor to shed load with; -1: none */
    bool is_full;         /* accepting waits for room */
    bool stopping;

    /* Under the server's mutex. */
    bool waits;       /* to be woken when a connection has gone */
    bool wake_posted; /* wake_work is on its way */
    bool end_waits;   /* for wake_work, which refers to the listener */
    bool started;     /* the poller has reported */
    int start_status; /* what it reported */
    bool closed;      /* the descriptor is gone */
};

/* Has the poller start to accept: np_server_listener_started() follows. Takes the socket. NULL
 * without memory. Not the poller's thread. */
struct np_listener *np_listener_create(struct netpoll_server *server, struct np_poller *poller,
                                       const struct np_listen_socket *socket);
/* Accepts what is waiting, unless others do, and closes; np_server_listener_gone() follows. Any
 * thread. */
void np_listener_stop(struct np_listener *listener);
void np_listener_destroy(struct np_listener *listener);

#endif
