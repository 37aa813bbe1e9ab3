/* Bodies that have begun: they leave piece by piece. Thread: who has the request. */
#include "octets.h"
#include "request.h"

#include <linkbuffer/linkbuffer.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "ffffffffffffffff\r\n" */
#define SIZE_BYTES 20

/* From here on nobody else answers. */
static int claim(struct nhttp_request *request)
{
    if (request->is_claimed)
        return 0;
    if (!hs_request_claim(request, HS_CLAIM_HANDLER))
        return -ECANCELED;
    request->is_claimed = true;
    return 0;
}

/* Announces n bytes. 0; 1: they are not sent; -errno. */
static int begin_piece(struct nhttp_request *request, size_t n)
{
    char size[SIZE_BYTES];
    /* Half a piece may have been written: nothing can come behind it. */
    if (request->has_failed)
        return -ENOTCONN;
    if (request->announced != NHTTP_LENGTH_UNKNOWN &&
        n > (uint64_t)request->announced - request->sent)
        return -EMSGSIZE;
    if (n == 0 || request->is_mute)
        return 1;
    if (!request->is_chunked)
        return 0;
    int len = snprintf(size, sizeof size, "%zx\r\n", n);
    return netpoll_conn_write(request->c->conn, size, (size_t)len);
}

/* Ends n bytes that have been written, if that went well. They have been taken, whatever becomes of
 * their end: the next call tells. */
static int end_piece(struct nhttp_request *request, size_t n, int status)
{
    if (status < 0) {
        request->has_failed = request->has_failed || status != -EMSGSIZE;
        return status;
    }
    /* Counted also when they are not sent: what was announced has been said. */
    request->sent += n;
    if (status == 0 && request->is_chunked && netpoll_conn_write(request->c->conn, "\r\n", 2) != 0)
        request->has_failed = true;
    return 0;
}

int hs_stream_write(struct nhttp_request *request, const void *data, size_t n)
{
    int status = begin_piece(request, n);
    if (status == 0)
        status = netpoll_conn_write(request->c->conn, data, n);
    return end_piece(request, n, status);
}

int hs_stream_write_ref(struct nhttp_request *request, const struct linkbuffer_ref *ref)
{
    int status = begin_piece(request, ref->n);
    if (status == 0)
        status =
            netpoll_conn_write_ref(request->c->conn, ref->data, ref->n, ref->release, ref->arg);
    else if (status == 1 && ref->release != NULL)
        ref->release(ref->arg);
    return end_piece(request, ref->n, status);
}

int hs_stream_write_file(struct nhttp_request *request, const struct linkbuffer_file *file)
{
    int status = begin_piece(request, file->n);
    if (status == 0)
        status = netpoll_conn_write_file(request->c->conn, file);
    else if (status == 1 && file->release != NULL)
        file->release(file->arg);
    return end_piece(request, file->n, status);
}

/* Not what its writer adds meanwhile, which has not been announced. */
static int append_exactly(struct netpoll_conn *conn, struct linkbuffer *from, size_t n)
{
    struct linkbuffer *piece;
    int status = linkbuffer_slice(from, n, &piece);
    if (status != 0)
        return status;
    status = netpoll_conn_append(conn, piece);
    linkbuffer_destroy(piece);
    return status;
}

int hs_stream_append(struct nhttp_request *request, struct linkbuffer *from)
{
    size_t n = linkbuffer_len(from);
    int status = begin_piece(request, n);
    if (status == 0)
        status = append_exactly(request->c->conn, from, n);
    else if (status == 1 && linkbuffer_skip(from, n) == 0)
        linkbuffer_release(from);
    return end_piece(request, n, status);
}

/* What was written before the body began. */
static int send_beginning(struct nhttp_request *request)
{
    struct hs_body_out *out = &request->out;
    if (out->lb != NULL) {
        linkbuffer_flush(out->lb);
        return hs_stream_append(request, out->lb);
    }
    int status = hs_stream_write(request, out->text.data, out->text.len);
    return status != 0 ? status : hs_stream_write(request, out->copy.data, out->copy.len);
}

static uint64_t written(struct nhttp_request *request)
{
    struct hs_body_out *out = &request->out;
    if (out->lb == NULL)
        return out->text.len + out->copy.len;
    linkbuffer_flush(out->lb);
    return linkbuffer_len(out->lb);
}

