/*
 * Heads of requests, responses and trailers: the verdict does not depend on how the bytes are
 * split, and what was taken is put together again from its spans. The bytes of each call and the
 * table of fields lie in memory of their own size.
 */
#include "input.h"

#include <nhttp/head.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUTS_MAX = 7
};

struct text {
    const uint8_t *data;
    size_t n;
};

struct verdict {
    struct nhttp_head_parser parser;
    struct nhttp_field *table;
    ssize_t result;
};

struct options {
    enum nhttp_head_kind kind;
    struct nhttp_head_limits limits;
    size_t cuts[CUTS_MAX];
    size_t cut_count;
    bool drips;
};

static void *exact(size_t n)
{
    void *data = malloc(n > 0 ? n : 1);
    FUZZ_CHECK(data != NULL);
    return data;
}

/* Far from the text, or about as long as it is. */
static uint32_t choose_head_bytes(uint8_t choice, size_t n)
{
    if (choice < 3)
        return 14 + (uint32_t)choice * 500;
    size_t about = n + choice;
    return about > 5 ? (uint32_t)about - 5 : 1;
}

static struct options choose(struct fuzz_input *in)
{
    uint8_t choice = fuzz_byte(in);
    uint8_t limits = fuzz_byte(in);
    struct options options = {.kind = (enum nhttp_head_kind)(choice % 3)};
    options.drips = (choice & 4) != 0;
    options.cut_count = (choice >> 3) % (CUTS_MAX + 1);
    for (size_t i = 0; i < options.cut_count; i++)
        options.cuts[i] = fuzz_u16(in);
    options.limits.fields = 1 + (limits & 7);
    options.limits.line_bytes = 14 + (uint32_t)(limits >> 3 & 3) * 50;
    options.limits.head_bytes = choose_head_bytes(limits >> 5, in->left);
    if (options.limits.head_bytes < options.limits.line_bytes)
        options.limits.line_bytes = options.limits.head_bytes;
    return options;
}

static void begin(const struct options *options, struct verdict *out)
{
    memset(out, 0, sizeof *out);
    out->table = exact(options->limits.fields * sizeof *out->table);
    memset(out->table, 0, options->limits.fields * sizeof *out->table);
    FUZZ_CHECK(nhttp_head_begin(&out->parser, options->kind, &options->limits, out->table) == 0);
}

static void give(struct verdict *out, struct text text, size_t n)
{
    uint8_t *copy = exact(n);
    if (n > 0)
        memcpy(copy, text.data, n);
    out->result = nhttp_head_parse(&out->parser, copy, n);
    FUZZ_CHECK(out->result == nhttp_head_parse(&out->parser, copy, n));
    free(copy);
}

static bool is_same_span(struct nhttp_span a, struct nhttp_span b)
{
    return a.offset == b.offset && a.len == b.len;
}

static bool is_same_first_line(const struct nhttp_head *x, const struct nhttp_head *y)
{
    return x->minor_version == y->minor_version && x->method == y->method &&
           x->target_form == y->target_form && x->status == y->status &&
           is_same_span(x->method_name, y->method_name) && is_same_span(x->target, y->target) &&
           is_same_span(x->path, y->path) && is_same_span(x->query, y->query) &&
           is_same_span(x->host, y->host) && is_same_span(x->reason, y->reason);
}

static bool is_same_meaning(const struct nhttp_head *x, const struct nhttp_head *y)
{
    return x->body == y->body && x->content_length == y->content_length &&
           x->has_content_length == y->has_content_length && x->keeps_alive == y->keeps_alive &&
           x->expects_continue == y->expects_continue && x->expects_other == y->expects_other &&
           x->wants_upgrade == y->wants_upgrade;
}

static void expect_same(const struct verdict *a, const struct verdict *b)
{
    const struct nhttp_head *x = &a->parser.head;
    const struct nhttp_head *y = &b->parser.head;
    FUZZ_CHECK(a->result == b->result);
    FUZZ_CHECK(a->parser.status == b->parser.status && a->parser.fault == b->parser.fault);
    if (a->result < 0)
        return;
    FUZZ_CHECK(is_same_first_line(x, y) && is_same_meaning(x, y));
    FUZZ_CHECK(x->field_count == y->field_count);
    for (uint32_t i = 0; i < x->field_count; i++) {
        FUZZ_CHECK(is_same_span(a->table[i].name, b->table[i].name));
        FUZZ_CHECK(is_same_span(a->table[i].value, b->table[i].value));
        FUZZ_CHECK(a->table[i].id == b->table[i].id);
    }
}

