/* The end of a connection: reason, drain, shutdown(2), leaving the backend, the last turn. Poller
 * thread, unless conn.h says otherwise. */
#include "conn.h"

#include "log.h"
#include "socket.h"
#include "stats.h"

#include <netpoll/error.h>

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

void np_conn_set_reason(struct netpoll_conn *conn, enum netpoll_close_reason reason)
{
    uint8_t none = NETPOLL_CLOSE_NONE;
    /* Relaxed: read in the last turn, ordered by the state word. */
    atomic_compare_exchange_strong_explicit(&conn->end.reason, &none, (uint8_t)reason,
                                            memory_order_relaxed, memory_order_relaxed);
}

int np_conn_close(struct netpoll_conn *conn, enum netpoll_close_reason reason, uint32_t bits)
{
    bool deliver_poke;
    if ((np_state_read(&conn->state) & NP_CONN_ENDED) != 0)
        return -ENOTCONN;
    np_conn_set_reason(conn, reason);
    bool is_first = np_state_close(&conn->state, bits, &deliver_poke);
    if (deliver_poke)
        np_conn_poke(conn);
    return is_first ? 0 : -ENOTCONN;
}

void np_conn_fail(struct netpoll_conn *conn, int error, const char *what)
{
    np_log_error(conn->fd.poller->runtime, error, "connection %llu: %s",
                 (unsigned long long)conn->id, what);
    np_conn_close(conn, NETPOLL_CLOSE_ERROR, NP_CONN_ABORTED);
}

void np_conn_cancel(struct netpoll_conn *conn)
{
    if (conn->end.told_cancel)
        return;
    conn->end.told_cancel = true;
    if (conn->group->options.on_cancel != NULL)
        np_conn_call(conn, conn->group->options.on_cancel, conn->group->options.arg);
}

/* Closing a TCP socket that has unread input resets it and may take the answer with it. */
static bool should_linger(const struct netpoll_conn *conn)
{
    if ((np_state_read(&conn->state) & (NP_CONN_PEER_EOF | NP_CONN_ABORTED | NP_CONN_DETACHED)) !=
        0)
        return false;
    return linkbuffer_unread(conn->input.lb) > 0 || np_socket_unread(conn->fd.fd) > 0;
}

static void leave_backend(struct netpoll_conn *conn)
{
    struct np_poller *poller = conn->fd.poller;
    uint64_t word = np_state_read(&conn->state);
    np_wheel_remove(&poller->wheel, &conn->timer);
    conn->end.phase = NP_PHASE_REMOVED;
    if ((word & NP_CONN_ABORTED) != 0)
        np_socket_reset_on_close(conn->fd.fd);
    else if ((word & NP_CONN_DETACHED) == 0)
        shutdown(conn->fd.fd, SHUT_RDWR);
    else if ((word & NP_CONN_WRITE_CLOSED) != 0)
        shutdown(conn->fd.fd, SHUT_WR); /* what was left before it may have gone only now */
    poller->backend->remove(poller, &conn->fd);
}

static void drained(struct netpoll_conn *conn)
{
    if (!should_linger(conn)) {
        leave_backend(conn);
        return;
    }
    shutdown(conn->fd.fd, SHUT_WR);
    conn->end.phase = NP_PHASE_LINGER;
    np_conn_input_sync(conn);
}

static void start_drain(struct netpoll_conn *conn)
{
    /* Relaxed: CLOSING, which was seen, came after np_conn_set_reason(). */
    int reason = atomic_load_explicit(&conn->end.reason, memory_order_relaxed);
    conn->end.phase = NP_PHASE_DRAIN;
    conn->end.closing_ms = (uint32_t)np_poller_now_ms(conn->fd.poller);
    conn->output.progress_ms = conn->end.closing_ms;
    np_wheel_remove(&conn->fd.poller->wheel, &conn->timer);
    np_conn_time_sync(conn);
    if (reason == NETPOLL_CLOSE_RESET || reason == NETPOLL_CLOSE_ERROR)
        np_conn_cancel(conn);
}

/* Aborted after all: nobody gets the descriptor. */
static bool is_handed_out(const struct netpoll_conn *conn)
{
    uint64_t word = np_state_read(&conn->state);
    return (word & (NP_CONN_DETACHED | NP_CONN_ABORTED)) == NP_CONN_DETACHED;
}

