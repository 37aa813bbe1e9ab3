#include "parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void begin(const struct head_case *it, struct parsed *out)
{
    memset(out->table, 0, sizeof out->table);
    cr_assert_eq(nhttp_head_begin(&out->parser, it->kind, it->limits, out->table), 0);
}

static ssize_t give(struct parsed *out, const char *raw, size_t n)
{
    /* Exactly so much: one byte further is not ours. */
    char *copy = malloc(n > 0 ? n : 1);
    cr_assert_not_null(copy);
    memcpy(copy, raw, n);
    out->result = nhttp_head_parse(&out->parser, copy, n);
    free(copy);
    return out->result;
}

static void expect_same(const struct parsed *a, const struct parsed *b, const char *raw)
{
    const struct nhttp_head *x = &a->parser.head;
    const struct nhttp_head *y = &b->parser.head;
    cr_assert_eq(a->result, b->result, "%zd and %zd: %s", a->result, b->result, raw);
    cr_assert_eq(a->parser.status, b->parser.status, "%s", raw);
    cr_assert_eq(a->parser.fault, b->parser.fault, "%s", raw);
    if (a->result < 0)
        return;
    struct nhttp_head copy = *y;
    copy.fields = x->fields;
    cr_assert_eq(memcmp(x, &copy, sizeof copy), 0, "heads differ: %s", raw);
    cr_assert_eq(memcmp(a->table, b->table, x->field_count * sizeof a->table[0]), 0, "%s", raw);
}

static void parse_bytes(const struct head_case *it, size_t n, struct parsed *out)
{
    begin(it, out);
    for (size_t i = 1; i <= n; i++) {
        if (give(out, it->raw, i) != -EAGAIN)
            return;
    }
}

static void parse_cut(const struct head_case *it, size_t n, size_t cut, struct parsed *out)
{
    begin(it, out);
    if (give(out, it->raw, cut) == -EAGAIN)
        (void)give(out, it->raw, n);
}

void parse_in_every_way(const struct head_case *it, struct parsed *out)
{
    static struct parsed other;
    size_t n = it->n != 0 ? it->n : strlen(it->raw);
    /* Padding is compared, too. */
    memset(out, 0, sizeof *out);
    memset(&other, 0, sizeof other);
    begin(it, out);
    (void)give(out, it->raw, n);
    parse_bytes(it, n, &other);
    expect_same(out, &other, it->raw);
    size_t step = n < 1000 ? 1 : n / 500;
    for (size_t cut = 0; cut < n; cut += step) {
        parse_cut(it, n, cut, &other);
        expect_same(out, &other, it->raw);
    }
}

int shows(const char *raw, struct nhttp_span span, const char *text)
{
    return span.len == strlen(text) && memcmp(raw + span.offset, text, span.len) == 0;
}
