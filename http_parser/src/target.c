/* A request's target: RFC 9112, section 3.2, with the parts of RFC 3986 that it needs. */
#include "characters.h"
#include "head.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* The address between the brackets, as text. */
static bool is_address(const uint8_t *data, size_t n)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (n == 0 || n >= sizeof text)
        return false;
    memcpy(text, data, n);
    text[n] = '\0';
    return strlen(text) == n && inet_pton(AF_INET6, text, &address) == 1;
}

/* Bytes of the name that this begins with; 0: it begins with none. */
static size_t reg_name_bytes(const uint8_t *data, size_t n)
{
    for (size_t at = 0;; at += 3) {
        while (at < n && nh_is(data[at], NH_HOST))
            at++;
        if (at == n || data[at] != '%')
            return at;
        if (n - at < 3 || !nh_is(data[at + 1], NH_HEX) || !nh_is(data[at + 2], NH_HEX))
            return 0;
    }
}

/* Digits up to 65535; none, unless there has to be one. */
static bool is_port(const uint8_t *data, size_t n, bool needs_port)
{
    uint32_t port = 0;
    if (n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!nh_is_digit(data[i]))
            return false;
        port = port * 10 + (uint32_t)(data[i] - '0');
    }
    return port <= UINT16_MAX && (n > 0 || !needs_port);
}

bool nh_is_authority(const uint8_t *data, size_t n, bool needs_port)
{
    const uint8_t *end = data + n;
    const uint8_t *behind;
    if (n > 0 && data[0] == '[') {
        const uint8_t *close = memchr(data, ']', n);
        if (close == NULL || !is_address(data + 1, (size_t)(close - data) - 1))
            return false;
        behind = close + 1;
    } else {
        size_t name = reg_name_bytes(data, n);
        if (name == 0)
            return false;
        behind = data + name;
    }
    if (behind == end)
        return !needs_port;
    return *behind == ':' && is_port(behind + 1, (size_t)(end - behind) - 1, needs_port);
}

/* The first of these bytes; n: there is none. Most targets are shorter than a call. */
static size_t find_byte(const uint8_t *data, size_t n, char byte)
{
    size_t at = 0;
    for (; at < n && at < 16; at++) {
        if (data[at] == (uint8_t)byte)
            return at;
    }
    const uint8_t *found = at < n ? memchr(data + at, byte, n - at) : NULL;
    return found != NULL ? (size_t)(found - data) : n;
}

/* "/path?query" from `from` on, either part may be empty. */
static void split_path(struct nhttp_head *head, const uint8_t *data, size_t from)
{
    size_t end = (size_t)head->target.offset + head->target.len;
    size_t path_end = from + find_byte(data + from, end - from, '?');
    head->path = nh_span(from, path_end);
    head->query = nh_span(path_end < end ? path_end + 1 : end, end);
}

/* Bytes of "http://" or "https://"; 0: it begins with neither. */
static size_t scheme_bytes(const uint8_t *target, size_t n)
{
    if (n >= 7 && nh_equals(target, 7, "http://"))
        return 7;
    return n >= 8 && nh_equals(target, 8, "https://") ? 8 : 0;
}

static int split_absolute(struct nhttp_head_parser *parser, const uint8_t *data)
{
    struct nhttp_head *head = &parser->head;
    const uint8_t *target = nh_at(data, head->target);
    size_t n = head->target.len;
    size_t from = scheme_bytes(target, n);
    size_t end = from;
    while (end < n && target[end] != '/' && target[end] != '?')
        end++;
    if (from == 0 || !nh_is_authority(target + from, end - from, false))
        return nh_refuse(parser, 400, "target that is none of the four forms");
    head->target_form = NHTTP_TARGET_ABSOLUTE;
    head->host = nh_span(head->target.offset + from, head->target.offset + end);
    split_path(head, data, head->target.offset + end);
    return 0;
}

int nh_split_target(struct nhttp_head_parser *parser, const uint8_t *data)
{
    struct nhttp_head *head = &parser->head;
    const uint8_t *target = nh_at(data, head->target);
    size_t n = head->target.len;
    if (head->method == NHTTP_METHOD_CONNECT) {
        head->target_form = NHTTP_TARGET_AUTHORITY;
        head->host = head->target;
        return nh_is_authority(target, n, true)
                   ? 0
                   : nh_refuse(parser, 400, "CONNECT without host and port");
    }
    if (find_byte(target, n, '#') != n)
        return nh_refuse(parser, 400, "fragment in the target");
    if (target[0] == '/') {
        split_path(head, data, head->target.offset);
        return 0;
    }
    if (n == 1 && target[0] == '*' && head->method == NHTTP_METHOD_OPTIONS) {
        head->target_form = NHTTP_TARGET_ASTERISK;
        return 0;
    }
    return split_absolute(parser, data);
}
