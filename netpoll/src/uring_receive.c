/* Bytes of streams: from the ring of blocks, or read into what the owner lends; which of the two a
 * connection uses follows what it does. Input goes to conn_input.c. Poller thread. */
#include "uring_receive.h"

#include "poller.h"
#include "socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A receive of so many bytes speaks for lent memory; see docs/performance.md. */
#define LONG_BYTES ((size_t)32 * 1024)
/* At this score memory is lent, at 0 the ring is used again. A short receive takes 1 away. */
#define SCORE_LENT 64U
#define SCORE_LONG 16U
/* A pause costs a cancellation, a receive without a block is armed again: at the fourth in a row
 * lent memory is cheaper. */
#define SCORE_HELD_UP 16U
/* What one descriptor may read before the others get their turn. */
#define READ_BUDGET ((size_t)256 * 1024)

static bool is_open(const struct np_fd *fd)
{
    return (fd->flags & (NP_FD_REMOVED | NP_FD_INPUT_ENDED)) == 0;
}

static bool may_read(const struct np_fd *fd)
{
    return is_open(fd) && (fd->flags & NP_FD_INPUT_WANTED) != 0;
}

static void set_mode(struct np_uring *state, struct np_fd *fd, enum np_uring_mode mode)
{
    /* The other mode finds out by itself. */
    fd->flags &= (uint16_t) ~(NP_FD_READABLE | NP_FD_HUNG_UP);
    fd->mode = (uint8_t)mode;
    np_uring_review(state, fd);
}

static void raise_score(struct np_uring *state, struct np_fd *fd, unsigned by)
{
    unsigned score = fd->score + by;
    fd->score = (uint8_t)(score < SCORE_LENT ? score : SCORE_LENT);
    if (score >= SCORE_LENT && fd->mode != NP_URING_LENT)
        set_mode(state, fd, NP_URING_LENT);
}

static void note_received(struct np_uring *state, struct np_fd *fd, size_t n)
{
    fd->quiet = 0;
    if (n >= LONG_BYTES)
        raise_score(state, fd, SCORE_LONG);
    else if (fd->score > 0 && --fd->score == 0 && fd->mode == NP_URING_LENT)
        set_mode(state, fd, NP_URING_STAYING);
}

static void end_input(struct np_fd *fd, int64_t result)
{
    fd->flags &= (uint16_t) ~(NP_FD_INPUT_WANTED | NP_FD_READABLE);
    fd->flags |= NP_FD_INPUT_ENDED;
    fd->ops->input_done(fd, result);
}

/* Linux 6.18 loses a reset that is there together with the last bytes when the receive that takes
 * them stays armed: it asks how many bytes are left, and the reset is none. Whoever answers learns
 * of it by the send; who does not would wait for ever. */
static void look_for_reset(struct np_fd *fd)
{
    int error = np_socket_take_error(fd->fd);
    if (error != 0)
        end_input(fd, error);
}

/* Sends of this thread. */
static uint64_t sends_of(const struct np_uring *state)
{
    /* Relaxed: written by this thread. */
    return atomic_load_explicit(&state->poller->counters.sends, memory_order_relaxed);
}

static void take_block(struct np_uring *state, struct np_fd *fd, const struct io_uring_cqe *cqe)
{
    uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    uint64_t sends = sends_of(state);
    bool is_idle = false;
    /* Also when it has been removed: who gets the descriptor would miss what came before the
     * cancellation. */
    if ((fd->flags & NP_FD_INPUT_ENDED) == 0 && cqe->res > 0) {
        struct linkbuffer_block *block = np_uring_buffers_block(&state->buffers, id);
        if (is_open(fd))
            note_received(state, fd, (size_t)cqe->res);
        is_idle = fd->ops->adopt_input(fd, block, linkbuffer_block_data(block), (uint32_t)cqe->res);
    }
    np_uring_buffers_give_back(&state->buffers, id);
    if ((cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0)
        return;
    if ((is_idle || fd->is_fresh) && sends_of(state) == sends && may_read(fd))
        look_for_reset(fd);
    fd->is_fresh = false;
}

static void found_no_block(struct np_uring *state, struct np_fd *fd)
{
    np_count(&state->poller->counters.buffers_exhausted, 1);
    fd->flags |= NP_FD_STARVED;
    state->has_starved = true;
    raise_score(state, fd, SCORE_HELD_UP);
}

static void received(struct np_uring *state, struct np_fd *fd, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0)
        take_block(state, fd, cqe);
    if (!is_open(fd) || cqe->res > 0)
        return;
    /* These end the receive, not the stream: the review arms it again, after the refill. */
    if (cqe->res == -ENOBUFS)
        found_no_block(state, fd);
    else if (cqe->res != -ECANCELED && cqe->res != -EINTR && cqe->res != -EAGAIN)
        end_input(fd, cqe->res);
}

