/* The course of a dial: look up, try one address after the other, tell. Poller thread, unless
 * dial.h says otherwise. */
#include "dial.h"

#include "clock.h"
#include "conn.h"
#include "dial_attempt.h"
#include "log.h"
#include "runtime.h"

#include <gopool/panic.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* How often a dial that has connected to itself tries again: the port was chosen by chance. */
#define RETRIES_MAX 2
/* A full backlog of a unix socket is tried again after 1 ms, then after twice as long each time. */
#define BACKLOG_PAUSE_MS_MAX 32

void np_dial_unref(struct netpoll_dial *dial)
{
    /* Release: what this holder did; acquire: what both did, before the free. */
    if (atomic_fetch_sub_explicit(&dial->refs, 1, memory_order_acq_rel) == 1)
        mcache_free(dial);
}

/* 0: the verdict is the caller's; otherwise what it was. */
static int decide(struct netpoll_dial *dial, int verdict)
{
    int32_t before = NP_DIAL_OPEN;
    /* Acquire and release: whoever finds it decided sees what was done before; pairs with itself.
     */
    atomic_compare_exchange_strong_explicit(&dial->verdict, &before, verdict, memory_order_acq_rel,
                                            memory_order_acquire);
    return before;
}

/* False: it has been called off, and ends by cancel_work. */
static bool claim(struct netpoll_dial *dial)
{
    return decide(dial, NP_DIAL_CLAIMED) == NP_DIAL_OPEN;
}

int np_dial_call_off(struct netpoll_dial *dial, int error)
{
    int before = decide(dial, error);
    if (before != NP_DIAL_OPEN)
        return before;
    /* Not looked at before: only now is it sure that the runtime is still there. */
    if (np_runtime_is_foreign(dial->poller->runtime))
        return -EPERM;
    np_poller_post(dial->poller, &dial->cancel_work);
    return 0;
}

static void leave_if_done(struct netpoll_dial *dial)
{
    if (!dial->is_told || dial->attempts != NULL)
        return;
    np_lookup_free(dial->lookup);
    np_dialer_leave(dial->dialer, dial->poller, dial, dial->is_connected);
    np_dial_unref(dial);
}

static NETPOLL_DISPATCH void make_call(void *arg)
{
    const struct np_dialed_call *call = arg;
    call->fn(call->conn, call->status, call->arg);
}

void np_dialed_call(struct netpoll_runtime *runtime, struct np_dialed_call *call)
{
    struct netpoll_conn *conn = call->conn;
    struct gopool_panic panic;
    /* fn may let go of the connection and panic then. Relaxed: the handle is still there. */
    if (conn != NULL)
        atomic_fetch_add_explicit(&conn->refs, 1, memory_order_relaxed);
    if (gopool_try_task(make_call, call, &panic) != 0) {
        np_log_panic(runtime, &panic, "panic in the function of a dial");
        if (conn != NULL)
            np_conn_close(conn, NETPOLL_CLOSE_PANIC, NP_CONN_ABORTED);
    }
    if (conn != NULL)
        np_conn_unref(conn);
}

static void count(const struct netpoll_dial *dial, int status)
{
    struct np_counters *counters = &dial->poller->counters;
    np_count(status == 0 ? &counters->dialed : &counters->dial_fails, 1);
    if (status == -ETIMEDOUT)
        np_count(&counters->dial_timeouts, 1);
}

/* The last step but the end of its sockets: the dial may be gone when this returns. */
static void tell(struct netpoll_dial *dial, struct netpoll_conn *conn, int status)
{
    struct np_dialed_call call = {.fn = dial->fn, .arg = dial->arg, .conn = conn, .status = status};
    count(dial, status);
    np_dialed_call(dial->poller->runtime, &call);
    dial->is_connected = conn != NULL;
    dial->is_told = true;
    leave_if_done(dial);
}

/* Nothing goes on but the winner, if there is one. */
static void stop(struct netpoll_dial *dial, const struct np_attempt *winner)
{
    struct np_wheel *wheel = &dial->poller->wheel;
    np_wheel_remove(wheel, &dial->deadline);
    np_wheel_remove(wheel, &dial->pause);
    if (dial->is_looking) {
        np_lookup_drop(dial->lookup);
        dial->lookup = NULL;
        dial->is_looking = false;
    }
    for (struct np_attempt *attempt = dial->attempts; attempt != NULL; attempt = attempt->next) {
        if (attempt != winner)
            np_attempt_end(attempt);
    }
}

