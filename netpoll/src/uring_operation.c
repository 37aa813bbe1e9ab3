/* Operations on their way to the kernel, and the flags that say how they stand. Poller thread. */
#include "uring_operation.h"

#include "poller.h"
#include "uring_idle.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* The flags that say how an operation stands. */
static const struct {
    uint16_t armed;
    uint16_t canceled;
} marks[] = {
    [NP_URING_INPUT] = {NP_FD_INPUT_ARMED, NP_FD_INPUT_CANCELED},
    [NP_URING_HANGUP] = {NP_FD_HANGUP_ARMED, NP_FD_HANGUP_CANCELED},
    [NP_URING_OUTPUT] = {NP_FD_OUTPUT_ARMED, NP_FD_OUTPUT_CANCELED},
};

static struct io_uring_sqe *next_sqe(struct np_uring *state)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);
    if (sqe == NULL) {
        (void)io_uring_submit(&state->ring);
        sqe = io_uring_get_sqe(&state->ring);
    }
    return sqe;
}

static uint64_t tag(const struct np_uring *state, const struct np_fd *fd, unsigned op)
{
    return (uint64_t)op << NP_URING_OP_SHIFT | np_fd_table_key(&state->poller->fds, fd);
}

/* The operation is the kernel's from the next submission on. */
static bool begin(const struct np_uring *state, struct np_fd *fd, struct io_uring_sqe *sqe,
                  enum np_uring_op op)
{
    io_uring_sqe_set_data64(sqe, tag(state, fd, op));
    fd->flags |= marks[op].armed;
    fd->in_flight++;
    return true;
}

/* Linux 6.18 loses the end of a unix stream that comes with its last bytes when the receive stays
 * armed: it asks how many bytes are left, and the end is none. */
static uint8_t wanted_mode(const struct np_fd *fd)
{
    bool is_unix_stream = fd->kind == NP_FD_STREAM && (fd->flags & NP_FD_UNIX) != 0;
    return is_unix_stream && fd->mode == NP_URING_STAYING ? NP_URING_SINGLE : fd->mode;
}

/* False: with bytes waiting it would end at once, again and again. */
static bool has_block_for(struct np_uring *state, struct np_fd *fd)
{
    if ((fd->flags & NP_FD_STARVED) == 0)
        return state->buffers.filled > 0;
    if (state->credit == 0)
        return false;
    state->credit--;
    fd->flags &= (uint16_t)~NP_FD_STARVED;
    return true;
}

static void prep_poll(struct io_uring_sqe *sqe, const struct np_fd *fd, uint8_t mode)
{
    /* Urgent data makes a read stop at its mark. */
    unsigned events = fd->kind == NP_FD_STREAM ? POLLIN | POLLPRI | POLLRDHUP : POLLIN;
    if (mode == NP_URING_RESTING)
        io_uring_prep_poll_add(sqe, fd->fd, events);
    else
        io_uring_prep_poll_multishot(sqe, fd->fd, events);
}

