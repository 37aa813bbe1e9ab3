/* The body of a request: from the connection's input to the request's buffer. Turn. */
#include "request.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

/* What is shown of the input at a time. */
#define WINDOW_BYTES ((size_t)16 << 10)
/* Pieces of a chunked body below this are copied: a window of its own costs more. */
#define COPY_BYTES ((size_t)2 << 10)
/* What outlives the turn is copied out of its block of 64 KiB up to this. */
#define SETTLE_BYTES ((size_t)2 << 10)

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int buffer(struct nhttp_request *request)
{
    return request->in.lb != NULL ? 0 : linkbuffer_create(&request->in.lb);
}

/* Moves n bytes of the input to the body. */
static int move(struct nhttp_request *request, size_t n)
{
    struct linkbuffer *piece;
    int status = netpoll_conn_slice(request->c->conn, n, &piece);
    if (status != 0)
        return status;
    if (request->in.lb == NULL) {
        request->in.lb = piece;
        return 0;
    }
    status = linkbuffer_append(request->in.lb, piece);
    linkbuffer_flush(request->in.lb);
    linkbuffer_destroy(piece);
    return status;
}

static int copy(struct nhttp_request *request, const struct nhttp_piece *piece)
{
    int status = buffer(request);
    if (status == 0)
        status = linkbuffer_write(request->in.lb, piece->data, piece->n);
    if (status == 0)
        linkbuffer_flush(request->in.lb);
    return status;
}

static void note_progress(struct nhttp_request *request, size_t n)
{
    request->in.bytes += n;
    request->c->progress_ms = (uint32_t)hs_now_ms();
}

static int take_counted(struct nhttp_request *request, size_t room)
{
    struct hs_body_in *in = &request->in;
    size_t len = smaller(netpoll_conn_len(request->c->conn), room);
    size_t n = in->left < len ? (size_t)in->left : len;
    if (n == 0)
        return -EAGAIN;
    int status = move(request, n);
    if (status != 0)
        return status;
    note_progress(request, n);
    in->left -= n;
    if (in->left == 0)
        return 0;
    return n == room ? HS_BODY_FULL : -EAGAIN;
}

/* What is shown of trailers stays; one that has none takes nothing. */
static int keep_trailers(struct nhttp_request *request, const struct nhttp_head *head,
                         const char *bytes, size_t n)
{
    size_t fields_bytes = head->field_count * sizeof(struct nhttp_field);
    if (fields_bytes == 0)
        return 0;
    struct hs_trailers *trailers = mcache_alloc(sizeof *trailers + fields_bytes + n);
    if (trailers == NULL)
        return -ENOMEM;
    char *tail = (char *)(trailers + 1);
    memcpy(tail, head->fields, fields_bytes);
    memcpy(tail + fields_bytes, bytes, n);
    trailers->head = *head;
    trailers->head.fields = (struct nhttp_field *)(void *)tail;
    trailers->bytes = tail + fields_bytes;
    request->in.trailers = trailers;
    return 0;
}

/* The trailer section. */
static int take_trailers(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    const struct nhttp_head_limits *limits = &c->server->options.head;
    size_t n = smaller(netpoll_conn_len(c->conn), (size_t)limits->head_bytes + 1);
    const void *data;
    int status;
    if (c->partial == NULL) {
        c->partial = mcache_alloc(sizeof *c->partial + limits->fields * sizeof(struct nhttp_field));
        if (c->partial == NULL)
            return -ENOMEM;
        status =
            nhttp_head_begin(&c->partial->parser, NHTTP_HEAD_TRAILERS, limits, c->partial->table);
        if (status != 0)
            return status;
    }
    if (n == 0)
        return -EAGAIN;
    status = netpoll_conn_peek(c->conn, n, &data);
    if (status != 0)
        return status;
    ssize_t used = nhttp_head_parse(&c->partial->parser, data, n);
    if (used == -EAGAIN)
        return -EAGAIN;
    if (used < 0)
        return c->partial->parser.status;
    status = keep_trailers(request, &c->partial->parser.head, data, (size_t)used);
    mcache_free(c->partial);
    c->partial = NULL;
    return status != 0 ? status : netpoll_conn_skip(c->conn, (size_t)used);
}

/* Takes what one window of the input has. -EAGAIN: nothing. */
static int decode(struct nhttp_request *request)
{
    struct hs_body_in *in = &request->in;
    struct netpoll_conn *conn = request->c->conn;
    size_t n = smaller(netpoll_conn_len(conn), WINDOW_BYTES);
    const void *data;
    struct nhttp_piece piece;
    if (n == 0)
        return -EAGAIN;
    int status = netpoll_conn_peek(conn, n, &data);
    if (status != 0)
        return status;
    ssize_t used = nhttp_chunked_decode(&in->chunked, data, n, &piece);
    if (used < 0)
        return 400;
    /* What the chunk says to have is enough: its bytes are not waited for. */
    if (in->bytes + piece.n + in->chunked.left > request->config.max_body_bytes)
        return 413;
    size_t moved = piece.n >= COPY_BYTES ? piece.n : 0;
    if (piece.n > 0 && moved == 0)
        status = copy(request, &piece);
    if (status == 0)
        status = netpoll_conn_skip(conn, (size_t)used - moved);
    if (status == 0 && moved > 0)
        status = move(request, moved);
    note_progress(request, piece.n);
    return status;
}

static int take_chunks(struct nhttp_request *request, size_t room)
{
    uint64_t before = request->in.bytes;
    int status = 0;
    while (status == 0 && !nhttp_chunked_is_done(&request->in.chunked)) {
        status = decode(request);
        if (status == 0 && request->in.bytes - before >= room)
            return HS_BODY_FULL;
    }
    return status != 0 ? status : take_trailers(request);
}

void hs_body_begin(struct nhttp_request *request)
{
    if (request->head.body == NHTTP_BODY_NONE)
        return;
    request->in.state = HS_BODY_COMING;
    request->in.left = request->head.content_length;
    nhttp_chunked_begin(&request->in.chunked, &request->c->server->options.chunked);
}

bool hs_body_may_drain(const struct nhttp_request *request)
{
    const struct nhttp_head *head = &request->head;
    if (request->in.state == HS_BODY_WHOLE)
        return true;
    /* Whether the client sends it at all, once it is answered, cannot be known. */
    if (head->expects_continue || head->expects_other)
        return false;
    return request->in.left <= request->c->server->options.max_drain_bytes;
}

int hs_body_take(struct nhttp_request *request, size_t room)
{
    bool is_chunked = request->head.body == NHTTP_BODY_CHUNKED;
    int status = is_chunked ? take_chunks(request, room) : take_counted(request, room);
    if (status == 0)
        request->in.state = HS_BODY_WHOLE;
    if (status == -EAGAIN && request->in.lb != NULL)
        linkbuffer_settle(request->in.lb, SETTLE_BYTES);
    return status;
}