/* The dial may be gone when this returns, as with all that follow. */
static void fail(struct netpoll_dial *dial, int status)
{
    if (!claim(dial))
        return;
    stop(dial, NULL);
    tell(dial, NULL, status);
}

static void open_conn(struct netpoll_dial *dial, int fd)
{
    struct np_socket socket = {.fd = fd, .is_unix = dial->all[0].storage.ss_family == AF_UNIX};
    struct netpoll_conn *conn = NULL;
    int status = np_conn_open(&dial->dialer->group, dial->poller, &socket, &conn);
    if (status != 0)
        close(fd);
    tell(dial, conn, status);
}

/* It has connected to itself, and another try would find another port. */
static bool may_retry(struct netpoll_dial *dial, int status)
{
    return status == -ELOOP && !np_dial_has_own_port(&dial->dialer->how) &&
           dial->retry_count++ < RETRIES_MAX;
}

/* 0: connected, and told if it was not called off; -EINPROGRESS; or what went wrong. */
static int launch(struct netpoll_dial *dial, uint32_t index)
{
    int fd = -1;
    int status;
    do {
        status = np_dial_connect(&dial->dialer->how, &dial->all[index], &fd);
    } while (may_retry(dial, status));
    if (status == -EINPROGRESS) {
        status = np_attempt_open(dial, index, fd);
        dial->under_way += status == 0;
        return status == 0 ? -EINPROGRESS : status;
    }
    if (status != 0)
        return status == -ELOOP ? -ECONNREFUSED : status;
    if (claim(dial)) {
        stop(dial, NULL);
        open_conn(dial, fd);
    } else {
        close(fd);
    }
    return 0;
}

/* There was no way there, which says less than what an address that could be reached has said. */
static bool is_unreachable(int status)
{
    return status == -ENETUNREACH || status == -EHOSTUNREACH || status == -EADDRNOTAVAIL ||
           status == -EAFNOSUPPORT || status == -ENETDOWN;
}

static void note_error(struct netpoll_dial *dial, int status)
{
    if (dial->status == 0 || (is_unreachable(dial->status) && !is_unreachable(status)))
        dial->status = status;
}

static void pause_for(struct netpoll_dial *dial, int64_t ms)
{
    /* One more: the tick has begun. */
    uint64_t at_ms = np_poller_now_ms(dial->poller) + (uint64_t)ms + 1;
    np_wheel_add(&dial->poller->wheel, &dial->pause, at_ms);
}

/* unix(7): there is nothing to wait for but time. */
static void pause_for_backlog(struct netpoll_dial *dial)
{
    int64_t ms = dial->backlog_ms == 0 ? 1 : (int64_t)dial->backlog_ms * 2;
    if (ms > BACKLOG_PAUSE_MS_MAX)
        ms = BACKLOG_PAUSE_MS_MAX;
    dial->backlog_ms = (int32_t)ms;
    pause_for(dial, ms);
}

static bool is_backlog_full(const struct netpoll_dial *dial, int status)
{
    return status == -EAGAIN && dial->all[0].storage.ss_family == AF_UNIX;
}

static void try_next(struct netpoll_dial *dial)
{
    np_wheel_remove(&dial->poller->wheel, &dial->pause);
    while (dial->next_index < dial->count) {
        int status = launch(dial, dial->next_index);
        if (status == 0)
            return;
        if (is_backlog_full(dial, status)) {
            pause_for_backlog(dial);
            return;
        }
        dial->next_index++;
        if (status == -EINPROGRESS) {
            if (dial->next_index < dial->count && dial->dialer->fallback_ms != NETPOLL_TIMEOUT_NONE)
                pause_for(dial, dial->dialer->fallback_ms);
            return;
        }
        note_error(dial, status);
    }
    if (dial->under_way == 0)
        fail(dial, dial->status);
}

void np_dial_attempt_done(struct np_attempt *attempt, int status)
{
    struct netpoll_dial *dial = attempt->dial;
    uint32_t index = attempt->index;
    if (status == 0) {
        /* If not: cancel_work is on its way. */
        if (claim(dial)) {
            attempt->is_winner = true;
            stop(dial, attempt);
            np_attempt_end(attempt);
        }
        return;
    }
    np_attempt_end(attempt);
    dial->under_way--;
    if (may_retry(dial, status))
        status = launch(dial, index);
    if (status == 0 || status == -EINPROGRESS)
        return;
    note_error(dial, status == -ELOOP ? -ECONNREFUSED : status);
    try_next(dial);
}

