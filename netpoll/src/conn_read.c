/* What a handler reads, and what it asks for when there is too little. Handler. */
#include "conn.h"

#include <netpoll/error.h>

#include <errno.h>

/* Who reads without a turn hands none back, which would bring the poller to look. */
static void resume_input(struct netpoll_conn *conn, uint64_t word)
{
    bool rests = (word & NP_CONN_PAUSE_INPUT) != 0 && conn->group->options.on_request == NULL;
    if (rests && np_conn_may_resume_input(conn) && np_state_poke(&conn->state, 0))
        np_conn_poke(conn);
}

int np_conn_want(struct netpoll_conn *conn, size_t n)
{
    uint64_t word = np_state_read(&conn->state);
    if ((word & NP_CONN_CLOSING) != 0)
        return -ENOTCONN;
    resume_input(conn, word);
    if (n > conn->group->options.max_message_bytes)
        return -EMSGSIZE;
    if (linkbuffer_len(conn->input.lb) >= n)
        return 0;
    if ((word & NP_CONN_PEER_EOF) != 0)
        return (word & NP_CONN_RESET) != 0 ? -ECONNRESET : NETPOLL_EOF;
    /* Relaxed: ordered by the state word, see struct np_conn_input. */
    int fault = atomic_load_explicit(&conn->input.fault, memory_order_relaxed);
    if (fault != 0)
        return fault;
    np_conn_set_need(conn, n);
    resume_input(conn, word);
    return -EAGAIN;
}

ssize_t np_conn_find(struct netpoll_conn *conn, uint8_t delimiter)
{
    for (;;) {
        /* Before the search: what comes behind it has to be searched, and must not be waited for.
         */
        size_t n = linkbuffer_len(conn->input.lb);
        ssize_t offset = linkbuffer_find(conn->input.lb, delimiter);
        int status = offset >= 0 ? 0 : np_conn_want(conn, n + 1);
        if (offset >= 0 || status != 0)
            return offset >= 0 ? offset : status;
    }
}

static int consumed(struct netpoll_conn *conn, int status, size_t n)
{
    uint32_t room = UINT32_MAX - conn->input.consumed;
    if (status == 0)
        conn->input.consumed += n < room ? (uint32_t)n : room;
    return status;
}

size_t netpoll_conn_len(struct netpoll_conn *conn)
{
    return linkbuffer_len(conn->input.lb);
}

int netpoll_conn_next(struct netpoll_conn *conn, size_t n, const void **out)
{
    int status = np_conn_want(conn, n);
    if (status != 0)
        return status;
    return consumed(conn, linkbuffer_next(conn->input.lb, n, out), n);
}

int netpoll_conn_peek(struct netpoll_conn *conn, size_t n, const void **out)
{
    int status = np_conn_want(conn, n);
    return status != 0 ? status : linkbuffer_peek(conn->input.lb, n, out);
}

int netpoll_conn_skip(struct netpoll_conn *conn, size_t n)
{
    int status = np_conn_want(conn, n);
    if (status != 0)
        return status;
    return consumed(conn, linkbuffer_skip(conn->input.lb, n), n);
}

int netpoll_conn_until(struct netpoll_conn *conn, uint8_t delimiter, const void **out, size_t *n)
{
    int status = np_conn_want(conn, 0);
    if (status != 0)
        return status;
    ssize_t offset = np_conn_find(conn, delimiter);
    if (offset < 0)
        return (int)offset;
    size_t whole = (size_t)offset + 1;
    status = consumed(conn, linkbuffer_next(conn->input.lb, whole, out), whole);
    if (status == 0)
        *n = whole;
    return status;
}

ssize_t netpoll_conn_read(struct netpoll_conn *conn, void *into, size_t n)
{
    int status = np_conn_want(conn, 0);
    if (status != 0)
        return status;
    n = linkbuffer_read(conn->input.lb, into, n);
    (void)consumed(conn, 0, n);
    return (ssize_t)n;
}

int netpoll_conn_slice(struct netpoll_conn *conn, size_t n, struct linkbuffer **out)
{
    int status = np_conn_want(conn, n);
    if (status != 0) {
        *out = NULL;
        return status;
    }
    return consumed(conn, linkbuffer_slice(conn->input.lb, n, out), n);
}

int netpoll_conn_need(struct netpoll_conn *conn, size_t n)
{
    if (!netpoll_conn_is_active(conn))
        return -ENOTCONN;
    if (n > conn->group->options.max_message_bytes)
        return -EMSGSIZE;
    np_conn_set_need(conn, n == 0 ? 1 : n);
    return 0;
}

int netpoll_conn_need_nothing(struct netpoll_conn *conn)
{
    if (!netpoll_conn_is_active(conn))
        return -ENOTCONN;
    np_conn_set_need(conn, NP_NEED_NOTHING);
    return 0;
}
