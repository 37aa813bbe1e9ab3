/* Arguments of queries and forms, and cookies. Thread: who has the request. */
#include "request.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>
#include <strings.h>

#define FORM_TYPE "application/x-www-form-urlencoded"

static int digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Takes one byte of an argument, decoded: application/x-www-form-urlencoded of the URL standard, by
 * which an escape that is none stays as it is. */
static char take_byte(const char **at, const char *end)
{
    const char *from = *at;
    int high = end - from >= 3 && *from == '%' ? digit(from[1]) : -1;
    int low = high >= 0 ? digit(from[2]) : -1;
    if (low >= 0) {
        *at = from + 3;
        return (char)(high * 16 + low);
    }
    *at = from + 1;
    return (char)(*from == '+' ? ' ' : *from);
}

static bool is_name(struct nhttp_text text, const char *name)
{
    const char *at = text.data;
    const char *end = text.data + text.len;
    while (at < end && *name != '\0') {
        if (take_byte(&at, end) != *name++)
            return false;
    }
    return at == end && *name == '\0';
}

/* Cuts the next part off, up to the mark. */
static struct nhttp_text cut(struct nhttp_text *rest, char mark)
{
    const char *end = rest->len > 0 ? memchr(rest->data, mark, rest->len) : NULL;
    struct nhttp_text part = {.data = rest->data, .len = rest->len};
    if (end == NULL) {
        rest->len = 0;
        return part;
    }
    part.len = (size_t)(end - rest->data);
    rest->data = end + 1;
    rest->len -= part.len + 1;
    return part;
}

static int decode(struct nhttp_request *request, struct nhttp_text value, struct nhttp_text *out)
{
    struct hs_decoded *decoded = mcache_alloc(sizeof *decoded + value.len + 1);
    if (decoded == NULL)
        return -ENOMEM;
    decoded->next = request->decoded;
    request->decoded = decoded;
    size_t n = 0;
    for (const char *at = value.data; at < value.data + value.len; n++)
        decoded->bytes[n] = take_byte(&at, value.data + value.len);
    decoded->bytes[n] = '\0';
    *out = (struct nhttp_text){.data = decoded->bytes, .len = n};
    return 0;
}

static int find(struct nhttp_request *request, struct nhttp_text all, const char *name,
                struct nhttp_text *out)
{
    while (all.len > 0) {
        struct nhttp_text value = cut(&all, '&');
        struct nhttp_text key = cut(&value, '=');
        if (key.len > 0 && is_name(key, name))
            return decode(request, value, out);
    }
    return -ENOENT;
}

int nhttp_request_query_arg(struct nhttp_request *request, const char *name, struct nhttp_text *out)
{
    return find(request, nhttp_request_query(request), name, out);
}

static bool is_form(const struct nhttp_request *request)
{
    struct nhttp_text type;
    if (nhttp_request_field_by_id(request, NHTTP_FIELD_CONTENT_TYPE, &type) != 0)
        return false;
    size_t n = sizeof FORM_TYPE - 1;
    return type.len >= n && strncasecmp(type.data, FORM_TYPE, n) == 0 &&
           (type.len == n || strchr("; \t", type.data[n]) != NULL);
}

int nhttp_request_post_arg(struct nhttp_request *request, const char *name, struct nhttp_text *out)
{
    struct nhttp_text body;
    if (!is_form(request))
        return -ENOENT;
    int status = nhttp_request_body(request, &body);
    return status != 0 ? status : find(request, body, name, out);
}

/* RFC 6265, section 4.2.1. */
static bool find_cookie(struct nhttp_text all, const char *name, struct nhttp_text *out)
{
    size_t n = strlen(name);
    while (all.len > 0) {
        struct nhttp_text value = cut(&all, ';');
        while (value.len > 0 && (*value.data == ' ' || *value.data == '\t')) {
            value.data++;
            value.len--;
        }
        bool has_value = value.len > 0 && memchr(value.data, '=', value.len) != NULL;
        struct nhttp_text key = cut(&value, '=');
        if (has_value && key.len == n && memcmp(key.data, name, n) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

int nhttp_request_cookie(const struct nhttp_request *request, const char *name,
                         struct nhttp_text *out)
{
    for (size_t i = 0; i < request->head.field_count; i++) {
        struct nhttp_text field_name;
        struct nhttp_text value;
        if (request->head.fields[i].id == NHTTP_FIELD_COOKIE &&
            nhttp_request_field_at(request, i, &field_name, &value) == 0 &&
            find_cookie(value, name, out))
            return 0;
    }
    return -ENOENT;
}
