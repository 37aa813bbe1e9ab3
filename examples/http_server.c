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

static struct nhttp_server *server;

static bool is_path(const struct nhttp_request *request, const char *path)
{
    struct nhttp_text have = nhttp_request_path(request);
    return have.len == strlen(path) && memcmp(have.data, path, have.len) == 0;
}

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

static void handle(struct nhttp_request *request, void *arg)
{
    (void)arg;
    if (is_path(request, "/"))
        text(request, "Hello, World!");
    else if (is_path(request, "/echo"))
        echo(request);
    else if (is_path(request, "/panic"))
        gopool_panic("asked for by the client");
    else if (is_path(request, "/metrics"))
        metrics(request);
    else
        (void)!nhttp_response_error(request, 404, NULL);
}

static int create(struct netpoll_runtime *runtime, enum netpoll_handler handler,
                  struct netpoll_server **out)
{
    const struct nhttp_server_options options = {.handler = handle, .executor = handler};
    int status = nhttp_server_create(runtime, &options, &server);
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
        .summary = "Answers HTTP/1.1: GET /, POST /echo, GET /panic, /metrics.",
        .create = create,
        .destroy = destroy,
    };
    return server_main(&program, argc, argv);
}
