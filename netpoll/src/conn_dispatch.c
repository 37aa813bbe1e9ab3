/* Whose turn it is: input or an event claims the turn, one thread runs it and hands it back.
 * Poller, then pool. */
#include "conn.h"

#include "runtime.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <stddef.h>

/* What one turn may do before the others get theirs. */
#define TURN_REQUESTS 16U
#define TURN_BYTES    ((size_t)64 * 1024)

static struct netpoll_conn *conn_of_turn(struct np_work *work)
{
    return (struct netpoll_conn *)((char *)work - offsetof(struct netpoll_conn, turn_work));
}

static bool is_inline(const struct netpoll_conn *conn)
{
    return conn->group->options.handler == NETPOLL_HANDLER_INLINE;
}

static size_t need_of(const struct netpoll_conn *conn)
{
    /* Relaxed: ordered by the state word, see struct np_conn_input. */
    return atomic_load_explicit(&conn->input.need, memory_order_relaxed);
}

static void set_need(struct netpoll_conn *conn, size_t need)
{
    /* Relaxed: pairs with need_of(), ordered likewise. */
    atomic_store_explicit(&conn->input.need, need, memory_order_relaxed);
}

/* unread: as the reader sees it while a turn runs, for on_request must find what it is called for;
 * as the poller sees it, who has written it, while none does. */
static bool is_due(const struct netpoll_conn *conn, uint32_t word, size_t unread)
{
    if (unread == 0 || atomic_load_explicit(&conn->input.exhausted, memory_order_relaxed))
        return false;
    return unread >= need_of(conn) || (word & NP_CONN_PEER_EOF) != 0;
}

bool np_conn_is_request_due(const struct netpoll_conn *conn, uint32_t word)
{
    return is_due(conn, word, linkbuffer_unread(conn->input.lb));
}

bool np_conn_may_resume_input(const struct netpoll_conn *conn)
{
    size_t unread = linkbuffer_unread(conn->input.lb);
    return unread <= conn->group->options.input_low_bytes || unread < need_of(conn);
}

/* The turn is SCHEDULED: gives it to its executor. */
static void schedule(struct netpoll_conn *conn)
{
    struct np_poller *poller = conn->fd.poller;
    if (!is_inline(conn) && np_poller_is_current(poller))
        np_poller_submit(poller, &conn->task);
    else if (is_inline(conn) || gopool_submit(poller->runtime->pool, &conn->task) != 0)
        np_poller_post(poller, &conn->turn_work); /* which tries until the pool takes it */
}

void np_conn_dispatch(struct netpoll_conn *conn)
{
    if (np_state_claim_turn(&conn->state, NP_TURN_SCHEDULED))
        schedule(conn);
}

/* One call of on_request. Bytes it consumed. */
static size_t run_request(struct netpoll_conn *conn, uint32_t word)
{
    struct np_conn_input *input = &conn->input;
    size_t unread = linkbuffer_len(input->lb);
    input->consumed = 0;
    set_need(conn, 1);
    /* Relaxed: a figure. */
    atomic_fetch_add_explicit(&conn->fd.poller->shared.requests, 1, memory_order_relaxed);
    np_conn_call(conn, conn->group->options.on_request, conn->group->options.arg);
    linkbuffer_release(input->lb);
    if (input->consumed == 0) {
        if ((word & NP_CONN_PEER_EOF) != 0)
            atomic_store_explicit(&input->exhausted, true, memory_order_relaxed);
        if (need_of(conn) <= unread)
            set_need(conn, unread + 1);
        if (need_of(conn) > conn->group->options.max_message_bytes)
            np_conn_fail(conn, -EMSGSIZE, "input that on_request does not consume");
    }
    return input->consumed;
}

static void requeue(struct netpoll_conn *conn)
{
    np_state_requeue_turn(&conn->state);
    schedule(conn);
}

