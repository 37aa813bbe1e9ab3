/*
 * Looks names up on a pool of the runtime's own, which is made with the first name.
 *
 * A lookup cannot be stopped once getaddrinfo(3) has begun, so it outlives who asked: it belongs to
 * the resolver until done() is called, on its poller.
 */
#ifndef NP_RESOLVER_H
#define NP_RESOLVER_H

#include "dial_target.h"
#include "poller.h"

#include <gopool/gopool.h>
#include <netpoll/dialer.h>

#include <pthread.h>
#include <stdatomic.h>

struct np_resolver {
    pthread_mutex_t mutex; /* guards what follows */
    struct gopool *pool;   /* NULL: no name has come yet */
    uint32_t threads;
};

struct np_lookup {
    struct gopool_task task;
    struct np_work work;
    struct np_poller *poller;
    /* Poller thread. Called once; the lookup is then the callee's, who ends it by
     * np_lookup_free(). */
    void (*done)(struct np_lookup *lookup);
    void *owner;          /* of whoever asked; NULL: nobody waits for it */
    _Atomic bool dropped; /* a hint that the system need not be asked */
    int family;
    in_port_t port;
    char host[NP_HOST_BYTES];
    int status; /* 0, NETPOLL_UNKNOWN_NAME, NETPOLL_NAME_FAILED or -errno */
    uint32_t count;
    struct np_address addresses[NETPOLL_DIAL_ADDRESSES_MAX]; /* families in turn */
};

void np_resolver_init(struct np_resolver *resolver);
/* Waits for the lookups that have begun; the pollers run on. */
void np_resolver_fini(struct np_resolver *resolver);

/*
 * Begins a lookup on one of at least so many threads. host, port, family, poller, done and owner
 * are filled in. Any thread.
 *
 * 0; -EAGAIN when NETPOLL_LOOKUPS_MAX wait; -ENOMEM: done() will not be called.
 */
int np_resolver_start(struct np_resolver *resolver, struct np_lookup *lookup, uint32_t threads);
/* Nobody waits for it any more; done() is called all the same. Poller thread. */
void np_lookup_drop(struct np_lookup *lookup);

struct np_lookup *np_lookup_new(const struct np_target *target);
void np_lookup_free(struct np_lookup *lookup);

#endif
