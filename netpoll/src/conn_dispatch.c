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

/* unread: as the reader sees it while a turn runs, for on_request must find what it is called for;
 * as the poller sees it, who has written it, while none does. */
static bool is_due(const struct netpoll_conn *conn, uint64_t word, size_t unread)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    /* Relaxed, both: ordered by the state word, see struct np_conn_input. */
    if (unread == 0 || options->on_request == NULL ||
        atomic_load_explicit(&conn->input.exhausted, memory_order_relaxed))
        return false;
    if ((word & NP_CONN_PEER_EOF) != 0 ||
        atomic_load_explicit(&conn->input.fault, memory_order_relaxed) != 0)
        return true;
    return unread >= np_conn_need_of(conn) && (options->framer == NULL || np_conn_frame(conn) != 0);
}

bool np_conn_is_request_due(const struct netpoll_conn *conn, uint64_t word)
{
    return is_due(conn, word, linkbuffer_unread(conn->input.lb));
}

/* What has to be received whatever is unread. */
static size_t demand_of(const struct netpoll_conn *conn)
{
    size_t need = np_conn_need_of(conn);
    return need == NP_NEED_NOTHING ? 0 : need;
}

bool np_conn_may_resume_input(const struct netpoll_conn *conn)
{
    size_t unread = linkbuffer_unread(conn->input.lb);
    return unread <= conn->group->options.input_low_bytes || unread < demand_of(conn);
}

static struct gopool_task *turn_task(struct netpoll_conn *conn)
{
    conn->task = (struct gopool_task){
        .fn = np_conn_turn_task, .arg = conn, .flags = GOPOOL_TASK_REJECT_WHEN_FULL};
    return &conn->task;
}

/* The turn is SCHEDULED: gives it to its executor. */
static void schedule(struct netpoll_conn *conn)
{
    struct np_poller *poller = conn->fd.poller;
    if (!is_inline(conn) && np_poller_is_current(poller)) {
        np_poller_submit(poller, turn_task(conn));
    } else if (is_inline(conn) || gopool_submit(poller->runtime->pool, turn_task(conn)) != 0) {
        conn->turn_work = (struct np_work){.fn = np_conn_turn_work};
        np_poller_post(poller, &conn->turn_work); /* which tries until the pool takes it */
    }
}

void np_conn_dispatch(struct netpoll_conn *conn)
{
    if (np_state_claim_turn(&conn->state, NP_TURN_SCHEDULED, NULL))
        schedule(conn);
}

/* The message at the head begins now: with the first input, or with what a turn has left. */
static void note_message_start(struct netpoll_conn *conn)
{
    /* Relaxed: see struct np_conn_input. */
    atomic_store_explicit(&conn->input.message_ms, (uint32_t)np_conn_now_ms(conn),
                          memory_order_relaxed);
}

static void call_request(struct netpoll_conn *conn)
{
    struct np_conn_input *input = &conn->input;
    bool is_timed = np_conn_timeout_ms(conn, NETPOLL_REQUEST_TIMEOUT) != NETPOLL_TIMEOUT_NONE;
    /* Relaxed, both: see struct np_conn_input. 0 says that none runs. */
    if (is_timed)
        atomic_store_explicit(&input->request_ms, (uint32_t)np_conn_now_ms(conn) | 1,
                              memory_order_relaxed);
    np_poller_count_request(conn->fd.poller);
    np_conn_call(conn, conn->group->options.on_request, conn->group->options.arg);
    if (is_timed)
        atomic_store_explicit(&input->request_ms, 0, memory_order_relaxed);
}

/* Reading cannot go on. Relaxed: see struct np_conn_input. */
static int fault_of(const struct netpoll_conn *conn)
{
    return atomic_load_explicit(&conn->input.fault, memory_order_relaxed);
}

/* What reading has failed for, and the handler has been told. */
static void close_for_fault(struct netpoll_conn *conn, int fault)
{
    if (fault == -ETIMEDOUT)
        np_conn_close(conn, NETPOLL_CLOSE_READ_TIMEOUT, 0);
    else
        np_conn_close(conn, NETPOLL_CLOSE_BAD_MESSAGE, 0);
}

