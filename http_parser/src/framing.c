/* What fields say about the body and the connection: RFC 9112, sections 3.2, 6 and 9.3. */
#include "characters.h"
#include "head.h"

#include <errno.h>
#include <string.h>

static int take_length(struct nhttp_head_parser *parser, const uint8_t *text, size_t n)
{
    uint64_t length = 0;
    if ((parser->seen & NH_SEEN_LENGTH) != 0)
        return nh_refuse(parser, 400, "more than one Content-Length");
    parser->seen |= NH_SEEN_LENGTH;
    if (n == 0)
        return nh_refuse(parser, 400, "Content-Length that is no number");
    for (size_t i = 0; i < n; i++) {
        if (!nh_is_digit(text[i]))
            return nh_refuse(parser, 400, "Content-Length that is no number");
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (length > ((uint64_t)INT64_MAX - digit) / 10)
            return nh_refuse(parser, 400, "Content-Length above 63 bits");
        length = length * 10 + digit;
    }
    parser->head.has_content_length = true;
    parser->head.content_length = length;
    return 0;
}

/* An element of a list: its bytes without white space around it. False: there is none left. */
struct element {
    const uint8_t *text;
    size_t n;
};

struct list {
    const uint8_t *at;
    const uint8_t *end;
    bool is_over;
};

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool next_element(struct list *list, struct element *out)
{
    if (list->is_over)
        return false;
    size_t left = (size_t)(list->end - list->at);
    const uint8_t *comma = left > 0 ? memchr(list->at, ',', left) : NULL;
    const uint8_t *end = comma != NULL ? comma : list->end;
    const uint8_t *from = list->at;
    list->is_over = comma == NULL;
    list->at = comma != NULL ? comma + 1 : list->end;
    while (from < end && is_space(*from))
        from++;
    while (end > from && is_space(end[-1]))
        end--;
    *out = (struct element){.text = from, .n = (size_t)(end - from)};
    return true;
}

static bool is_token(const struct element *element)
{
    for (size_t i = 0; i < element->n; i++) {
        if (!nh_is(element->text[i], NH_TOKEN))
            return false;
    }
    return element->n > 0;
}

/* A list that ends in `chunked` names codings that are not known here; anything else leaves open
 * where the body ends (RFC 9112, section 6.3). */
static int refuse_coding(struct nhttp_head_parser *parser, const uint8_t *text, size_t n)
{
    struct list list = {.at = text, .end = text + n};
    struct element element;
    bool is_chunked = false;
    while (next_element(&list, &element)) {
        if (is_chunked || !is_token(&element))
            return nh_refuse(parser, 400,
                             "Transfer-Encoding that does not say where the body ends");
        is_chunked = nh_equals(element.text, element.n, "chunked");
    }
    if (!is_chunked)
        return nh_refuse(parser, 400, "Transfer-Encoding that does not say where the body ends");
    return nh_refuse(parser, 501, "transfer coding that is not chunked");
}

static int take_coding(struct nhttp_head_parser *parser, const uint8_t *text, size_t n)
{
    if ((parser->seen & NH_SEEN_CODING) != 0)
        return nh_refuse(parser, 400, "more than one Transfer-Encoding");
    parser->seen |= NH_SEEN_CODING;
    return nh_equals(text, n, "chunked") ? 0 : refuse_coding(parser, text, n);
}

/* Tokens of every line count. What is no token means nothing. */
static void take_connection(struct nhttp_head_parser *parser, const uint8_t *text, size_t n)
{
    struct list list = {.at = text, .end = text + n};
    struct element element;
    while (next_element(&list, &element)) {
        if (nh_equals(element.text, element.n, "close"))
            parser->connection |= NH_CONNECTION_CLOSE;
        else if (nh_equals(element.text, element.n, "keep-alive"))
            parser->connection |= NH_CONNECTION_KEEP_ALIVE;
        else if (nh_equals(element.text, element.n, "upgrade"))
            parser->connection |= NH_CONNECTION_UPGRADE;
    }
}

static int take_host(struct nhttp_head_parser *parser, const struct nhttp_field *field,
                     const uint8_t *text)
{
    struct nhttp_head *head = &parser->head;
    if (head->kind != NHTTP_HEAD_REQUEST)
        return 0;
    if ((parser->seen & NH_SEEN_HOST) != 0)
        return nh_refuse(parser, 400, "more than one Host");
    parser->seen |= NH_SEEN_HOST;
    if (!nh_is_authority(text, field->value.len, false))
        return nh_refuse(parser, 400, "Host that is no host");
    /* Of CONNECT the target is what is asked for, whatever Host is: RFC 9112, section 3.3. */
    if (head->target_form == NHTTP_TARGET_AUTHORITY)
        return 0;
    if (head->target_form != NHTTP_TARGET_ABSOLUTE) {
        head->host = field->value;
        return 0;
    }
    /* Whoever looks at one only must come to the same host. */
    const uint8_t *target_host = text - field->value.offset + head->host.offset;
    bool is_same = head->host.len == field->value.len;
    for (size_t i = 0; is_same && i < field->value.len; i++)
        is_same = (text[i] | 0x20) == (target_host[i] | 0x20);
    return is_same ? 0 : nh_refuse(parser, 400, "target of another host than Host's");
}

