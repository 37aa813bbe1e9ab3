/* The server and the client of the tests of HTTP. */
#include "web.h"

#include "../support/process.h"

#include <gopool/panic.h>
#include <mcache/mcache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHUTDOWN_MS 20000

void web_start(struct web *web)
{
    struct rig *rig = &web->rig;
    struct netpoll_runtime_options runtime_options = {
        .backend = backend_under_test(),
        .pollers = web->pollers != 0 ? web->pollers : 2,
        .log = rig_log,
        .log_arg = rig,
        .log_rate = NETPOLL_LOG_RATE_NONE,
    };
    pthread_mutex_init(&rig->log_mutex, NULL);
    rig->descriptors = descriptor_count();
    rig->live_bytes = live_bytes();
    if (web->own_pool != NULL)
        CHECK(gopool_create(web->own_pool, &web->options.pool) == 0);
    CHECK(netpoll_runtime_create(&runtime_options, &rig->runtime) == 0);
    if (web->options.handler == NULL)
        web->options.handler = web_handle;
    CHECK(nhttp_server_create(rig->runtime, &web->options, &web->server) == 0);
    CHECK(nhttp_server_listen(web->server, "127.0.0.1:0") == 0);
    CHECK(netpoll_server_address(nhttp_server_netpoll(web->server), 0, rig->address,
                                 sizeof rig->address) == 0);
}

void web_finish(struct web *web)
{
    struct rig *rig = &web->rig;
    CHECK(nhttp_server_shutdown(web->server, SHUTDOWN_MS) == 0);
    CHECK(web_stats(web).connections == 0);
    CHECK(nhttp_server_destroy(web->server) == 0);
    CHECK(netpoll_runtime_destroy(rig->runtime) == 0);
    if (web->own_pool != NULL)
        gopool_destroy(web->options.pool);
    if (rig->logs != rig->expected_logs)
        fprintf(stderr, "%u lines of log, the last: %s\n", rig->logs, rig->last_log);
    CHECK(rig->logs == rig->expected_logs);
    CHECK(descriptor_count() == rig->descriptors);
    CHECK(live_bytes() == rig->live_bytes);
    pthread_mutex_destroy(&rig->log_mutex);
}

void web_finish_when_idle(struct web *web)
{
    WAIT_UNTIL(web_stats(web).connections == 0);
    web_finish(web);
}

int web_dial(const struct web *web)
{
    return client_dial(web->rig.address);
}

struct nhttp_server_stats web_stats(const struct web *web)
{
    struct nhttp_server_stats stats;
    nhttp_server_stats_read(web->server, &stats);
    return stats;
}

bool text_is(struct nhttp_text text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

bool path_is(const struct nhttp_request *request, const char *path)
{
    return text_is(nhttp_request_path(request), path);
}

void say(struct nhttp_request *request, const char *text)
{
    CHECK(nhttp_response_write(request, text, strlen(text)) == 0);
}

static void echo(struct nhttp_request *request)
{
    if (nhttp_request_body_buffer(request) != NULL)
        CHECK(nhttp_response_append(request, nhttp_request_body_buffer(request)) == 0);
}

static char big[WEB_BIG_BYTES];

void web_handle(struct nhttp_request *request, void *arg)
{
    (void)arg;
    if (path_is(request, "/"))
        say(request, "Hello, World!");
    else if (path_is(request, "/echo"))
        echo(request);
    else if (path_is(request, "/big"))
        CHECK(nhttp_response_write_ref(request, big, sizeof big, NULL, NULL) == 0);
    else if (path_is(request, "/panic"))
        gopool_panic("on purpose");
    else
        CHECK(nhttp_response_error(request, 404, NULL) == 0);
}

void wait_at_gate(struct nhttp_request *request, void *arg)
{
    struct gate *gate = arg;
    event_add(&gate->arrivals);
    event_wait(&gate->open, 1);
    say(request, "late");
}

void ask(int fd, const char *request)
{
    client_send(fd, request, strlen(request));
}

/* Up to and including the empty line. False: the connection ended before it. */
static bool receive_head(int fd, char *head)
{
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        CHECK(n < ANSWER_HEAD_BYTES - 1);
        if (client_try_receive(fd, head + n, 1) == 0)
            break;
        n++;
    }
    head[n] = '\0';
    CHECK(n == 0 || strstr(head, "\r\n\r\n") != NULL);
    return n > 0;
}

