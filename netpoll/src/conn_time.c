/* Time limits of a connection: one timer, armed late, looks at all of them. Poller thread, but for
 * what sets them. */
#include "conn.h"

#include "clock.h"

#include <netpoll/error.h>

#include <errno.h>
#include <stddef.h>

#define NEVER UINT64_MAX

uint64_t np_conn_now_ms(const struct netpoll_conn *conn)
{
    /* A poller that sleeps does not count. */
    return np_poller_is_current(conn->fd.poller) ? np_poller_now_ms(conn->fd.poller)
                                                 : np_clock_ms();
}

static int64_t own_timeout(const struct netpoll_conn *conn, enum netpoll_timeout which)
{
    /* Acquire: pairs with the release in np_conn_extra(). */
    struct np_conn_extra *extra = atomic_load_explicit(&conn->extra, memory_order_acquire);
    if (extra == NULL)
        return 0;
    /* Relaxed: whoever set it pokes the poller after. */
    return atomic_load_explicit(&extra->timeouts_ms[which], memory_order_relaxed);
}

int64_t np_conn_timeout_ms(const struct netpoll_conn *conn, enum netpoll_timeout which)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    const int64_t common[] = {
        [NETPOLL_READ_TIMEOUT] = options->read_timeout_ms,
        [NETPOLL_WRITE_TIMEOUT] = options->write_timeout_ms,
        [NETPOLL_IDLE_TIMEOUT] = options->idle_timeout_ms,
        [NETPOLL_REQUEST_TIMEOUT] = options->request_timeout_ms,
    };
    int64_t own = own_timeout(conn, which);
    return own != 0 ? own : common[which];
}

int64_t np_conn_deadline_ms(const struct netpoll_conn *conn, enum netpoll_deadline which)
{
    /* As in own_timeout(). */
    struct np_conn_extra *extra = atomic_load_explicit(&conn->extra, memory_order_acquire);
    if (extra == NULL)
        return 0;
    return atomic_load_explicit(&extra->deadlines_ms[which], memory_order_relaxed);
}

/* The time of a low half that was taken up to 24 days ago; a moment ahead of now is now. */
static uint64_t widen(uint64_t now, uint32_t low)
{
    int32_t ago = (int32_t)((uint32_t)now - low);
    return ago < 0 ? now : now - (uint64_t)ago;
}

static uint32_t read_ms(const _Atomic uint32_t *ms)
{
    /* Relaxed: see struct np_conn_input. */
    return atomic_load_explicit(ms, memory_order_relaxed);
}