/* on_request consumed nothing: it is called again when there is more. */
static void wait_for_more(struct netpoll_conn *conn, uint64_t word, size_t unread)
{
    /* Relaxed: see struct np_conn_input. */
    if ((word & NP_CONN_PEER_EOF) != 0)
        atomic_store_explicit(&conn->input.exhausted, true, memory_order_relaxed);
    if (np_conn_need_of(conn) <= unread)
        np_conn_set_need(conn, unread + 1);
    if (demand_of(conn) > conn->group->options.max_message_bytes)
        np_conn_fail(conn, -EMSGSIZE, "input that on_request does not consume");
}

/* One call of on_request. Bytes it consumed. */
static size_t run_request(struct netpoll_conn *conn, uint64_t word)
{
    struct np_conn_input *input = &conn->input;
    size_t unread = linkbuffer_len(input->lb);
    int fault = fault_of(conn);
    input->consumed = 0;
    np_conn_set_need(conn, 1);
    call_request(conn);
    linkbuffer_release(input->lb);
    /* Found by netpoll_conn_next_frame(), which has told it; a timeout is the poller's to find. */
    if (fault == 0 && fault_of(conn) != -ETIMEDOUT)
        fault = fault_of(conn);
    if (fault != 0)
        close_for_fault(conn, fault);
    else if (input->consumed == 0)
        wait_for_more(conn, word, unread);
    else if (linkbuffer_len(input->lb) > 0)
        note_message_start(conn);
    if (input->consumed > 0)
        np_conn_set_frame(conn, 0);
    return input->consumed;
}

void np_conn_call_in_turn(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg)
{
    struct np_conn_input *input = &conn->input;
    /* Without on_request whoever holds it reads, and may do so now. */
    bool may_read = conn->group->options.on_request != NULL;
    size_t need = np_conn_need_of(conn);
    if (may_read)
        input->consumed = 0;
    np_conn_call(conn, fn, arg);
    if (!may_read || input->consumed == 0)
        return;
    linkbuffer_release(input->lb);
    if (linkbuffer_len(input->lb) > 0)
        note_message_start(conn);
    /* What was wanted, or measured, is not at the head any more. */
    if (np_conn_need_of(conn) == need)
        np_conn_set_need(conn, 1);
    np_conn_set_frame(conn, 0);
}

static void requeue(struct netpoll_conn *conn)
{
    np_state_requeue_turn(&conn->state);
    schedule(conn);
}

/* What is left has begun a message, and the poller's timer does not look in time. */
static bool is_timer_due(const struct netpoll_conn *conn)
{
    /* Relaxed: the poller looks again whenever something comes. */
    return !atomic_load_explicit(&conn->end.is_timed, memory_order_relaxed) &&
           conn->group->options.on_request != NULL;
}

/* True: handed back; the connection may be gone. */
static bool hand_back(struct netpoll_conn *conn)
{
    bool deliver_poke;
    if (conn->group->options.on_request != NULL && linkbuffer_unread(conn->input.lb) > 0) {
        linkbuffer_settle(conn->input.lb, NP_SETTLE_LIMIT);
        if (is_timer_due(conn) && !np_poller_is_current(conn->fd.poller) &&
            np_state_poke(&conn->state, 0))
            np_conn_poke(conn);
    }
    if (!np_state_end_turn(&conn->state, &deliver_poke))
        return false;
    if (deliver_poke)
        np_conn_poke(conn);
    return true;
}

/* A call that is due before on_request. False: none is. */
static bool run_event(struct netpoll_conn *conn, uint64_t word)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    if (!conn->input.told_connect) {
        conn->input.told_connect = true;
        np_conn_call_in_turn(conn, options->on_connect, options->arg);
        return true;
    }
    if ((word & (NP_CONN_ALARM | NP_CONN_CLOSING)) == NP_CONN_ALARM) {
        np_state_clear(&conn->state, NP_CONN_ALARM);
        np_conn_call_in_turn(conn, options->on_alarm, options->arg);
        return true;
    }
    if ((word & (NP_CONN_WRITABLE | NP_CONN_CLOSING)) == NP_CONN_WRITABLE) {
        np_state_clear(&conn->state, NP_CONN_WRITABLE);
        np_conn_call_in_turn(conn, options->on_writable, options->arg);
        return true;
    }
    return false;
}