int nhttp_response_begin(struct nhttp_request *request, int64_t length)
{
    if (request->is_head_sent)
        return -EBUSY;
    if (request->is_in_head)
        return -EPERM;
    if (length < NHTTP_LENGTH_UNKNOWN ||
        (length != NHTTP_LENGTH_UNKNOWN && (uint64_t)length < written(request)))
        return -EINVAL;
    int status = claim(request);
    if (status != 0)
        return status;
    request->announced = length;
    request->is_last = hs_request_is_last(request);
    status = hs_write_head(request);
    if (status != 0)
        return status;
    request->is_head_sent = true;
    request->lines.len = 0;
    return send_beginning(request);
}

int nhttp_response_flush(struct nhttp_request *request)
{
    uint8_t none = HS_ROOM_NONE;
    if (!request->is_head_sent)
        return -EINVAL;
    /* Before it: the poller that makes room at once finds it. Relaxed: nobody is called for it. */
    atomic_store_explicit(&request->room, HS_ROOM_NONE, memory_order_relaxed);
    int status = netpoll_conn_flush(request->c->conn);
    if (status != 1)
        (void)atomic_compare_exchange_strong_explicit(&request->room, &none, HS_ROOM_THERE,
                                                      memory_order_relaxed, memory_order_relaxed);
    return status;
}

int nhttp_response_on_writable(struct nhttp_request *request, nhttp_request_fn *fn, void *arg)
{
    uint8_t none = HS_ROOM_NONE;
    if (fn == NULL || !request->is_deferred)
        return -EINVAL;
    request->room_fn = fn;
    request->room_arg = arg;
    /* Release: pairs with the poller's exchange, which hands the request to fn. */
    bool is_armed = atomic_compare_exchange_strong_explicit(
        &request->room, &none, HS_ROOM_WANTED, memory_order_release, memory_order_relaxed);
    return is_armed ? 0 : -EALREADY;
}

int nhttp_response_flush_wait(struct nhttp_request *request, int64_t timeout_ms)
{
    return request->is_head_sent ? netpoll_conn_flush_wait(request->c->conn, timeout_ms) : -EINVAL;
}

static bool may_trail(const char *name)
{
    static const char *const never[] = {
        "Authorization",
        "Cache-Control",
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "Cookie",
        "Date",
        "Expect",
        "Host",
        "Keep-Alive",
        "Location",
        "Max-Forwards",
        "Pragma",
        "Proxy-Authenticate",
        "Proxy-Connection",
        "Proxy-Authorization",
        "Range",
        "Set-Cookie",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "WWW-Authenticate",
    };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (hs_is(name, n, never[i]))
            return false;
    }
    return !hs_begins_with((struct nhttp_text){name, n}, "X-Forwarded") &&
           !hs_is(name, n, "X-Real-IP");
}

int nhttp_response_add_trailer(struct nhttp_request *request, const char *name, const char *value)
{
    if (!request->is_head_sent)
        return -EINVAL;
    if (!may_trail(name))
        return -EPERM;
    return hs_add_line(request, name, value);
}

int nhttp_response_early_hints(struct nhttp_request *request)
{
    if (request->is_head_sent)
        return -EBUSY;
    if (request->head.minor_version == 0)
        return 0;
    int status = claim(request);
    if (status == 0)
        status = hs_write_interim(request, "HTTP/1.1 103 Early Hints\r\n");
    if (status == 0)
        status = netpoll_conn_flush(request->c->conn);
    return status < 0 ? status : 0;
}

int hs_stream_end(struct nhttp_request *request)
{
    struct netpoll_conn *conn = request->c->conn;
    bool is_short = request->announced != NHTTP_LENGTH_UNKNOWN &&
                    request->sent < (uint64_t)request->announced && !request->is_mute;
    if (request->has_failed || is_short)
        return -EPROTO;
    if (!request->is_chunked || request->is_mute)
        return 0;
    int status = netpoll_conn_write(conn, "0\r\n", 3);
    if (status == 0)
        status = netpoll_conn_write(conn, request->lines.data, request->lines.len);
    return status != 0 ? status : netpoll_conn_write(conn, "\r\n", 2);
}
