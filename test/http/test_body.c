/* Bodies of requests that are read while they come, and what becomes of those that are not. */
#include "web.h"

#include "../support/pattern.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <gopool/panic.h>
#include <linkbuffer/linkbuffer.h>
#include <netpoll/error.h>
#include <nhttp/body.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POST(path, fields) "POST " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define CHUNKED            "Transfer-Encoding: chunked\r\n"

/* What a handler has seen of a body. */
struct reader {
    struct event begun;
    struct event go; /* it goes on */
    struct event ends;
    _Atomic uint64_t bytes;
    _Atomic int end; /* what ended it */
    struct linkbuffer *lb;
};

#define READER_INIT                                                         \
    {                                                                       \
        .begun = EVENT_INIT, .go = EVENT_INIT, .ends = EVENT_INIT, .end = 1 \
    }

/* Answers with the number of bytes. */
static void report(struct nhttp_request *request, struct reader *reader, int end)
{
    char text[64];
    snprintf(text, sizeof text, "%llu", (unsigned long long)reader->bytes);
    reader->end = end;
    if (end == 0)
        say(request, text);
}

/* Takes what there is; false: that was all. */
static bool read_some(struct nhttp_request *request, struct reader *reader, int *end)
{
    ssize_t n = nhttp_body_take(request, reader->lb);
    if (n > 0) {
        size_t len = linkbuffer_len(reader->lb);
        const void *data;
        CHECK(len == (size_t)n && linkbuffer_next(reader->lb, len, &data) == 0);
        CHECK(pattern_matches(1, reader->bytes, data, len));
        linkbuffer_release(reader->lb);
        reader->bytes += len;
        return true;
    }
    *end = (int)n;
    return n == -EAGAIN;
}

/* A thread of its own reads: it waits. */
static void read_waiting(struct nhttp_request *request, struct reader *reader)
{
    int end = -EAGAIN;
    CHECK(nhttp_body_wait(request, -2) == -EINVAL);
    while (read_some(request, reader, &end)) {
        int status = end == -EAGAIN ? nhttp_body_wait(request, DEADLINE_MS) : 0;
        CHECK(status == 0 || status == -ETIMEDOUT);
    }
    report(request, reader, end);
}

/* A poller reads: it is called. */
static void read_called(struct nhttp_request *request, void *arg)
{
    struct reader *reader = arg;
    int end = -EAGAIN;
    CHECK(nhttp_body_on_more(request, NULL, arg) == -EINVAL);
    while (read_some(request, reader, &end)) {
        if (end == -EAGAIN && nhttp_body_on_more(request, read_called, reader) == 0)
            return;
        end = -EAGAIN;
    }
    report(request, reader, end);
    nhttp_request_finish(request);
    event_add(&reader->ends);
}

static void read_body(struct nhttp_request *request, void *arg)
{
    struct reader *reader = arg;
    struct nhttp_text text;
    if (path_is(request, "/plain")) {
        say(request, "plain");
        return;
    }
    reader->bytes = 0;
    event_add(&reader->begun);
    if (path_is(request, "/held"))
        event_wait(&reader->go, 1);
    if (path_is(request, "/ignored")) {
        say(request, "ignored");
        return;
    }
    /* There is no whole one. */
    CHECK(nhttp_request_body_len(request) == 0 && nhttp_request_body_buffer(request) == NULL);
    CHECK(nhttp_request_body(request, &text) == -EINVAL);
    if (nhttp_body_wait(request, NETPOLL_TIMEOUT_NONE) == -EDEADLK || path_is(request, "/later")) {
        nhttp_request_defer(request);
        read_called(request, reader);
        return;
    }
    read_waiting(request, reader);
    event_add(&reader->ends);
}

static struct web web_of(struct reader *reader, enum netpoll_handler executor)
{
    CHECK(linkbuffer_create(&reader->lb) == 0);
    return (struct web){.options = {.handler = read_body,
                                    .arg = reader,
                                    .executor = executor,
                                    .stream_bodies = true,
                                    .max_body_bytes = (uint64_t)64 << 20}};
}

static void reader_finish(struct web *web, struct reader *reader)
{
    web_finish_when_idle(web);
    linkbuffer_destroy(reader->lb);
}

