/* The trailer section of a chunked body. */
#include "parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

TestSuite(trailers, .timeout = 60);

static struct parsed parsed;

static const struct nhttp_head *parse(const char *raw, ssize_t result)
{
    parse_in_every_way(&(struct head_case){.raw = raw, .kind = NHTTP_HEAD_TRAILERS}, &parsed);
    cr_assert_eq(parsed.result, result, "%zd: %s", parsed.result, raw);
    return &parsed.parser.head;
}

Test(trailers, are_fields_and_nothing_else)
{
    cr_assert_eq(parse("\r\n", 2)->field_count, 0);
    const char *raw = "X:POST / HTTP/1.1\r\nDate: now\r\n\r\n";
    const struct nhttp_head *head = parse(raw, (ssize_t)strlen(raw));
    cr_assert_eq(head->field_count, 2);
    cr_assert(shows(raw, head->fields[0].value, "POST / HTTP/1.1"));
    (void)parse("X: y\n\r\n", -EBADMSG);
    (void)parse("Bad Name: y\r\n\r\n", -EBADMSG);
    (void)parse(" X: y\r\n\r\n", -EBADMSG);
    (void)parse("GET / HTTP/1.1\r\n\r\n", -EBADMSG);
}

Test(trailers, say_nothing_that_belongs_into_a_head)
{
    const char *raw = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\n"
                      "Proxy-Authorization: x\r\nX-Forwarded-For: y\r\nIf-Match: z\r\n"
                      "Cache-Control: no-store\r\nForwarded: for=a\r\nIf: z\r\nKept: z\r\n\r\n";
    const struct nhttp_head *head = parse(raw, (ssize_t)strlen(raw));
    cr_assert_eq(head->field_count, 2);
    cr_assert(shows(raw, head->fields[0].name, "If"));
    cr_assert(shows(raw, head->fields[1].name, "Kept"));
    cr_assert(!head->has_content_length);
    cr_assert_eq(head->body, NHTTP_BODY_NONE);
}

/* Those that are left out count, too: nobody may send them without end. */
Test(trailers, lines_up_to_the_limit)
{
    static char raw[TABLE_FIELDS * 10 + 100];
    for (size_t lines = TABLE_FIELDS; lines <= TABLE_FIELDS + 1; lines++) {
        size_t at = 0;
        for (size_t i = 0; i < lines; i++)
            at += (size_t)sprintf(raw + at, "%s: 1\r\n", i % 2 == 0 ? "Host" : "X");
        sprintf(raw + at, "\r\n");
        if (lines == TABLE_FIELDS)
            cr_assert_eq(parse(raw, (ssize_t)at + 2)->field_count, TABLE_FIELDS / 2);
        else
            (void)parse(raw, -EBADMSG);
    }
    cr_assert_eq(parsed.parser.status, 431);
}
