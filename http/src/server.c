/* A server: its options made those of netpoll's server, its pool, its end. */
#include "server.h"

#include "addresses.h"
#include "conn.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Beside what a head takes: an upload that nobody can take yet rests there. */
#define INPUT_BYTES ((size_t)64 << 10)

void hs_server_ref(struct nhttp_server *server)
{
    /* Relaxed: the caller's right to it orders it. */
    atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
}

void hs_server_unref(struct nhttp_server *server)
{
    /* Release: what this holder did; acquire: what all of them did, before the free. */
    if (atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) != 1)
        return;
    hs_addresses_destroy(server->addresses);
    mcache_free(server->name_field);
    mcache_free(server);
}

static void begin_end(struct netpoll_server *listener, void *arg)
{
    struct nhttp_server *server = arg;
    (void)listener;
    /* Relaxed: an answer that does not see it yet is followed by the end all the same. */
    atomic_store_explicit(&server->is_ending, true, memory_order_relaxed);
}

static int make_pool(struct nhttp_server *server)
{
    const struct nhttp_server_options *options = &server->options;
    struct gopool_options own = {
        .name = "http", .cap = options->max_workers, .queue_limit = options->max_queued};
    server->pool = options->pool != NULL ? options->pool : netpoll_runtime_pool(server->runtime);
    if (options->max_workers == 0 && options->max_queued == 0)
        return 0;
    int status = gopool_create(&own, &server->own_pool);
    server->pool = server->own_pool;
    return status;
}

static int make_name(struct nhttp_server *server)
{
    const char *name = server->options.name;
    size_t n = name != NULL ? strlen(name) + sizeof "Server: \r\n" : 1;
    server->name_field = mcache_alloc(n);
    if (server->name_field == NULL)
        return -ENOMEM;
    server->name_field[0] = '\0';
    if (name != NULL)
        snprintf(server->name_field, n, "Server: %s\r\n", name);
    server->name_field_len = n - 1;
    return 0;
}

static int make_listener(struct nhttp_server *server)
{
    const struct nhttp_server_options *options = &server->options;
    struct netpoll_conn_options conn = {
        .on_request = hs_on_input,
        .on_connect = hs_conn_begin,
        .on_disconnect = hs_conn_end,
        .on_cancel = hs_conn_cancel,
        .on_alarm = hs_conn_alarm,
        .on_writable = hs_conn_make_room,
        .arg = server,
        .handler = NETPOLL_HANDLER_INLINE,
        /* on_alarm looks after these. */
        .read_timeout_ms = NETPOLL_TIMEOUT_NONE,
        .idle_timeout_ms = NETPOLL_TIMEOUT_NONE,
        .write_timeout_ms = options->write_timeout_ms,
        .input_high_bytes = (size_t)options->head.head_bytes + INPUT_BYTES,
        .keepalive_s = options->keepalive_s,
    };
    struct netpoll_server_options listener = options->listener;
    listener.max_connections = options->max_connections;
    listener.on_shutdown = begin_end;
    listener.arg = server;
    return netpoll_server_create(server->runtime, &conn, &listener, &server->listener);
}

int nhttp_server_create(struct netpoll_runtime *runtime, const struct nhttp_server_options *options,
                        struct nhttp_server **out)
{
    *out = NULL;
    struct nhttp_server *server =
        mcache_aligned_alloc(_Alignof(struct nhttp_server), sizeof *server);
    if (server == NULL)
        return -ENOMEM;
    memset(server, 0, sizeof *server);
    server->options = *options;
    server->runtime = runtime;
    atomic_init(&server->refs, 1);
    int status = hs_options_complete(&server->options);
    if (status == 0 && server->options.max_per_address != 0)
        status = hs_addresses_create(&server->addresses);
    if (status == 0)
        status = make_name(server);
    if (status == 0)
        status = make_pool(server);
    if (status == 0)
        status = make_listener(server);
    if (status != 0) {
        gopool_destroy(server->own_pool);
        hs_server_unref(server);
        return status;
    }
    *out = server;
    return 0;
}

int nhttp_server_listen(struct nhttp_server *server, const char *address)
{
    return netpoll_server_listen(server->listener, address);
}

struct netpoll_server *nhttp_server_netpoll(const struct nhttp_server *server)
{
    return server->listener;
}

int nhttp_server_shutdown(struct nhttp_server *server, int64_t timeout_ms)
{
    return netpoll_server_shutdown(server->listener, timeout_ms);
}

int nhttp_server_destroy(struct nhttp_server *server)
{
    if (server == NULL)
        return 0;
    int status = netpoll_server_destroy(server->listener);
    if (status != 0)
        return status;
    /* Handlers that still run have been cancelled; their pool waits for them. */
    gopool_destroy(server->own_pool);
    hs_server_unref(server);
    return 0;
}
