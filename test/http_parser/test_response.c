/* Responses. */
#include "parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(response, .timeout = 60);

#define OK  "HTTP/1.1 200 OK\r\n"
#define END "\r\n"

static struct parsed parsed;

static uint16_t refused(const char *raw)
{
    parse_in_every_way(&(struct head_case){.raw = raw, .kind = NHTTP_HEAD_RESPONSE}, &parsed);
    cr_assert_eq(parsed.result, -EBADMSG, "taken: %s", raw);
    return parsed.parser.status;
}

static struct nhttp_head *parse(const char *raw)
{
    parse_in_every_way(&(struct head_case){.raw = raw, .kind = NHTTP_HEAD_RESPONSE}, &parsed);
    cr_assert_eq(parsed.result, (ssize_t)strlen(raw), "%s: %s", parsed.parser.fault, raw);
    return &parsed.parser.head;
}

Test(response, status_lines)
{
    const char *raw = "HTTP/1.0 404 Not Found\r\n" END;
    const struct nhttp_head *head = parse(raw);
    cr_assert_eq(head->status, 404);
    cr_assert(shows(raw, head->reason, "Not Found"));
    cr_assert_eq(head->minor_version, 0);
    cr_assert_eq(parse("HTTP/1.1 204\r\n" END)->status, 204);
    cr_assert_eq(parse("HTTP/1.1 999 \r\n" END)->reason.len, 0);
    static const char *const bad[] = {
        "HTTP/1.1 20 OK\r\n" END,      "HTTP/1.1 2000 OK\r\n" END, "HTTP/1.1 abc OK\r\n" END,
        "HTTP/1.1 -20 OK\r\n" END,     "HTTP/1.1 099 OK\r\n" END,  "HTTP/1.1  200 OK\r\n" END,
        "ICY 200 OK\r\n" END,          "HTTP/1.1200 OK\r\n" END,   "SSH-2.0-x\r\n" END,
        "HTTP/1.1 200 O\x01K\r\n" END, "HTTP/1.1 200 OK\n\n",      "HTTP/1\r\n" END,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(refused(bad[i]), 400);
    cr_assert_eq(refused("HTTP/2.0 200 OK\r\n" END), 505);
}

Test(response, bodies)
{
    struct nhttp_head *head = parse(OK END);
    nhttp_head_response_to(head, NHTTP_METHOD_GET);
    cr_assert_eq(head->body, NHTTP_BODY_UNTIL_CLOSE);
    cr_assert(!head->keeps_alive);
    head = parse(OK "Content-Length: 5\r\n" END);
    cr_assert_eq(head->body, NHTTP_BODY_LENGTH);
    cr_assert(head->keeps_alive);
    cr_assert_eq(parse(OK "Content-Length: 0\r\n" END)->body, NHTTP_BODY_NONE);
    head = parse(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END);
    cr_assert_eq(head->body, NHTTP_BODY_CHUNKED);
    cr_assert(!head->keeps_alive);
    cr_assert(!head->has_content_length);
    cr_assert(
        !parse("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n" END)
             ->keeps_alive);
    (void)refused(OK "Content-Length: 5\r\nContent-Length: 6\r\n" END);
    (void)refused(OK "Transfer-Encoding: gzip\r\n" END);
}

Test(response, the_request_decides_whether_there_is_a_body)
{
    static const struct {
        const char *raw;
        enum nhttp_method method;
        enum nhttp_body body;
    } answers[] = {
        {OK "Content-Length: 5\r\n" END, NHTTP_METHOD_HEAD, NHTTP_BODY_NONE},
        {OK "Content-Length: 5\r\n" END, NHTTP_METHOD_GET, NHTTP_BODY_LENGTH},
        {OK "Transfer-Encoding: chunked\r\n" END, NHTTP_METHOD_CONNECT, NHTTP_BODY_NONE},
        {"HTTP/1.1 403 No\r\nContent-Length: 5\r\n" END, NHTTP_METHOD_CONNECT, NHTTP_BODY_LENGTH},
        {"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n" END, NHTTP_METHOD_POST, NHTTP_BODY_NONE},
        {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n" END, NHTTP_METHOD_GET, NHTTP_BODY_NONE},
        {"HTTP/1.1 304 No\r\nContent-Length: 5\r\n" END, NHTTP_METHOD_GET, NHTTP_BODY_NONE},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct nhttp_head *head = parse(answers[i].raw);
        nhttp_head_response_to(head, answers[i].method);
        cr_assert_eq(head->body, answers[i].body, "%s", answers[i].raw);
    }
}

/* What has no body needs no length, and its connection serves the next request. */
Test(response, what_has_no_body_lets_the_connection_stay)
{
    static const struct {
        const char *raw;
        enum nhttp_method method;
        bool keeps_alive;
    } answers[] = {
        {"HTTP/1.1 204 No\r\n" END, NHTTP_METHOD_DELETE, true},
        {"HTTP/1.1 304 No\r\n" END, NHTTP_METHOD_GET, true},
        {"HTTP/1.1 100 Continue\r\n" END, NHTTP_METHOD_POST, true},
        {OK END, NHTTP_METHOD_HEAD, true},
        {OK END, NHTTP_METHOD_CONNECT, true},
        {OK "Connection: close\r\n" END, NHTTP_METHOD_HEAD, false},
        {"HTTP/1.0 304 No\r\n" END, NHTTP_METHOD_GET, false},
        {"HTTP/1.1 205 Reset\r\n" END, NHTTP_METHOD_GET, false},
        {"HTTP/1.1 403 No\r\n" END, NHTTP_METHOD_CONNECT, false},
        {OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n" END, NHTTP_METHOD_HEAD, false},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct nhttp_head *head = parse(answers[i].raw);
        nhttp_head_response_to(head, answers[i].method);
        cr_assert_eq(head->keeps_alive, answers[i].keeps_alive, "%s", answers[i].raw);
    }
}

Test(response, a_tunnel_has_no_length)
{
    struct nhttp_head *head = parse(OK "Content-Length: 5\r\n" END);
    nhttp_head_response_to(head, NHTTP_METHOD_CONNECT);
    cr_assert_eq(head->body, NHTTP_BODY_NONE);
    cr_assert(!head->has_content_length);
}

/* What a client reads must leave no doubt where the answer ends. */
Test(response, what_leaves_a_doubt_is_refused)
{
    static const char *const bad[] = {
        OK "Content-Length: 5\r\nContent-Length: 5\r\n" END,
        OK "Content-Length: +5\r\n" END,
        OK "Content-Length: 5,6\r\n" END,
        OK "Content-Length:\r\n" END,
        OK "Content-Length: 0x5\r\n" END,
        OK "Content-Length: 18446744073709551621\r\n" END,
        OK "Transfer-Encoding: chunked, gzip\r\n" END,
        OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END,
        OK "X: a\r\n b\r\n" END,
        OK "X : a\r\n" END,
        OK "X: a\rb\r\n" END,
        OK "X: a\n" END,
        "\r\n" OK END,
        "\x15\x03\x01\x02",
        "220 mail ready\r\n",
        ("HTTP/1.1 200 OK\r" END),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(refused(bad[i]), 400, "%s", bad[i]);
    cr_assert_eq(refused(OK "Transfer-Encoding: gzip, chunked\r\n" END), 501);
    struct head_case with_nul = {.raw = OK "X: a\0b\r\n" END,
                                 .n = sizeof(OK "X: a\0b\r\n" END) - 1,
                                 .kind = NHTTP_HEAD_RESPONSE};
    parse_in_every_way(&with_nul, &parsed);
    cr_assert_eq(parsed.result, -EBADMSG);
}