/* In pieces that begin at the cuts, in any order of them. */
static void parse_cut(const struct options *options, struct text text, struct verdict *out)
{
    size_t have = 0;
    begin(options, out);
    give(out, text, 0);
    for (size_t i = 0; i < options->cut_count && out->result == -EAGAIN; i++) {
        have += options->cuts[i] % (text.n - have + 1);
        give(out, text, have);
    }
    if (out->result == -EAGAIN)
        give(out, text, text.n);
}

static void parse_bytes(const struct options *options, struct text text, struct verdict *out)
{
    begin(options, out);
    give(out, text, 0);
    for (size_t have = 1; have <= text.n && out->result == -EAGAIN; have++)
        give(out, text, have);
}

static bool is_at(struct text text, size_t at, const char *word)
{
    size_t n = strlen(word);
    return text.n - at >= n && memcmp(text.data + at, word, n) == 0;
}

static size_t behind(struct nhttp_span span)
{
    return (size_t)span.offset + span.len;
}

static bool is_within(struct nhttp_span inner, size_t from, size_t to)
{
    return inner.offset >= from && behind(inner) <= to;
}

static size_t skip_space(struct text text, size_t at)
{
    while (at < text.n && (text.data[at] == ' ' || text.data[at] == '\t'))
        at++;
    return at;
}

/* Where the next line begins. The field's line begins at `at`. */
static size_t check_field(struct text text, const struct nhttp_field *field, size_t at)
{
    FUZZ_CHECK(field->name.len > 0 && field->name.offset == at);
    at = behind(field->name);
    FUZZ_CHECK(text.data[at] == ':');
    at = skip_space(text, at + 1);
    FUZZ_CHECK(field->value.len == 0 || field->value.offset == at);
    for (size_t i = 0; i < field->value.len; i++) {
        uint8_t byte = text.data[field->value.offset + i];
        FUZZ_CHECK(byte == '\t' || (byte >= 0x20 && byte != 0x7f));
    }
    at = skip_space(text, field->value.len > 0 ? behind(field->value) : at);
    FUZZ_CHECK(is_at(text, at, "\r\n"));
    return at + 2;
}

/* Where the line ends that begins at `at`. */
static size_t line_end(struct text text, size_t at)
{
    const uint8_t *cr = memchr(text.data + at, '\r', text.n - at);
    FUZZ_CHECK(cr != NULL && is_at(text, (size_t)(cr - text.data), "\r\n"));
    return (size_t)(cr - text.data);
}

static void check_request_line(struct text text, const struct nhttp_head *head, size_t at)
{
    size_t target = head->target.offset;
    FUZZ_CHECK(head->method_name.offset == at && head->method_name.len > 0);
    FUZZ_CHECK(behind(head->method_name) + 1 == target && text.data[target - 1] == ' ');
    FUZZ_CHECK(head->target.len > 0);
    for (size_t i = target; i < behind(head->target); i++)
        FUZZ_CHECK(text.data[i] > ' ' && text.data[i] < 0x7f);
    FUZZ_CHECK(is_at(text, behind(head->target), " HTTP/1."));
    FUZZ_CHECK(line_end(text, at) == behind(head->target) + 9);
    if (head->path.len > 0)
        FUZZ_CHECK(is_within(head->path, target, behind(head->target)));
    if (head->query.len > 0)
        FUZZ_CHECK(is_within(head->query, target, behind(head->target)));
    FUZZ_CHECK(head->minor_version == 0 || head->host.len > 0);
}

static void check_status_line(struct text text, const struct nhttp_head *head, size_t at)
{
    FUZZ_CHECK(is_at(text, at, "HTTP/1."));
    FUZZ_CHECK(head->status >= 100 && head->status <= 999);
    FUZZ_CHECK(head->reason.len == 0 || behind(head->reason) == line_end(text, at));
}

