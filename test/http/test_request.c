/* What a handler sees of a request. */
#include "web.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count_destroy(void *value)
{
    event_add(value);
}

static void inspect(struct nhttp_request *request, void *arg)
{
    struct nhttp_text name;
    struct nhttp_text value;
    CHECK(nhttp_request_method(request) == NHTTP_METHOD_POST);
    CHECK(text_is(nhttp_request_method_name(request), "POST"));
    CHECK(text_is(nhttp_request_target(request), "/a%20b/./c/../d?x=1&y=%32"));
    CHECK(text_is(nhttp_request_path(request), "/a b/d"));
    CHECK(nhttp_request_path(request).data[6] == '\0');
    CHECK(text_is(nhttp_request_query(request), "x=1&y=%32"));
    CHECK(text_is(nhttp_request_host(request), "example:80"));
    CHECK(nhttp_request_minor_version(request) == 1);
    CHECK(nhttp_request_number(request) == 1);
    CHECK(nhttp_request_conn(request) != NULL);
    CHECK(nhttp_request_field_count(request) == 4);
    CHECK(nhttp_request_field(request, "x-test", &value) == 0 && text_is(value, "one"));
    CHECK(nhttp_request_field(request, "x-none", &value) == -ENOENT);
    CHECK(nhttp_request_field_by_id(request, NHTTP_FIELD_HOST, &value) == 0);
    CHECK(nhttp_request_field_by_id(request, NHTTP_FIELD_COOKIE, &value) == -ENOENT);
    CHECK(nhttp_request_field_at(request, 3, &name, &value) == 0);
    CHECK(text_is(name, "X-TEST") && text_is(value, "two"));
    CHECK(nhttp_request_field_at(request, 4, &name, &value) == -ENOENT);
    CHECK(nhttp_request_body_len(request) == 5);
    CHECK(nhttp_request_body(request, &value) == 0 && text_is(value, "hello"));
    CHECK(nhttp_request_set_value(request, "key", arg, count_destroy) == 0);
    CHECK(nhttp_request_value(request, "key") == arg);
    CHECK(nhttp_request_set_value(request, "key", arg, count_destroy) == 0);
    CHECK(event_count(arg) == 1);
    CHECK(nhttp_request_set_value(request, "other", arg, count_destroy) == 0);
    CHECK(nhttp_request_set_value(request, "other", NULL, NULL) == 0);
    CHECK(event_count(arg) == 2);
    CHECK(nhttp_request_value(request, "other") == NULL);
    say(request, "seen");
}

TEST_BOTH_MODES(http_request, everything_can_be_asked)
{
    struct event destroyed = EVENT_INIT;
    struct web web = {.options = {.handler = inspect, .executor = *mode, .arg = &destroyed}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd,
                  "POST /a%20b/./c/../d?x=1&y=%32 HTTP/1.1\r\nHost: example:80\r\n"
                  "Content-Length: 5\r\nX-Test: one\r\nX-TEST: two\r\n\r\nhello",
                  200, "seen");
    event_wait(&destroyed, 3);
    client_close(fd);
    web_finish_when_idle(&web);
}

static void say_path(struct nhttp_request *request, void *arg)
{
    struct nhttp_text path = nhttp_request_path(request);
    (void)arg;
    CHECK(nhttp_response_write(request, path.data, path.len) == 0);
    CHECK(nhttp_response_write(request, " ", 1) == 0);
    path = nhttp_request_host(request);
    CHECK(nhttp_response_write(request, path.data, path.len) == 0);
}

Test(http_request, forms_of_targets)
{
    struct web web = {.options = {.handler = say_path}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, "GET http://a:80/x/../y?z HTTP/1.1\r\nHost: a:80\r\n\r\n", 200, "/y a:80");
    expect_answer(fd, "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/ a");
    expect_answer(fd, "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/ a");
    expect_answer(fd, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, " a");
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_request, bodies_come_back_as_they_were_however_they_come)
{
    struct web web = {.options = {.executor = *mode}};
    static const size_t sizes[] = {1, 100, 4096, 70000, 300000, (size_t)3 << 20};
    struct answer answer;
    web_start(&web);
    int fd = web_dial(&web);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char head[128];
        char *body = malloc(sizes[i]);
        CHECK(body != NULL);
        for (size_t at = 0; at < sizes[i]; at++)
            body[at] = (char)(at * 31 + i);
        snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 sizes[i]);
        ask(fd, head);
        client_send(fd, body, sizes[i]);
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.body_bytes, sizes[i]);
        cr_assert(memcmp(answer.body, body, sizes[i]) == 0);
        answer_free(&answer);
        /* The same in chunks of growing size. */
        ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0, n = 1; at < sizes[i]; at += n, n = n * 2 + 1) {
            if (n > sizes[i] - at)
                n = sizes[i] - at;
            snprintf(head, sizeof head, "%zx\r\n", n);
            ask(fd, head);
            client_send(fd, body + at, n);
            ask(fd, "\r\n");
        }
        ask(fd, "0\r\nX-Trailer: y\r\n\r\n");
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.body_bytes, sizes[i]);
        cr_assert(memcmp(answer.body, body, sizes[i]) == 0);
        answer_free(&answer);
        free(body);
    }
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_request, byte_by_byte)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX: y\r\n\r\n" GET("/");
    struct web web = {.options = {.executor = *mode}};
    web_start(&web);
    int fd = web_dial(&web);
    for (size_t i = 0; i < sizeof text - 1; i++)
        client_send(fd, text + i, 1);
    expect_answer(fd, NULL, 200, "hello!");
    expect_answer(fd, NULL, 200, "Hello, World!");
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_request, who_expects_100_is_told_to_go_on)
{
    struct web web = {.options = {.executor = *mode}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd,
                  "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                  "Expect: 100-continue\r\n\r\n",
                  100, NULL);
    expect_answer(fd, "hello", 200, "hello");
    /* Too large: told before it is sent. */
    ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n"
            "Expect: 100-continue\r\n\r\n");
    expect_last(fd, 413);
    client_close(fd);
    fd = web_dial(&web);
    ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: else\r\n\r\n");
    expect_last(fd, 417);
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_request, a_client_that_has_closed_its_side_is_answered)
{
    struct web web = {.options = {.executor = *mode}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/") GET("/big") GET("/"));
    client_end_sending(fd);
    expect_answer(fd, NULL, 200, "Hello, World!");
    expect_answer(fd, NULL, 200, NULL);
    expect_answer(fd, NULL, 200, "Hello, World!");
    cr_assert(client_sees_end(fd));
    client_close(fd);
    /* And half a request is none. */
    fd = web_dial(&web);
    ask(fd, "GET / HT");
    client_end_sending(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    fd = web_dial(&web);
    ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
    client_end_sending(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    web_finish_when_idle(&web);
    cr_assert(true);
}
