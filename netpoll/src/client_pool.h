/*
 * The inside of a pool of client connections. Its parts: the pool, its bounds and its timer
 * (client_pool.c); its connections, idle and handed out (client_pool_conns.c); gets
 * (client_pool_get.c).
 *
 * Everything here is under the pool's mutex. An idle connection is not retained: the pool only
 * keeps its memory, so that it closes when its peer hangs up, or its dialer shuts down, like any
 * other that nobody holds. Whichever way a connection ends, its close callback tells the pool.
 */
#ifndef NP_CLIENT_POOL_H
#define NP_CLIENT_POOL_H

#include "hash.h"
#include "poller.h"
#include "timer.h"

#include <netpoll/client_pool.h>

#include <pthread.h>

struct netpoll_conn;
struct np_client_wait;

/* A doubly linked list; the newest is first. */
struct np_client_link {
    struct np_client_link *newer;
    struct np_client_link *older;
};

struct np_client_address {
    struct np_hash_node node; /* first */
    struct np_client_link idle;
    uint32_t idle_count;
    uint32_t count; /* connections, dials among them */
    struct np_client_wait *waits;
    struct np_client_wait **waits_end;
    size_t length;
    char text[]; /* NUL-terminated */
};

enum np_client_state {
    NP_CLIENT_IDLE,    /* in both lists; the pool has a reference and no handle */
    NP_CLIENT_USED,    /* handed out: the user has the handle */
    NP_CLIENT_CLOSING, /* not handed out any more, not at its end */
};

struct np_client {
    struct np_hash_node node; /* first; by the connection */
    struct netpoll_client_pool *pool;
    struct np_client_address *address;
    struct netpoll_conn *conn;
    struct np_client_link of_address; /* IDLE: in the address's list */
    struct np_client_link of_pool;    /* IDLE: in the pool's */
    uint64_t born_ms;
    uint64_t idle_since_ms;
    uint8_t state; /* enum np_client_state */
    bool is_ended; /* the close callback has run */
    bool is_reused;
};

/* What a get that waited has come to. */
enum np_client_turn {
    NP_CLIENT_WAITS,
    NP_CLIENT_GETS_CONN,  /* client is its own */
    NP_CLIENT_GETS_PLACE, /* it may dial, and is counted */
    NP_CLIENT_GETS_NONE,  /* the pool has stopped */
};

/* A get that waits for a place. */
struct np_client_wait {
    struct np_client_wait *next;
    struct np_client_wait **link;
    struct np_client_address *address;
    enum np_client_turn turn;
    struct np_client *client;
    void (*wake)(struct np_client_wait *wait); /* turn has changed; under the mutex */
};

enum np_client_timer {
    NP_CLIENT_TIMER_OFF,
    NP_CLIENT_TIMER_POSTED, /* on its way to the poller */
    NP_CLIENT_TIMER_ARMED,
};

struct netpoll_client_pool {
    struct netpoll_dialer *dialer;
    struct netpoll_client_pool_options options; /* complete */
    pthread_mutex_t mutex;                      /* guards what follows */
    pthread_cond_t changed;                     /* a connection or the timer has ended */
    bool is_stopped;
    struct np_hash addresses;
    struct np_hash conns;
    struct np_client_link idle; /* of all addresses */
    struct netpoll_client_pool_stats stats;
    size_t under_way; /* gets that have to come back to the pool */
    struct np_poller *poller;
    enum np_client_timer timer_state;
    struct np_timer timer; /* poller */
    struct np_work arm_work;
    struct np_work disarm_work;
};

/* client_pool.c. */
/* Something is idle: the timer looks after it. */
void np_client_pool_arm(struct netpoll_client_pool *pool);

/* client_pool_conns.c. */
void np_client_list_init(struct np_client_link *list);
/* The address of this text, made if there is none: 0, -EINVAL or -ENOMEM. */
int np_client_address_get(struct netpoll_client_pool *pool, const char *text,
                          struct np_client_address **out);
/* Frees it if nothing needs it any more. */
void np_client_address_drop(struct netpoll_client_pool *pool, struct np_client_address *address);
/* The newest idle one that is fit, handed out; NULL: none. */
struct np_client *np_client_take(struct netpoll_client_pool *pool,
                                 struct np_client_address *address);
/* A dial of this address has come about, whose handle is the caller's: the connection is handed
 * out. 0; -ECONNRESET when it has ended already, -ENOMEM: the place and the handle are still the
 * caller's. */
int np_client_add(struct netpoll_client_pool *pool, struct np_client_address *address,
                  struct netpoll_conn *conn);
/* One connection or dial less: who waits may dial. The address may be gone when it returns. */
void np_client_give_place(struct netpoll_client_pool *pool, struct np_client_address *address);
/* Closes an idle one. */
void np_client_close_idle(struct np_client *client);
struct np_client *np_client_of_pool_link(struct np_client_link *link);

/* Takes it off the list of its address, and out of the figures. */
void np_client_wait_remove(struct netpoll_client_pool *pool, struct np_client_wait *wait);
void np_client_wait_add(struct netpoll_client_pool *pool, struct np_client_address *address,
                        struct np_client_wait *wait);
/* The pool has stopped: ends every wait of an address. */
void np_client_end_waits(struct netpoll_client_pool *pool, struct np_client_address *address);

#endif