static void send_pattern(int fd, uint64_t from, size_t n)
{
    char *data = malloc(n);
    cr_assert_not_null(data);
    pattern_fill(1, from, data, n);
    client_send(fd, data, n);
    free(data);
}

static void send_chunk(int fd, uint64_t from, size_t n)
{
    char line[32];
    snprintf(line, sizeof line, "%zx\r\n", n);
    ask(fd, line);
    send_pattern(fd, from, n);
    ask(fd, "\r\n");
}

static void send_head(int fd, const char *path, uint64_t length)
{
    char head[160];
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %llu\r\n\r\n", path,
             (unsigned long long)length);
    ask(fd, head);
}

/* The handler has begun before the body is there: the test waits for it. */
TEST_BOTH_MODES(http_body, is_read_while_it_comes)
{
    static const char *const paths[] = {"/", "/later"};
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 2; i++) {
        char expected[32];
        uint64_t sent = 0;
        send_head(fd, paths[i], 3 << 20);
        event_wait(&reader.begun, i + 1);
        for (uint64_t state = i; sent < 3 << 20;) {
            size_t n = random_size(&state, 1 << 17);
            n = n < (3 << 20) - sent ? n : (size_t)((3 << 20) - sent);
            send_pattern(fd, sent, n);
            sent += n;
        }
        snprintf(expected, sizeof expected, "%d", 3 << 20);
        expect_answer(fd, "", 200, expected);
    }
    client_close(fd);
    reader_finish(&web, &reader);
}

TEST_BOTH_MODES(http_body, in_chunks_with_trailers)
{
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    uint64_t sent = 0;
    ask(fd, POST("/", CHUNKED));
    event_wait(&reader.begun, 1);
    for (uint64_t state = 7; sent < 1 << 20;) {
        size_t n = random_size(&state, 1 << 15);
        send_chunk(fd, sent, n);
        sent += n;
    }
    char expected[32];
    snprintf(expected, sizeof expected, "%llu", (unsigned long long)sent);
    expect_answer(fd, "0\r\nX-Sum: 1\r\n\r\n" GET("/plain"), 200, expected);
    expect_answer(fd, "", 200, "plain");
    client_close(fd);
    reader_finish(&web, &reader);
}

/* What the server's windows hold, and what a backend had in hand when they were full: a ring of
 * blocks is 16 MiB at most. The rest is in the sockets' buffers, which may become as large as the
 * kernel likes. */
#define UNREAD_MAX ((size_t)20 << 20)

/* What is not taken stays with the client, and its clock rests. */
Test(http_body, a_handler_that_does_not_read_holds_the_client_up)
{
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, NETPOLL_HANDLER_POOL);
    web.options.body_timeout_ms = 300;
    web.options.watchdog_ms = NETPOLL_TIMEOUT_NONE;
    web_start(&web);
    int fd = web_dial(&web);
    send_head(fd, "/held", 32 << 20);
    event_wait(&reader.begun, 1);
    char *data = malloc(32 << 20);
    cr_assert_not_null(data);
    pattern_fill(1, 0, data, 32 << 20);
    size_t sent = client_send_until_it_stands(fd, data, 32 << 20);
    cr_assert_lt(rig_stats(&web.rig).bytes_in, UNREAD_MAX);
    event_add(&reader.go);
    client_send(fd, data + sent, (32 << 20) - sent);
    free(data);
    expect_answer(fd, "", 200, "33554432");
    cr_assert_gt(web_stats(&web).body_pauses, 0);
    cr_assert_eq(web_stats(&web).body_timeouts, 0);
    client_close(fd);
    reader_finish(&web, &reader);
}

/* Up to a limit it is thrown away, and the connection goes on. */
TEST_BOTH_MODES(http_body, what_nobody_takes)
{
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, *mode);
    web.options.max_drain_bytes = 100000;
    web_start(&web);
    int fd = web_dial(&web);
    send_head(fd, "/ignored", 100000);
    expect_answer(fd, "", 200, "ignored");
    send_pattern(fd, 0, 100000);
    expect_answer(fd, GET("/plain"), 200, "plain");
    ask(fd, POST("/ignored", CHUNKED));
    expect_answer(fd, "", 200, "ignored");
    send_chunk(fd, 0, 50000);
    expect_answer(fd, "0\r\nX: y\r\n\r\n" GET("/plain"), 200, "plain");
    /* Its length says that it is too much. */
    send_head(fd, "/ignored", 100001);
    expect_last(fd, 200);
    client_close(fd);
    cr_assert_eq(web_stats(&web).drain_limits, 0);
    /* It turns out to be. */
    fd = web_dial(&web);
    ask(fd, POST("/ignored", CHUNKED));
    expect_answer(fd, "", 200, "ignored");
    send_chunk(fd, 0, 100001);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    cr_assert_eq(web_stats(&web).drain_limits, 1);
    reader_finish(&web, &reader);
}

