/* What a handler says: the response while it is made. Thread: who has the request. */
#include "octets.h"
#include "request.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>
#include <nhttp/cookie.h>
#include <nhttp/status.h>
#include <nhttp/syntax.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A body that is copied stands in one piece up to this; then it is a buffer. */
#define COPY_BYTES ((size_t)4 << 10)

/* Makes room for n more. */
static int grow(struct hs_lines *lines, size_t n)
{
    size_t wanted = lines->len + n;
    if (wanted <= lines->capacity)
        return 0;
    if (wanted > UINT32_MAX / 2)
        return -ENOMEM;
    size_t capacity = lines->capacity != 0 ? (size_t)lines->capacity * 2 : 128;
    if (capacity < wanted)
        capacity = wanted;
    char *data = mcache_realloc(lines->data, capacity);
    if (data == NULL)
        return -ENOMEM;
    lines->data = data;
    lines->capacity = (uint32_t)capacity;
    return 0;
}

static char *put(char *at, const char *text, size_t n)
{
    memcpy(at, text, n);
    return at + n;
}

static int append_line(struct hs_lines *lines, const char *name, size_t name_len, const char *value)
{
    size_t value_len = strlen(value);
    int status = grow(lines, name_len + value_len + 4);
    if (status != 0)
        return status;
    char *at = put(lines->data + lines->len, name, name_len);
    at = put(put(at, ": ", 2), value, value_len);
    put(at, "\r\n", 2);
    lines->len += (uint32_t)(name_len + value_len + 4);
    return 0;
}

static bool is_of(const char *line, const char *name, size_t n, size_t line_len)
{
    return line_len > n && line[n] == ':' && hs_is(line, n, name);
}

/* True: there was one. */
static bool remove_lines(struct hs_lines *lines, const char *name, size_t n)
{
    bool found = false;
    uint32_t at = 0;
    while (at < lines->len) {
        char *line = lines->data + at;
        char *end = memchr(line, '\n', lines->len - at);
        uint32_t line_len = (uint32_t)(end + 1 - line);
        if (!is_of(line, name, n, line_len)) {
            at += line_len;
            continue;
        }
        found = true;
        memmove(line, end + 1, lines->len - at - line_len);
        lines->len -= line_len;
    }
    return found;
}

int nhttp_response_set_status(struct nhttp_request *request, int status)
{
    if (request->is_head_sent)
        return -EBUSY;
    bool is_upgrade = status == 101 && request->head.wants_upgrade && request->hijack_fn != NULL;
    if ((status < 200 || status > 599) && !is_upgrade)
        return -EINVAL;
    request->status = (uint16_t)status;
    return 0;
}

int nhttp_response_status(const struct nhttp_request *request)
{
    return request->status;
}

/* Who may say what: 0; 1: it has been said by this; -EINVAL; -EPERM. */
static int check_field(struct nhttp_request *request, const char *name, size_t n, const char *value)
{
    if (!nhttp_is_token(name, n) || !nhttp_is_value(value, strlen(value)))
        return -EINVAL;
    if (hs_is(name, n, "Content-Length") || hs_is(name, n, "Transfer-Encoding") ||
        hs_is(name, n, "Keep-Alive"))
        return -EPERM;
    if (hs_is(name, n, "Connection")) {
        if (!hs_is(value, strlen(value), "close"))
            return -EPERM;
        request->closes = true;
        return 1;
    }
    return 0;
}

static void note_field(struct nhttp_request *request, const char *name, size_t n, bool is_there)
{
    if (hs_is(name, n, "Content-Type"))
        request->has_type = is_there;
    else if (hs_is(name, n, "Date"))
        request->has_date = is_there;
    else if (hs_is(name, n, "Server"))
        request->has_server = is_there;
}

int hs_add_line(struct nhttp_request *request, const char *name, const char *value)
{
    size_t n = strlen(name);
    if (!nhttp_is_token(name, n) || !nhttp_is_value(value, strlen(value)))
        return -EINVAL;
    return append_line(&request->lines, name, n, value);
}

static int put_field(struct nhttp_request *request, const char *name, const char *value,
                     bool replaces)
{
    size_t n = strlen(name);
    if (request->is_head_sent)
        return -EBUSY;
    int status = check_field(request, name, n, value);
    if (status != 0)
        return status < 0 ? status : 0;
    status = grow(&request->lines, n + strlen(value) + 4);
    if (status != 0)
        return status;
    if (replaces)
        (void)remove_lines(&request->lines, name, n);
    note_field(request, name, n, true);
    return append_line(&request->lines, name, n, value);
}

int nhttp_response_set_field(struct nhttp_request *request, const char *name, const char *value)
{
    return put_field(request, name, value, true);
}

int nhttp_response_add_field(struct nhttp_request *request, const char *name, const char *value)
{
    return put_field(request, name, value, false);
}

int nhttp_response_remove_field(struct nhttp_request *request, const char *name)
{
    if (request->is_head_sent)
        return -EBUSY;
    size_t n = strlen(name);
    if (!remove_lines(&request->lines, name, n))
        return -ENOENT;
    note_field(request, name, n, false);
    return 0;
}

