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

/* Windows in one send. */
#define NP_URING_IOV_COUNT 64

/* Memory of a send in flight. */
struct np_uring_send {
    struct msghdr message;
    struct iovec iov[NP_URING_IOV_COUNT];
};

struct np_uring {
    struct io_uring ring;
    struct np_uring_buffers buffers;
    struct np_poller *poller;
    struct np_fd *review;  /* what is armed may differ from what is wanted */
    struct np_fd *removed; /* nothing is in flight: closed() is due at the end of the round */
};

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
