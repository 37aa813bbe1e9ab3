/* Waiting for input and for the output to leave. Handler, or who holds a connection. */
#include "conn.h"

#include "clock.h"
#include "runtime.h"

#include <gopool/gopool.h>
#include <netpoll/error.h>

#include <errno.h>
#include <time.h>

#define FOREVER INT64_MAX

/* A wait has a limit of its own, and ends at a deadline that may change meanwhile. */
struct wait {
    struct netpoll_conn *conn;
    uint32_t bit;
    enum netpoll_deadline deadline;
    int64_t until_ns;
    size_t n; /* bytes wanted; of input */
};

static int64_t end_of(const struct wait *wait)
{
    int64_t deadline_ms = np_conn_deadline_ms(wait->conn, wait->deadline);
    int64_t until_ns = wait->until_ns;
    if (deadline_ms != 0 && deadline_ms * 1000000 < until_ns)
        until_ns = deadline_ms * 1000000;
    return until_ns;
}

static void sleep_until(const struct wait *wait, uint64_t word, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    np_state_sleep(&wait->conn->state, word, until_ns == FOREVER ? NULL : &until);
}

static int look_at_input(const struct wait *wait, uint64_t word)
{
    struct netpoll_conn *conn = wait->conn;
    int status = np_conn_want(conn, wait->n);
    bool is_stopping = (word & NP_CONN_SHUTDOWN) != 0 && conn->input.consumed == 0;
    return status == -EAGAIN && is_stopping ? -ESHUTDOWN : status;
}

/* Why it will not be sent: its own limits may have ended it before who waits looked at the clock.
 */
static int why_dropped(const struct netpoll_conn *conn)
{
    return netpoll_conn_reason(conn) == NETPOLL_CLOSE_WRITE_TIMEOUT ? -ETIMEDOUT : -ENOTCONN;
}

static int look_at_output(const struct netpoll_conn *conn)
{
    size_t unsent = np_conn_unsent(conn);
    /* Behind it: the last turn drops what was not sent, and has seen ENDED. */
    uint64_t word = np_state_read(&conn->state);
    bool is_sending = (word & NP_SENDER_MASK) != NP_SENDER_NONE;
    bool is_aborted = (word & NP_CONN_ABORTED) != 0;
    if ((word & NP_CONN_ENDED) != 0)
        return unsent == 0 && !is_sending && !is_aborted ? 0 : why_dropped(conn);
    /* While it is encoded it lies in neither buffer: then the sender says when it is done. */
    bool may_miss = conn->group->options.transform != NULL && is_sending;
    if (unsent == 0 && !may_miss)
        return 0;
    return is_aborted ? why_dropped(conn) : -EAGAIN;
}

/* The bit is set before the look: see conn_state.h. */
static int wait_for(const struct wait *wait)
{
    struct np_conn_state *state = &wait->conn->state;
    for (;;) {
        uint64_t word = np_state_begin_wait(state, wait->bit);
        int status = wait->bit == NP_CONN_WAITS_INPUT ? look_at_input(wait, word)
                                                      : look_at_output(wait->conn);
        if (status != -EAGAIN) {
            np_state_clear(state, wait->bit);
            return status;
        }
        /* Its input may rest for reasons that what is wanted now has overtaken. */
        if ((word & NP_CONN_PAUSE_INPUT) != 0 && np_state_poke(state, 0))
            np_conn_poke(wait->conn);
        int64_t until_ns = end_of(wait);
        if (until_ns != FOREVER && (int64_t)np_clock_ns() >= until_ns) {
            np_state_clear(state, wait->bit);
            return -ETIMEDOUT;
        }
        sleep_until(wait, word, until_ns);
    }
}

/* On a worker another one takes its place. */
static int wait_replaced(const struct wait *wait)
{
    int status = gopool_block_begin();
    if (status != 0 && status != -EPERM)
        return status;
    bool is_replaced = status == 0;
    status = wait_for(wait);
    if (is_replaced)
        gopool_block_end();
    if (status == -ETIMEDOUT)
        np_conn_count(wait->conn, &wait->conn->fd.poller->shared.wait_timeouts);
    return status;
}

static int check(const struct netpoll_conn *conn, int64_t timeout_ms)
{
    if (timeout_ms < NETPOLL_TIMEOUT_NONE || timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    bool is_poller = timeout_ms != 0 && netpoll_runtime_is_poller(conn->group->runtime);
    return is_poller ? -EDEADLK : 0;
}

static int64_t limit_of(int64_t timeout_ms)
{
    return timeout_ms == NETPOLL_TIMEOUT_NONE ? FOREVER
                                              : (int64_t)np_clock_ns() + timeout_ms * 1000000;
}

static int wait_for_input(struct netpoll_conn *conn, size_t n, int64_t timeout_ms)
{
    struct wait wait = {.conn = conn, .bit = NP_CONN_WAITS_INPUT, .n = n};
    int status = look_at_input(&wait, np_state_read(&conn->state));
    if (status != -EAGAIN)
        return status;
    if (timeout_ms == 0)
        return -ETIMEDOUT;
    wait.until_ns = limit_of(timeout_ms);
    return wait_replaced(&wait);
}

int netpoll_conn_wait(struct netpoll_conn *conn, size_t n, int64_t timeout_ms)
{
    int status = check(conn, timeout_ms);
    if (status != 0)
        return status;
    /* No handler returns to give back what has been read. */
    if (conn->group->options.on_request == NULL) {
        linkbuffer_release(conn->input.lb);
        conn->input.consumed = 0;
    }
    /* What it asks for it asks for now, and not for the next turn. Who reads without turns has not
     * found it, and may wait for it again: its input must not rest until then. */
    size_t need = np_conn_need_of(conn);
    status = wait_for_input(conn, n == 0 ? 1 : n, timeout_ms);
    if (status == 0 || conn->group->options.on_request != NULL)
        np_conn_set_need(conn, need);
    return status;
}

int netpoll_conn_flush_wait(struct netpoll_conn *conn, int64_t timeout_ms)
{
    int status = check(conn, timeout_ms);
    if (status != 0)
        return status;
    status = netpoll_conn_flush(conn);
    if (status < 0)
        return status;
    struct wait wait = {
        .conn = conn, .bit = NP_CONN_WAITS_OUTPUT, .deadline = NETPOLL_WRITE_DEADLINE};
    status = look_at_output(conn);
    if (status != -EAGAIN)
        return status;
    if (timeout_ms == 0)
        return -ETIMEDOUT;
    wait.until_ns = limit_of(timeout_ms);
    return wait_replaced(&wait);
}