/* on_request is due, and nothing holds it up. */
static bool may_run_request(struct netpoll_conn *conn, uint64_t word)
{
    if ((word & (NP_CONN_CLOSING | NP_CONN_PAUSE_OUTPUT | NP_CONN_PAUSE_USER)) != 0)
        return false;
    if (conn->group->options.framer != NULL) {
        (void)np_conn_measure_frame(conn);
        /* A framer that panics closes the connection. */
        word = np_state_read(&conn->state);
        if ((word & NP_CONN_CLOSING) != 0)
            return false;
    }
    return is_due(conn, word, linkbuffer_len(conn->input.lb));
}

/* The turn is RUNNING and this thread's. */
static void run_turn(struct netpoll_conn *conn)
{
    unsigned requests = 0;
    size_t bytes = 0;
    for (;;) {
        /* Before the posts: when it says ENDED, every post that was accepted is there. */
        uint64_t word = np_state_read(&conn->state);
        bool is_used_up = requests >= TURN_REQUESTS || bytes >= TURN_BYTES;
        if (conn->input.told_connect && np_conn_run_posts(conn)) {
            /* A post may post again: it counts, so that the others get their turn. */
            requests++;
            if (!is_used_up)
                continue;
            requeue(conn);
            return;
        }
        if (run_event(conn, word))
            continue;
        if ((word & NP_CONN_ENDED) != 0) {
            np_conn_finish(conn);
            return;
        }
        if (!may_run_request(conn, word)) {
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
    if (is_last)
        return;
    if ((np_state_read(&conn->state) & NP_SENDER_MASK) == NP_SENDER_POLLER)
        np_conn_output_send(conn);
    if (linkbuffer_unread(conn->input.lb) > 0 && is_timer_due(conn))
        np_conn_time_sync(conn);
}

void np_conn_turn_work(struct np_work *work)
{
    struct netpoll_conn *conn = conn_of_turn(work);
    if (!is_inline(conn)) {
        np_poller_submit(conn->fd.poller, turn_task(conn));
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

/* What must wait is made cheap to keep. In the turn that the poller has claimed. */
static void settle(struct netpoll_conn *conn)
{
    if (conn->group->options.framer != NULL)
        (void)np_conn_measure_frame(conn);
    if (!np_conn_is_request_due(conn, np_state_read(&conn->state)) && hand_back(conn))
        return;
    if (is_inline(conn))
        run_inline(conn);
    else
        requeue(conn);
}

/* Input rests while what is unread stands above the bound and a turn has enough to work on. */
static void bound_input(struct netpoll_conn *conn)
{
    size_t need = demand_of(conn);
    size_t high = conn->group->options.input_high_bytes;
    size_t bound = need > high ? need : high;
    if (linkbuffer_unread(conn->input.lb) < bound)
        return;
    np_state_set(&conn->state, NP_CONN_PAUSE_INPUT);
    /* A turn that ended before this did not see the pause: the poller looks itself. */
    np_conn_sync(conn);
}

/* Who waits has said how much it wants before it set the bit that was seen. */
static void wake_reader(struct netpoll_conn *conn)
{
    if (linkbuffer_unread(conn->input.lb) >= np_conn_need_of(conn))
        np_state_wake(&conn->state, NP_CONN_WAITS_INPUT);
}

/* Nobody has a turn for input: whoever reads is woken. */
static void tell_reader(struct netpoll_conn *conn)
{
    /* A transition, so that a reader that has not seen the input is seen: conn_state.h. */
    if ((np_state_set(&conn->state, 0) & NP_CONN_WAITS_INPUT) != 0)
        wake_reader(conn);
}

void np_conn_dispatch_input(struct netpoll_conn *conn, size_t n)
{
    bool is_due = np_conn_is_request_due(conn, np_state_read(&conn->state));
    bool runs_here = !is_due || is_inline(conn);
    uint64_t before = 0;
    if (linkbuffer_unread(conn->input.lb) <= n)
        note_message_start(conn);
    if (conn->group->options.on_request == NULL) {
        tell_reader(conn);
    } else if (np_state_claim_turn(&conn->state, runs_here ? NP_TURN_RUNNING : NP_TURN_SCHEDULED,
                                   &before)) {
        if (!is_due)
            settle(conn);
        else if (runs_here)
            run_inline(conn);
        else
            schedule(conn);
    } else if ((before & NP_CONN_WAITS_INPUT) != 0) {
        wake_reader(conn);
    }
    if (!is_due || np_conn_timeout_ms(conn, NETPOLL_REQUEST_TIMEOUT) != NETPOLL_TIMEOUT_NONE)
        np_conn_time_sync(conn);
    bound_input(conn);
}
