/* A head line by line: which part of it comes next, and the limits. The parts of the first line are
 * in first_line.c, what fields mean in framing.c. */
#include "head.h"

#include "characters.h"
#include "scan.h"

#include <errno.h>

int nh_refuse(struct nhttp_head_parser *parser, uint16_t status, const char *fault)
{
    parser->phase = NH_PHASE_REFUSED;
    parser->status = status;
    parser->fault = fault;
    return -EBADMSG;
}

static uint32_t or_default(uint32_t limit, uint32_t fallback)
{
    return limit != 0 ? limit : fallback;
}

int nhttp_head_begin(struct nhttp_head_parser *parser, enum nhttp_head_kind kind,
                     const struct nhttp_head_limits *limits, struct nhttp_field *table)
{
    struct nhttp_head_limits own = {0};
    if (limits != NULL)
        own = *limits;
    own.line_bytes = or_default(own.line_bytes, NHTTP_LINE_BYTES_DEFAULT);
    own.head_bytes = or_default(own.head_bytes, NHTTP_HEAD_BYTES_DEFAULT);
    own.fields = or_default(own.fields, NHTTP_HEAD_FIELDS_DEFAULT);
    if (own.head_bytes > NHTTP_HEAD_BYTES_MAX || own.line_bytes > own.head_bytes)
        return -EINVAL;
    *parser = (struct nhttp_head_parser){
        .head = {.kind = kind, .fields = table},
        .limits = own,
        .phase = kind == NHTTP_HEAD_TRAILERS ? NH_PHASE_LINE : NH_PHASE_BEGIN,
    };
    return 0;
}

int nh_end_line(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    if (parser->scanned + 1 == n)
        return -EAGAIN;
    if (data[parser->scanned + 1] != '\n')
        return nh_refuse(parser, 400, "CR without LF");
    parser->scanned += 2;
    parser->line = parser->scanned;
    return 0;
}

/* RFC 9112, section 2.2: some clients send one too many behind a body. */
static int begin(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    if (parser->scanned == n)
        return -EAGAIN;
    bool is_request = parser->head.kind == NHTTP_HEAD_REQUEST;
    if (is_request && data[parser->scanned] == '\r' && parser->scanned == 0) {
        int status = nh_end_line(parser, data, n);
        if (status != 0)
            return status;
    }
    parser->mark = parser->scanned;
    parser->phase = is_request ? NH_PHASE_METHOD : NH_PHASE_STATUS_LINE;
    return 0;
}

static struct nhttp_field *open_field(const struct nhttp_head_parser *parser)
{
    return &parser->head.fields[parser->head.field_count];
}

/* What a line begins with. */
static int begin_line(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    if (parser->scanned == n)
        return -EAGAIN;
    uint8_t first = data[parser->scanned];
    if (first == '\r') {
        int status = nh_end_line(parser, data, n);
        if (status == 0)
            status = nh_conclude(parser);
        if (status == 0)
            parser->phase = NH_PHASE_DONE;
        return status;
    }
    if (parser->lines == parser->limits.fields)
        return nh_refuse(parser, 431, "too many fields");
    if (first == ' ' || first == '\t')
        return nh_refuse(parser, 400, "folded line, or white space before a field");
    parser->phase = NH_PHASE_NAME;
    return 0;
}

static int parse_name(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    size_t at = parser->scanned;
    while (at < n && nh_is(data[at], NH_TOKEN))
        at++;
    parser->scanned = (uint32_t)at;
    if (at == n)
        return -EAGAIN;
    if (data[at] != ':')
        return nh_refuse(parser, 400, "byte that no field's name may have");
    if (at == parser->line)
        return nh_refuse(parser, 400, "field without a name");
    open_field(parser)->name = nh_span(parser->line, at);
    parser->scanned = (uint32_t)at + 1;
    parser->mark = parser->scanned;
    parser->phase = NH_PHASE_VALUE;
    return 0;
}

static struct nhttp_span without_space(const uint8_t *data, size_t from, size_t to)
{
    while (from < to && (data[from] == ' ' || data[from] == '\t'))
        from++;
    while (to > from && (data[to - 1] == ' ' || data[to - 1] == '\t'))
        to--;
    return nh_span(from, to);
}

/* The line is complete. */
static int take_field(struct nhttp_head_parser *parser, const uint8_t *data)
{
    struct nhttp_field *field = open_field(parser);
    field->id = nh_field_id(nh_at(data, field->name), field->name.len);
    parser->lines++;
    parser->phase = NH_PHASE_LINE;
    if (parser->head.kind == NHTTP_HEAD_TRAILERS) {
        if (nh_may_trail(field, data))
            parser->head.field_count++;
        return 0;
    }
    parser->head.field_count++;
    return field->id == NHTTP_FIELD_OTHER ? 0 : nh_note_field(parser, data, field);
}

static int parse_value(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    size_t end = nh_scanner()->value(data, parser->scanned, n);
    parser->scanned = (uint32_t)end;
    if (end == n)
        return -EAGAIN;
    if (data[end] != '\r')
        return nh_refuse(parser, 400, "control byte in a field's value");
    int status = nh_end_line(parser, data, n);
    if (status != 0)
        return status;
    open_field(parser)->value = without_space(data, parser->mark, end);
    return take_field(parser, data);
}

static int step(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    switch ((enum nh_phase)parser->phase) {
    case NH_PHASE_BEGIN:
        return begin(parser, data, n);
    case NH_PHASE_METHOD:
        return nh_parse_method(parser, data, n);
    case NH_PHASE_TARGET:
        return nh_parse_target(parser, data, n);
    case NH_PHASE_VERSION:
        return nh_parse_version(parser, data, n);
    case NH_PHASE_STATUS_LINE:
        return nh_parse_status_line(parser, data, n);
    case NH_PHASE_LINE:
        return begin_line(parser, data, n);
    case NH_PHASE_NAME:
        return parse_name(parser, data, n);
    case NH_PHASE_VALUE:
        return parse_value(parser, data, n);
    case NH_PHASE_DONE:
    case NH_PHASE_REFUSED:
        break;
    }
    return -EBADMSG;
}

ssize_t nhttp_head_parse(struct nhttp_head_parser *parser, const void *data, size_t n)
{
    size_t limit = parser->limits.head_bytes;
    size_t visible = n < limit ? n : limit;
    int status = 0;
    while (status == 0 && parser->phase != NH_PHASE_DONE)
        status = step(parser, data, visible);
    if (status == 0)
        return (ssize_t)parser->scanned;
    if (status == -EAGAIN && n > limit)
        return nh_refuse(parser, 431, "head above the limit");
    return status;
}