const char *answer_field(const struct answer *answer, const char *name)
{
    static _Thread_local char value[1024];
    size_t n = strlen(name);
    const char *line = strstr(answer->head, "\r\n");
    for (; line != NULL && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) != 0 || line[2 + n] != ':')
            continue;
        const char *from = line + 2 + n + 1;
        from += strspn(from, " ");
        size_t len = strcspn(from, "\r");
        CHECK(len < sizeof value);
        memcpy(value, from, len);
        value[len] = '\0';
        return value;
    }
    return NULL;
}

static void add_to_body(int fd, struct answer *answer, size_t n)
{
    answer->body = realloc(answer->body, answer->body_bytes + n + 1);
    CHECK(answer->body != NULL);
    CHECK(client_receive(fd, answer->body + answer->body_bytes, n) == n);
    answer->body_bytes += n;
    answer->body[answer->body_bytes] = '\0';
}

static size_t receive_chunk_size(int fd)
{
    char line[32] = {0};
    for (size_t n = 0; n < 2 || line[n - 1] != '\n'; n++) {
        CHECK(n < sizeof line - 1);
        CHECK(client_receive(fd, line + n, 1) == 1);
    }
    return strtoul(line, NULL, 16);
}

static void receive_chunks(int fd, struct answer *answer)
{
    char end[2];
    for (size_t n = receive_chunk_size(fd);; n = receive_chunk_size(fd)) {
        add_to_body(fd, answer, n);
        CHECK(client_receive(fd, end, 2) == 2 && memcmp(end, "\r\n", 2) == 0);
        if (n == 0)
            return;
    }
}

void receive_answer(int fd, struct answer *out, bool to_head)
{
    out->status = 0;
    out->body = NULL;
    out->body_bytes = 0;
    if (!receive_head(fd, out->head))
        return;
    CHECK(sscanf(out->head, "HTTP/1.1 %d ", &out->status) == 1);
    add_to_body(fd, out, 0);
    if (to_head || out->status == 204 || out->status == 304 || out->status < 200)
        return;
    const char *length = answer_field(out, "Content-Length");
    if (length != NULL)
        add_to_body(fd, out, strtoul(length, NULL, 10));
    else if (answer_field(out, "Transfer-Encoding") != NULL)
        receive_chunks(fd, out);
}

void answer_free(struct answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

void expect_answer(int fd, const char *request, int status, const char *body)
{
    struct answer answer;
    if (request != NULL)
        ask(fd, request);
    receive_answer(fd, &answer, false);
    if (answer.status != status)
        fprintf(stderr, "status %d where %d was expected\n", answer.status, status);
    CHECK(answer.status == status);
    if (body != NULL && strcmp(answer.body, body) != 0)
        fprintf(stderr, "\"%s\" where \"%s\" was expected\n", answer.body, body);
    CHECK(body == NULL || strcmp(answer.body, body) == 0);
    answer_free(&answer);
}

void expect_last(int fd, int status)
{
    struct answer answer;
    receive_answer(fd, &answer, false);
    if (answer.status != status)
        fprintf(stderr, "status %d where %d was expected\n", answer.status, status);
    CHECK(answer.status == status);
    const char *connection = answer_field(&answer, "Connection");
    CHECK(connection != NULL && strcmp(connection, "close") == 0);
    CHECK(client_sees_end(fd));
    answer_free(&answer);
}