static uint64_t after(uint64_t since, int64_t timeout_ms)
{
    return timeout_ms == NETPOLL_TIMEOUT_NONE ? NEVER : since + (uint64_t)timeout_ms;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Input rests, or goes on and the poller has not heard of it yet. */
static bool is_resting(const struct netpoll_conn *conn, uint64_t word)
{
    bool is_received = (conn->fd.flags & NP_FD_INPUT_WANTED) != 0 || (word & NP_CONN_PEER_EOF) != 0;
    return (word & NP_CONN_PAUSED) != 0 || !is_received;
}

/* Takes the rest out of what has passed since. */
static void shift(_Atomic uint32_t *ms, uint32_t now, uint32_t rest)
{
    uint32_t since = read_ms(ms);
    bool is_before = (int32_t)(now - since) > (int32_t)rest;
    /* Relaxed: see struct np_conn_input. If it fails a turn has noted that something began. */
    atomic_compare_exchange_strong_explicit(ms, &since, is_before ? since + rest : now,
                                            memory_order_relaxed, memory_order_relaxed);
}

void np_conn_time_rests(struct netpoll_conn *conn, bool rests)
{
    uint32_t now = (uint32_t)np_poller_now_ms(conn->fd.poller);
    uint32_t rest = now - conn->end.rests_ms;
    if (conn->end.phase != NP_PHASE_OPEN)
        return;
    conn->end.rests_ms = now;
    if (rests)
        return;
    shift(&conn->input.message_ms, now, rest);
    shift(&conn->input.last_ms, now, rest);
}

static uint64_t write_limit(const struct netpoll_conn *conn, uint64_t now)
{
    int64_t deadline = np_conn_deadline_ms(conn, NETPOLL_WRITE_DEADLINE);
    uint64_t limit = NEVER;
    if (conn->output.started)
        limit = after(widen(now, conn->output.progress_ms),
                      np_conn_timeout_ms(conn, NETPOLL_WRITE_TIMEOUT));
    if (deadline != 0 && np_conn_unsent(conn) > 0)
        limit = earlier(limit, (uint64_t)deadline);
    return limit;
}

/* A message that has begun, or is awaited until a deadline, and that nobody works on. */
static uint64_t read_limit(const struct netpoll_conn *conn, uint64_t now, uint64_t word)
{
    int64_t timeout_ms = np_conn_timeout_ms(conn, NETPOLL_READ_TIMEOUT);
    if (conn->group->options.on_request == NULL || (word & NP_CONN_PEER_EOF) != 0 ||
        is_resting(conn, word))
        return NEVER;
    /* What the turn leaves may be overlooked when it ends: hand_back() goes by a hint. */
    if ((word & NP_TURN_MASK) != NP_TURN_IDLE)
        return after(now, timeout_ms);
    if (np_conn_is_request_due(conn, word))
        return NEVER;
    int64_t deadline = np_conn_deadline_ms(conn, NETPOLL_READ_DEADLINE);
    uint64_t limit = deadline != 0 ? (uint64_t)deadline : NEVER;
    if (linkbuffer_unread(conn->input.lb) == 0)
        return limit;
    return earlier(limit, after(widen(now, read_ms(&conn->input.message_ms)), timeout_ms));
}

static uint64_t idle_limit(const struct netpoll_conn *conn, uint64_t now, uint64_t word)
{
    bool is_idle = (word & NP_TURN_MASK) == NP_TURN_IDLE && !is_resting(conn, word) &&
                   linkbuffer_unread(conn->input.lb) == 0 && np_conn_output_is_idle(conn);
    /* Nobody tells when it becomes idle: it is looked at again. */
    return after(is_idle ? widen(now, read_ms(&conn->input.last_ms)) : now,
                 np_conn_timeout_ms(conn, NETPOLL_IDLE_TIMEOUT));
}

static uint64_t request_limit(const struct netpoll_conn *conn, uint64_t now, uint64_t word)
{
    int64_t timeout_ms = np_conn_timeout_ms(conn, NETPOLL_REQUEST_TIMEOUT);
    uint32_t since = read_ms(&conn->input.request_ms);
    if (conn->group->options.on_alarm != NULL || timeout_ms == NETPOLL_TIMEOUT_NONE ||
        (word & NP_TURN_MASK) == NP_TURN_IDLE || conn->end.told_cancel)
        return NEVER;
    return after(since != 0 ? widen(now, since) : now, timeout_ms);
}

/* The time of a low half that lies up to 24 days before or behind now. */
static uint64_t widen_both_ways(uint64_t now, uint32_t low)
{
    return now + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)now);
}

/* Takes the alarm when it has passed; when the next one is due. */
static uint64_t alarm_limit(struct netpoll_conn *conn, uint64_t now)
{
    _Atomic uint32_t *alarm_ms = &conn->input.alarm_ms;
    if (conn->group->options.on_alarm == NULL)
        return NEVER;
    /* Relaxed: who sets it pokes the poller after, unless it has been told of an earlier one. */
    uint32_t low = read_ms(alarm_ms);
    while (low != 0) {
        uint64_t at = widen_both_ways(now, low);
        if (at > now)
            return at;
        if (!atomic_compare_exchange_strong_explicit(alarm_ms, &low, 0, memory_order_relaxed,
                                                     memory_order_relaxed))
            continue;
        np_state_set(&conn->state, NP_CONN_ALARM);
        np_conn_dispatch(conn);
        break;
    }
    return NEVER;
}

static uint64_t close_limit(const struct netpoll_conn *conn, uint64_t now)
{
    if (conn->end.phase != NP_PHASE_DRAIN && conn->end.phase != NP_PHASE_LINGER)
        return NEVER;
    /* A file may take as long as it likes while the peer takes it. */
    uint32_t since = np_conn_has_files(conn) ? conn->output.progress_ms : conn->end.closing_ms;
    return after(widen(now, since), conn->group->options.close_timeout_ms);
}

