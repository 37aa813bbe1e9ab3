/* Bytes leave: flushed here, sent by one sender at a time, the rest by the backend's asking.
 * Handler or user thread first, then poller. */
#include "conn.h"

#include <errno.h>
#include <sys/uio.h>

/* Windows in one sendmsg(2). */
#define IOV_MAX_SEND 64
/* What is sent of files before others get their turn, or whoever flushes goes on. */
#define FILE_SHARE ((size_t)1024 * 1024)

enum send_result {
    SEND_ALL,
    SEND_FULL,
    SEND_LATER, /* not full */
    SEND_FAILED
};

static void sent(struct netpoll_conn *conn, struct linkbuffer *lb, size_t n)
{
    np_conn_note_sent(conn, lb, n);
    /* Cannot fail: no more is sent than was shown. */
    (void)!linkbuffer_skip(lb, n);
    linkbuffer_release(lb);
    np_conn_note_activity(conn);
    np_poller_count_sent(conn->fd.poller, n);
}

static void fail_output(struct netpoll_conn *conn)
{
    np_conn_close(conn, NETPOLL_CLOSE_RESET, NP_CONN_ABORTED);
}

/* The caller is the sender. */
static enum send_result send_some(struct netpoll_conn *conn)
{
    struct iovec iov[IOV_MAX_SEND];
    size_t share = FILE_SHARE;
    for (;;) {
        struct linkbuffer *lb = np_conn_encode(conn);
        if (lb == NULL)
            return SEND_FAILED;
        int n = linkbuffer_iov(lb, iov, IOV_MAX_SEND);
        ssize_t result = np_conn_try_output(conn, lb, iov, n, &share);
        if (result == 0)
            return SEND_ALL;
        if (result == -EAGAIN)
            return SEND_FULL;
        if (result == -ETIME)
            return SEND_LATER;
        if (result < 0 && result != -EINTR)
            return SEND_FAILED;
        if (result > 0)
            sent(conn, lb, (size_t)result);
    }
}

/* Off the poller, as the sender. */
static void send_from_thread(struct netpoll_conn *conn)
{
    bool deliver_poke;
    for (;;) {
        enum send_result result = send_some(conn);
        if (result == SEND_FULL || result == SEND_LATER) {
            if (np_state_hand_sender(&conn->state))
                np_conn_poke(conn);
            return;
        }
        if (result == SEND_FAILED)
            fail_output(conn);
        if (np_state_release_sender(&conn->state, &deliver_poke))
            break;
    }
    if (deliver_poke)
        np_conn_poke(conn);
}

void np_conn_output_send(struct netpoll_conn *conn)
{
    bool deliver_poke;
    /* A thread's place can come to the poller when the backend has let go already. */
    if (conn->output.started || conn->end.phase >= NP_PHASE_REMOVED)
        return;
    for (;;) {
        enum send_result result = send_some(conn);
        if (result == SEND_FULL || result == SEND_LATER) {
            bool is_full = result == SEND_FULL;
            conn->output.started = true;
            conn->output.progress_ms = (uint32_t)np_poller_now_ms(conn->fd.poller);
            int status =
                conn->fd.poller->backend->start_output(conn->fd.poller, &conn->fd, is_full);
            if (status != 0)
                np_conn_fail(conn, status, "send");
            np_conn_time_sync(conn);
            return;
        }
        if (result == SEND_FAILED)
            fail_output(conn);
        if (np_state_release_sender(&conn->state, &deliver_poke))
            return;
    }
}

int np_conn_output_lend(struct np_fd *fd, struct iovec *iov, int max)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)fd;
    bool deliver_poke;
    for (;;) {
        struct linkbuffer *lb = np_conn_encode(conn);
        int n = lb != NULL ? linkbuffer_iov(lb, iov, max) : 0;
        if (n > 0)
            return n;
        ssize_t before = lb != NULL ? np_conn_find_file(conn, lb) : -ENOENT;
        if (before == 0)
            return NP_OUTPUT_FILE;
        if (before > 0)
            continue; /* flushed since the look above */
        if (lb == NULL)
            fail_output(conn);
        if (np_state_release_sender(&conn->state, &deliver_poke))
            break;
    }
    conn->output.started = false;
    /* Not from here: it may ask the backend for output, which is about to forget this one. */
    if (np_state_poke(&conn->state, 0))
        np_conn_poke(conn);
    return 0;
}

