/*
 * What the io_uring backend has in flight for a descriptor: at most one operation of each kind,
 * and a cancellation for each. Every one gets exactly one last completion; until the last of them
 * has come the kernel may refer to the descriptor.
 *
 * Poller thread. Nothing here calls the owner of a descriptor.
 */
#ifndef NP_URING_OPERATION_H
#define NP_URING_OPERATION_H

#include "fd.h"
#include "timer.h"
#include "uring_buffers.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* What a completion belongs to: the upper byte of user_data; below it the key of the descriptor. */
enum np_uring_op {
    NP_URING_INPUT = 1,
    NP_URING_HANGUP,
    NP_URING_OUTPUT,
    NP_URING_CANCEL = 0x80 /* with the operation that is to end */
};

#define NP_URING_OP_SHIFT 56U
#define NP_URING_KEY_MASK ((UINT64_C(1) << NP_URING_OP_SHIFT) - 1)

/* How input comes. What is in flight has the mode it was armed in; when that is no longer the one
 * that is wanted it is canceled, and its last completion is followed by the other. */
enum np_uring_mode {
    NP_URING_STAYING = 0, /* a receive into the ring, or an accept, that stays armed */
    NP_URING_SINGLE,      /* the same, armed again after each result */
    NP_URING_LENT,        /* a poll that stays armed; bytes are read into what the owner lends */
    NP_URING_RESTING      /* a poll for the first news, then as before: costs the least memory */
};

/* Windows in one send. */
#define NP_URING_IOV_COUNT 64

/* Memory of a send in flight. */
struct np_uring_send {
    struct msghdr message;
    struct iovec iov[NP_URING_IOV_COUNT];
};

/* It waits for room in the socket, and sends nothing. */
static inline bool np_uring_is_poll(const struct np_uring_send *send)
{
    return send->message.msg_iovlen == 0;
}

/* Linked by their next; first in, first out. */
struct np_fd_list {
    struct np_fd *first;
    struct np_fd **end; /* where the next one is linked */
    uint32_t count;
};

struct np_uring {
    struct io_uring ring;
    struct np_uring_buffers buffers;
    struct np_poller *poller;
    struct np_fd_list review; /* what is armed may differ from what is wanted */
    struct np_fd_list ready;  /* lent to, with more to read than its share was */
    struct np_fd *removed;    /* nothing is in flight: closed() is due at the end of the round */
    uint32_t credit;          /* receives that may be armed for those that found no block */
    bool has_starved;         /* a receive found none in this round */
    struct np_timer shrink;   /* armed while the ring of blocks is larger than it was */
    struct np_timer look;     /* armed while a receive may be demoted, see uring_idle.c */
    uint32_t look_slot;       /* the next to be looked at */
    bool may_be_idle;         /* there is a receive that the next pass may demote */
};

void np_uring_list_init(struct np_fd_list *list);
/* What is armed, or not, may have to change: looked at before the next wait. */
void np_uring_review(struct np_uring *state, struct np_fd *fd);
/* There may be more to read into what the owner lends: done in the next round. */
void np_uring_list_ready(struct np_uring *state, struct np_fd *fd);
void np_uring_unlist(struct np_uring *state, struct np_fd *fd);
/* NULL: it is empty. */
struct np_fd *np_uring_pop_ready(struct np_uring *state);
/* Reconciles all that is under review. False: some of it has to be tried again. */
bool np_uring_run_review(struct np_uring *state);

/* Brings what is in flight closer to what is wanted; false: it has to be tried again. */
bool np_uring_reconcile(struct np_uring *state, struct np_fd *fd);
/* Queues the send that fd->operation describes; false: the queue was full. */
bool np_uring_arm_output(struct np_uring *state, struct np_fd *fd);
/* Asks for the end of everything that is in flight; false: the queue was full. */
bool np_uring_cancel_all(struct np_uring *state, struct np_fd *fd);
/* The kernel has said its last word about an operation. */
void np_uring_ended(struct np_fd *fd, enum np_uring_op op);
/* The same about the cancellation of an operation. True: it missed one that may still stand. */
bool np_uring_cancel_ended(struct np_fd *fd, enum np_uring_op op, int res);

#endif
