/*
 * A group of connections: those of a server or of a dialer. It has what becomes of them, counts
 * them, and ends them.
 *
 * Its memory is that of the server or dialer, whose first member it is, and outlives it for as long
 * as somebody has a handle: calls on that read the options before they know of the end.
 */
#ifndef NP_GROUP_H
#define NP_GROUP_H

#include "poller.h"
#include "socket.h"

#include <netpoll/conn_options.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct np_sweep;

struct np_group {
    struct netpoll_runtime *runtime;
    _Atomic size_t refs;                 /* memory: one for its owner, one for each connection's */
    struct netpoll_conn_options options; /* complete: no default is left to be filled in */
    _Atomic bool shutting_down; /* set under the mutex; pollers read it alone, see shut_down() */
    pthread_mutex_t shutdown;   /* held by the thread that shuts down, with the sweeps its own */
    struct np_sweep *sweeps;    /* one for each poller */
    pthread_mutex_t mutex;      /* guards what follows, and what the owner of the group says */
    pthread_cond_t changed;
    /* A connection has gone. Under the mutex; set before there is one. NULL: nobody asks */
    void (*on_conn_gone)(struct np_group *group);
    size_t conn_count;
    uint32_t sweeping; /* pollers that have not looked at all their connections */
    size_t aborted;
    size_t unused; /* connections that the last look found without input */
};

/* Checks and completes options: 0 or -EINVAL. */
int np_conn_options_complete(struct netpoll_conn_options *options);
/* A timeout in milliseconds, checked: 0 or -EINVAL. A 0 becomes fallback. */
int np_timeout_complete(int64_t *timeout_ms, int64_t fallback);

/* 0; -EINVAL; -EPERM in a child of fork(2); -ENOMEM. */
int np_group_init(struct np_group *group, struct netpoll_runtime *runtime,
                  const struct netpoll_conn_options *options);
/* No connection is left. The owner's count is left to np_group_unref(). */
void np_group_fini(struct np_group *group);
/* Counts for the memory of a connection. Any thread. */
void np_group_ref(struct np_group *group);
/* The last one frees the owner's memory, whatever else is in it. Any thread. */
void np_group_unref(struct np_group *group);

bool np_group_is_shutting_down(const struct np_group *group);
/* A connection is going to be opened on this poller; np_group_conn_gone() follows exactly once. Any
 * thread. */
void np_group_conn_added(struct np_group *group, struct np_poller *poller);
/* No callback of it runs any more; the caller's last touch of the group. Any thread. */
void np_group_conn_gone(struct np_group *group);
/* Counts a connection and opens it on a poller, from where it is handed over to that; the
 * descriptor is closed if that fails. Poller thread. */
void np_group_open_conn(struct np_group *group, struct np_poller *poller,
                        const struct np_socket *socket);
/* The same for a socket that was not accepted, on any thread. 0: it is handed over; -ENOMEM; or
 * -ESHUTDOWN when it comes too late. */
int np_group_adopt(struct np_group *group, struct np_poller *poller,
                   const struct np_socket *socket);
/* Wakes who waits for a change and leaves the mutex: the caller's last touch of the group, which
 * the waiter may free as soon as it has the mutex. */
void np_group_notify(struct np_group *group);

/* 0 when np_group_shut_down() may be called with this timeout here; what it returns otherwise. */
int np_group_check_shut_down(const struct np_group *group, int64_t timeout_ms);
/* Closes idle connections, but for those on which nothing has come yet: how many these are. Before
 * np_group_shut_down(), by one thread at a time. */
size_t np_group_close_used(struct np_group *group);

/*
 * Ends every connection: idle ones at once, the rest at the deadline, and waits for the last.
 * before_sweep(group) is called the first time, under the mutex, which it may leave to wait:
 * nobody opens a connection after it.
 *
 * Returns how many were aborted; -EDEADLK, -EPERM, -EINVAL as netpoll_server_shutdown().
 */
int np_group_shut_down(struct np_group *group, int64_t timeout_ms,
                       void (*before_sweep)(struct np_group *group));

#endif
