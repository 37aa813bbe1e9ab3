/* What a dialer's dials ask and tell it. */
#ifndef NP_DIALER_H
#define NP_DIALER_H

#include "dial_socket.h"
#include "group.h"

#include <netpoll/dialer.h>

struct netpoll_dialer {
    struct np_group group;      /* first; its mutex guards running and dials */
    uint32_t running;           /* dials and adoptions that have not come to their end */
    struct netpoll_dial *dials; /* of those, the dials */
    int64_t timeout_ms;
    int64_t fallback_ms;
    uint32_t resolver_threads;
    struct np_address local;
    struct np_dial_socket how; /* local among it */
};

/* The calling thread is a poller of its runtime. */
bool np_dialer_is_on_poller(const struct netpoll_dialer *dialer);
/* Something begins that may open a connection on this poller, which it counts: 0 or -ESHUTDOWN. Any
 * thread. */
int np_dialer_enter(struct netpoll_dialer *dialer, struct np_poller *poller,
                    struct netpoll_dial *dial);
/* It has ended; without a connection it is not counted any more. The caller's last touch of the
 * dialer. Any thread. */
void np_dialer_leave(struct netpoll_dialer *dialer, struct np_poller *poller,
                     struct netpoll_dial *dial, bool is_connected);

#endif
