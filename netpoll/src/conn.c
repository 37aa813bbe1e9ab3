/* Birth of a connection, its handles, and what may be asked of it. */
#include "conn.h"

#include "address.h"
#include "log.h"
#include "runtime.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/server.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const struct np_fd_ops conn_ops = {
    .lend_input = np_conn_input_lend,
    .input_done = np_conn_input_done,
    .adopt_input = np_conn_input_adopt,
    .lend_output = np_conn_output_lend,
    .send_file = np_conn_output_send_file,
    .output_done = np_conn_output_done,
    .closed = np_conn_closed,
};

static void free_conn(struct netpoll_conn *conn)
{
    linkbuffer_destroy(conn->input.lb);
    linkbuffer_destroy(conn->output.lb);
    /* Relaxed: nobody else has it any more. */
    struct np_conn_extra *extra = atomic_load_explicit(&conn->extra, memory_order_relaxed);
    if (extra != NULL && extra != &np_conn_no_extra) {
        linkbuffer_destroy(extra->codec.wire_in);
        linkbuffer_destroy(extra->codec.wire_out);
        mcache_free(extra);
    }
    np_group_unref(conn->group);
    mcache_free(conn);
}

void np_conn_unref(struct netpoll_conn *conn)
{
    /* Release: what this holder did; acquire: what all of them did, before the free. */
    if (atomic_fetch_sub_explicit(&conn->refs, 1, memory_order_acq_rel) == 1)
        free_conn(conn);
}

static struct netpoll_conn *new_conn(struct np_group *group, struct np_poller *poller, int fd)
{
    struct netpoll_conn *conn = mcache_alloc(sizeof *conn);
    if (conn == NULL)
        return NULL;
    memset(conn, 0, sizeof *conn);
    conn->fd = (struct np_fd){.fd = fd, .kind = NP_FD_STREAM, .ops = &conn_ops, .poller = poller};
    conn->group = group;
    np_group_ref(group);
    atomic_init(&conn->refs, 1);
    atomic_init(&conn->input.need, 1);
    conn->input.told_connect = conn->group->options.on_connect == NULL;
    conn->end.rests_ms = (uint32_t)np_poller_now_ms(poller);
    atomic_init(&conn->input.last_ms, conn->end.rests_ms);
    conn->timer.fn = np_conn_time_up;
    conn->poke_work.fn = np_conn_poke_work;
    /* Relaxed: only has to be unique. */
    conn->id =
        1 + atomic_fetch_add_explicit(&poller->runtime->next_conn_id, 1, memory_order_relaxed);
    if (linkbuffer_create(&conn->input.lb) != 0 || linkbuffer_create(&conn->output.lb) != 0 ||
        np_conn_codec_create(conn) != 0) {
        free_conn(conn);
        return NULL;
    }
    return conn;
}

struct prepare_call {
    int status;
};

static void call_prepare(struct netpoll_conn *conn, void *arg)
{
    struct prepare_call *call = arg;
    call->status = conn->group->options.on_prepare(conn, conn->group->options.arg);
}

static bool is_refused(struct netpoll_conn *conn)
{
    struct prepare_call call = {.status = -ECANCELED};
    if (conn->group->options.on_prepare == NULL)
        return false;
    /* Not watched yet: whatever would lead to the poller is refused. */
    np_state_set(&conn->state, NP_CONN_CLOSING | NP_CONN_ENDED);
    np_conn_call(conn, call_prepare, &call);
    if (call.status == 0)
        np_state_clear(&conn->state, NP_CONN_CLOSING | NP_CONN_ENDED);
    return call.status != 0;
}

static void log_open(struct netpoll_conn *conn)
{
    char peer[NETPOLL_ADDRESS_BYTES];
    struct netpoll_runtime *runtime = conn->fd.poller->runtime;
    if (!np_log_is_on(runtime, NETPOLL_LOG_DEBUG))
        return;
    if (np_address_of_peer(conn->fd.fd, peer, sizeof peer) != 0)
        snprintf(peer, sizeof peer, "a peer that has gone");
    np_log(runtime, NETPOLL_LOG_DEBUG, "connection %llu opened: %s", (unsigned long long)conn->id,
           peer);
}

int np_conn_open(struct np_group *group, struct np_poller *poller, const struct np_socket *socket,
                 struct netpoll_conn **handle)
{
    struct netpoll_conn *conn = new_conn(group, poller, socket->fd);
    if (conn == NULL)
        return -ENOMEM;
    if (socket->is_unix)
        conn->fd.flags |= NP_FD_UNIX;
    int status = is_refused(conn) ? -ECONNABORTED : np_conn_codec_open(conn);
    if (status == 0) {
        status = poller->backend->add(poller, &conn->fd);
        if (status != 0)
            np_conn_codec_close(conn);
    }
    if (status != 0) {
        /* A handle that on_prepare kept must find nothing alive. */
        np_state_set(&conn->state, NP_CONN_CLOSING | NP_CONN_ENDED);
        np_conn_run_end_callbacks(conn, NULL, NULL);
        np_conn_unref(conn);
        return status;
    }
    if (handle != NULL) {
        netpoll_conn_retain(conn);
        *handle = conn;
    }
    log_open(conn);
    if (np_group_is_shutting_down(group))
        np_state_set(&conn->state, NP_CONN_SHUTDOWN);
    if (!conn->input.told_connect)
        np_conn_dispatch(conn);
    np_conn_sync(conn);
    return 0;
}