static void prep_input(struct io_uring_sqe *sqe, const struct np_fd *fd, uint8_t mode)
{
    if (fd->kind == NP_FD_WATCH && (fd->flags & NP_FD_HUNG_UP) != 0)
        io_uring_prep_poll_multishot(sqe, fd->fd, fd->poll_events);
    else if (fd->kind == NP_FD_WATCH)
        io_uring_prep_poll_add(sqe, fd->fd, fd->poll_events);
    else if (fd->kind == NP_FD_POLL || mode == NP_URING_LENT || mode == NP_URING_RESTING)
        prep_poll(sqe, fd, mode);
    else if (fd->kind == NP_FD_STREAM)
        np_uring_prep_receive(sqe, fd->fd, mode == NP_URING_STAYING);
    else if (mode == NP_URING_STAYING)
        io_uring_prep_multishot_accept(sqe, fd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    else
        io_uring_prep_accept(sqe, fd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static bool arm_input(struct np_uring *state, struct np_fd *fd)
{
    uint8_t mode = wanted_mode(fd);
    bool uses_ring =
        fd->kind == NP_FD_STREAM && (mode == NP_URING_STAYING || mode == NP_URING_SINGLE);
    if (uses_ring && !has_block_for(state, fd))
        return false;
    struct io_uring_sqe *sqe = next_sqe(state);
    if (sqe == NULL)
        return false;
    prep_input(sqe, fd, mode);
    fd->armed_mode = mode;
    if (uses_ring) {
        fd->is_fresh = mode == NP_URING_STAYING;
        np_uring_watch_idle(state);
    }
    return begin(state, fd, sqe, NP_URING_INPUT);
}

/* A connection that does not receive must still learn that it was reset. The kernel adds hang-ups,
 * also of the peer's half, to what is polled for. It stays armed: one that has told the peer's end
 * would tell it at once if it were armed again, and the reset that may follow is news. */
static bool arm_hangup(struct np_uring *state, struct np_fd *fd)
{
    struct io_uring_sqe *sqe = next_sqe(state);
    if (sqe == NULL)
        return false;
    io_uring_prep_poll_multishot(sqe, fd->fd, 0);
    return begin(state, fd, sqe, NP_URING_HANGUP);
}

bool np_uring_arm_output(struct np_uring *state, struct np_fd *fd)
{
    struct np_uring_send *send = fd->operation;
    struct io_uring_sqe *sqe = next_sqe(state);
    if (sqe == NULL)
        return false;
    if (np_uring_is_poll(send)) {
        io_uring_prep_poll_add(sqe, fd->fd, POLLOUT);
    } else {
        io_uring_prep_sendmsg(sqe, fd->fd, &send->message, MSG_NOSIGNAL | MSG_WAITALL);
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
    }
    return begin(state, fd, sqe, NP_URING_OUTPUT);
}

/* True: it has been asked for, or there is nothing to cancel. By user_data: a descriptor number
 * would name whatever has it when the kernel looks. */
static bool cancel(struct np_uring *state, struct np_fd *fd, enum np_uring_op op)
{
    if ((fd->flags & (marks[op].armed | marks[op].canceled)) != marks[op].armed)
        return true;
    struct io_uring_sqe *sqe = next_sqe(state);
    if (sqe == NULL)
        return false;
    io_uring_prep_cancel64(sqe, tag(state, fd, op), 0);
    io_uring_sqe_set_data64(sqe, tag(state, fd, NP_URING_CANCEL | op));
    fd->flags |= marks[op].canceled;
    fd->in_flight++;
    return true;
}

bool np_uring_cancel_all(struct np_uring *state, struct np_fd *fd)
{
    return cancel(state, fd, NP_URING_INPUT) && cancel(state, fd, NP_URING_HANGUP) &&
           cancel(state, fd, NP_URING_OUTPUT);
}

static bool reconcile_input(struct np_uring *state, struct np_fd *fd)
{
    if ((fd->flags & NP_FD_INPUT_ARMED) == 0)
        return arm_input(state, fd);
    return fd->armed_mode == wanted_mode(fd) || cancel(state, fd, NP_URING_INPUT);
}

bool np_uring_reconcile(struct np_uring *state, struct np_fd *fd)
{
    if ((fd->flags & NP_FD_REMOVED) != 0)
        return np_uring_cancel_all(state, fd);
    unsigned output = fd->flags & (NP_FD_OUTPUT_WANTED | NP_FD_OUTPUT_ARMED);
    if (output == NP_FD_OUTPUT_WANTED && !np_uring_arm_output(state, fd))
        return false;
    bool is_stream = fd->kind == NP_FD_STREAM;
    if (is_stream && fd->mode == NP_URING_LENT && (fd->flags & NP_FD_INPUT_ENDED) == 0)
        /* Tells hang-ups as well, and is not read from while input is not wanted. */
        return reconcile_input(state, fd);
    if ((fd->flags & NP_FD_INPUT_WANTED) != 0)
        return reconcile_input(state, fd);
    if (!cancel(state, fd, NP_URING_INPUT))
        return false;
    unsigned known = NP_FD_HANGUP_ARMED | NP_FD_HUNG_UP | NP_FD_INPUT_ENDED;
    return !is_stream || (fd->flags & known) != 0 || arm_hangup(state, fd);
}

void np_uring_ended(struct np_fd *fd, enum np_uring_op op)
{
    fd->flags &= (uint16_t) ~(marks[op].armed | marks[op].canceled);
    fd->in_flight--;
}

bool np_uring_cancel_ended(struct np_fd *fd, enum np_uring_op op, int res)
{
    fd->in_flight--;
    if (res != -ENOENT && res != -EALREADY)
        return false;
    fd->flags &= (uint16_t)~marks[op].canceled;
    return true;
}
