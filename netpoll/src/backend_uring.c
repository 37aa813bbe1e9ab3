/* The io_uring answer: receives and accepts stay armed in the kernel, their completions come here.
 * Input goes to conn_input.c, output comes from conn_output.c. Poller thread. */
#include "backend.h"

#include "fd.h"
#include "poller.h"
#include "socket.h"
#include "uring_idle.h"
#include "uring_operation.h"
#include "uring_probe.h"
#include "uring_receive.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Few large blocks cost least at every message size, and a call of the kernel shows about 20
 * completions; see docs/performance.md. */
#define BLOCK_BYTES  ((size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD)
#define BLOCKS_LEAST 32
#define BLOCKS_MOST  256
/* Completions copied out of the queue at a time, so that it has room while they are told. */
#define BATCH 64U
/* What one send operation takes: it occupies the connection until the kernel has all of it. */
#define SEND_BYTES ((size_t)256 * 1024)
/* What is sent of files before others get their turn. */
#define FILE_BYTES ((size_t)1024 * 1024)
/* Unexpected errors of an accept in a row after which it is armed for one connection at a time. */
#define ACCEPT_FAILS 3U
/* How long blocks must not have been needed before half of them are freed. */
#define SHRINK_MS 2000
/* When an operation could not be queued or no block could be had: until the next try. */
#define RETRY_NS INT64_C(10000000)

static void finish_if_idle(struct np_uring *state, struct np_fd *fd)
{
    unsigned leaving = fd->flags & (NP_FD_REMOVED | NP_FD_WATCHED);
    if (leaving != (NP_FD_REMOVED | NP_FD_WATCHED) || fd->in_flight > 0)
        return;
    np_uring_unlist(state, fd);
    fd->flags &= (uint16_t)~NP_FD_WATCHED;
    np_fd_table_remove(&state->poller->fds, fd);
    fd->next = state->removed;
    state->removed = fd;
}

/* Errors of one connection or of a full process pass by; others may be the ring's alone. */
static bool is_expected(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
           error == -ECONNABORTED || error == -ECANCELED || error == -EINTR;
}

static void accept_completed(struct np_fd *fd, int res)
{
    bool is_poll = fd->armed_mode == NP_URING_RESTING;
    bool is_open = (fd->flags & NP_FD_REMOVED) == 0;
    if (is_poll)
        fd->mode = fd->score < ACCEPT_FAILS ? NP_URING_STAYING : NP_URING_SINGLE;
    if (is_poll && res >= 0)
        return;
    if (res >= 0) {
        if (fd->mode == NP_URING_STAYING)
            fd->score = 0;
    } else if (res == -EAGAIN) {
        /* The kernel did not wait by itself: a poll does. */
        fd->mode = NP_URING_RESTING;
        return;
    } else if (!is_expected(res) && fd->score < ACCEPT_FAILS && ++fd->score == ACCEPT_FAILS) {
        fd->mode = NP_URING_SINGLE;
    }
    /* Who was accepted before the end is not turned away. */
    if (res >= 0 || (is_open && res != -ECANCELED))
        fd->ops->input_done(fd, res);
}

/* The kernel polls for the end of the peer's half whoever asked: a poll for one answer would give
 * nothing but that, again and again. Then it has to be one that stays, which tells only news. */
static void watch_completed(struct np_fd *fd, int res)
{
    unsigned off = NP_FD_REMOVED | NP_FD_INPUT_CANCELED;
    unsigned asked = fd->poll_events | (unsigned)(POLLERR | POLLHUP | POLLNVAL);
    if ((fd->flags & (off | NP_FD_INPUT_WANTED)) != NP_FD_INPUT_WANTED || res == -ECANCELED)
        return;
    if (res >= 0 && ((unsigned)res & asked) == 0)
        fd->flags |= NP_FD_HUNG_UP;
    else
        fd->ops->input_done(fd, res);
}

