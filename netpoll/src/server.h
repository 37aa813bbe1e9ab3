/*
 * The inside of a server: its listeners, and how many connections they may accept.
 */
#ifndef NP_SERVER_H
#define NP_SERVER_H

#include "group.h"

#include <netpoll/server.h>

struct np_listen_socket;
struct np_listener;

struct netpoll_server {
    struct np_group group; /* first; its mutex guards what follows, unless it says otherwise */
    struct netpoll_server_options options; /* complete; never changes */
    _Atomic uint32_t next_poller;          /* in turn; any value is as good */
    struct np_listener *listeners;
    struct np_listener **listeners_end;
    uint32_t listener_count; /* addresses */
    uint32_t socket_count;
    uint32_t open_sockets;     /* listeners whose descriptor is not closed */
    bool is_shared;            /* others accept on the listeners as well, and go on when we end */
    uint32_t admitted;         /* admissions that have not become connections */
    bool stopping;             /* no listener is added, none is woken */
    pthread_mutex_t listening; /* outermost: held while listeners are added */
    pthread_mutex_t stop;      /* held while the listeners are stopped; what follows is under it */
    pthread_t stopper;         /* who holds it; valid while stops, both under the group's mutex */
    bool stops;
    bool stopped;
};

/* listener.c reports. */
/* The poller watches a new listener, or could not. */
void np_server_listener_started(struct netpoll_server *server, struct np_listener *listener,
                                int status);
/* A listener's descriptor is closed; the caller's last touch of both. */
void np_server_listener_gone(struct netpoll_server *server, struct np_listener *listener);

/* server_listen.c. Under the mutex of changes, and the group's, which they leave while they wait.
 */
/* Takes the socket, also when it fails. */
int np_server_add_socket(struct netpoll_server *server, const struct np_listen_socket *socket);
/* Takes back the sockets that were added after the first so many. */
void np_server_drop_sockets(struct netpoll_server *server, uint32_t keep);
/* 0; -EPERM in a child of fork(2); -EDEADLK on a poller of the runtime. Any thread, no mutex. */
int np_server_check_caller(const struct netpoll_server *server);
/* Tells the log the addresses from this one on. Any thread, no mutex. */
void np_server_log_listeners(struct netpoll_server *server, size_t from);

/* server_admission.c. */
/* The poller for the next connection. Any thread. */
struct np_poller *np_server_pick(struct netpoll_server *server);
/* Room for one connection more: np_server_admission_used() follows. Any thread. */
bool np_server_admit(struct netpoll_server *server);
/* The same; without room the listener is woken when there is some. */
bool np_server_admit_or_wait(struct netpoll_server *server, struct np_listener *listener);
/* The connection has been opened, or there is none. Any thread. */
void np_server_admission_used(struct netpoll_server *server);
/* The listener waits for descriptors, or no longer: it is woken when a connection has gone. */
void np_server_set_waiting(struct netpoll_server *server, struct np_listener *listener, bool waits);
/* Posts the listener's wake-up, unless one is on its way. */
void np_server_wake_listener(struct netpoll_server *server, struct np_listener *listener);
/* The wake-up has come: whether the listener's end was waiting for it. */
bool np_server_listener_woke(struct netpoll_server *server, struct np_listener *listener);
/* The listener's descriptor is closed: whether its end waits for a wake-up on its way. */
bool np_server_end_waits_for_wake(struct netpoll_server *server, struct np_listener *listener);
/* A connection has gone: np_group.on_conn_gone. Under the mutex. */
void np_server_conn_gone(struct np_group *group);

#endif