/* The message did not come: the handler is told, when there is something to tell it about. */
static void end_reading(struct netpoll_conn *conn)
{
    np_count(&conn->fd.poller->counters.read_timeouts, 1);
    if (linkbuffer_unread(conn->input.lb) == 0) {
        np_conn_close(conn, NETPOLL_CLOSE_READ_TIMEOUT, 0);
        return;
    }
    /* Relaxed: the claim of the turn orders it. */
    atomic_store_explicit(&conn->input.fault, -ETIMEDOUT, memory_order_relaxed);
    np_conn_dispatch(conn);
}

static void arm(struct netpoll_conn *conn, uint64_t at_ms)
{
    struct np_poller *poller = conn->fd.poller;
    if (at_ms != NEVER && (!np_timer_is_armed(&conn->timer) || conn->timer.expires > at_ms)) {
        np_wheel_remove(&poller->wheel, &conn->timer);
        np_wheel_add(&poller->wheel, &conn->timer, at_ms);
    }
    int64_t read_timeout = np_conn_timeout_ms(conn, NETPOLL_READ_TIMEOUT);
    bool is_timed = read_timeout == NETPOLL_TIMEOUT_NONE ||
                    (np_timer_is_armed(&conn->timer) &&
                     conn->timer.expires <= np_poller_now_ms(poller) + (uint64_t)read_timeout);
    /* Relaxed: a hint, see hand_back() in conn_dispatch.c. */
    atomic_store_explicit(&conn->end.is_timed, is_timed, memory_order_relaxed);
}

static void look_while_open(struct netpoll_conn *conn, uint64_t now)
{
    struct np_counters *counters = &conn->fd.poller->counters;
    uint64_t word = np_state_read(&conn->state);
    uint64_t limit = write_limit(conn, now);
    uint64_t next = limit;
    if (limit <= now) {
        np_count(&counters->write_timeouts, 1);
        np_conn_close(conn, NETPOLL_CLOSE_WRITE_TIMEOUT, NP_CONN_ABORTED);
        return;
    }
    limit = read_limit(conn, now, word);
    if (limit <= now)
        end_reading(conn);
    else
        next = earlier(next, limit);
    limit = idle_limit(conn, now, word);
    if (limit <= now && np_state_close_idle(&conn->state, 0)) {
        np_count(&counters->idle_timeouts, 1);
        np_conn_set_reason(conn, NETPOLL_CLOSE_IDLE_TIMEOUT);
    }
    next = earlier(next, limit);
    limit = request_limit(conn, now, word);
    if (limit <= now) {
        np_count(&counters->request_timeouts, 1);
        np_conn_cancel(conn);
    }
    next = earlier(next, limit > now ? limit : NEVER);
    next = earlier(next, alarm_limit(conn, now));
    arm(conn, next);
}

void np_conn_time_sync(struct netpoll_conn *conn)
{
    uint64_t now = np_poller_now_ms(conn->fd.poller);
    if (conn->end.phase == NP_PHASE_OPEN) {
        if ((np_state_read(&conn->state) & NP_CONN_CLOSING) == 0)
            look_while_open(conn, now);
        return;
    }
    uint64_t limit = close_limit(conn, now);
    if (limit > now) {
        arm(conn, limit);
        return;
    }
    np_count(&conn->fd.poller->counters.close_timeouts, 1);
    np_conn_close(conn, NETPOLL_CLOSE_USER, NP_CONN_ABORTED);
}

void np_conn_time_up(struct np_timer *timer)
{
    struct netpoll_conn *conn =
        (struct netpoll_conn *)(void *)((char *)timer - offsetof(struct netpoll_conn, timer));
    np_conn_time_sync(conn);
    /* An idle connection may have been closed. */
    np_conn_go_on_ending(conn);
}

