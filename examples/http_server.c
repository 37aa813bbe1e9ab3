/* The HTTP server: a handler that knows a handful of paths. */
#include "server.h"

#include <gopool/panic.h>
#include <nhttp/response.h>
#include <nhttp/server.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define METRICS_BYTES 16384

static struct netpoll_runtime *runtime;
static struct nhttp_server *server;
static enum netpoll_handler handler;
static bool has_access_log;

/* Whatever fails has no memory: the answer is then what it is. */
static void text(struct nhttp_request *request, const char *body)
{
    (void)!nhttp_response_write_ref(request, body, strlen(body), NULL, NULL);
}

static void echo(struct nhttp_request *request)
{
    struct linkbuffer *body = nhttp_request_body_buffer(request);
    struct nhttp_text type;
    if (nhttp_request_field_by_id(request, NHTTP_FIELD_CONTENT_TYPE, &type) != 0)
        (void)!nhttp_response_set_type(request, "application/octet-stream");
    if (body != NULL)
        (void)!nhttp_response_append(request, body);
}

/* A number of the query; the fallback when there is none. */
static long number(struct nhttp_request *request, const char *name, long fallback, long max)
{
    struct nhttp_text value;
    char *end;
    if (nhttp_request_query_arg(request, name, &value) != 0)
        return fallback;
    long n = strtol(value.data, &end, 10);
    return value.len > 0 && *end == '\0' && n >= 0 && n <= max ? n : fallback;
}

/* Pieces of a body, as fast as the client takes them; a poller cannot wait for it. */
static void stream(struct nhttp_request *request)
{
    static const char piece[65536];
    long size = number(request, "size", 1024, sizeof piece);
    int status = nhttp_response_begin(request, NHTTP_LENGTH_UNKNOWN);
    for (long left = number(request, "chunks", 10, 1000000); left > 0 && status >= 0; left--) {
        status = nhttp_response_write(request, piece, (size_t)size);
        if (status == 0)
            status = nhttp_response_flush(request);
        if (status == 1 && handler == NETPOLL_HANDLER_POOL)
            status = nhttp_response_flush_wait(request, 30000);
    }
}

/* In the handler's place, later: no worker sleeps. */
static void wake(struct netpoll_timer *timer, void *arg)
{
    struct nhttp_request *request = arg;
    text(request, "slept");
    nhttp_request_finish(request);
    netpoll_timer_release(timer);
}

static void fall_asleep(struct nhttp_request *request)
{
    struct netpoll_timer *timer;
    nhttp_request_defer(request);
    if (netpoll_timer_after(runtime, number(request, "ms", 1000, 60000), wake, request, &timer) !=
        0)
        nhttp_request_finish(request);
}

static void metrics(struct nhttp_request *request)
{
    char *out = malloc(METRICS_BYTES);
    if (out == NULL)
        return;
    size_t n = nhttp_server_stats_text(server, out, METRICS_BYTES);
    (void)!nhttp_response_set_type(request, "text/plain; version=0.0.4");
    (void)!nhttp_response_write(request, out, n < METRICS_BYTES ? n : METRICS_BYTES - 1);
    free(out);
}

static void hello(struct nhttp_request *request)
{
    text(request, "Hello, World!");
}

static void run_into_panic(struct nhttp_request *request)
{
    (void)request;
    gopool_panic("asked for by the client");
}

static const struct {
    struct nhttp_text path;
    void (*fn)(struct nhttp_request *request);
} routes[] = {
    {NHTTP_TEXT_INIT("/"), hello},
    {NHTTP_TEXT_INIT("/echo"), echo},
    {NHTTP_TEXT_INIT("/stream"), stream},
    {NHTTP_TEXT_INIT("/sleep"), fall_asleep},
    {NHTTP_TEXT_INIT("/panic"), run_into_panic},
    {NHTTP_TEXT_INIT("/metrics"), metrics},
};

static void handle(struct nhttp_request *request, void *arg)
{
    struct nhttp_text path = nhttp_request_path(request);
    (void)arg;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (nhttp_text_equals(path, routes[i].path)) {
            routes[i].fn(request);
            return;
        }
    }
    (void)!nhttp_response_error(request, 404, NULL);
}

/* A line of the common log format, but for names and time zones. */
static void log_access(const struct nhttp_record *record, void *arg)
{
    char peer[NETPOLL_ADDRESS_BYTES];
    (void)arg;
    if (netpoll_conn_peer(record->conn, peer, sizeof peer) != 0)
        strcpy(peer, "-");
    fprintf(stderr, "%s \"%.*s %.*s HTTP/1.%u\" %u %" PRIu64 " %" PRIi64 "us\n", peer,
            (int)record->method.len, record->method.data, (int)record->target.len,
            record->target.data, record->minor_version, record->status, record->body_bytes_out,
            record->took_us);
}

static int create(struct netpoll_runtime *on, enum netpoll_handler where,
                  struct netpoll_server **out)
{
    const struct nhttp_server_options options = {
        .handler = handle, .executor = where, .on_record = has_access_log ? log_access : NULL};
    int status = nhttp_server_create(on, &options, &server);
    runtime = on;
    handler = where;
    if (status == 0)
        *out = nhttp_server_netpoll(server);
    return status;
}

static void destroy(void)
{
    (void)!nhttp_server_destroy(server);
}

int main(int argc, char **argv)
{
    const struct server_program program = {
        .name = "http_server",
        .summary =
            "Answers HTTP/1.1: /, /echo, /stream?chunks=N&size=B, /sleep?ms=N, /panic, /metrics.",
        .create = create,
        .destroy = destroy,
        .flags = {{.name = "--access-log",
                   .help = "a line on stderr for each request (none)",
                   .must_be = "given without a value",
                   .parse = flag_switch,
                   .into = &has_access_log}},
    };
    return server_main(&program, argc, argv);
}