/* The client is asked for the body by who wants it. */
TEST_BOTH_MODES(http_body, a_client_that_waits_is_asked_by_the_handler)
{
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, POST("/", "Content-Length: 3\r\nExpect: 100-continue\r\n"), 100, NULL);
    send_pattern(fd, 0, 3);
    expect_answer(fd, "", 200, "3");
    /* Nobody does: it may send it, or not. */
    ask(fd, POST("/ignored", "Content-Length: 3\r\nExpect: 100-continue\r\n"));
    expect_last(fd, 200);
    client_close(fd);
    reader_finish(&web, &reader);
}

struct refusal {
    const char *sent;
    int status;
};

/* The server answers, and who reads is told. */
TEST_BOTH_MODES(http_body, a_body_that_is_refused_while_it_is_read)
{
    static const struct refusal refusals[] = {
        {"x\r\n", 400},
        {"4000001\r\n", 413},
        {"3\r\n", 408},
        {"0\r\nTransfer-Encoding: chunked\r\n bad\r\n\r\n", 400},
    };
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, *mode);
    web.options.body_timeout_ms = 300;
    web_start(&web);
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        int fd = web_dial(&web);
        ask(fd, POST("/", CHUNKED));
        event_wait(&reader.begun, i + 1);
        ask(fd, refusals[i].sent);
        expect_last(fd, refusals[i].status);
        client_close(fd);
        event_wait(&reader.ends, i + 1);
        cr_assert_eq(reader.end, -ECANCELED);
    }
    cr_assert_eq(web_stats(&web).body_timeouts, 1);
    reader_finish(&web, &reader);
}

TEST_BOTH_MODES(http_body, a_client_that_goes_while_its_body_is_read)
{
    struct reader reader = READER_INIT;
    struct web web = web_of(&reader, *mode);
    web_start(&web);
    for (unsigned i = 0; i < 3; i++) {
        int fd = web_dial(&web);
        send_head(fd, i < 2 ? "/" : "/later", 1000);
        event_wait(&reader.begun, i + 1);
        send_pattern(fd, 0, 999);
        if (i == 0)
            client_reset(fd);
        else
            client_close(fd);
        event_wait(&reader.ends, i + 1);
        cr_assert_eq(reader.end, -ECANCELED);
    }
    reader_finish(&web, &reader);
}

static void show_trailers(struct nhttp_request *request, void *arg)
{
    struct linkbuffer *lb;
    struct nhttp_text name;
    struct nhttp_text value;
    event_add(arg);
    CHECK(linkbuffer_create(&lb) == 0);
    bool streams = nhttp_request_trailer(request, "X-Sum", &value) == -EAGAIN;
    CHECK(streams || path_is(request, "/"));
    for (ssize_t n = 1; n > 0 || n == -EAGAIN;) {
        n = nhttp_body_take(request, lb);
        CHECK(n >= 0 || (n == -EAGAIN && nhttp_body_wait(request, DEADLINE_MS) == 0));
    }
    CHECK(nhttp_request_trailer(request, "Content-Length", &value) == -ENOENT);
    CHECK(nhttp_request_trailer(request, "x-sum", &value) == 0 && text_is(value, "3"));
    CHECK(nhttp_request_trailer_at(request, 1, &name, &value) == 0);
    CHECK(text_is(name, "X-More") && text_is(value, "2"));
    CHECK(nhttp_request_trailer_at(request, 2, &name, &value) == -ENOENT);
    CHECK(nhttp_response_append(request, lb) == 0);
    linkbuffer_destroy(lb);
}

