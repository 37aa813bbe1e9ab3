/*
 * One dial: from addresses, or the name of some, to a connection or an error. Everything happens
 * on one poller, which is also that of the connection.
 *
 * What it comes to is decided once, by a transition of `verdict`: the poller claims it when it has
 * a connected socket, an error, or no time left; whoever calls the dial off puts the error there,
 * and then the poller, told by cancel_work, ends the dial and nothing else does.
 *
 * It stands in its dialer's list until fn has returned and none of its sockets is open any more.
 */
#ifndef NP_DIAL_H
#define NP_DIAL_H

#include "dial_target.h"
#include "dialer.h"
#include "resolver.h"

#include <stdatomic.h>

struct np_attempt;

/* Of verdict; below 0 an error that whoever called the dial off has put there. */
enum np_dial_verdict {
    NP_DIAL_OPEN = 0,
    NP_DIAL_CLAIMED = 1,
};

struct netpoll_dial {
    struct netpoll_dialer *dialer;
    struct np_poller *poller;
    netpoll_dialed_fn *fn;
    void *arg;
    struct netpoll_dial *next; /* in the dialer's list, under its mutex */
    struct netpoll_dial **link;
    _Atomic uint32_t refs; /* one for its course, one for the handle */
    _Atomic int32_t verdict;
    struct np_work start_work;
    struct np_work cancel_work;
    /* The poller's from here on. */
    bool is_started;
    bool is_called_off; /* before it was started */
    bool is_told;       /* fn has returned */
    bool is_connected;  /* it was told a connection */
    bool is_looking;    /* the lookup is under way */
    struct np_timer deadline;
    struct np_timer pause;        /* until the next address, or the next try of a full backlog */
    uint64_t deadline_ms;         /* of CLOCK_MONOTONIC; 0: none */
    struct np_lookup *lookup;     /* NULL: the addresses were known, or nobody waits for it */
    const struct np_address *all; /* to try */
    uint32_t count;
    uint32_t next_index;
    uint32_t under_way; /* attempts that nothing has come of */
    uint32_t retry_count;
    int32_t backlog_ms; /* the last pause before a full backlog was tried again */
    int status;         /* the error to tell if no address is left */
    struct np_attempt *attempts;
    struct np_address known[2];
};

/* A dial to a target, in its dialer's list; np_dial_start() follows. -ESHUTDOWN; -ENOMEM. */
int np_dial_new(struct netpoll_dialer *dialer, const struct np_target *target, int64_t timeout_ms,
                struct netpoll_dial **out);
/* Any thread. It may have ended when this returns. */
void np_dial_start(struct netpoll_dial *dial);
/* 0: its fn gets this error; -EPERM in a child of fork(2); otherwise what verdict was. Any thread
 * that has a reference, or the mutex of the dialer. */
int np_dial_call_off(struct netpoll_dial *dial, int error);
void np_dial_unref(struct netpoll_dial *dial);

/* What a function of a dial, or of a get, is told. */
struct np_dialed_call {
    netpoll_dialed_fn *fn;
    void *arg;
    struct netpoll_conn *conn;
    int status;
};

/* Calls it and contains its panic, which closes the connection. */
void np_dialed_call(struct netpoll_runtime *runtime, struct np_dialed_call *call);

#endif
