/* The first line: of a request part by part, so that what is wrong is told at once; of a response
 * as a whole. */
#include "head.h"

#include "characters.h"
#include "scan.h"

#include <errno.h>
#include <string.h>

/* A longer one is no method that anybody has. */
#define METHOD_BYTES_MAX ((size_t)64)
/* "HTTP/1.1" */
#define VERSION_BYTES ((size_t)8)
/* Behind the version: SP and three digits. */
#define STATUS_BYTES ((size_t)4)

/* What of the line may be looked at: one byte more than it may have. */
static size_t line_end(const struct nhttp_head_parser *parser, size_t n)
{
    size_t end = (size_t)parser->line + parser->limits.line_bytes + 1;
    return end < n ? end : n;
}

static int refuse_long_line(struct nhttp_head_parser *parser)
{
    bool is_request = parser->head.kind == NHTTP_HEAD_REQUEST;
    return nh_refuse(parser, is_request ? 414 : 400, "first line above the limit");
}

static bool is_above_limit(const struct nhttp_head_parser *parser, size_t at)
{
    return at - parser->line > parser->limits.line_bytes;
}

/* What is scanned and has not ended: there has to be more, unless the line is too long by now. */
static int need_more(struct nhttp_head_parser *parser)
{
    return is_above_limit(parser, parser->scanned) ? refuse_long_line(parser) : -EAGAIN;
}

static enum nhttp_method method_of(const uint8_t *name, size_t n)
{
    static const struct {
        const char *name;
        enum nhttp_method method;
    } methods[] = {
        {"GET", NHTTP_METHOD_GET},       {"POST", NHTTP_METHOD_POST},
        {"HEAD", NHTTP_METHOD_HEAD},     {"PUT", NHTTP_METHOD_PUT},
        {"DELETE", NHTTP_METHOD_DELETE}, {"OPTIONS", NHTTP_METHOD_OPTIONS},
        {"PATCH", NHTTP_METHOD_PATCH},   {"CONNECT", NHTTP_METHOD_CONNECT},
        {"TRACE", NHTTP_METHOD_TRACE},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strlen(methods[i].name) == n && memcmp(methods[i].name, name, n) == 0)
            return methods[i].method;
    }
    return NHTTP_METHOD_OTHER;
}

static int end_method(struct nhttp_head_parser *parser, size_t at, enum nhttp_method method)
{
    parser->head.method_name = nh_span(parser->mark, at);
    parser->head.method = method;
    parser->scanned = (uint32_t)at + 1;
    parser->mark = parser->scanned;
    parser->phase = NH_PHASE_TARGET;
    return 0;
}

int nh_parse_method(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    size_t end = line_end(parser, n);
    size_t at = parser->scanned;
    if (at == parser->mark && end - at > 3 && memcmp(data + at, "GET ", 4) == 0)
        return end_method(parser, at + 3, NHTTP_METHOD_GET);
    while (at < end && at - parser->mark <= METHOD_BYTES_MAX && nh_is(data[at], NH_TOKEN))
        at++;
    parser->scanned = (uint32_t)at;
    if (at - parser->mark > METHOD_BYTES_MAX)
        return nh_refuse(parser, 501, "method above the limit");
    if (at == end)
        return need_more(parser);
    if (data[at] != ' ' || at == parser->mark)
        return nh_refuse(parser, 400, "no method, or a byte that none may have");
    return end_method(parser, at, method_of(data + parser->mark, at - parser->mark));
}

int nh_parse_target(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    size_t end = line_end(parser, n);
    size_t at = parser->scanned;
    if (at < end)
        at = nh_scanner()->target(data, at, end);
    parser->scanned = (uint32_t)at;
    if (at == end)
        return need_more(parser);
    if (data[at] != ' ' || at == parser->mark)
        return nh_refuse(parser, 400, "no target, or a byte that none may have");
    parser->head.target = nh_span(parser->mark, at);
    parser->scanned = (uint32_t)at + 1;
    parser->mark = parser->scanned;
    parser->phase = NH_PHASE_VERSION;
    return nh_split_target(parser, data);
}

/* Whether the byte may stand at this place of HTTP-version. */
static bool is_version_byte(uint8_t byte, size_t place)
{
    static const char shape[] = "HTTP/0.0";
    return shape[place] == '0' ? nh_is_digit(byte) : byte == (uint8_t)shape[place];
}

/* RFC 9112, section 2.3; its last byte is `end` - 1. */
static int take_version(struct nhttp_head_parser *parser, const uint8_t *end)
{
    if (end[-3] != '1')
        return nh_refuse(parser, 505, "version that is not HTTP/1");
    parser->head.minor_version = end[-1] == '0' ? 0 : 1;
    return 0;
}

/* What nearly every request says, at once. */
static bool is_usual_version(const uint8_t *data)
{
    return memcmp(data, "HTTP/1.1", VERSION_BYTES) == 0;
}

int nh_parse_version(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    size_t end = line_end(parser, n);
    size_t at = parser->scanned;
    if (at == parser->mark && end - at >= VERSION_BYTES && is_usual_version(data + at))
        at += VERSION_BYTES;
    while (at < end && at - parser->mark < VERSION_BYTES) {
        if (!is_version_byte(data[at], at - parser->mark))
            return nh_refuse(parser, 400, "no HTTP version where one has to be");
        at++;
    }
    parser->scanned = (uint32_t)at;
    if (at == end)
        return need_more(parser);
    if (data[at] != '\r')
        return nh_refuse(parser, 400, "bytes behind the version");
    if (is_above_limit(parser, at))
        return refuse_long_line(parser);
    int status = nh_end_line(parser, data, n);
    if (status != 0)
        return status;
    parser->phase = NH_PHASE_LINE;
    return take_version(parser, data + at);
}

/* RFC 9112, section 4; the reason, and the SP before it, may be missing. */
static int take_status_line(struct nhttp_head_parser *parser, const uint8_t *data, size_t end)
{
    size_t from = parser->mark;
    const uint8_t *line = data + from;
    size_t n = end - from;
    for (size_t i = 0; i < VERSION_BYTES; i++) {
        if (i >= n || !is_version_byte(line[i], i))
            return nh_refuse(parser, 400, "no HTTP version where one has to be");
    }
    const uint8_t *digits = line + VERSION_BYTES + 1;
    if (n < VERSION_BYTES + STATUS_BYTES || digits[-1] != ' ' || !nh_is_digit(digits[0]) ||
        !nh_is_digit(digits[1]) || !nh_is_digit(digits[2]) || digits[0] == '0')
        return nh_refuse(parser, 400, "no status of three digits");
    parser->head.status =
        (uint16_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
    from += VERSION_BYTES + STATUS_BYTES;
    if (from < end && data[from] != ' ')
        return nh_refuse(parser, 400, "no status of three digits");
    parser->head.reason = nh_span(from < end ? from + 1 : end, end);
    return take_version(parser, line + VERSION_BYTES);
}

int nh_parse_status_line(struct nhttp_head_parser *parser, const uint8_t *data, size_t n)
{
    size_t end = line_end(parser, n);
    size_t at = parser->scanned;
    if (at < end)
        at = nh_scanner()->value(data, at, end);
    parser->scanned = (uint32_t)at;
    if (at == end)
        return need_more(parser);
    if (data[at] != '\r')
        return nh_refuse(parser, 400, "control byte in the status line");
    if (is_above_limit(parser, at))
        return refuse_long_line(parser);
    int status = nh_end_line(parser, data, n);
    if (status != 0)
        return status;
    parser->phase = NH_PHASE_LINE;
    return take_status_line(parser, data, at);
}
