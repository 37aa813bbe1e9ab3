/*
 * A socket of a dial on its way to being connected, watched by the backend. Poller thread.
 */
#ifndef NP_DIAL_ATTEMPT_H
#define NP_DIAL_ATTEMPT_H

#include "dial.h"
#include "fd.h"

struct np_attempt {
    struct np_fd fd; /* first: the backend's view */
    struct netpoll_dial *dial;
    struct np_attempt *next; /* of the dial */
    uint32_t index;          /* of its address */
    bool is_ending;          /* the backend is letting go */
    bool is_winner;          /* the descriptor becomes a connection then */
};

/* Watches a socket that is connecting, which is closed if that fails: 0, -ENOMEM or -errno. */
int np_attempt_open(struct netpoll_dial *dial, uint32_t index, int fd);
/* Ends it; np_dial_attempt_gone() follows. */
void np_attempt_end(struct np_attempt *attempt);

/* dial.c. The socket is connected, or an error came of it. */
void np_dial_attempt_done(struct np_attempt *attempt, int status);
/* The backend has let go of it; it is off the list of the dial, who frees it. */
void np_dial_attempt_gone(struct np_attempt *attempt);

#endif
