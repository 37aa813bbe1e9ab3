/* Bodies that leave piece by piece, and what may precede and follow them. */
#include "web.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <gopool/panic.h>
#include <netpoll/error.h>
#include <nhttp/cookie.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define POURED ((uint64_t)32 << 20)

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void count_release(void *arg)
{
    event_add(arg);
}

/* What was written before is the beginning of the body. */
static void begin_with(struct nhttp_request *request, int64_t length)
{
    CHECK(nhttp_response_set_field(request, "X-Head", "1") == 0);
    say(request, "one ");
    CHECK(nhttp_response_flush(request) == -EINVAL);
    CHECK(nhttp_response_add_trailer(request, "X-Sum", "6") == -EINVAL);
    CHECK(nhttp_response_begin(request, -2) == -EINVAL);
    CHECK(nhttp_response_begin(request, 3) == -EINVAL);
    CHECK(nhttp_response_begin(request, length) == 0);
    CHECK(nhttp_response_begin(request, length) == -EBUSY);
    CHECK(nhttp_response_set_status(request, 404) == -EBUSY);
    CHECK(nhttp_response_set_field(request, "X", "y") == -EBUSY);
    CHECK(nhttp_response_reset_body(request) == -EBUSY);
    CHECK(nhttp_response_error(request, 404, NULL) == -EBUSY);
}

static void stream(struct nhttp_request *request, void *arg)
{
    bool has_length = path_is(request, "/length");
    begin_with(request, has_length ? 9 : NHTTP_LENGTH_UNKNOWN);
    CHECK(nhttp_response_flush(request) == 0);
    CHECK(nhttp_response_write_ref(request, "two", 3, count_release, arg) == 0);
    CHECK(nhttp_response_write(request, "", 0) == 0);
    say(request, " 3");
    if (has_length)
        CHECK(nhttp_response_write(request, "x", 1) == -EMSGSIZE);
    CHECK(nhttp_response_add_trailer(request, "X-Sum", "6") == 0);
    CHECK(nhttp_response_add_trailer(request, "Content-Length", "6") == -EPERM);
    CHECK(nhttp_response_add_trailer(request, "set-cookie", "a=b") == -EPERM);
    CHECK(nhttp_response_add_trailer(request, "AUTHORIZATION", "a") == -EPERM);
    CHECK(nhttp_response_add_trailer(request, "X y", "6") == -EINVAL);
    CHECK(nhttp_response_add_trailer(request, "X", "6\r\nY: z") == -EINVAL);
}

static void expect_text(int fd, const char *request, const char *expected)
{
    char have[1024] = "";
    size_t n = strlen(expected);
    ask(fd, request);
    cr_assert_eq(client_receive(fd, have, n), n);
    if (memcmp(have, expected, n) != 0)
        fprintf(stderr, "%s\n", have);
    cr_assert_eq(memcmp(have, expected, n), 0);
}

#define HEAD_START "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"