/* As much as there is, or its share; then it is ready for the next round. */
static void read_lent(struct np_uring *state, struct np_fd *fd)
{
    size_t budget = READ_BUDGET;
    struct iovec iov;
    while (may_read(fd) && (fd->flags & (NP_FD_READABLE | NP_FD_HUNG_UP)) != 0) {
        ssize_t result = fd->ops->lend_input(fd, &iov);
        if (result == 0)
            result = np_socket_receive(fd->fd, &iov);
        if (result == -EAGAIN) {
            fd->flags &= (uint16_t)~NP_FD_READABLE;
            return;
        }
        if (result <= 0) {
            end_input(fd, result);
            return;
        }
        /* A short read has emptied the socket, unless it stopped where a unix peer passed
         * descriptors. After a hang-up the end is still to be read. */
        bool is_short = (size_t)result < iov.iov_len;
        if (is_short && (fd->flags & NP_FD_UNIX) == 0)
            fd->flags &= (uint16_t)~NP_FD_READABLE;
        note_received(state, fd, (size_t)result);
        fd->ops->input_done(fd, result);
        if ((size_t)result >= budget) {
            np_uring_list_ready(state, fd);
            return;
        }
        budget -= (size_t)result;
    }
}

/* The end of a connection that is not received from: unread bytes in the socket are not waited
 * for. Not POLLHUP: that comes too when both sides have ended in order, with bytes still to be
 * read. */
static void hung_up(struct np_fd *fd, int events)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (!is_open(fd) || (fd->flags & NP_FD_INPUT_WANTED) != 0 || (events & POLLERR) == 0)
        return;
    if (getsockopt(fd->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error == 0)
        error = ECONNRESET;
    end_input(fd, -error);
}

static void became_ready(struct np_uring *state, struct np_fd *fd, int events)
{
    if (events < 0 || !is_open(fd))
        return;
    if ((events & (POLLRDHUP | POLLHUP | POLLERR | POLLPRI)) != 0)
        fd->flags |= NP_FD_HUNG_UP;
    if ((events & POLLIN) != 0)
        fd->flags |= NP_FD_READABLE;
    read_lent(state, fd);
    hung_up(fd, events);
}

void np_uring_stream_completed(struct np_uring *state, struct np_fd *fd,
                               const struct io_uring_cqe *cqe)
{
    bool is_poll = fd->armed_mode == NP_URING_LENT || fd->armed_mode == NP_URING_RESTING;
    if (!is_poll)
        received(state, fd, cqe);
    else
        became_ready(state, fd, cqe->res);
    /* What came, or was told while it was being canceled, ends the rest. */
    bool is_awake = fd->quiet == 0 || (is_poll && cqe->res >= 0);
    if (fd->mode == NP_URING_RESTING && is_awake)
        set_mode(state, fd, NP_URING_STAYING);
}

void np_uring_hangup_completed(struct np_fd *fd, const struct io_uring_cqe *cqe)
{
    if (cqe->res < 0 || !is_open(fd))
        return;
    /* Armed again it would tell the same at once, again and again. */
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        fd->flags |= NP_FD_HUNG_UP;
    hung_up(fd, cqe->res);
}

void np_uring_stream_set_input(struct np_uring *state, struct np_fd *fd, bool wanted)
{
    if (!wanted && fd->mode != NP_URING_LENT)
        raise_score(state, fd, SCORE_HELD_UP);
    if (wanted && (fd->flags & (NP_FD_READABLE | NP_FD_HUNG_UP)) != 0 && fd->mode == NP_URING_LENT)
        np_uring_list_ready(state, fd);
}

void np_uring_run_ready(struct np_uring *state)
{
    /* Those that are listed meanwhile wait for the next round. */
    for (uint32_t left = state->ready.count; left > 0 && state->ready.first != NULL; left--) {
        struct np_fd *fd = np_uring_pop_ready(state);
        read_lent(state, fd);
        np_uring_review(state, fd);
    }
}
