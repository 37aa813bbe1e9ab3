/* The user's callbacks: how they are called, and those that are posted or kept for the end. */
#include "conn.h"

#include "log.h"

#include <gopool/panic.h>
#include <mcache/mcache.h>

#include <errno.h>

struct guarded_call {
    struct netpoll_conn *conn;
    netpoll_conn_fn *fn;
    void *arg;
};

/* Head of a list that takes no more calls. */
static struct np_conn_call list_is_over;

static NETPOLL_DISPATCH void make_call(void *arg)
{
    struct guarded_call *call = arg;
    call->fn(call->conn, call->arg);
}

void np_conn_call(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg)
{
    struct guarded_call call = {.conn = conn, .fn = fn, .arg = arg};
    struct gopool_panic panic;
    /* gopool_exit_task() ends the callback: the turn around it has to go on. */
    if (gopool_try_task(make_call, &call, &panic) == 0)
        return;
    np_count_shared(&conn->fd.poller->shared.panics, 1);
    np_log_panic(conn->fd.poller->runtime, &panic, "connection %llu: panic in a callback",
                 (unsigned long long)conn->id);
    np_conn_close(conn, NETPOLL_CLOSE_PANIC, NP_CONN_ABORTED);
}

static void run_calls(struct netpoll_conn *conn, struct np_conn_call *first,
                      void (*run)(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg))
{
    while (first != NULL) {
        struct np_conn_call call = *first;
        mcache_free(first);
        run(conn, call.fn, call.arg);
        first = call.next;
    }
}

bool np_conn_run_posts(struct netpoll_conn *conn)
{
    /* Acquire: pairs with the push in netpoll_conn_post(). */
    struct np_conn_call *newest =
        atomic_exchange_explicit(&conn->posts, NULL, memory_order_acquire);
    struct np_conn_call *oldest = NULL;
    while (newest != NULL) {
        struct np_conn_call *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool had_any = oldest != NULL;
    run_calls(conn, oldest, np_conn_call_in_turn);
    return had_any;
}

struct disconnect_call {
    netpoll_disconnect_fn *fn;
};

static void call_disconnect(struct netpoll_conn *conn, void *arg)
{
    struct disconnect_call *call = arg;
    /* Relaxed: the state word orders it behind np_conn_set_reason(). */
    uint8_t reason = atomic_load_explicit(&conn->end.reason, memory_order_relaxed);
    call->fn(conn, (enum netpoll_close_reason)reason, conn->group->options.arg);
}

/* A callback may add more; when none has, the list is over. */
static void run_close_callbacks(struct netpoll_conn *conn)
{
    struct np_conn_extra *extra = NULL;
    struct np_conn_call *first = NULL;
    /* Nobody has added one, and nobody can from here on. Acquire: pairs with np_conn_extra(). */
    if (atomic_compare_exchange_strong_explicit(&conn->extra, &extra, &np_conn_no_extra,
                                                memory_order_acq_rel, memory_order_acquire))
        return;
    /* Acquire, both: pair with push(). */
    while (!atomic_compare_exchange_strong_explicit(&extra->callbacks, &first, &list_is_over,
                                                    memory_order_acquire, memory_order_acquire)) {
        first = atomic_exchange_explicit(&extra->callbacks, NULL, memory_order_acquire);
        run_calls(conn, first, np_conn_call);
        first = NULL;
    }
}

void np_conn_run_end_callbacks(struct netpoll_conn *conn, netpoll_disconnect_fn *on_disconnect,
                               netpoll_conn_fn *on_detached)
{
    struct disconnect_call disconnect = {.fn = on_disconnect};
    if (on_disconnect != NULL)
        np_conn_call(conn, call_disconnect, &disconnect);
    if (on_detached != NULL)
        np_conn_call(conn, on_detached, NULL);
    run_close_callbacks(conn);
}

/* False when the list is over. Release: pairs with whoever takes the list whole. */
static bool push(_Atomic(struct np_conn_call *) *list, struct np_conn_call *call)
{
    /* Relaxed: it is linked to, not followed; the exchange below looks again. */
    call->next = atomic_load_explicit(list, memory_order_relaxed);
    do {
        if (call->next == &list_is_over)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(list, &call->next, call, memory_order_release,
                                                    memory_order_relaxed));
    return true;
}

static struct np_conn_call *new_call(netpoll_conn_fn *fn, void *arg)
{
    struct np_conn_call *call = mcache_alloc(sizeof *call);
    if (call != NULL)
        *call = (struct np_conn_call){.fn = fn, .arg = arg};
    return call;
}

static int push_post(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg)
{
    struct np_conn_call *call = new_call(fn, arg);
    if (call == NULL)
        return -ENOMEM;
    /* Never over: while a use is held the last turn has not begun. */
    (void)push(&conn->posts, call);
    np_conn_dispatch(conn);
    return 0;
}

int netpoll_conn_post(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg)
{
    if (fn == NULL)
        return -EINVAL;
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    status = push_post(conn, fn, arg);
    if (np_state_end_use(&conn->state))
        np_conn_poke(conn);
    return status;
}

int netpoll_conn_add_close_callback(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg)
{
    struct np_conn_extra *extra;
    if (fn == NULL)
        return -EINVAL;
    int status = np_conn_extra(conn, &extra);
    if (status != 0)
        return status;
    struct np_conn_call *call = new_call(fn, arg);
    if (call == NULL)
        return -ENOMEM;
    if (push(&extra->callbacks, call))
        return 0;
    mcache_free(call);
    return -ENOTCONN;
}