static void take_expect(struct nhttp_head *head, const uint8_t *text, size_t n)
{
    if (nh_equals(text, n, "100-continue"))
        head->expects_continue = true;
    else
        head->expects_other = true;
}

int nh_note_field(struct nhttp_head_parser *parser, const uint8_t *data,
                  const struct nhttp_field *field)
{
    const uint8_t *text = nh_at(data, field->value);
    size_t n = field->value.len;
    switch (field->id) {
    case NHTTP_FIELD_CONTENT_LENGTH:
        return take_length(parser, text, n);
    case NHTTP_FIELD_TRANSFER_ENCODING:
        return take_coding(parser, text, n);
    case NHTTP_FIELD_HOST:
        return take_host(parser, field, text);
    case NHTTP_FIELD_CONNECTION:
        take_connection(parser, text, n);
        return 0;
    case NHTTP_FIELD_EXPECT:
        take_expect(&parser->head, text, n);
        return 0;
    default:
        return 0;
    }
}

/* RFC 9112, section 6.3, for a request; a response that has neither goes on until the close. */
static int find_body(struct nhttp_head_parser *parser)
{
    struct nhttp_head *head = &parser->head;
    bool is_request = head->kind == NHTTP_HEAD_REQUEST;
    bool has_length = (parser->seen & NH_SEEN_LENGTH) != 0;
    if ((parser->seen & NH_SEEN_CODING) != 0) {
        if (is_request && has_length)
            return nh_refuse(parser, 400, "Content-Length beside Transfer-Encoding");
        if (is_request && head->minor_version == 0)
            return nh_refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
        head->body = NHTTP_BODY_CHUNKED;
        head->has_content_length = false;
        head->content_length = 0;
        /* Section 6.1: of a response such framing is faulty, and its connection ends with it. */
        if (has_length || head->minor_version == 0)
            head->keeps_alive = false;
    } else if (has_length) {
        head->body = head->content_length > 0 ? NHTTP_BODY_LENGTH : NHTTP_BODY_NONE;
    } else if (!is_request) {
        head->body = NHTTP_BODY_UNTIL_CLOSE;
    }
    return 0;
}

int nh_conclude(struct nhttp_head_parser *parser)
{
    struct nhttp_head *head = &parser->head;
    if (head->kind == NHTTP_HEAD_TRAILERS)
        return 0;
    bool is_modern = head->minor_version > 0;
    if (head->kind == NHTTP_HEAD_REQUEST && is_modern && (parser->seen & NH_SEEN_HOST) == 0)
        return nh_refuse(parser, 400, "no Host");
    head->keeps_alive = (parser->connection & NH_CONNECTION_CLOSE) == 0 &&
                        (is_modern || (parser->connection & NH_CONNECTION_KEEP_ALIVE) != 0);
    head->wants_upgrade = is_modern && (parser->connection & NH_CONNECTION_UPGRADE) != 0;
    head->expects_continue = is_modern && head->expects_continue && !head->expects_other;
    head->expects_other = is_modern && head->expects_other;
    return find_body(parser);
}

void nhttp_head_response_to(struct nhttp_head *head, enum nhttp_method method)
{
    bool is_tunnel = method == NHTTP_METHOD_CONNECT && head->status / 100 == 2;
    bool is_bare = method == NHTTP_METHOD_HEAD || head->status / 100 == 1 || head->status == 204 ||
                   head->status == 304;
    if (is_tunnel || is_bare)
        head->body = NHTTP_BODY_NONE;
    else if (head->body == NHTTP_BODY_UNTIL_CLOSE)
        head->keeps_alive = false;
    /* Nothing frames a tunnel: RFC 9110, section 9.3.6. */
    if (is_tunnel)
        head->has_content_length = false;
}

const struct nhttp_field *nhttp_head_find_id(const struct nhttp_head *head, enum nhttp_field_id id)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id == id)
            return &head->fields[i];
    }
    return NULL;
}

static bool is_name(const uint8_t *have, const char *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t a = have[i];
        uint8_t b = (uint8_t)want[i];
        if (a >= 'A' && a <= 'Z')
            a |= 0x20;
        if (b >= 'A' && b <= 'Z')
            b |= 0x20;
        if (a != b)
            return false;
    }
    return true;
}

const struct nhttp_field *nhttp_head_find(const struct nhttp_head *head, const void *data,
                                          const char *name)
{
    size_t n = strlen(name);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct nhttp_field *field = &head->fields[i];
        if (field->name.len == n && is_name(nh_at(data, field->name), name, n))
            return field;
    }
    return NULL;
}
