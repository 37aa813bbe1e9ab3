/* Requests: what is refused and how it is answered, what is taken and how it is read. */
#include "parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(request, .timeout = 60);

#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define HOST "Host: a\r\n"
#define END  "\r\n"

struct verdict {
    const char *raw;
    uint16_t status; /* 0: it is taken, as a whole */
};

static void expect(const struct verdict *verdicts, size_t count)
{
    static struct parsed parsed;
    for (size_t i = 0; i < count; i++) {
        const struct verdict *it = &verdicts[i];
        parse_in_every_way(&(struct head_case){.raw = it->raw}, &parsed);
        cr_assert_eq(parsed.parser.status, it->status, "%u instead of %u (%s): %s",
                     parsed.parser.status, it->status,
                     parsed.parser.fault != NULL ? parsed.parser.fault : "-", it->raw);
        if (it->status == 0)
            cr_assert_eq(parsed.result, (ssize_t)strlen(it->raw), "%s", it->raw);
        else
            cr_assert_eq(parsed.result, -EBADMSG);
    }
}

#define EXPECT(verdicts) expect(verdicts, sizeof verdicts / sizeof verdicts[0])

Test(request, first_lines)
{
    static const struct verdict verdicts[] = {
        {GET HOST END, 0},
        {"OPTIONS * HTTP/1.1\r\n" HOST END, 0},
        {"GET http://a/x HTTP/1.1\r\n" HOST END, 0},
        {"GET HTTPS://A?q HTTP/1.1\r\n" HOST END, 0},
        {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n" END, 0},
        {"CONNECT [::1]:443 HTTP/1.1\r\n" HOST END, 0},
        {"get / HTTP/1.1\r\n" HOST END, 0},
        {"GET / HTTP/1.0\r\n" END, 0},
        {"GET / HTTP/1.7\r\n" HOST END, 0},
        {"GET /|{}\"<>^` HTTP/1.1\r\n" HOST END, 0},
        {"\r\n" GET HOST END, 0},
        {"\r\n\r\n" GET HOST END, 400},
        {"GET  / HTTP/1.1\r\n" HOST END, 400},
        {" GET / HTTP/1.1\r\n" HOST END, 400},
        {"GET / HTTP/1.1 \r\n" HOST END, 400},
        {"GET /  HTTP/1.1\r\n" HOST END, 400},
        {"GET\t/ HTTP/1.1\r\n" HOST END, 400},
        {"GET HTTP/1.1\r\n" HOST END, 400},
        {"GET / HTTP/1.10\r\n" HOST END, 400},
        {"GET / HTTP/01.1\r\n" HOST END, 400},
        {"GET / http/1.1\r\n" HOST END, 400},
        {"GET / HTTP/1,1\r\n" HOST END, 400},
        {"GET / HTTP/2.0\r\n" HOST END, 505},
        {"GET / HTTP/0.9\r\n" HOST END, 505},
        {"GET /\r\n\r\n", 400},
        {"GET / H\r\n\r\n", 400},
        {"G{T / HTTP/1.1\r\n" HOST END, 400},
        {"GET /a b HTTP/1.1\r\n" HOST END, 400},
        {"GET /caf\xc3\xa9 HTTP/1.1\r\n" HOST END, 400},
        {"GET /a\x7f HTTP/1.1\r\n" HOST END, 400},
        {"GET /a#b HTTP/1.1\r\n" HOST END, 400},
        {"GET * HTTP/1.1\r\n" HOST END, 400},
        {"OPTIONS *x HTTP/1.1\r\n" HOST END, 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"GET foo HTTP/1.1\r\n" HOST END, 400},
        {"GET ftp://a/ HTTP/1.1\r\n" HOST END, 400},
        {"GET http:///x HTTP/1.1\r\n" HOST END, 400},
        {"GET http://u@a/ HTTP/1.1\r\n" HOST END, 400},
        {"GET http://a HTTP/1.1\r\nHost: b\r\n" END, 400},
        {"CONNECT a HTTP/1.1\r\n" HOST END, 400},
        {"CONNECT a: HTTP/1.1\r\n" HOST END, 400},
        {"CONNECT /x HTTP/1.1\r\n" HOST END, 400},
        {"GET /\nHTTP/1.1\r\n" HOST END, 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\rHost: a\r\r", 400},
        {"\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"\x16\x03\x01\x02", 400},
    };
    EXPECT(verdicts);
}

Test(request, hosts)
{
    static const struct verdict verdicts[] = {
        {GET "Host: a.example:8080\r\n" END, 0},
        {GET "Host: a:\r\n" END, 0},
        {GET "Host: 127.0.0.1\r\n" END, 0},
        {GET "Host: [::1]:80\r\n" END, 0},
        {GET "Host: %41\r\n" END, 0},
        {GET END, 400},
        {GET "Host: a\r\nHost: a\r\n" END, 400},
        {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n" END, 400},
        {GET "Host: \r\n" END, 400},
        {GET "Host: a/b\r\n" END, 400},
        {GET "Host: a, b\r\n" END, 400},
        {GET "Host: a b\r\n" END, 400},
        {GET "Host: a@b\r\n" END, 400},
        {GET "Host: [::1\r\n" END, 400},
        {GET "Host: [::1]x\r\n" END, 400},
        {GET "Host: [::1::2::3]\r\n" END, 400},
        {GET "Host: a:b\r\n" END, 400},
        {GET "Host: a:65536\r\n" END, 400},
        {GET "Host: a:1:2\r\n" END, 400},
        {GET "Host: :80\r\n" END, 400},
        {GET "Host: a%4\r\n" END, 400},
        {GET "Host: a\xc3\xa9\r\n" END, 400},
    };
    EXPECT(verdicts);
}

Test(request, fields)
{
    static const struct verdict verdicts[] = {
        {GET HOST "X: \xe9\xff\r\n" END, 0},
        {GET HOST "X:\r\n" END, 0},
        {GET HOST "X: \t \r\n" END, 0},
        {GET HOST "!#$%&'*+-.^_`|~09azAZ: x\r\n" END, 0},
        {GET HOST "X: a\tb\r\n" END, 0},
        {GET HOST "X : y\r\n" END, 400},
        {GET HOST "X: a\r\n b\r\n" END, 400},
        {GET " X: y\r\n" HOST END, 400},
        {GET "\tX: y\r\n" HOST END, 400},
        {GET HOST "NoColon\r\n" END, 400},
        {GET HOST "Bad[N]: 1\r\n" END, 400},
        {GET HOST "Bad Name: 1\r\n" END, 400},
        {GET HOST "X\xc3\xa9: 1\r\n" END, 400},
        {GET HOST "X: a\rb\r\n" END, 400},
        {GET HOST "X: a\x01"
                  "b\r\n" END,
         400},
        {GET HOST "X: a\x7f\r\n" END, 400},
        {GET HOST "X: a\nY: b\r\n" END, 400},
        {GET HOST ":\r\nI: x\r\n" END, 400},
        {GET HOST ": x\r\n" END, 400},
        {GET HOST "\rX: y\r\n" END, 400},
        {GET HOST "\n", 400},
        {POST "Transfer-\r\nEncoding: chunked\r\n" END, 400},
    };
    EXPECT(verdicts);
    static struct parsed parsed;
    parse_in_every_way(&(struct head_case){.raw = GET HOST "X: a\0b\r\n" END,
                                           .n = sizeof(GET HOST "X: a\0b\r\n" END) - 1},
                       &parsed);
    cr_assert_eq(parsed.parser.status, 400);
}

Test(request, framing)
{
    static const struct verdict verdicts[] = {
        {POST END, 0},
        {POST "Content-Length: 0\r\n" END, 0},
        {POST "Content-Length: 005\r\n" END, 0},
        {POST "Content-Length: 9223372036854775807\r\n" END, 0},
        {POST "Transfer-Encoding: Chunked\r\n" END, 0},
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, 400},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END, 400},
        {POST "Content-Length: 1\r\nContent-Length: 0\r\n" END, 400},
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n" END, 400},
        {POST "Content-Length: 5, 6\r\n" END, 400},
        {POST "Content-Length: 5, 5\r\n" END, 400},
        {POST "Content-Length: +5\r\n" END, 400},
        {POST "Content-Length: -0\r\n" END, 400},
        {POST "Content-Length: \r\n" END, 400},
        {POST "Content-Length: 4 2\r\n" END, 400},
        {POST "Content-Length: 1_0\r\n" END, 400},
        {POST "Content-Length: 0x5\r\n" END, 400},
        {POST "Content-Length: 9223372036854775808\r\n" END, 400},
        {POST "Content-Length: 99999999999999999999\r\n" END, 400},
        {POST "Content-Length : 5\r\n" END, 400},
        {POST "Transfer-Encoding: gzip, chunked\r\n" END, 501},
        {POST "Transfer-Encoding: chunked, gzip\r\n" END, 400},
        {POST "Transfer-Encoding: chunked, chunked\r\n" END, 400},
        {POST "Transfer-Encoding: gzip\r\n" END, 400},
        {POST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n" END, 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, 400},
        {POST "Transfer-Encoding: ,chunked\r\n" END, 400},
        {POST "Transfer-Encoding: chunked,\r\n" END, 400},
        {POST "Transfer-Encoding: \x0b"
              "chunked\r\n" END,
         400},
        {POST "Transfer-Encoding: \"chunked\"\r\n" END, 400},
        {POST "Transfer-Encoding: xchunked\r\n" END, 400},
        {POST "Transfer-Encoding: \r\nContent-Length: 5\r\n" END, 400},
        {POST "Transfer-Encoding:\r\n chunked\r\n" END, 400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" END, 400},
    };
    EXPECT(verdicts);
}

static const struct nhttp_head *parse(const char *raw)
{
    static struct parsed parsed;
    parse_in_every_way(&(struct head_case){.raw = raw}, &parsed);
    cr_assert_eq(parsed.result, (ssize_t)strlen(raw), "%s: %s", parsed.parser.fault, raw);
    return &parsed.parser.head;
}

Test(request, parts_of_the_target)
{
    const char *raw = "DELETE /a/b?c=d?e HTTP/1.1\r\n" HOST END;
    const struct nhttp_head *head = parse(raw);
    cr_assert_eq(head->method, NHTTP_METHOD_DELETE);
    cr_assert(shows(raw, head->method_name, "DELETE"));
    cr_assert(shows(raw, head->target, "/a/b?c=d?e"));
    cr_assert(shows(raw, head->path, "/a/b"));
    cr_assert(shows(raw, head->query, "c=d?e"));
    cr_assert(shows(raw, head->host, "a"));
    cr_assert_eq(head->minor_version, 1);

    raw = "\r\nMKCOL http://b.example:81?x HTTP/1.0\r\n" END;
    head = parse(raw);
    cr_assert_eq(head->method, NHTTP_METHOD_OTHER);
    cr_assert(shows(raw, head->method_name, "MKCOL"));
    cr_assert_eq(head->target_form, NHTTP_TARGET_ABSOLUTE);
    cr_assert(shows(raw, head->host, "b.example:81"));
    cr_assert(shows(raw, head->path, ""));
    cr_assert(shows(raw, head->query, "x"));
    cr_assert_eq(head->minor_version, 0);
    cr_assert_eq(head->field_count, 0);
}

/* A proxy that asked Host whom to reach would be led elsewhere. */
Test(request, the_host_of_connect_is_its_target)
{
    const char *raw = "CONNECT a:443 HTTP/1.1\r\nHost: b:80\r\n" END;
    const struct nhttp_head *head = parse(raw);
    cr_assert_eq(head->target_form, NHTTP_TARGET_AUTHORITY);
    cr_assert(shows(raw, head->host, "a:443"));
    raw = "CONNECT a:443 HTTP/1.0\r\n" END;
    cr_assert(shows(raw, parse(raw)->host, "a:443"));
    raw = "OPTIONS * HTTP/1.1\r\nHost: b:80\r\n" END;
    cr_assert(shows(raw, parse(raw)->host, "b:80"));
}

Test(request, fields_keep_their_order_and_are_found)
{
    const char *raw =
        GET "Accept: */*\r\nhOsT:\t a \t\r\nX-Y: 1\r\nx-y: 2\r\nCookie: k=v; w\r\n" END;
    const struct nhttp_head *head = parse(raw);
    cr_assert_eq(head->field_count, 5);
    cr_assert(shows(raw, head->fields[1].name, "hOsT"));
    cr_assert(shows(raw, head->fields[1].value, "a"));
    cr_assert_eq(nhttp_head_find(head, raw, "X-y"), &head->fields[2]);
    cr_assert_eq(nhttp_head_find_id(head, NHTTP_FIELD_COOKIE), &head->fields[4]);
    cr_assert(shows(raw, head->fields[4].value, "k=v; w"));
    cr_assert_null(nhttp_head_find(head, raw, "X"));
    cr_assert_null(nhttp_head_find_id(head, NHTTP_FIELD_DATE));
}

Test(request, bodies)
{
    cr_assert_eq(parse(POST END)->body, NHTTP_BODY_NONE);
    cr_assert_eq(parse(POST "Content-Length: 0\r\n" END)->body, NHTTP_BODY_NONE);
    cr_assert_eq(parse(POST "Content-Length: 017\r\n" END)->body, NHTTP_BODY_LENGTH);
    cr_assert_eq(parse(POST "Content-Length: 017\r\n" END)->content_length, 17);
    cr_assert_eq(parse(POST "Transfer-Encoding: chunked\r\n" END)->body, NHTTP_BODY_CHUNKED);
}

Test(request, whether_the_connection_stays)
{
    cr_assert(parse(GET HOST END)->keeps_alive);
    cr_assert(parse(GET HOST "Connection: keep-alive\r\n" END)->keeps_alive);
    cr_assert(!parse(GET HOST "Connection: foo, ClOsE\r\n" END)->keeps_alive);
    cr_assert(!parse(GET HOST "Connection: close\r\nConnection: keep-alive\r\n" END)->keeps_alive);
    cr_assert(parse(GET HOST "Connection: closed\r\n" END)->keeps_alive);
    cr_assert(!parse("GET / HTTP/1.0\r\n" END)->keeps_alive);
    cr_assert(parse("GET / HTTP/1.0\r\nConnection: ,Keep-Alive\r\n" END)->keeps_alive);
    cr_assert(parse(GET HOST "Connection: Upgrade\r\nUpgrade: x\r\n" END)->wants_upgrade);
    cr_assert(!parse("GET / HTTP/1.0\r\nConnection: Upgrade\r\n" END)->wants_upgrade);
}

Test(request, expectations)
{
    cr_assert(parse(POST "Expect: 100-Continue\r\n" END)->expects_continue);
    cr_assert(parse(POST "Expect: 200-ok\r\n" END)->expects_other);
    cr_assert(!parse(POST "Expect: 100-continue\r\nExpect: x\r\n" END)->expects_continue);
    const struct nhttp_head *head = parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\n" END);
    cr_assert(!head->expects_continue && !head->expects_other);
}
