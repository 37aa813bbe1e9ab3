/* How an answer becomes bytes: RFC 9112, sections 4 to 6; RFC 9110, section 15. Thread: who
 * answers. */
#include "request.h"

#include <linkbuffer/linkbuffer.h>
#include <nhttp/status.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a body may have to be copied behind its head; a larger one goes as it lies. */
#define COPY_BYTES ((size_t)4 << 10)

#define DEFAULT_TYPE "text/plain; charset=utf-8"

/* The parts of a head, and the body if it is small. */
struct parts {
    struct nhttp_text all[16];
    size_t count;
    size_t bytes;
    char length[48];
};

/* Not all of it is worth being set. */
static void begin(struct parts *parts)
{
    parts->count = 0;
    parts->bytes = 0;
}

static void add(struct parts *parts, const char *data, size_t n)
{
    if (n == 0)
        return;
    parts->all[parts->count++] = (struct nhttp_text){.data = data, .len = n};
    parts->bytes += n;
}

#define ADD(parts, text) add(parts, text, sizeof(text) - 1)

/* The status line, and the date if there is one. room: for the line. */
static void add_status(struct parts *parts, int status, bool has_date, char *room, size_t size)
{
    const char *lines = hs_first_lines();
    size_t ok_bytes = sizeof HS_OK_LINE - 1;
    if (status == 200) {
        add(parts, lines, has_date ? ok_bytes + HS_DATE_BYTES : ok_bytes);
        return;
    }
    int n = snprintf(room, size, "HTTP/1.1 %d %s\r\n", status, nhttp_status_text(status));
    add(parts, room, n > 0 ? (size_t)n : 0);
    add(parts, lines + ok_bytes, has_date ? HS_DATE_BYTES : 0);
}

