/* Every limit of a server: what the client sees of it, and that it is counted. */
#include "web.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* A limit of heads or bodies: the request that goes beyond it, and one that does not. */
struct limit_case {
    const char *name;
    struct nhttp_server_options options;
    const char *beyond;
    int status;
    const char *within;
};

#define POST_CHUNKED "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct limit_case limit_cases[] = {
    {"line",
     {.head = {.line_bytes = 20}},
     "GET /1234567 HTTP/1.1\r\nHost: a\r\n\r\n",
     414,
     "GET /123456 HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"head",
     {.head = {.line_bytes = 40, .head_bytes = 40}},
     "GET / HTTP/1.1\r\nHost: a\r\nX: 12345678901\r\n\r\n",
     431,
     "GET / HTTP/1.1\r\nHost: a\r\nX: 12345\r\n\r\n"},
    {"fields",
     {.head = {.fields = 2}},
     "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n",
     431,
     "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"},
    {"body by its length",
     {.max_body_bytes = 5},
     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n",
     413,
     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"},
    {"body in chunks",
     {.max_body_bytes = 5},
     POST_CHUNKED "3\r\nabc\r\n3\r\n",
     413,
     POST_CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"},
    {"line of a chunk",
     {.chunked = {.line_bytes = 8}},
     POST_CHUNKED "5;123456789\r\n",
     400,
     POST_CHUNKED "5;1234\r\nhello\r\n0\r\n\r\n"},
    {"trailers",
     {.head = {.fields = 2}},
     POST_CHUNKED "0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n",
     431,
     POST_CHUNKED "0\r\nA: 1\r\n\r\n"},
    {"method", {.get_only = true}, "POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405, GET("/")},
    {"tracing", {.name = "x"}, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, GET("/")},
    {"tunnels", {.name = "x"}, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501, GET("/")},
    {"encoded path", {.name = "x"}, GET("/%00"), 400, GET("/")},
    {"above the root", {.name = "x"}, GET("/a/%2e%2e/%2E./etc"), 400, GET("/a/%2e%2e")},
};

static void answer_all(struct nhttp_request *request, void *arg)
{
    (void)arg;
    say(request, "ok");
}

Test(http_limits, of_heads_and_bodies)
{
    for (size_t i = 0; i < sizeof limit_cases / sizeof limit_cases[0]; i++) {
        const struct limit_case *at = &limit_cases[i];
        struct web web = {.options = at->options};
        struct answer answer;
        fprintf(stderr, "%s\n", at->name);
        web.options.handler = answer_all;
        web_start(&web);
        int fd = web_dial(&web);
        expect_answer(fd, at->within, 200, NULL);
        ask(fd, at->beyond);
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.status, at->status);
        if (at->status == 405)
            cr_assert_not_null(answer_field(&answer, "Allow"));
        answer_free(&answer);
        cr_assert_eq(web_stats(&web).refused[at->status - 400], 1);
        client_close(fd);
        web_finish_when_idle(&web);
    }
}

/* Waiting for the client: what it does, what it is told, which counter tells. */
struct wait_case {
    const char *name;
    struct nhttp_server_options options;
    const char *request;
    int status; /* 0: the end without a word */
    size_t counter;
};

#define COUNTER(name) offsetof(struct nhttp_server_stats, name)

static const struct wait_case wait_cases[] = {
    {"nothing comes", {.idle_timeout_ms = 60}, "", 0, COUNTER(idle_timeouts)},
    {"half a head", {.header_timeout_ms = 60}, "GET / HT", 408, COUNTER(header_timeouts)},
    {"half a body",
     {.body_timeout_ms = 60},
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
     408,
     COUNTER(body_timeouts)},
    {"a chunk that does not end",
     {.body_timeout_ms = 60},
     POST_CHUNKED "5\r\nhe",
     408,
     COUNTER(body_timeouts)},
    {"no body after 100-continue",
     {.body_timeout_ms = 60},
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
     408,
     COUNTER(body_timeouts)},
};

static uint64_t counter_of(const struct web *web, size_t offset)
{
    struct nhttp_server_stats stats = web_stats(web);
    uint64_t value;
    memcpy(&value, (char *)&stats + offset, sizeof value);
    return value;
}

Test(http_limits, of_waiting)
{
    for (size_t i = 0; i < sizeof wait_cases / sizeof wait_cases[0]; i++) {
        const struct wait_case *at = &wait_cases[i];
        struct web web = {.options = at->options};
        fprintf(stderr, "%s\n", at->name);
        web_start(&web);
        int fd = web_dial(&web);
        int64_t since = now_ms();
        ask(fd, at->request);
        if (strstr(at->request, "100-continue") != NULL)
            expect_answer(fd, NULL, 100, NULL);
        if (at->status != 0)
            expect_last(fd, at->status);
        else
            cr_assert(client_sees_end(fd));
        cr_assert_geq(now_ms() - since, 35);
        cr_assert_lt(now_ms() - since, 6000);
        cr_assert_eq(counter_of(&web, at->counter), 1);
        client_close(fd);
        web_finish_when_idle(&web);
    }
}

/* The deadline of a head does not move when bytes come. */
Test(http_limits, a_head_that_drips)
{
    struct web web = {.options = {.header_timeout_ms = 150, .idle_timeout_ms = 60000}};
    char answer[4096];
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    int64_t since = now_ms();
    for (unsigned i = 0; i < 400 && web_stats(&web).header_timeouts == 0; i++) {
        (void)client_try_send(fd, "X", 1);
        sleep_ms(10);
    }
    cr_assert_geq(now_ms() - since, 120);
    cr_assert_lt(now_ms() - since, 1500);
    size_t n = client_try_receive(fd, answer, sizeof answer - 1);
    answer[n] = '\0';
    cr_assert_not_null(strstr(answer, "HTTP/1.1 408 "));
    client_close(fd);
    web_finish_when_idle(&web);
}

/* Above the body's idle limit, below its rate. */
Test(http_limits, a_body_that_drips)
{
    struct web web = {.options = {.body_timeout_ms = 2000, .body_min_rate = 1000}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    int64_t since = now_ms();
    while (web_stats(&web).body_rate_limits == 0 && now_ms() - since < 20000) {
        (void)client_try_send(fd, "0123456789", 10);
        sleep_ms(50);
    }
    cr_assert_eq(web_stats(&web).body_rate_limits, 1);
    cr_assert_geq(now_ms() - since, NHTTP_BODY_GRACE_MS - 100);
    cr_assert_lt(now_ms() - since, NHTTP_BODY_GRACE_MS + 10000);
    client_close(fd);
    web_finish_when_idle(&web);
}

/* The refusal is read although the client goes on sending: no reset takes it away. */
Test(http_limits, a_client_that_goes_on_sending_reads_the_413)
{
    static char piece[65536];
    struct web web = {.options = {.max_body_bytes = 1000, .linger_timeout_ms = 5000}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(client_try_send(fd, piece, sizeof piece), sizeof piece);
    expect_last(fd, 413);
    client_close(fd);
    web_finish_when_idle(&web);
}

Test(http_limits, a_client_that_never_stops_sending_is_cut_off)
{
    static char piece[65536];
    struct web web = {.options = {.max_body_bytes = 1000, .linger_timeout_ms = 200}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    int64_t since = now_ms();
    while (client_try_send(fd, piece, sizeof piece) == sizeof piece)
        cr_assert_lt(now_ms() - since, 5000);
    cr_assert_geq(now_ms() - since, 150);
    WAIT_UNTIL(web_stats(&web).linger_timeouts == 1);
    client_close(fd);
    web_finish_when_idle(&web);
}

Test(http_limits, a_client_that_does_not_read_is_reset)
{
    struct web web = {.options = {.write_timeout_ms = 150}};
    web_start(&web);
    int fd = client_dial_narrow(web.rig.address, 4096);
    for (unsigned i = 0; i < 40; i++)
        ask(fd, GET("/big"));
    WAIT_UNTIL(rig_stats(&web.rig).write_timeouts == 1);
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_limits, of_requests_on_a_connection)
{
    struct web web = {.options = {.executor = *mode, .max_requests = 3}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/") GET("/") GET("/") GET("/"));
    expect_answer(fd, NULL, 200, NULL);
    expect_answer(fd, NULL, 200, NULL);
    expect_last(fd, 200);
    client_close(fd);
    cr_assert_eq(web_stats(&web).request_limits, 1);
    cr_assert_eq(web_stats(&web).requests, 3);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_limits, of_a_connections_age)
{
    struct web web = {.options = {.executor = *mode, .max_age_ms = 60}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    sleep_ms(80);
    ask(fd, GET("/"));
    expect_last(fd, 200);
    client_close(fd);
    cr_assert_eq(web_stats(&web).age_limits, 1);
    web_finish_when_idle(&web);
    struct web once = {.options = {.executor = *mode, .disable_keep_alive = true}};
    web_start(&once);
    fd = web_dial(&once);
    ask(fd, GET("/"));
    expect_last(fd, 200);
    client_close(fd);
    web_finish_when_idle(&once);
}

Test(http_limits, of_connections_from_an_address)
{
    struct web web = {.options = {.max_per_address = 2}};
    int fds[2];
    web_start(&web);
    for (unsigned i = 0; i < 2; i++) {
        fds[i] = web_dial(&web);
        expect_answer(fds[i], GET("/"), 200, NULL);
    }
    int fd = web_dial(&web);
    expect_last(fd, 429);
    client_close(fd);
    cr_assert_eq(web_stats(&web).address_limits, 1);
    expect_answer(fds[0], GET("/"), 200, NULL);
    client_close(fds[0]);
    WAIT_UNTIL(web_stats(&web).connections == 1);
    fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    client_close(fd);
    client_close(fds[1]);
    web_finish_when_idle(&web);
}

Test(http_limits, of_workers_and_of_who_waits_for_them)
{
    struct gate gate = GATE_INIT;
    struct web web = {.options = {.handler = wait_at_gate,
                                  .arg = &gate,
                                  .max_workers = 1,
                                  .max_queued = 1,
                                  .retry_after_s = 7}};
    struct answer answer;
    int fds[3];
    web_start(&web);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = web_dial(&web);
    ask(fds[0], GET("/"));
    event_wait(&gate.arrivals, 1);
    ask(fds[1], GET("/"));
    WAIT_UNTIL(web_stats(&web).requests == 2);
    ask(fds[2], GET("/"));
    receive_answer(fds[2], &answer, false);
    cr_assert_eq(answer.status, 503);
    cr_assert_str_eq(answer_field(&answer, "Retry-After"), "7");
    answer_free(&answer);
    cr_assert_eq(web_stats(&web).queue_full, 1);
    cr_assert_eq(web_stats(&web).answers, 0);
    event_add(&gate.open);
    expect_answer(fds[0], NULL, 200, "late");
    expect_answer(fds[1], NULL, 200, "late");
    expect_answer(fds[2], GET("/"), 200, "late");
    for (unsigned i = 0; i < 3; i++)
        client_close(fds[i]);
    web_finish_when_idle(&web);
}

Test(http_limits, of_waiting_for_a_worker)
{
    struct gate gate = GATE_INIT;
    struct web web = {
        .options = {
            .handler = wait_at_gate, .arg = &gate, .max_workers = 1, .queue_timeout_ms = 60}};
    int fds[2];
    web_start(&web);
    for (unsigned i = 0; i < 2; i++)
        fds[i] = web_dial(&web);
    ask(fds[0], GET("/"));
    event_wait(&gate.arrivals, 1);
    expect_answer(fds[1], GET("/"), 503, NULL);
    cr_assert_eq(web_stats(&web).queue_timeouts, 1);
    event_add(&gate.open);
    expect_answer(fds[0], NULL, 200, "late");
    expect_answer(fds[1], GET("/"), 200, "late");
    /* The one that had waited too long was not begun. */
    cr_assert_eq(event_count(&gate.arrivals), 2);
    for (unsigned i = 0; i < 2; i++)
        client_close(fds[i]);
    web_finish_when_idle(&web);
}

static void put_off(struct nhttp_request *request, void *arg)
{
    struct nhttp_request **taken = arg;
    nhttp_request_defer(request);
    *taken = request;
}

/* One that runs on the poller has no worker to wait for, however long its answer takes. */
Test(http_limits, of_waiting_for_a_worker_without_workers)
{
    struct nhttp_request *taken = NULL;
    struct web web = {.options = {.handler = put_off,
                                  .executor = NETPOLL_HANDLER_INLINE,
                                  .arg = &taken,
                                  .queue_timeout_ms = 30,
                                  .handler_timeout_ms = 150}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 503, NULL);
    cr_assert_eq(web_stats(&web).queue_timeouts, 0);
    cr_assert_eq(web_stats(&web).handler_timeouts, 1);
    nhttp_request_finish(taken);
    client_close(fd);
    web_finish_when_idle(&web);
}

static int refuse_uploads(struct nhttp_request *request, struct nhttp_request_config *config,
                          void *arg)
{
    (void)config;
    (void)arg;
    return nhttp_request_method(request) == NHTTP_METHOD_POST ? 403 : 0;
}

/* A connection is idle since the rest of a body has been thrown away, not since its last answer. */
Test(http_limits, of_idleness_behind_a_body_that_nobody_took)
{
    struct web web = {.options = {.on_head = refuse_uploads, .idle_timeout_ms = 1500}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", 403, NULL);
    sleep_ms(1700);
    ask(fd, "0123456789");
    /* The time limits of the body are looked at once more meanwhile. */
    sleep_ms(700);
    expect_answer(fd, GET("/"), 200, NULL);
    client_close(fd);
    web_finish_when_idle(&web);
}

#define DOWNLOADS 24

/* A client that takes its time with an answer is not idle. */
TEST_BOTH_MODES(http_limits, an_answer_that_is_being_sent_is_not_cut_off)
{
    struct web web = {.options = {.executor = *mode, .idle_timeout_ms = 1000}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < DOWNLOADS; i++)
        ask(fd, GET("/big"));
    sleep_ms(1500);
    for (unsigned i = 0; i < DOWNLOADS; i++) {
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.body_bytes, WEB_BIG_BYTES);
        answer_free(&answer);
    }
    expect_answer(fd, GET("/"), 200, "Hello, World!");
    client_close(fd);
    web_finish_when_idle(&web);
}

/* The handler goes on in peace; what it says is dropped, and the connection lives. */
Test(http_limits, of_a_handlers_time)
{
    struct gate gate = GATE_INIT;
    struct web web = {.options = {.handler = wait_at_gate, .arg = &gate, .handler_timeout_ms = 60}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 503, NULL);
    cr_assert_eq(web_stats(&web).handler_timeouts, 1);
    cr_assert_eq(event_count(&gate.arrivals), 1);
    event_add(&gate.open);
    expect_answer(fd, GET("/"), 200, "late");
    client_close(fd);
    web_finish_when_idle(&web);
}

Test(http_limits, a_slow_handler_is_logged_once)
{
    struct gate gate = GATE_INIT;
    struct web web = {.options = {.handler = wait_at_gate, .arg = &gate, .watchdog_ms = 50},
                      .rig = {.expected_logs = 1}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/"));
    WAIT_UNTIL(web_stats(&web).watchdog == 1);
    sleep_ms(150);
    event_add(&gate.open);
    expect_answer(fd, NULL, 200, "late");
    cr_assert_not_null(strstr(web.rig.last_log, "request 1 has been in work for 50 ms"));
    client_close(fd);
    web_finish_when_idle(&web);
}

static int refuse_all(struct nhttp_request *request, struct nhttp_request_config *config, void *arg)
{
    (void)arg;
    if (path_is(request, "/large"))
        config->max_body_bytes = 10;
    if (path_is(request, "/made"))
        CHECK(nhttp_response_error(request, 403, "by hand") == 0);
    return path_is(request, "/refused") || path_is(request, "/made") ? 403 : 0;
}

TEST_BOTH_MODES(http_limits, of_one_request)
{
    struct web web = {.options = {.executor = *mode, .on_head = refuse_all, .max_body_bytes = 5}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/refused"), 403, "Forbidden");
    expect_answer(fd, GET("/made"), 403, "by hand");
    expect_answer(fd, "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789", 404,
                  NULL);
    /* A little is thrown away; much is not waited for. */
    expect_answer(fd, "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 403,
                  NULL);
    ask(fd, "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    expect_last(fd, 403);
    client_close(fd);
    web_finish_when_idle(&web);
}
