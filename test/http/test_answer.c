/* What answers look like: RFC 9112, sections 6 and 9; RFC 9110, sections 6 and 15. */
#include "web.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

TEST_BOTH_MODES(http_answer, a_text)
{
    struct web web = {.options = {.executor = *mode, .name = "test"}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 3; i++) {
        ask(fd, GET("/"));
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.status, 200);
        cr_assert_str_eq(answer.body, "Hello, World!");
        cr_assert_str_eq(answer_field(&answer, "Content-Length"), "13");
        cr_assert_str_eq(answer_field(&answer, "Content-Type"), "text/plain; charset=utf-8");
        cr_assert_str_eq(answer_field(&answer, "Server"), "test");
        cr_assert_eq(strlen(answer_field(&answer, "Date")), 29);
        cr_assert_null(answer_field(&answer, "Connection"));
        answer_free(&answer);
    }
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_answer, pipelined_ones_come_in_order)
{
    struct web web = {.options = {.executor = *mode}};
    char requests[8192] = "";
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 50; i++)
        snprintf(requests + strlen(requests), sizeof requests - strlen(requests),
                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbody%02u", i);
    ask(fd, requests);
    for (unsigned i = 0; i < 50; i++) {
        char body[8];
        snprintf(body, sizeof body, "body%02u", i);
        expect_answer(fd, NULL, 200, body);
    }
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_answer, to_head_there_is_no_body)
{
    struct web web = {.options = {.executor = *mode}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    receive_answer(fd, &answer, true);
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(answer_field(&answer, "Content-Length"), "13");
    answer_free(&answer);
    expect_answer(fd, GET("/"), 200, "Hello, World!");
    ask(fd, "HEAD /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    receive_answer(fd, &answer, true);
    cr_assert_eq(answer.status, 500);
    answer_free(&answer);
    expect_answer(fd, GET("/"), 200, "Hello, World!");
    client_close(fd);
    web.rig.expected_logs = 1;
    web_finish_when_idle(&web);
}

static void answer_status(struct nhttp_request *request, void *arg)
{
    (void)arg;
    say(request, "never seen");
    CHECK(nhttp_response_set_status(request, path_is(request, "/204") ? 204 : 304) == 0);
}

Test(http_answer, statuses_without_a_body)
{
    struct web web = {.options = {.handler = answer_status}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/204") GET("/304") GET("/204"));
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 204);
    cr_assert_null(answer_field(&answer, "Content-Length"));
    answer_free(&answer);
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 304);
    cr_assert_str_eq(answer_field(&answer, "Content-Length"), "10");
    answer_free(&answer);
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 204);
    answer_free(&answer);
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_answer, old_clients_close_unless_they_ask)
{
    struct web web = {.options = {.executor = *mode}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    receive_answer(fd, &answer, false);
    cr_assert_str_eq(answer_field(&answer, "Connection"), "keep-alive");
    answer_free(&answer);
    ask(fd, "GET / HTTP/1.0\r\n\r\n" GET("/"));
    expect_last(fd, 200);
    client_close(fd);
    fd = web_dial(&web);
    ask(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n" GET("/"));
    expect_last(fd, 200);
    client_close(fd);
    web_finish_when_idle(&web);
}

static void answer_fields(struct nhttp_request *request, void *arg)
{
    (void)arg;
    CHECK(nhttp_response_set_field(request, "X-One", "1") == 0);
    CHECK(nhttp_response_set_field(request, "x-one", "one") == 0);
    CHECK(nhttp_response_add_field(request, "X-Two", "2") == 0);
    CHECK(nhttp_response_add_field(request, "X-Two", "two") == 0);
    CHECK(nhttp_response_set_field(request, "X-Gone", "3") == 0);
    CHECK(nhttp_response_remove_field(request, "X-GONE") == 0);
    CHECK(nhttp_response_remove_field(request, "X-GONE") == -ENOENT);
    CHECK(nhttp_response_set_field(request, "Content-Type", "text/html") == 0);
    CHECK(nhttp_response_set_field(request, "Date", "today") == 0);
    CHECK(nhttp_response_set_field(request, "Server", "mine") == 0);
    /* Nothing of a client's may become another field. */
    CHECK(nhttp_response_set_field(request, "X", "a\r\nSet-Cookie: b") == -EINVAL);
    CHECK(nhttp_response_set_field(request, "X", "a\nb") == -EINVAL);
    CHECK(nhttp_response_set_field(request, "X y", "a") == -EINVAL);
    CHECK(nhttp_response_set_field(request, "", "a") == -EINVAL);
    CHECK(nhttp_response_add_field(request, "X:", "a") == -EINVAL);
    CHECK(nhttp_response_set_type(request, "text/plain\r\nX: y") == -EINVAL);
    CHECK(nhttp_response_redirect(request, 302, "/\r\nX: y") == -EINVAL);
    CHECK(nhttp_response_redirect(request, 200, "/") == -EINVAL);
    CHECK(nhttp_response_set_field(request, "Content-Length", "7") == -EPERM);
    CHECK(nhttp_response_set_field(request, "transfer-encoding", "chunked") == -EPERM);
    CHECK(nhttp_response_set_field(request, "TRANSFER-ENCODING", "chunked") == -EPERM);
    CHECK(nhttp_response_set_field(request, "Connection", "upgrade") == -EPERM);
    CHECK(nhttp_response_set_status(request, 99) == -EINVAL);
    CHECK(nhttp_response_set_status(request, 600) == -EINVAL);
    say(request, "x");
}

Test(http_answer, fields)
{
    struct web web = {.options = {.handler = answer_fields, .name = "test"}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/"));
    receive_answer(fd, &answer, false);
    cr_assert_str_eq(answer_field(&answer, "X-One"), "one");
    cr_assert_null(strstr(answer.head, "X-One: 1"));
    cr_assert_not_null(strstr(answer.head, "X-Two: 2\r\nX-Two: two\r\n"));
    cr_assert_null(answer_field(&answer, "X-Gone"));
    cr_assert_null(answer_field(&answer, "X"));
    cr_assert_null(answer_field(&answer, "Set-Cookie"));
    cr_assert_not_null(strstr(answer.head, "Content-Type: text/html\r\n"));
    cr_assert_null(strstr(answer.head, "text/plain"));
    cr_assert_not_null(strstr(answer.head, "Date: today\r\n"));
    cr_assert_null(strstr(answer.head, "GMT"));
    cr_assert_str_eq(answer_field(&answer, "Server"), "mine");
    answer_free(&answer);
    client_close(fd);
    web_finish_when_idle(&web);
}

static void count_release(void *arg)
{
    event_add(arg);
}

static void answer_parts(struct nhttp_request *request, void *arg)
{
    static char piece[5000];
    memset(piece, 'p', sizeof piece);
    if (path_is(request, "/redirect")) {
        CHECK(nhttp_response_redirect(request, 303, "/there") == 0);
        return;
    }
    say(request, "head ");
    CHECK(nhttp_response_write(request, piece, sizeof piece) == 0);
    CHECK(nhttp_response_write_ref(request, " middle ", 8, count_release, arg) == 0);
    CHECK(nhttp_response_write(request, piece, sizeof piece) == 0);
    if (path_is(request, "/reset"))
        CHECK(nhttp_response_reset_body(request) == 0);
    say(request, "end");
    if (path_is(request, "/error"))
        CHECK(nhttp_response_error(request, 403, "no") == 0);
}

TEST_BOTH_MODES(http_answer, bodies_of_many_parts)
{
    struct event releases = EVENT_INIT;
    struct web web = {.options = {.handler = answer_parts, .executor = *mode, .arg = &releases}};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/parts"));
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.body_bytes, 5 + 5000 + 8 + 5000 + 3);
    cr_assert_arr_eq(answer.body, "head ppp", 8);
    cr_assert_arr_eq(answer.body + 5005, " middle ppp", 11);
    cr_assert_str_eq(answer.body + 10013, "end");
    answer_free(&answer);
    event_wait(&releases, 1);
    expect_answer(fd, GET("/reset"), 200, "end");
    expect_answer(fd, GET("/error"), 403, "no");
    event_wait(&releases, 3);
    ask(fd, GET("/redirect"));
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 303);
    cr_assert_str_eq(answer_field(&answer, "Location"), "/there");
    answer_free(&answer);
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_answer, a_panic_is_a_500_and_the_connection_goes_on)
{
    struct web web = {.options = {.executor = *mode}, .rig = {.expected_logs = 20}};
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 20; i++) {
        expect_answer(fd, GET("/panic"), 500, "Internal Server Error");
        expect_answer(fd, GET("/"), 200, "Hello, World!");
    }
    cr_assert_eq(web_stats(&web).panics, 20);
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_answer, a_large_body_waits_for_a_slow_client)
{
    struct web web = {.options = {.executor = *mode}};
    struct answer answer;
    web_start(&web);
    for (unsigned is_half_closed = 0; is_half_closed < 2; is_half_closed++) {
        int fd = client_dial_narrow(web.rig.address, 4096);
        for (unsigned i = 0; i < 20; i++)
            ask(fd, GET("/big"));
        if (is_half_closed)
            client_end_sending(fd);
        for (unsigned i = 0; i < 20; i++) {
            receive_answer(fd, &answer, false);
            cr_assert_eq(answer.body_bytes, WEB_BIG_BYTES);
            answer_free(&answer);
        }
        client_close(fd);
    }
    web_finish_when_idle(&web);
}