/* RFC 9110, section 8.6. */
static void add_length(struct parts *parts, uint64_t length)
{
    char *end = parts->length + sizeof parts->length;
    char *at = end - 2;
    at[0] = '\r';
    at[1] = '\n';
    do {
        *--at = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    at -= sizeof "Content-Length: " - 1;
    memcpy(at, "Content-Length: ", sizeof "Content-Length: " - 1);
    add(parts, at, (size_t)(end - at));
}

static void add_connection(struct parts *parts, bool is_last, bool is_old)
{
    if (is_last)
        ADD(parts, "Connection: close\r\n");
    else if (is_old)
        ADD(parts, "Connection: keep-alive\r\n");
}

static int write_parts(struct netpoll_conn *conn, const struct parts *parts)
{
    void *room;
    int status = netpoll_conn_reserve(conn, parts->bytes, &room);
    if (status != 0)
        return status;
    char *at = room;
    for (size_t i = 0; i < parts->count; i++) {
        memcpy(at, parts->all[i].data, parts->all[i].len);
        at += parts->all[i].len;
    }
    return 0;
}

static bool has_no_body(int status)
{
    return status == 204 || status == 304 || status < 200;
}

static uint64_t body_bytes(struct nhttp_request *request)
{
    struct hs_body_out *out = &request->out;
    if (out->lb == NULL)
        return out->text.len + out->copy.len;
    linkbuffer_flush(out->lb);
    return linkbuffer_len(out->lb);
}

static void add_type(struct parts *parts, const struct nhttp_request *request, uint64_t length)
{
    const char *type = request->type;
    if (request->has_type || (type == NULL && length == 0))
        return;
    if (type == NULL) {
        ADD(parts, "Content-Type: " DEFAULT_TYPE "\r\n");
        return;
    }
    ADD(parts, "Content-Type: ");
    add(parts, type, strlen(type));
    ADD(parts, "\r\n");
}

/* What every head begins with. room: for the status line. */
static void add_beginning(struct parts *parts, const struct nhttp_request *request, char *room,
                          size_t size)
{
    struct nhttp_server *server = request->c->server;
    bool has_date = !request->has_date && !server->options.disable_date;
    add_status(parts, request->status, has_date, room, size);
    if (!request->has_server)
        add(parts, server->name_field, server->name_field_len);
}

static void add_end(struct parts *parts, const struct nhttp_request *request, bool is_last)
{
    if (request->hijack_fn == NULL)
        add_connection(parts, is_last, request->head.minor_version == 0);
    else if (request->status == 101)
        ADD(parts, "Connection: upgrade\r\n");
    add(parts, request->lines.data, request->lines.len);
    ADD(parts, "\r\n");
}

static int write_whole(struct nhttp_request *request, bool is_last)
{
    struct netpoll_conn *conn = request->c->conn;
    struct hs_body_out *out = &request->out;
    struct parts parts;
    char status_line[80];
    uint64_t length = body_bytes(request);
    bool is_bare = has_no_body(request->status);
    bool sends_body = !is_bare && request->head.method != NHTTP_METHOD_HEAD && length > 0;
    begin(&parts);
    add_beginning(&parts, request, status_line, sizeof status_line);
    add_type(&parts, request, length);
    if (!is_bare || (request->status == 304 && length > 0))
        add_length(&parts, length);
    add_end(&parts, request, is_last);
    const struct nhttp_text copy = {.data = out->copy.data, .len = out->copy.len};
    const struct nhttp_text *text = out->text.len > 0 ? &out->text : &copy;
    bool is_small = out->lb == NULL && text->len <= COPY_BYTES;
    if (sends_body && is_small)
        add(&parts, text->data, text->len);
    int error = write_parts(conn, &parts);
    if (error == 0 && sends_body && out->lb != NULL)
        error = netpoll_conn_append(conn, out->lb);
    else if (error == 0 && sends_body && !is_small)
        error = netpoll_conn_write_ref(conn, text->data, text->len, NULL, NULL);
    request->sent = error == 0 && sends_body ? length : 0;
    return error;
}

int hs_write_answer(struct nhttp_request *request, bool is_last)
{
    int error = request->is_head_sent ? hs_stream_end(request) : write_whole(request, is_last);
    if (error == 0 && !request->is_refused)
        hs_count(request->c->server->counters, HS_COUNT_ANSWERS);
    hs_record(request->c, request, error == 0 ? request->status : 0, request->sent);
    return error;
}

int hs_write_head(struct nhttp_request *request)
{
    struct parts parts;
    char status_line[80];
    bool is_old = request->head.minor_version == 0;
    bool is_bare = has_no_body(request->status);
    bool has_length = request->announced != NHTTP_LENGTH_UNKNOWN;
    request->is_mute = is_bare || request->head.method == NHTTP_METHOD_HEAD;
    request->is_chunked = !is_bare && !has_length && !is_old;
    begin(&parts);
    /* RFC 9112, section 6.3: the end of the connection is the end of the body. */
    if (!is_bare && !has_length && is_old)
        request->is_last = true;
    add_beginning(&parts, request, status_line, sizeof status_line);
    add_type(&parts, request, 1);
    if (!is_bare && has_length)
        add_length(&parts, (uint64_t)request->announced);
    else if (request->is_chunked)
        ADD(&parts, "Transfer-Encoding: chunked\r\n");
    add_end(&parts, request, request->is_last);
    return write_parts(request->c->conn, &parts);
}

int hs_write_interim(struct nhttp_request *request, const char *status_line)
{
    struct parts parts;
    begin(&parts);
    add(&parts, status_line, strlen(status_line));
    add(&parts, request->lines.data, request->lines.len);
    ADD(&parts, "\r\n");
    return write_parts(request->c->conn, &parts);
}

int hs_write_refusal(struct hs_conn *c, int status, bool is_last, bool with_body)
{
    struct nhttp_server *server = c->server;
    struct parts parts;
    char status_line[80];
    char fields[80];
    const char *text = nhttp_status_text(status);
    size_t n = strlen(text);
    begin(&parts);
    add_status(&parts, status, !server->options.disable_date, status_line, sizeof status_line);
    add(&parts, server->name_field, server->name_field_len);
    ADD(&parts, "Content-Type: " DEFAULT_TYPE "\r\n");
    add_length(&parts, n);
    add_connection(&parts, is_last, false);
    hs_fields_of(server, status, fields, sizeof fields);
    add(&parts, fields, strlen(fields));
    ADD(&parts, "\r\n");
    if (with_body)
        add(&parts, text, n);
    int error = write_parts(c->conn, &parts);
    if (error == 0)
        hs_flush(c->conn);
    return error;
}

void hs_flush(struct netpoll_conn *conn)
{
    int status = netpoll_conn_flush(conn);
    /* The peer takes nothing of what it asks for. */
    if (status < 0 && status != -ENOTCONN && status != -EPIPE)
        (void)netpoll_conn_abort(conn);
}

int hs_write_continue(struct hs_conn *c)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    int error = netpoll_conn_write(c->conn, line, sizeof line - 1);
    if (error == 0)
        hs_flush(c->conn);
    return error;
}