/* The descriptor goes; the last turn is due. The connection may be gone when this returns. */
static void end(struct netpoll_conn *conn)
{
    /* A turn that runs already may be the last one and let go of the memory as soon as it sees
     * ENDED. Relaxed: the count of the connection's life is still there. */
    atomic_fetch_add_explicit(&conn->refs, 1, memory_order_relaxed);
    /* If not: the last use, or the poke on its way, brings the poller here again. */
    if (np_state_end(&conn->state)) {
        conn->end.phase = NP_PHASE_ENDED;
        if (!is_handed_out(conn))
            close(conn->fd.fd);
        np_conn_dispatch(conn);
    }
    np_conn_unref(conn);
}

static void leave_poller(struct netpoll_conn *conn)
{
    /* Relaxed: CLOSING, which was seen, came after np_conn_set_reason(). */
    int reason = atomic_load_explicit(&conn->end.reason, memory_order_relaxed);
    np_count(&conn->fd.poller->counters.closed[reason], 1);
    /* Relaxed: a figure. */
    atomic_fetch_sub_explicit(&conn->fd.poller->conn_count, 1, memory_order_relaxed);
    np_log(conn->fd.poller->runtime, NETPOLL_LOG_DEBUG, "connection %llu closed: %s",
           (unsigned long long)conn->id, np_close_reason_word((enum netpoll_close_reason)reason));
}

void np_conn_go_on_ending(struct netpoll_conn *conn)
{
    uint64_t word = np_state_read(&conn->state);
    if ((word & NP_CONN_CLOSING) == 0)
        return;
    if (conn->end.phase == NP_PHASE_OPEN)
        start_drain(conn);
    bool is_draining = conn->end.phase == NP_PHASE_DRAIN;
    bool is_lingering = conn->end.phase == NP_PHASE_LINGER;
    bool is_over =
        (word & NP_CONN_ABORTED) != 0 || (is_lingering && (word & NP_CONN_PEER_EOF) != 0);
    if ((is_draining || is_lingering) && is_over)
        leave_backend(conn);
    else if (is_draining && np_conn_output_is_idle(conn) && np_conn_finish_output(conn))
        drained(conn);
    else if (conn->end.phase == NP_PHASE_GONE)
        end(conn);
}

void np_conn_closed(struct np_fd *fd)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)fd;
    conn->end.phase = NP_PHASE_GONE;
    np_conn_codec_close(conn);
    leave_poller(conn);
    np_conn_go_on_ending(conn);
}

static void call_detached(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    /* Relaxed, both: DETACHED, which was seen, came after. */
    struct np_conn_extra *extra = atomic_load_explicit(&conn->extra, memory_order_relaxed);
    netpoll_detached_fn *fn = atomic_load_explicit(&extra->on_detached, memory_order_relaxed);
    struct linkbuffer *unread = NULL;
    int fd = is_handed_out(conn) ? conn->fd.fd : -1;
    size_t n = linkbuffer_len(conn->input.lb);
    if (fd >= 0 && n > 0 && linkbuffer_slice(conn->input.lb, n, &unread) != 0) {
        np_log_error(conn->fd.poller->runtime, -ENOMEM, "connection %llu: unread input",
                     (unsigned long long)conn->id);
        close(fd);
        fd = -1;
    }
    fn(conn, fd, unread, extra->on_detached_arg);
}

static void drop_bytes(struct linkbuffer *lb)
{
    (void)!linkbuffer_skip(lb, linkbuffer_len(lb));
    linkbuffer_release(lb);
}

void np_conn_finish(struct netpoll_conn *conn)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    bool is_detached = (np_state_read(&conn->state) & NP_CONN_DETACHED) != 0;
    np_conn_run_end_callbacks(conn, options->on_disconnect, is_detached ? call_detached : NULL);
    drop_bytes(conn->output.lb);
    /* Without on_request somebody may be reading; it goes with the last handle. */
    if (options->on_request != NULL)
        drop_bytes(conn->input.lb);
    np_group_conn_gone(conn->group);
    np_conn_unref(conn);
}

int netpoll_conn_detach(struct netpoll_conn *conn, netpoll_detached_fn *fn, void *arg)
{
    if (fn == NULL)
        return -EINVAL;
    struct np_conn_extra *extra;
    int status = np_conn_extra(conn, &extra);
    if (status != 0)
        return status;
    /* In on_prepare: what is refused then may be asked for later. */
    if (!netpoll_conn_is_active(conn))
        return -ENOTCONN;
    netpoll_detached_fn *none = NULL;
    /* Relaxed: the transition to DETACHED publishes both. */
    if (!atomic_compare_exchange_strong_explicit(&extra->on_detached, &none, fn,
                                                 memory_order_relaxed, memory_order_relaxed))
        return -ENOTCONN;
    extra->on_detached_arg = arg;
    return np_conn_close(conn, NETPOLL_CLOSE_DETACHED, NP_CONN_DETACHED);
}