void np_dial_attempt_gone(struct np_attempt *attempt)
{
    struct netpoll_dial *dial = attempt->dial;
    int fd = attempt->is_winner ? attempt->fd.fd : -1;
    mcache_free(attempt);
    if (fd >= 0)
        open_conn(dial, fd);
    else
        leave_if_done(dial);
}

static void time_up(struct np_timer *timer)
{
    fail((struct netpoll_dial *)(void *)((char *)timer - offsetof(struct netpoll_dial, deadline)),
         -ETIMEDOUT);
}

static void pause_over(struct np_timer *timer)
{
    try_next((struct netpoll_dial *)(void *)((char *)timer - offsetof(struct netpoll_dial, pause)));
}

static void found(struct np_lookup *lookup)
{
    struct netpoll_dial *dial = lookup->owner;
    if (dial == NULL) {
        np_lookup_free(lookup);
        return;
    }
    dial->is_looking = false;
    dial->all = lookup->addresses;
    dial->count = lookup->count;
    if (lookup->status != 0)
        fail(dial, lookup->status);
    else
        try_next(dial);
}

static void look_up(struct netpoll_dial *dial)
{
    struct np_lookup *lookup = dial->lookup;
    lookup->poller = dial->poller;
    lookup->owner = dial;
    lookup->done = found;
    int status =
        np_resolver_start(&dial->poller->runtime->resolver, lookup, dial->dialer->resolver_threads);
    dial->is_looking = status == 0;
    if (status != 0)
        fail(dial, status);
}

static void end_called_off(struct netpoll_dial *dial)
{
    stop(dial, NULL);
    /* Relaxed: what brought the work here has ordered it. */
    tell(dial, NULL, atomic_load_explicit(&dial->verdict, memory_order_relaxed));
}

static void call_off_work(struct np_work *work)
{
    struct netpoll_dial *dial =
        (struct netpoll_dial *)(void *)((char *)work - offsetof(struct netpoll_dial, cancel_work));
    /* The two may overtake each other: the second one ends the dial. */
    if (dial->is_started)
        end_called_off(dial);
    else
        dial->is_called_off = true;
}

static void start_work(struct np_work *work)
{
    struct netpoll_dial *dial =
        (struct netpoll_dial *)(void *)((char *)work - offsetof(struct netpoll_dial, start_work));
    dial->is_started = true;
    if (dial->is_called_off) {
        end_called_off(dial);
        return;
    }
    if (dial->deadline_ms != 0)
        np_wheel_add(&dial->poller->wheel, &dial->deadline, dial->deadline_ms);
    if (dial->lookup != NULL)
        look_up(dial);
    else
        try_next(dial);
}

/* A time of the wheel that many milliseconds after now, never less. */
static uint64_t wheel_time_in(int64_t ms)
{
    return np_clock_ms() + (uint64_t)ms + 1;
}

int np_dial_new(struct netpoll_dialer *dialer, const struct np_target *target, int64_t timeout_ms,
                struct netpoll_dial **out)
{
    struct netpoll_dial *dial = mcache_alloc(sizeof *dial);
    if (dial == NULL)
        return -ENOMEM;
    memset(dial, 0, sizeof *dial);
    dial->dialer = dialer;
    dial->poller = np_runtime_pick(dialer->group.runtime);
    atomic_init(&dial->refs, 1);
    dial->start_work.fn = start_work;
    dial->cancel_work.fn = call_off_work;
    dial->deadline.fn = time_up;
    dial->pause.fn = pause_over;
    if (timeout_ms != NETPOLL_TIMEOUT_NONE)
        dial->deadline_ms = wheel_time_in(timeout_ms);
    memcpy(dial->known, target->addresses, sizeof dial->known);
    dial->all = dial->known;
    dial->count = target->count;
    int status = 0;
    if (target->count == 0 && (dial->lookup = np_lookup_new(target)) == NULL)
        status = -ENOMEM;
    if (status == 0)
        status = np_dialer_enter(dialer, dial->poller, dial);
    if (status != 0) {
        np_lookup_free(dial->lookup);
        np_dial_unref(dial);
        return status;
    }
    *out = dial;
    return 0;
}

void np_dial_start(struct netpoll_dial *dial)
{
    np_poller_post(dial->poller, &dial->start_work);
}