static void check_meaning(const struct nhttp_head *head)
{
    bool is_request = head->kind == NHTTP_HEAD_REQUEST;
    if (head->body == NHTTP_BODY_LENGTH)
        FUZZ_CHECK(head->has_content_length && head->content_length > 0);
    if (head->body == NHTTP_BODY_CHUNKED) {
        FUZZ_CHECK(!head->has_content_length);
        FUZZ_CHECK(head->minor_version > 0 || (!is_request && !head->keeps_alive));
        FUZZ_CHECK(nhttp_head_find_id(head, NHTTP_FIELD_TRANSFER_ENCODING) != NULL);
    }
    if (head->body == NHTTP_BODY_UNTIL_CLOSE)
        FUZZ_CHECK(!is_request);
    if (head->kind == NHTTP_HEAD_TRAILERS)
        FUZZ_CHECK(head->body == NHTTP_BODY_NONE && !head->has_content_length);
    FUZZ_CHECK(head->content_length <= INT64_MAX);
}

/* Behind the empty line that may come before a request. */
static size_t first_line(struct text text, const struct nhttp_head *head)
{
    return head->kind == NHTTP_HEAD_REQUEST && is_at(text, 0, "\r\n") ? 2 : 0;
}

/* Every byte of what was taken is accounted for. */
static void check_taken(struct text text, const struct verdict *verdict)
{
    const struct nhttp_head *head = &verdict->parser.head;
    uint32_t next = 0;
    uint32_t lines = 0;
    size_t at = first_line(text, head);
    if (head->kind != NHTTP_HEAD_TRAILERS) {
        FUZZ_CHECK(line_end(text, at) - at <= verdict->parser.limits.line_bytes);
        if (head->kind == NHTTP_HEAD_REQUEST)
            check_request_line(text, head, at);
        else
            check_status_line(text, head, at);
        at = line_end(text, at) + 2;
    }
    for (; !is_at(text, at, "\r\n"); lines++) {
        if (next < head->field_count && head->fields[next].name.offset == at) {
            at = check_field(text, &head->fields[next++], at);
        } else {
            FUZZ_CHECK(head->kind == NHTTP_HEAD_TRAILERS);
            at = line_end(text, at) + 2;
        }
    }
    FUZZ_CHECK(next == head->field_count && at + 2 == (size_t)verdict->result);
    FUZZ_CHECK(lines <= verdict->parser.limits.fields);
    check_meaning(head);
}

/* More is waited for only where it can help. */
static void check_incomplete(struct text text, const struct nhttp_head_parser *parser)
{
    size_t at = first_line(text, &parser->head);
    FUZZ_CHECK(text.n <= parser->limits.head_bytes);
    if (parser->head.kind != NHTTP_HEAD_TRAILERS && text.n > at &&
        memchr(text.data + at, '\r', text.n - at) == NULL)
        FUZZ_CHECK(text.n - at <= parser->limits.line_bytes);
}

static void check_verdict(struct text text, const struct verdict *verdict)
{
    const struct nhttp_head_parser *parser = &verdict->parser;
    FUZZ_CHECK((parser->fault != NULL) == (verdict->result == -EBADMSG));
    FUZZ_CHECK((parser->status != 0) == (verdict->result == -EBADMSG));
    if (verdict->result == -EAGAIN)
        check_incomplete(text, parser);
    if (verdict->result < 0)
        return;
    FUZZ_CHECK((size_t)verdict->result <= text.n);
    FUZZ_CHECK((size_t)verdict->result <= parser->limits.head_bytes);
    FUZZ_CHECK(parser->head.field_count <= parser->limits.fields);
    check_taken((struct text){text.data, (size_t)verdict->result}, verdict);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    struct options options = choose(&in);
    struct text text = {in.at, in.left};
    static struct verdict whole;
    static struct verdict split;

    fuzz_count();
    begin(&options, &whole);
    give(&whole, text, text.n);
    check_verdict(text, &whole);
    parse_cut(&options, text, &split);
    expect_same(&whole, &split);
    free(split.table);
    if (options.drips) {
        parse_bytes(&options, text, &split);
        expect_same(&whole, &split);
        free(split.table);
    }
    free(whole.table);
    return 0;
}