static void input_completed(struct np_uring *state, struct np_fd *fd,
                            const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        np_uring_ended(fd, NP_URING_INPUT);
        np_uring_review(state, fd);
    }
    if (fd->kind == NP_FD_STREAM)
        np_uring_stream_completed(state, fd, cqe);
    else if (fd->kind == NP_FD_ACCEPT)
        accept_completed(fd, cqe->res);
    else if (fd->kind == NP_FD_WATCH)
        watch_completed(fd, cqe->res);
    else if ((fd->flags & NP_FD_REMOVED) == 0 && cqe->res != -ECANCELED)
        fd->ops->input_done(fd, cqe->res);
}

static void hangup_completed(struct np_uring *state, struct np_fd *fd,
                             const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        np_uring_ended(fd, NP_URING_HANGUP);
        np_uring_review(state, fd);
    }
    np_uring_hangup_completed(fd, cqe);
}

static void limit_bytes(struct iovec *iov, int *n)
{
    size_t bytes = 0;
    for (int i = 0; i < *n; i++) {
        if (iov[i].iov_len > SEND_BYTES - bytes)
            iov[i].iov_len = SEND_BYTES - bytes;
        bytes += iov[i].iov_len;
        if (bytes == SEND_BYTES)
            *n = i + 1;
    }
}

/* What there is to send, as lend_output() says it, when up to `share` bytes of files have been
 * sent; 0 also when that has failed. */
static int lend_output(struct np_fd *fd, struct np_uring_send *send, size_t share)
{
    for (;;) {
        int n = fd->ops->lend_output(fd, send->iov, NP_URING_IOV_COUNT);
        if (n != NP_OUTPUT_FILE || share == 0)
            return n;
        ssize_t result = fd->ops->send_file(fd, share);
        if (result == -EAGAIN)
            return n;
        fd->ops->output_done(fd, result);
        if (result < 0 || (fd->flags & NP_FD_REMOVED) != 0)
            return 0;
        share -= (size_t)result;
    }
}

/* One send at a time: two in flight could overtake each other. What is lent stays as it is until
 * the send is done, so a send that found no room in the queue is queued later as it stands. For a
 * file no memory is lent: the send is a poll. share: what may be sent of files before that. */
static void submit_output(struct np_uring *state, struct np_fd *fd, size_t share)
{
    struct np_uring_send *send = fd->operation;
    /* The owner may start output anew, or remove fd, when it has nothing to lend. */
    fd->operation = NULL;
    int n = lend_output(fd, send, share);
    if (n == 0) {
        mcache_free(send);
        if (fd->operation == NULL)
            fd->flags &= (uint16_t)~NP_FD_OUTPUT_WANTED;
        return;
    }
    if (n == NP_OUTPUT_FILE)
        n = 0;
    limit_bytes(send->iov, &n);
    send->message = (struct msghdr){.msg_iov = send->iov, .msg_iovlen = (size_t)n};
    fd->operation = send;
    if (!np_uring_arm_output(state, fd))
        np_uring_review(state, fd);
}

static void end_output(struct np_fd *fd)
{
    mcache_free(fd->operation);
    fd->operation = NULL;
    fd->flags &= (uint16_t)~NP_FD_OUTPUT_WANTED;
}

static void output_completed(struct np_uring *state, struct np_fd *fd, int res)
{
    const struct np_uring_send *send = fd->operation;
    bool is_passing = res == -EAGAIN || res == -EINTR || (res >= 0 && np_uring_is_poll(send));
    np_uring_ended(fd, NP_URING_OUTPUT);
    if ((fd->flags & NP_FD_REMOVED) == 0 && !is_passing)
        fd->ops->output_done(fd, res);
    if ((fd->flags & NP_FD_REMOVED) == 0 && (res >= 0 || is_passing))
        submit_output(state, fd, FILE_BYTES);
    else
        end_output(fd);
}

