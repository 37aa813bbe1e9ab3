/* Limits of heads, and that they cost no more the more often they are split. */
#include "parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(head, .timeout = 60);

static struct parsed parsed;

/* A request whose target, field's name, field's value or number of fields is as long. */
static char *request(size_t target, size_t name, size_t value, size_t fields, size_t *n)
{
    char *raw = malloc(target + (name + value + 8) * fields + 200);
    char *at = raw;
    cr_assert_not_null(raw);
    at += sprintf(at, "GET /");
    memset(at, 't', target);
    at += target;
    at += sprintf(at, " HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 0; i < fields; i++) {
        memset(at, 'N', name);
        at += name;
        at += sprintf(at, ": ");
        memset(at, 'v', value);
        at += value;
        at += sprintf(at, "\r\n");
    }
    at += sprintf(at, "\r\n");
    *n = (size_t)(at - raw);
    return raw;
}

static uint16_t status_of(size_t target, size_t name, size_t value, size_t fields,
                          const struct nhttp_head_limits *limits)
{
    size_t n;
    char *raw = request(target, name, value, fields, &n);
    parse_in_every_way(&(struct head_case){.raw = raw, .n = n, .limits = limits}, &parsed);
    free(raw);
    return parsed.parser.status;
}

Test(head, first_lines_up_to_the_limit)
{
    const struct nhttp_head_limits limits = {.line_bytes = 100, .head_bytes = 1000};
    size_t others = strlen("GET / HTTP/1.1");
    cr_assert_eq(status_of(100 - others, 0, 0, 0, &limits), 0);
    cr_assert_eq(status_of(101 - others, 0, 0, 0, &limits), 414);
    cr_assert_eq(status_of(109 - others, 0, 0, 0, &limits), 414);
    cr_assert_eq(status_of(500, 0, 0, 0, &limits), 414);
    cr_assert_eq(status_of(NHTTP_LINE_BYTES_DEFAULT - others, 0, 0, 0, NULL), 0);
    cr_assert_eq(status_of(NHTTP_LINE_BYTES_DEFAULT + 1 - others, 0, 0, 0, NULL), 414);
}

Test(head, methods_up_to_64_bytes)
{
    char raw[200];
    for (int n = 64; n <= 65; n++) {
        snprintf(raw, sizeof raw, "%.*s / HTTP/1.1\r\nHost: a\r\n\r\n", n,
                 "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM");
        parse_in_every_way(&(struct head_case){.raw = raw}, &parsed);
        cr_assert_eq(parsed.parser.status, n == 64 ? 0 : 501);
    }
}

Test(head, bytes_up_to_the_limit)
{
    size_t n;
    free(request(0, 1, 0, 1, &n));
    struct nhttp_head_limits limits = {.line_bytes = 50, .head_bytes = (uint32_t)n + 40};
    cr_assert_eq(status_of(0, 1, 40, 1, &limits), 0);
    cr_assert_eq(status_of(0, 1, 41, 1, &limits), 431);
    cr_assert_eq(status_of(0, 41, 0, 1, &limits), 0);
    cr_assert_eq(status_of(0, 42, 0, 1, &limits), 431);
    cr_assert_eq(status_of(0, 1, NHTTP_HEAD_BYTES_DEFAULT - n, 1, NULL), 0);
    cr_assert_eq(status_of(0, 1, NHTTP_HEAD_BYTES_DEFAULT + 1 - n, 1, NULL), 431);
    cr_assert_eq(status_of(0, 1, 100000, 1, NULL), 431);
    cr_assert_eq(status_of(0, 100000, 1, 1, NULL), 431);
}

Test(head, fields_up_to_the_limit)
{
    const struct nhttp_head_limits limits = {.fields = 5};
    cr_assert_eq(status_of(0, 1, 1, 4, &limits), 0);
    cr_assert_eq(status_of(0, 1, 1, 5, &limits), 431);
    cr_assert_eq(status_of(0, 1, 1, 99, NULL), 0);
    cr_assert_eq(status_of(0, 1, 1, 100, NULL), 431);
}

Test(head, limits_out_of_range_are_refused)
{
    struct nhttp_head_parser parser;
    struct nhttp_field table[NHTTP_HEAD_FIELDS_DEFAULT];
    const struct nhttp_head_limits bad[] = {
        {.head_bytes = NHTTP_HEAD_BYTES_MAX + 1},
        {.head_bytes = 100, .line_bytes = 101},
        {.head_bytes = 100},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(nhttp_head_begin(&parser, NHTTP_HEAD_REQUEST, &bad[i], table), -EINVAL);
}

Test(head, what_follows_is_not_looked_at)
{
    static const char raw[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02";
    parse_in_every_way(&(struct head_case){.raw = raw}, &parsed);
    cr_assert_eq(parsed.result, (ssize_t)sizeof raw - 3);
    cr_assert_eq(nhttp_head_parse(&parsed.parser, raw, sizeof raw), (ssize_t)sizeof raw - 3);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Time for a head of so many bytes of value that comes byte by byte. */
static uint64_t dripped_ns(size_t value)
{
    const struct nhttp_head_limits limits = {.line_bytes = 100, .head_bytes = NHTTP_HEAD_BYTES_MAX};
    size_t n;
    char *raw = request(0, 1, value, 1, &n);
    cr_assert_eq(nhttp_head_begin(&parsed.parser, NHTTP_HEAD_REQUEST, &limits, parsed.table), 0);
    uint64_t start = cpu_ns();
    for (size_t i = 1; i < n; i++)
        cr_assert_eq(nhttp_head_parse(&parsed.parser, raw, i), -EAGAIN);
    cr_assert_eq(nhttp_head_parse(&parsed.parser, raw, n), (ssize_t)n);
    free(raw);
    return cpu_ns() - start;
}

/* Sixteen times the bytes take sixteen times the time, where a search from the start would take
 * 256 times as long. */
Test(head, a_byte_at_a_time_costs_no_more_than_the_bytes)
{
    (void)dripped_ns(10000);
    uint64_t small = dripped_ns(100000);
    uint64_t large = dripped_ns(1600000);
    cr_assert_lt(large, small * 100);
}
