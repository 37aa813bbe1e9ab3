/* The one place where the poller looks at a connection's whole state and does what is due, and how
 * others bring it there. Poller thread, but for the poke. */
#include "conn.h"

#include "socket.h"

#include <stddef.h>
#include <sys/socket.h>

void np_conn_poke(struct netpoll_conn *conn)
{
    np_poller_post(conn->fd.poller, &conn->poke_work);
}

void np_conn_poke_work(struct np_work *work)
{
    struct netpoll_conn *conn =
        (struct netpoll_conn *)((char *)work - offsetof(struct netpoll_conn, poke_work));
    np_state_clear(&conn->state, NP_CONN_POKED);
    np_conn_sync(conn);
}

static bool is_retained(const struct netpoll_conn *conn)
{
    /* Acquire: pairs with netpoll_conn_release(), whose writes the last turn must see. */
    return atomic_load_explicit(&conn->handles, memory_order_acquire) != 0;
}

/* Everything that resting waits for has happened: the connection rests for good. */
static void close_if_done(struct netpoll_conn *conn)
{
    uint64_t word = np_state_read(&conn->state);
    if ((word & (NP_CONN_PEER_EOF | NP_CONN_SHUTDOWN)) == 0 || (word & NP_CONN_CLOSING) != 0)
        return;
    if ((word & NP_TURN_MASK) != NP_TURN_IDLE)
        return;
    /* Output that is never sent again must not keep a request waiting. */
    bool is_hopeless = (word & NP_CONN_RESET) != 0 && (word & NP_CONN_PAUSE_OUTPUT) != 0;
    if (np_conn_is_request_due(conn, word) && !is_hopeless)
        return;
    bool has_reader = conn->group->options.on_request == NULL && is_retained(conn);
    if ((word & NP_CONN_RESET) != 0 && !has_reader) {
        np_state_close_idle(&conn->state, NP_CONN_ABORTED);
        return;
    }
    if (is_retained(conn))
        return;
    if ((word & NP_CONN_PEER_EOF) != 0) {
        if (np_state_close_idle(&conn->state, 0))
            np_conn_set_reason(conn, NETPOLL_CLOSE_EOF);
    } else if (np_conn_output_is_idle(conn) && np_socket_unread(conn->fd.fd) == 0) {
        if (np_state_close_idle(&conn->state, 0))
            np_conn_set_reason(conn, NETPOLL_CLOSE_SHUTDOWN);
    }
}

/* Output that stood above its high mark has fallen to the low one. */
static void resume_output(struct netpoll_conn *conn)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    const struct linkbuffer *lb = conn->output.lb;
    uint64_t before = np_state_clear(&conn->state, NP_CONN_PAUSE_OUTPUT);
    /* A flush since the look that brought us here has found the pause, which must stand; unless the
     * thread that sends has made room before it stood again, and so told nobody. */
    while (linkbuffer_unread(lb) > options->output_high_bytes) {
        np_state_set(&conn->state, NP_CONN_PAUSE_OUTPUT);
        if (linkbuffer_unread(lb) > options->output_low_bytes)
            return;
        before = np_state_clear(&conn->state, NP_CONN_PAUSE_OUTPUT);
    }
    if (options->on_writable != NULL && (before & NP_CONN_WRITE_CLOSED) == 0)
        np_state_set(&conn->state, NP_CONN_WRITABLE);
    np_conn_dispatch(conn);
}

static void sync_output(struct netpoll_conn *conn, uint64_t word)
{
    /* First: what it sends may end a pause. */
    if ((word & NP_SENDER_MASK) == NP_SENDER_POLLER)
        np_conn_output_send(conn);
    if ((word & NP_CONN_PAUSE_OUTPUT) != 0 &&
        linkbuffer_unread(conn->output.lb) <= conn->group->options.output_low_bytes)
        resume_output(conn);
    if ((word & NP_CONN_WRITE_CLOSED) != 0 && !conn->output.sent_fin &&
        conn->end.phase == NP_PHASE_OPEN && np_conn_output_is_idle(conn) &&
        np_conn_finish_output(conn)) {
        conn->output.sent_fin = true;
        shutdown(conn->fd.fd, SHUT_WR);
    }
}

void np_conn_sync(struct netpoll_conn *conn)
{
    uint64_t word = np_state_read(&conn->state);
    sync_output(conn, word);
    if ((word & NP_CONN_PAUSE_INPUT) != 0 && np_conn_may_resume_input(conn))
        np_state_clear(&conn->state, NP_CONN_PAUSE_INPUT);
    close_if_done(conn);
    np_conn_input_sync(conn);
    np_conn_time_sync(conn);
    np_conn_go_on_ending(conn);
}

void np_conn_begin_shutdown(struct netpoll_conn *conn)
{
    if ((np_state_set(&conn->state, NP_CONN_SHUTDOWN) & NP_CONN_WAITS_INPUT) != 0)
        np_state_wake(&conn->state, NP_CONN_WAITS_INPUT);
    np_conn_sync(conn);
}
