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
    const struct nhttp_head *head = parse(OK END);
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