TEST_BOTH_MODES(http_stream, bodies_of_known_and_unknown_length)
{
    struct event releases = EVENT_INIT;
    struct web web = {
        .options = {.handler = stream, .executor = *mode, .arg = &releases, .disable_date = true}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_text(fd, GET("/"),
                HEAD_START "Transfer-Encoding: chunked\r\nX-Head: 1\r\n\r\n"
                           "4\r\none \r\n3\r\ntwo\r\n2\r\n 3\r\n0\r\nX-Sum: 6\r\n\r\n");
    expect_text(fd, GET("/length"), HEAD_START "Content-Length: 9\r\nX-Head: 1\r\n\r\none two 3");
    expect_text(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
                HEAD_START "Transfer-Encoding: chunked\r\nX-Head: 1\r\n\r\n");
    expect_text(fd, "HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n",
                HEAD_START "Content-Length: 9\r\nX-Head: 1\r\n\r\n");
    expect_text(fd, "GET /length HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                HEAD_START
                "Content-Length: 9\r\nConnection: keep-alive\r\nX-Head: 1\r\n\r\none two 3");
    /* Nothing says where it ends but the end. */
    expect_text(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                HEAD_START "Connection: close\r\nX-Head: 1\r\n\r\none two 3");
    cr_assert(client_sees_end(fd));
    client_close(fd);
    event_wait(&releases, 6);
    web_finish_when_idle(&web);
}

static void break_off(struct nhttp_request *request, void *arg)
{
    (void)arg;
    int64_t length = path_is(request, "/length") ? 100 : NHTTP_LENGTH_UNKNOWN;
    CHECK(nhttp_response_begin(request, length) == 0);
    say(request, "some");
    CHECK(nhttp_response_flush(request) == 0);
    if (!path_is(request, "/length"))
        gopool_panic("on purpose");
}

/* A client must be able to tell. */
TEST_BOTH_MODES(http_stream, a_body_that_breaks_off_does_not_look_complete)
{
    static const char *const requests[] = {GET("/"), GET("/length")};
    struct web web = {.options = {.handler = break_off, .executor = *mode},
                      .rig = {.expected_logs = 1}};
    web_start(&web);
    for (unsigned i = 0; i < 2; i++) {
        int fd = web_dial(&web);
        ask(fd, requests[i]);
        cr_assert(client_sees_reset(fd));
        client_close(fd);
    }
    web_finish_when_idle(&web);
}

#define PIECES 320

/* More than may be queued, made no faster than it is taken. */
static void pour(struct nhttp_request *request, void *arg)
{
    static const char piece[65536];
    (void)arg;
    CHECK(nhttp_response_begin(request, NHTTP_LENGTH_UNKNOWN) == 0);
    for (unsigned i = 0; i < PIECES; i++) {
        if (nhttp_response_write(request, piece, sizeof piece) != 0)
            return;
        int status = nhttp_response_flush(request);
        if (status == 1)
            status = nhttp_response_flush_wait(request, DEADLINE_MS);
        if (status < 0)
            return;
    }
}

Test(http_stream, more_than_fits_the_memory)
{
    struct web web = {.options = {.handler = pour, .watchdog_ms = NETPOLL_TIMEOUT_NONE}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/"));
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.body_bytes, (size_t)PIECES * 65536);
    answer_free(&answer);
    client_close(fd);
    /* And one that nobody wants to the end. */
    fd = web_dial(&web);
    ask(fd, GET("/"));
    char some[100000];
    cr_assert_eq(client_receive(fd, some, sizeof some), sizeof some);
    client_close(fd);
    web_finish_when_idle(&web);
}

static void hint(struct nhttp_request *request, void *arg)
{
    (void)arg;
    CHECK(nhttp_response_set_field(request, "Link", "</a>; rel=preload") == 0);
    CHECK(nhttp_response_early_hints(request) == 0);
    CHECK(nhttp_response_early_hints(request) == 0);
    if (path_is(request, "/panic"))
        gopool_panic("on purpose");
    say(request, "done");
}

TEST_BOTH_MODES(http_stream, early_hints_come_first)
{
    struct web web = {.options = {.handler = hint, .executor = *mode}, .rig = {.expected_logs = 1}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/"));
    for (unsigned i = 0; i < 2; i++) {
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.status, 103);
        cr_assert_str_eq(answer_field(&answer, "Link"), "</a>; rel=preload");
        cr_assert_null(answer_field(&answer, "Content-Length"));
        answer_free(&answer);
    }
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(answer.body, "done");
    cr_assert_str_eq(answer_field(&answer, "Link"), "</a>; rel=preload");
    answer_free(&answer);
    expect_answer(fd, GET("/panic"), 103, NULL);
    expect_answer(fd, NULL, 103, NULL);
    expect_answer(fd, NULL, 500, NULL);
    ask(fd, "GET / HTTP/1.0\r\n\r\n");
    expect_last(fd, 200);
    client_close(fd);
    web_finish_when_idle(&web);
}

static void begin_late(struct nhttp_request *request, void *arg)
{
    event_wait(arg, 1);
    CHECK(nhttp_response_begin(request, NHTTP_LENGTH_UNKNOWN) == -ECANCELED);
    CHECK(nhttp_response_early_hints(request) == -ECANCELED);
}

Test(http_stream, what_a_time_limit_has_answered_cannot_begin)
{
    struct event open = EVENT_INIT;
    struct web web = {.options = {.handler = begin_late, .arg = &open, .handler_timeout_ms = 40}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 503, NULL);
    event_add(&open);
    client_close(fd);
    web_finish_when_idle(&web);
}

static void ask_arguments(struct nhttp_request *request, void *arg)
{
    struct nhttp_text value;
    (void)arg;
    CHECK(nhttp_request_query_arg(request, "a", &value) == 0 && text_is(value, "1"));
    CHECK(nhttp_request_query_arg(request, "b c", &value) == 0 && text_is(value, "x y&z=%2"));
    CHECK(value.data[value.len] == '\0');
    CHECK(nhttp_request_query_arg(request, "empty", &value) == 0 && value.len == 0);
    CHECK(nhttp_request_query_arg(request, "bare", &value) == 0 && value.len == 0);
    CHECK(nhttp_request_query_arg(request, "none", &value) == -ENOENT);
    CHECK(nhttp_request_query_arg(request, "", &value) == 0 && text_is(value, "x"));
    CHECK(nhttp_request_query_arg(request, "nul", &value) == -EBADMSG);
    CHECK(nhttp_request_cookie(request, "one", &value) == 0 && text_is(value, "1"));
    CHECK(nhttp_request_cookie(request, "two", &value) == 0 && text_is(value, "a=b"));
    CHECK(nhttp_request_cookie(request, "three", &value) == 0 && text_is(value, "3"));
    CHECK(nhttp_request_cookie(request, "bare", &value) == -ENOENT);
    CHECK(nhttp_request_cookie(request, "on", &value) == -ENOENT);
    bool is_form = path_is(request, "/form");
    int status = nhttp_request_post_arg(request, "p", &value);
    CHECK(status == (is_form ? 0 : -ENOENT));
    CHECK(!is_form || text_is(value, "\xc3\xa9 1"));
    const struct nhttp_set_cookie set = {.name = NHTTP_TEXT("id"),
                                         .value = NHTTP_TEXT("7"),
                                         .path = NHTTP_TEXT("/"),
                                         .http_only = true};
    const struct nhttp_set_cookie bad = {.name = NHTTP_TEXT("id"),
                                         .value = NHTTP_TEXT("7; Secure")};
    CHECK(nhttp_response_set_cookie(request, &set) == 0);
    CHECK(nhttp_response_set_cookie(request, &bad) == -EINVAL);
    say(request, "seen");
}

#define ASK(path, type)                                                                        \
    "POST " path "?a=1&a=2&b+c=x%20y%26z%3D%2&empty=&bare&&=x&nul=%00 HTTP/1.1\r\nHost: a\r\n" \
    "Cookie: one=1; two=a=b;bare\r\nCookie: three=3\r\nContent-Type: " type "\r\n"             \
    "Content-Length: 14\r\n\r\nq=1&p=%C3%a9+1"

TEST_BOTH_MODES(http_request, arguments_and_cookies)
{
    struct web web = {.options = {.handler = ask_arguments, .executor = *mode}};
    web_start(&web);
    int fd = web_dial(&web);
    struct answer answer;
    ask(fd, ASK("/form", "application/x-www-form-urlencoded; charset=utf-8"));
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(answer_field(&answer, "Set-Cookie"), "id=7; Path=/; HttpOnly");
    answer_free(&answer);
    expect_answer(fd, ASK("/form", "APPLICATION/X-WWW-FORM-URLENCODED"), 200, "seen");
    expect_answer(fd, ASK("/", "application/x-www-form-urlencoded2"), 200, "seen");
    expect_answer(fd, ASK("/", "application/json"), 200, "seen");
    client_close(fd);
    web_finish_when_idle(&web);
}

static void ask_among_many(struct nhttp_request *request, void *arg)
{
    struct nhttp_text value = {0};
    (void)arg;
    CHECK(nhttp_request_cookie(request, "first", &value) == 0 && text_is(value, "1"));
    CHECK(nhttp_request_cookie(request, "last", &value) == -E2BIG);
    CHECK(text_is(value, "1"));
    CHECK(nhttp_request_cookie(request, "other", &value) == 0 && text_is(value, "2"));
    say(request, "seen");
}

Test(http_request, a_cookie_that_is_not_looked_for_is_not_one_that_is_not_there)
{
    struct web web = {.options = {.handler = ask_among_many}};
    char text[4096] = "GET / HTTP/1.1\r\nHost: a\r\nCookie: first=1";
    size_t at = strlen(text);
    for (size_t i = 1; i < NHTTP_COOKIES_DEFAULT; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "; a=");
    (void)snprintf(text + at, sizeof text - at, "; last=1\r\nCookie: other=2\r\n\r\n");
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, text, 200, "seen");
    client_close(fd);
    web_finish_when_idle(&web);
}