Test(http_body, trailers_are_shown)
{
    struct event begun = EVENT_INIT;
    struct web web = {.options = {.handler = show_trailers, .arg = &begun, .stream_bodies = true}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd,
                  POST("/", CHUNKED) "3\r\nabc\r\n0\r\nX-Sum: 3\r\nContent-Length: 3\r\n"
                                     "X-More: 2\r\n\r\n",
                  200, "abc");
    ask(fd, POST("/streams", CHUNKED) "3\r\nabc\r\n");
    event_wait(&begun, 2);
    expect_answer(fd, "0\r\nX-Sum: 3\r\nContent-Length: 3\r\nX-More: 2\r\n\r\n", 200, "abc");
    client_close(fd);
    web_finish_when_idle(&web);
}

static void fail_later(struct nhttp_request *request, void *arg)
{
    (void)request;
    (void)arg;
    gopool_panic("on purpose");
}

static void wait_to_fail(struct nhttp_request *request, void *arg)
{
    nhttp_request_defer(request);
    CHECK(nhttp_body_on_more(request, fail_later, NULL) == 0);
    event_add(arg);
}

TEST_BOTH_MODES(http_body, a_panic_in_who_is_called_is_a_500)
{
    struct event begun = EVENT_INIT;
    struct web web = {.options = {.handler = wait_to_fail,
                                  .arg = &begun,
                                  .executor = *mode,
                                  .stream_bodies = true},
                      .rig = {.expected_logs = 1}};
    web_start(&web);
    int fd = web_dial(&web);
    send_head(fd, "/", 6);
    event_wait(&begun, 1);
    send_pattern(fd, 0, 3);
    expect_answer(fd, "", 500, NULL);
    send_pattern(fd, 3, 3);
    client_close(fd);
    web_finish_when_idle(&web);
}

/* A pool that has no room refuses before the body is there. */
Test(http_body, a_pool_that_is_full_refuses_without_the_body)
{
    struct gate gate = GATE_INIT;
    struct web web = {.options = {.handler = wait_at_gate,
                                  .arg = &gate,
                                  .stream_bodies = true,
                                  .max_workers = 1,
                                  .max_queued = 1}};
    web_start(&web);
    int fds[4];
    int refused = 0;
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = web_dial(&web);
        send_head(fds[i], "/", 10);
        event_wait(&gate.arrivals, 1);
    }
    WAIT_UNTIL(web_stats(&web).queue_full == 2);
    event_add(&gate.open);
    for (unsigned i = 0; i < 4; i++) {
        struct answer answer;
        receive_answer(fds[i], &answer, false);
        refused += answer.status == 503;
        answer_free(&answer);
    }
    cr_assert_eq(refused, 2);
    for (unsigned i = 0; i < 4; i++) {
        send_pattern(fds[i], 0, 10);
        expect_answer(fds[i], GET("/"), 200, "late");
        client_close(fds[i]);
    }
    web_finish_when_idle(&web);
}

#define PIPELINED 40

/* What comes behind a request in work waits with the client, not in memory. */
Test(http_body, what_is_pipelined_holds_the_client_up)
{
    struct gate gate = GATE_INIT;
    struct web web = {
        .options = {.handler = wait_at_gate, .arg = &gate, .watchdog_ms = NETPOLL_TIMEOUT_NONE}};
    char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n";
    size_t one = sizeof head - 1 + (1 << 20);
    char *all = calloc(PIPELINED, one);
    cr_assert_not_null(all);
    for (unsigned i = 0; i < PIPELINED; i++)
        memcpy(all + i * one, head, sizeof head - 1);
    web_start(&web);
    size_t before = live_bytes();
    int fd = web_dial(&web);
    client_send(fd, all, one);
    event_wait(&gate.arrivals, 1);
    size_t sent = one + client_send_until_it_stands(fd, all + one, (PIPELINED - 1) * one);
    cr_assert_lt(rig_stats(&web.rig).bytes_in, one + UNREAD_MAX);
    cr_assert_lt(live_bytes(), before + (4 << 20));
    event_add(&gate.open);
    client_send(fd, all + sent, PIPELINED * one - sent);
    free(all);
    for (unsigned i = 0; i < PIPELINED; i++)
        expect_answer(fd, NULL, 200, "late");
    client_close(fd);
    web_finish_when_idle(&web);
}