int netpoll_conn_close(struct netpoll_conn *conn)
{
    return np_conn_close(conn, NETPOLL_CLOSE_USER, 0);
}

int netpoll_conn_abort(struct netpoll_conn *conn)
{
    return np_conn_close(conn, NETPOLL_CLOSE_USER, NP_CONN_ABORTED);
}

bool netpoll_conn_is_active(const struct netpoll_conn *conn)
{
    return (np_state_read(&conn->state) & NP_CONN_CLOSING) == 0;
}

void netpoll_conn_retain(struct netpoll_conn *conn)
{
    /* Relaxed: the caller's right to the handle orders it. */
    atomic_fetch_add_explicit(&conn->refs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&conn->handles, 1, memory_order_relaxed);
}

void netpoll_conn_release(struct netpoll_conn *conn)
{
    /* Pairs with the load in is_retained(). */
    if (atomic_fetch_sub_explicit(&conn->handles, 1, memory_order_acq_rel) == 1) {
        /* One that is read by its holders may have input that rests because of them. */
        bool deliver_poke = conn->group->options.on_request == NULL
                                ? np_state_poke(&conn->state, 0)
                                : np_state_poke_if(&conn->state, NP_CONN_POLLER_WAITS_FOR_HANDLES);
        if (deliver_poke)
            np_conn_poke(conn);
    }
    np_conn_unref(conn);
}

void *netpoll_conn_data(const struct netpoll_conn *conn)
{
    return conn->data;
}

void netpoll_conn_set_data(struct netpoll_conn *conn, void *data)
{
    conn->data = data;
}

uint64_t netpoll_conn_id(const struct netpoll_conn *conn)
{
    return conn->id;
}

enum netpoll_close_reason netpoll_conn_reason(const struct netpoll_conn *conn)
{
    if ((np_state_read(&conn->state) & NP_CONN_CLOSING) == 0)
        return NETPOLL_CLOSE_NONE;
    /* Relaxed: set before CLOSING, which was seen. */
    return (enum netpoll_close_reason)atomic_load_explicit(&conn->end.reason, memory_order_relaxed);
}

bool netpoll_conn_is_at_end(const struct netpoll_conn *conn)
{
    return (np_state_read(&conn->state) & NP_CONN_PEER_EOF) != 0;
}

int netpoll_conn_pause(struct netpoll_conn *conn)
{
    if (!netpoll_conn_is_active(conn))
        return -ENOTCONN;
    if (np_state_poke(&conn->state, NP_CONN_PAUSE_USER))
        np_conn_poke(conn);
    return 0;
}

int netpoll_conn_resume(struct netpoll_conn *conn)
{
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    if (np_state_resume(&conn->state))
        np_conn_poke(conn);
    np_conn_dispatch(conn);
    if (np_state_end_use(&conn->state))
        np_conn_poke(conn);
    return 0;
}

static int end_use(struct netpoll_conn *conn, int status)
{
    if (np_state_end_use(&conn->state))
        np_conn_poke(conn);
    return status;
}

void np_conn_count(struct netpoll_conn *conn, _Atomic uint64_t *counter)
{
    if (np_state_begin_use(&conn->state) != 0)
        return;
    np_count_shared(counter, 1);
    (void)end_use(conn, 0);
}

int netpoll_conn_peer(struct netpoll_conn *conn, char *out, size_t size)
{
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    return end_use(conn, np_address_of_peer(conn->fd.fd, out, size));
}

int netpoll_conn_local(struct netpoll_conn *conn, char *out, size_t size)
{
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    return end_use(conn, np_address_of_socket(conn->fd.fd, out, size));
}

int netpoll_conn_socket_option(struct netpoll_conn *conn, int level, int name, void *value,
                               size_t *size)
{
    socklen_t n = (socklen_t)*size;
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    status = getsockopt(conn->fd.fd, level, name, value, &n) == 0 ? 0 : -errno;
    if (status == 0)
        *size = n;
    return end_use(conn, status);
}

int netpoll_conn_set_socket_option(struct netpoll_conn *conn, int level, int name,
                                   const void *value, size_t size)
{
    int status = np_state_begin_use(&conn->state);
    if (status != 0)
        return status;
    status = setsockopt(conn->fd.fd, level, name, value, (socklen_t)size) == 0 ? 0 : -errno;
    return end_use(conn, status);
}

void netpoll_conn_stats_read(struct netpoll_conn *conn, struct netpoll_conn_stats *out)
{
    struct linkbuffer_stats held;
    linkbuffer_stats_read(conn->input.lb, &held);
    /* Relaxed: a figure; pairs with np_count() in conn_input.c. */
    *out = (struct netpoll_conn_stats){
        .bytes_in = atomic_load_explicit(&conn->input.bytes, memory_order_relaxed),
        .unread = linkbuffer_len(conn->input.lb),
        .unsent = linkbuffer_unread(conn->output.lb),
        .held_blocks = held.blocks,
        .held_bytes = held.bytes_held,
    };
}