static void complete(struct np_uring *state, const struct io_uring_cqe *cqe)
{
    struct np_fd *fd = np_fd_table_find(&state->poller->fds, cqe->user_data & NP_URING_KEY_MASK);
    if (fd == NULL) {
        /* A stranger's completion: at least its block must not be lost. */
        if ((cqe->flags & IORING_CQE_F_BUFFER) != 0)
            np_uring_buffers_give_back(&state->buffers,
                                       (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
        return;
    }
    unsigned op = (unsigned)(cqe->user_data >> NP_URING_OP_SHIFT);
    switch (op) {
    case NP_URING_INPUT:
        input_completed(state, fd, cqe);
        break;
    case NP_URING_HANGUP:
        hangup_completed(state, fd, cqe);
        break;
    case NP_URING_OUTPUT:
        output_completed(state, fd, cqe->res);
        break;
    default:
        /* Asked for again while the operation stands. */
        if (np_uring_cancel_ended(fd, op & ~(unsigned)NP_URING_CANCEL, cqe->res))
            np_uring_review(state, fd);
        break;
    }
    finish_if_idle(state, fd);
}

/* The kernel has more than it has shown: waiting would be for something that is there. */
static bool has_news(struct np_uring *state)
{
    unsigned flags = IO_URING_READ_ONCE(*state->ring.sq.kflags);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0 ||
           io_uring_cq_ready(&state->ring) > 0;
}

static void arm_shrink(struct np_uring *state)
{
    struct np_poller *poller = state->poller;
    np_wheel_add(&poller->wheel, &state->shrink, np_poller_now_ms(poller) + SHRINK_MS);
}

static void shrink(struct np_timer *timer)
{
    struct np_uring *state =
        (struct np_uring *)(void *)((char *)timer - offsetof(struct np_uring, shrink));
    /* What the kernel has taken and not shown yet is not in the ring any more. */
    if (!has_news(state))
        np_uring_buffers_shrink(&state->buffers);
    if (np_uring_buffers_has_grown(&state->buffers))
        arm_shrink(state);
}

static void grow(struct np_uring *state)
{
    np_uring_buffers_grow(&state->buffers);
    state->has_starved = false;
    if (np_uring_buffers_has_grown(&state->buffers) && !np_timer_is_armed(&state->shrink))
        arm_shrink(state);
}

static int uring_open(struct np_poller *poller)
{
    struct np_uring *state = mcache_alloc(sizeof *state);
    if (state == NULL)
        return -ENOMEM;
    *state = (struct np_uring){.poller = poller, .shrink.fn = shrink, .look.fn = np_uring_look};
    np_uring_list_init(&state->review);
    np_uring_list_init(&state->ready);
    int status = np_uring_setup(&state->ring);
    if (status != 0)
        goto fail_state;
    /* Saves a lookup a call; where it is refused the number works as well. */
    (void)io_uring_register_ring_fd(&state->ring);
    status = np_uring_buffers_open(&state->buffers, &state->ring, BLOCKS_MOST, BLOCKS_LEAST,
                                   BLOCK_BYTES);
    if (status != 0)
        goto fail_ring;
    poller->backend_state = state;
    return 0;
fail_ring:
    io_uring_queue_exit(&state->ring);
fail_state:
    mcache_free(state);
    return status;
}

static void uring_close(struct np_poller *poller)
{
    struct np_uring *state = poller->backend_state;
    np_wheel_remove(&poller->wheel, &state->shrink);
    np_wheel_remove(&poller->wheel, &state->look);
    np_uring_buffers_close(&state->buffers);
    io_uring_queue_exit(&state->ring);
    mcache_free(state);
}

static int uring_add(struct np_poller *poller, struct np_fd *fd)
{
    int status = np_fd_table_add(&poller->fds, fd);
    if (status == 0)
        fd->flags |= NP_FD_WATCHED;
    return status;
}

static int uring_set_input(struct np_poller *poller, struct np_fd *fd, bool wanted)
{
    if (wanted == ((fd->flags & NP_FD_INPUT_WANTED) != 0))
        return 0;
    fd->flags ^= NP_FD_INPUT_WANTED;
    /* Its events may be others when it is wanted again. */
    if (fd->kind == NP_FD_WATCH && !wanted)
        (void)np_uring_cancel_all(poller->backend_state, fd);
    if (fd->kind == NP_FD_STREAM)
        np_uring_stream_set_input(poller->backend_state, fd, wanted);
    np_uring_review(poller->backend_state, fd);
    return 0;
}

static int uring_start_output(struct np_poller *poller, struct np_fd *fd, bool is_full)
{
    (void)is_full;
    fd->operation = mcache_alloc(sizeof(struct np_uring_send));
    if (fd->operation == NULL)
        return -ENOMEM;
    fd->flags |= NP_FD_OUTPUT_WANTED;
    submit_output(poller->backend_state, fd, 0);
    return 0;
}

static void uring_remove(struct np_poller *poller, struct np_fd *fd)
{
    struct np_uring *state = poller->backend_state;
    if ((fd->flags & NP_FD_WATCHED) == 0) {
        fd->next = state->removed;
        state->removed = fd;
        return;
    }
    fd->flags |= NP_FD_REMOVED;
    if ((fd->flags & NP_FD_OUTPUT_ARMED) == 0)
        end_output(fd);
    if (!np_uring_cancel_all(state, fd))
        np_uring_review(state, fd);
    finish_if_idle(state, fd);
}

static void run_removed(struct np_uring *state)
{
    while (state->removed != NULL) {
        struct np_fd *fd = state->removed;
        state->removed = fd->next;
        fd->ops->closed(fd);
    }
}

static void run_completions(struct np_uring *state)
{
    struct io_uring_cqe batch[BATCH];
    for (;;) {
        unsigned count = 0;
        unsigned head;
        struct io_uring_cqe *cqe;
        io_uring_for_each_cqe(&state->ring, head, cqe)
        {
            batch[count++] = *cqe;
            if (count == BATCH)
                break;
        }
        if (count == 0)
            return;
        io_uring_cq_advance(&state->ring, count);
        for (unsigned i = 0; i < count; i++)
            complete(state, &batch[i]);
    }
}

static int submit_and_wait(struct np_uring *state, int64_t timeout_ns)
{
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                                        .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_cqe *cqe;
    int status = io_uring_submit_and_wait_timeout(&state->ring, &cqe, 1,
                                                  timeout_ns < 0 ? NULL : &timeout, NULL);
    /* Busy: completions have to be taken first, which comes next. */
    if (status >= 0 || status == -ETIME || status == -EINTR || status == -EBUSY ||
        status == -EAGAIN)
        return 0;
    return status;
}

static int uring_wait(struct np_poller *poller, int64_t timeout_ns)
{
    struct np_uring *state = poller->backend_state;
    uint64_t timers = poller->wheel.count;
    if (state->has_starved)
        grow(state);
    np_uring_buffers_refill(&state->buffers);
    bool is_complete = np_uring_run_review(state) && np_uring_buffers_is_full(&state->buffers);
    if (!is_complete && (timeout_ns < 0 || timeout_ns > RETRY_NS))
        timeout_ns = RETRY_NS;
    /* The timeout knows nothing of a timer that has been armed here. */
    bool is_late = poller->wheel.count != timers;
    if (state->removed != NULL || state->ready.first != NULL || has_news(state) || is_late)
        timeout_ns = 0;
    int status = submit_and_wait(state, timeout_ns);
    np_poller_woke(poller);
    run_completions(state);
    np_uring_run_ready(state);
    run_removed(state);
    return status;
}

const struct np_backend np_backend_uring = {
    .name = "io_uring",
    .probe = np_uring_probe,
    .open = uring_open,
    .close = uring_close,
    .add = uring_add,
    .remove = uring_remove,
    .start_output = uring_start_output,
    .set_input = uring_set_input,
    .try_output = np_socket_send,
    .wait = uring_wait,
};