/* A limit has changed: the poller arms its timer anew, and who waits looks. */
static int set_limit(struct netpoll_conn *conn, _Atomic int64_t *limit, int64_t value,
                     uint32_t bits)
{
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    /* Relaxed: the poke is a transition of the state word, after which the poller reads it. */
    atomic_store_explicit(limit, value, memory_order_relaxed);
    if (np_state_poke(&conn->state, bits))
        np_conn_poke(conn);
    np_state_wake(&conn->state, NP_CONN_WAITS);
    if (np_state_end_use(&conn->state))
        np_conn_poke(conn);
    return 0;
}

static bool is_out_of_range(int64_t timeout_ms)
{
    return timeout_ms < NETPOLL_TIMEOUT_NONE || timeout_ms > NETPOLL_TIMEOUT_MS_MAX;
}

int netpoll_conn_set_timeout(struct netpoll_conn *conn, enum netpoll_timeout which,
                             int64_t timeout_ms)
{
    if ((unsigned)which > NETPOLL_REQUEST_TIMEOUT || is_out_of_range(timeout_ms))
        return -EINVAL;
    if (which == NETPOLL_REQUEST_TIMEOUT && conn->group->options.on_alarm != NULL)
        return -EINVAL;
    struct np_conn_extra *extra;
    int status = np_conn_extra(conn, &extra);
    if (status != 0)
        return status;
    /* While there was none nothing was noted. Relaxed: see struct np_conn_input. */
    if (which == NETPOLL_IDLE_TIMEOUT && np_conn_timeout_ms(conn, which) == NETPOLL_TIMEOUT_NONE)
        atomic_store_explicit(&conn->input.last_ms, (uint32_t)np_conn_now_ms(conn),
                              memory_order_relaxed);
    return set_limit(conn, &extra->timeouts_ms[which], timeout_ms, 0);
}

int netpoll_conn_set_deadline(struct netpoll_conn *conn, enum netpoll_deadline which, int64_t in_ms)
{
    if ((unsigned)which > NETPOLL_WRITE_DEADLINE || is_out_of_range(in_ms))
        return -EINVAL;
    struct np_conn_extra *extra;
    int status = np_conn_extra(conn, &extra);
    if (status != 0)
        return status;
    int64_t at = in_ms == NETPOLL_TIMEOUT_NONE ? 0 : (int64_t)np_clock_ms() + in_ms;
    /* A turn may run, and leave nothing that would bring the poller to look. */
    uint32_t bits = which == NETPOLL_READ_DEADLINE ? NP_CONN_DEADLINE : 0;
    return set_limit(conn, &extra->deadlines_ms[which], at, bits);
}

/* On the poller: its timer is due in time, or made so. */
static void arm_for_alarm(struct netpoll_conn *conn, uint64_t at_ms)
{
    struct np_poller *poller = conn->fd.poller;
    if (conn->end.phase != NP_PHASE_OPEN ||
        (np_timer_is_armed(&conn->timer) && conn->timer.expires <= at_ms))
        return;
    np_wheel_remove(&poller->wheel, &conn->timer);
    np_wheel_add(&poller->wheel, &conn->timer, at_ms);
}

int netpoll_conn_set_alarm(struct netpoll_conn *conn, int64_t in_ms)
{
    _Atomic uint32_t *alarm_ms = &conn->input.alarm_ms;
    if (conn->group->options.on_alarm == NULL || is_out_of_range(in_ms))
        return -EINVAL;
    uint64_t word = np_state_read(&conn->state);
    if ((word & NP_CONN_CLOSING) != 0)
        return -ENOTCONN;
    if (in_ms == NETPOLL_TIMEOUT_NONE) {
        atomic_store_explicit(alarm_ms, 0, memory_order_relaxed);
        return 0;
    }
    bool is_poller = np_poller_is_current(conn->fd.poller);
    uint64_t at = np_conn_now_ms(conn) + (uint64_t)in_ms;
    uint32_t low = (uint32_t)at != 0 ? (uint32_t)at : 1;
    /* Relaxed: see alarm_limit(). */
    uint32_t before = atomic_exchange_explicit(alarm_ms, low, memory_order_relaxed);
    if (is_poller)
        arm_for_alarm(conn, at);
    else if ((before == 0 || (int32_t)(low - before) < 0) && np_state_poke(&conn->state, 0))
        np_conn_poke(conn);
    return 0;
}