/* A body that is made as fast as it is taken, by nobody who waits. */
struct pourer {
    struct event ends;
    uint64_t left;
    _Atomic unsigned calls;
    _Atomic int status;
};

static void pour_on(struct nhttp_request *request, void *arg)
{
    static const char piece[65536];
    struct pourer *pourer = arg;
    pourer->calls++;
    int status = 0;
    while (pourer->left > 0 && status >= 0) {
        size_t n = pourer->left < sizeof piece ? (size_t)pourer->left : sizeof piece;
        status = nhttp_response_write_ref(request, piece, n, NULL, NULL);
        if (status == 0)
            status = nhttp_response_flush(request);
        pourer->left -= n;
        if (status == 1 && nhttp_response_on_writable(request, pour_on, pourer) == 0)
            return;
    }
    pourer->status = status;
    nhttp_request_finish(request);
    event_add(&pourer->ends);
}

static void begin_to_pour(struct nhttp_request *request, void *arg)
{
    CHECK(nhttp_response_on_writable(request, pour_on, arg) == -EINVAL);
    nhttp_request_defer(request);
    CHECK(nhttp_response_on_writable(request, NULL, arg) == -EINVAL);
    CHECK(nhttp_response_on_writable(request, pour_on, arg) == -EALREADY);
    CHECK(nhttp_response_begin(request, POURED) == 0);
    pour_on(request, arg);
}

TEST_BOTH_MODES(http_stream, on_writable_goes_on_when_the_client_has_taken_enough)
{
    struct pourer pourer = {.ends = EVENT_INIT, .left = POURED};
    struct web web = {.options = {.handler = begin_to_pour, .arg = &pourer, .executor = *mode}};
    web_start(&web);
    size_t before = live_bytes();
    int fd = web_dial(&web);
    ask(fd, GET("/"));
    sleep_ms(200);
    cr_assert_lt(live_bytes(), before + (4 << 20));
    expect_answer(fd, NULL, 200, NULL);
    cr_assert_gt(pourer.calls, 1);
    cr_assert_eq(event_count(&pourer.ends), 1);
    /* One who goes is told of, too. */
    pourer.left = POURED;
    ask(fd, GET("/"));
    char some[1000];
    cr_assert_eq(client_receive(fd, some, sizeof some), sizeof some);
    client_reset(fd);
    event_wait(&pourer.ends, 2);
    cr_assert_lt(pourer.status, 0);
    web_finish_when_idle(&web);
}