int nhttp_response_set_cookie(struct nhttp_request *request, const struct nhttp_set_cookie *cookie)
{
    char value[NHTTP_SET_COOKIE_BYTES_MAX];
    ssize_t n = nhttp_set_cookie_format(cookie, value, sizeof value);
    return n < 0 ? (int)n : nhttp_response_add_field(request, "Set-Cookie", value);
}

int nhttp_response_set_type(struct nhttp_request *request, const char *type)
{
    if (request->is_head_sent)
        return -EBUSY;
    if (!nhttp_is_value(type, strlen(type)))
        return -EINVAL;
    if (request->has_type)
        (void)nhttp_response_remove_field(request, "Content-Type");
    request->type = type;
    return 0;
}

int hs_response_to_buffer(struct nhttp_request *request)
{
    struct hs_body_out *out = &request->out;
    if (out->lb != NULL)
        return 0;
    int status = linkbuffer_create(&out->lb);
    if (status != 0)
        return status;
    if (out->text.len > 0)
        status = linkbuffer_write_ref(out->lb, out->text.data, out->text.len, NULL, NULL);
    else if (out->copy.len > 0)
        status = linkbuffer_write(out->lb, out->copy.data, out->copy.len);
    if (status != 0) {
        linkbuffer_destroy(out->lb);
        out->lb = NULL;
        return status;
    }
    out->text = (struct nhttp_text){0};
    out->copy.len = 0;
    return 0;
}

int nhttp_response_write(struct nhttp_request *request, const void *data, size_t n)
{
    struct hs_body_out *out = &request->out;
    if (request->is_head_sent)
        return hs_stream_write(request, data, n);
    if (n == 0)
        return 0;
    if (out->lb == NULL && out->text.len == 0 && out->copy.len + n <= COPY_BYTES) {
        int status = grow(&out->copy, n);
        if (status != 0)
            return status;
        memcpy(out->copy.data + out->copy.len, data, n);
        out->copy.len += (uint32_t)n;
        return 0;
    }
    int status = hs_response_to_buffer(request);
    return status != 0 ? status : linkbuffer_write(out->lb, data, n);
}

int nhttp_response_write_ref(struct nhttp_request *request, const void *data, size_t n,
                             linkbuffer_release_fn *release, void *arg)
{
    struct hs_body_out *out = &request->out;
    const struct linkbuffer_ref ref = {.data = data, .n = n, .release = release, .arg = arg};
    if (request->is_head_sent)
        return hs_stream_write_ref(request, &ref);
    if (release == NULL && out->lb == NULL && out->copy.len == 0 && out->text.len == 0) {
        out->text = (struct nhttp_text){.data = data, .len = n};
        return 0;
    }
    int status = hs_response_to_buffer(request);
    return status != 0 ? status : linkbuffer_write_ref(out->lb, data, n, release, arg);
}

int nhttp_response_append(struct nhttp_request *request, struct linkbuffer *from)
{
    if (request->is_head_sent)
        return hs_stream_append(request, from);
    int status = hs_response_to_buffer(request);
    return status != 0 ? status : linkbuffer_append(request->out.lb, from);
}

static void drop_body(struct nhttp_request *request)
{
    linkbuffer_destroy(request->out.lb);
    request->out.lb = NULL;
    request->out.copy.len = 0;
    request->out.text = (struct nhttp_text){0};
}

int nhttp_response_reset_body(struct nhttp_request *request)
{
    if (request->is_head_sent)
        return -EBUSY;
    drop_body(request);
    return 0;
}

const char *hs_fields_of(const struct nhttp_server *server, int status, char *room, size_t size)
{
    room[0] = '\0';
    if (status == 405)
        snprintf(room, size, "Allow: %s\r\n",
                 server->options.get_only ? "GET, HEAD"
                                          : "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    else if (status == 503 || status == 429)
        snprintf(room, size, "Retry-After: %u\r\n", server->options.retry_after_s);
    return room;
}

int hs_response_make(struct nhttp_request *request, int status, const char *text)
{
    char fields[80];
    drop_body(request);
    request->lines.len = 0;
    request->has_type = request->has_date = request->has_server = false;
    request->type = "text/plain; charset=utf-8";
    request->status = (uint16_t)status;
    hs_fields_of(request->c->server, status, fields, sizeof fields);
    size_t n = strlen(fields);
    if (n > 0 && grow(&request->lines, n) == 0) {
        memcpy(request->lines.data, fields, n);
        request->lines.len = (uint32_t)n;
    }
    if (text != NULL)
        return nhttp_response_write(request, text, strlen(text));
    text = nhttp_status_text(status);
    request->out.text = (struct nhttp_text){.data = text, .len = strlen(text)};
    return 0;
}

int nhttp_response_error(struct nhttp_request *request, int status, const char *text)
{
    if (request->is_head_sent)
        return -EBUSY;
    if (status < 200 || status > 599)
        return -EINVAL;
    return hs_response_make(request, status, text);
}

int nhttp_response_redirect(struct nhttp_request *request, int status, const char *location)
{
    bool is_known =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (!is_known)
        return -EINVAL;
    int error = nhttp_response_set_field(request, "Location", location);
    if (error != 0)
        return error;
    request->status = (uint16_t)status;
    return nhttp_response_reset_body(request);
}

int nhttp_response_close(struct nhttp_request *request)
{
    if (request->is_head_sent)
        return -EBUSY;
    request->closes = true;
    return 0;
}