void np_conn_output_done(struct np_fd *fd, int64_t result)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)fd;
    if (result < 0) {
        fail_output(conn);
        return;
    }
    struct np_conn_codec *codec = np_conn_codec(conn);
    sent(conn, codec != NULL ? codec->wire_out : conn->output.lb, (size_t)result);
    conn->output.progress_ms = (uint32_t)np_poller_now_ms(fd->poller);
    uint64_t word = np_state_read(&conn->state);
    if ((word & NP_CONN_PAUSE_OUTPUT) != 0 &&
        linkbuffer_unread(conn->output.lb) <= conn->group->options.output_low_bytes)
        np_conn_sync(conn);
}

size_t np_conn_unsent(const struct netpoll_conn *conn)
{
    const struct np_conn_codec *codec = np_conn_codec(conn);
    return linkbuffer_unread(conn->output.lb) +
           (codec != NULL ? linkbuffer_unread(codec->wire_out) : 0);
}

bool np_conn_output_is_idle(const struct netpoll_conn *conn)
{
    return (np_state_read(&conn->state) & NP_SENDER_MASK) == NP_SENDER_NONE &&
           np_conn_unsent(conn) == 0;
}

/* Hands the send to the poller's end of turn, or does it here. */
static int start_send(struct netpoll_conn *conn)
{
    bool on_poller = np_poller_is_current(conn->fd.poller);
    bool by_poller = on_poller || conn->group->options.transform != NULL;
    int claimed =
        np_state_claim_sender(&conn->state, by_poller ? NP_SENDER_POLLER : NP_SENDER_THREAD);
    if (claimed < 0)
        return claimed;
    if (claimed == 0)
        return 0;
    if (!by_poller)
        send_from_thread(conn);
    else if (!on_poller || conn->fd.poller->running != conn) {
        if (np_state_poke(&conn->state, 0))
            np_conn_poke(conn);
    }
    return 0;
}

int np_conn_may_write(const struct netpoll_conn *conn)
{
    uint64_t word = np_state_read(&conn->state);
    if ((word & NP_CONN_CLOSING) != 0)
        return -ENOTCONN;
    return (word & NP_CONN_WRITE_CLOSED) != 0 ? -EPIPE : 0;
}

int netpoll_conn_flush(struct netpoll_conn *conn)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    struct linkbuffer *lb = conn->output.lb;
    int status = np_conn_may_write(conn);
    if (status != 0)
        return status;
    if (linkbuffer_unread(lb) > options->output_hard_bytes &&
        np_conn_output_held(conn) > options->output_hard_bytes) {
        np_conn_count(conn, &conn->fd.poller->shared.flushes_refused);
        return -ENOBUFS;
    }
    if (linkbuffer_flush(lb) == 0)
        return linkbuffer_unread(lb) > options->output_high_bytes;
    status = start_send(conn);
    if (status != 0)
        return status;
    if (linkbuffer_unread(lb) <= options->output_high_bytes)
        return 0;
    if (np_state_poke(&conn->state, NP_CONN_PAUSE_OUTPUT))
        np_conn_poke(conn);
    return 1;
}

int netpoll_conn_shutdown_write(struct netpoll_conn *conn)
{
    if (!netpoll_conn_is_active(conn))
        return -ENOTCONN;
    if (np_state_poke(&conn->state, NP_CONN_WRITE_CLOSED))
        np_conn_poke(conn);
    return 0;
}

size_t netpoll_conn_unsent(const struct netpoll_conn *conn)
{
    return np_conn_unsent(conn);
}

int netpoll_conn_reserve(struct netpoll_conn *conn, size_t n, void **out)
{
    int status = np_conn_may_write(conn);
    return status != 0 ? status : linkbuffer_reserve(conn->output.lb, n, out);
}

int netpoll_conn_commit(struct netpoll_conn *conn, size_t n)
{
    int status = np_conn_may_write(conn);
    return status != 0 ? status : linkbuffer_commit(conn->output.lb, n);
}

int netpoll_conn_write(struct netpoll_conn *conn, const void *data, size_t n)
{
    int status = np_conn_may_write(conn);
    return status != 0 ? status : linkbuffer_write(conn->output.lb, data, n);
}

int netpoll_conn_write_ref(struct netpoll_conn *conn, const void *data, size_t n,
                           void (*release)(void *arg), void *arg)
{
    int status = np_conn_may_write(conn);
    return status != 0 ? status : linkbuffer_write_ref(conn->output.lb, data, n, release, arg);
}