/* True: handed back; the connection may be gone. */
static bool hand_back(struct netpoll_conn *conn)
{
    bool deliver_poke;
    if (linkbuffer_unread(conn->input.lb) > 0)
        linkbuffer_settle(conn->input.lb, NP_SETTLE_LIMIT);
    if (!np_state_end_turn(&conn->state, &deliver_poke))
        return false;
    if (deliver_poke)
        np_conn_poke(conn);
    return true;
}

/* The turn is RUNNING and this thread's. */
static void run_turn(struct netpoll_conn *conn)
{
    unsigned requests = 0;
    size_t bytes = 0;
    for (;;) {
        /* Before the posts: when it says ENDED, every post that was accepted is there. */
        uint32_t word = np_state_read(&conn->state);
        bool is_used_up = requests >= TURN_REQUESTS || bytes >= TURN_BYTES;
        if (conn->input.told_connect && np_conn_run_posts(conn)) {
            /* A post may post again: it counts, so that the others get their turn. */
            requests++;
            if (!is_used_up)
                continue;
            requeue(conn);
            return;
        }
        if (!conn->input.told_connect) {
            conn->input.told_connect = true;
            np_conn_call(conn, conn->group->options.on_connect, conn->group->options.arg);
            continue;
        }
        if ((word & NP_CONN_ENDED) != 0) {
            np_conn_finish(conn);
            return;
        }
        bool is_held_up = (word & (NP_CONN_CLOSING | NP_CONN_PAUSE_OUTPUT)) != 0;
        if (is_held_up || !is_due(conn, word, linkbuffer_len(conn->input.lb))) {
            if (hand_back(conn))
                return;
            continue;
        }
        if (is_used_up) {
            requeue(conn);
            return;
        }
        requests++;
        bytes += run_request(conn, word);
    }
}

/* An inline turn, and the send at its end. The connection may be gone. */
static void run_inline(struct netpoll_conn *conn)
{
    struct np_poller *poller = conn->fd.poller;
    bool is_last = (np_state_read(&conn->state) & NP_CONN_ENDED) != 0;
    poller->running = conn;
    run_turn(conn);
    poller->running = NULL;
    /* Only the poller ends connections, and it is here: an end needs a turn of its own. */
    if (!is_last && (np_state_read(&conn->state) & NP_SENDER_MASK) == NP_SENDER_POLLER)
        np_conn_output_send(conn);
}

void np_conn_turn_work(struct np_work *work)
{
    struct netpoll_conn *conn = conn_of_turn(work);
    if (!is_inline(conn)) {
        np_poller_submit(conn->fd.poller, &conn->task);
        return;
    }
    np_state_begin_turn(&conn->state);
    run_inline(conn);
}

void np_conn_turn_task(void *arg)
{
    struct netpoll_conn *conn = arg;
    np_state_begin_turn(&conn->state);
    run_turn(conn);
}

/* Not enough to start a turn: what must wait is made cheap to keep. */
static void settle(struct netpoll_conn *conn)
{
    if (!np_state_claim_turn(&conn->state, NP_TURN_RUNNING))
        return;
    if (np_conn_is_request_due(conn, np_state_read(&conn->state)) || !hand_back(conn))
        requeue(conn);
}

/* Input rests while what is unread stands above the bound and a turn has enough to work on. */
static void bound_input(struct netpoll_conn *conn)
{
    size_t need = need_of(conn);
    size_t high = conn->group->options.input_high_bytes;
    size_t bound = need > high ? need : high;
    if (linkbuffer_unread(conn->input.lb) < bound)
        return;
    np_state_set(&conn->state, NP_CONN_PAUSE_INPUT);
    /* A turn that ended before this did not see the pause: the poller looks itself. */
    np_conn_sync(conn);
}

void np_conn_dispatch_input(struct netpoll_conn *conn)
{
    if (!np_conn_is_request_due(conn, np_state_read(&conn->state)))
        settle(conn);
    else if (!is_inline(conn))
        np_conn_dispatch(conn);
    else if (np_state_claim_turn(&conn->state, NP_TURN_RUNNING))
        run_inline(conn);
    bound_input(conn);
}
