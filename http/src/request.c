/* A request's life: made by the poller, answered by whoever has it, freed by the last. Its handler:
 * handler.c. */
#include "upload.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/runtime.h>
#include <nhttp/path.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The bytes behind the request: its fields, its head, its path. */
static size_t tail_bytes(const struct nhttp_head *head, size_t n)
{
    return head->field_count * sizeof(struct nhttp_field) + n + head->path.len + sizeof "/";
}

/* 0, or the status that refuses it. */
static int set_path(struct nhttp_request *request, char *room)
{
    const struct nhttp_span *path = &request->head.path;
    ssize_t n = nhttp_path_decode(request->bytes + path->offset, path->len, room);
    if (n < 0)
        return 400;
    /* RFC 9112, section 3.2.1. */
    if (n == 0 && request->head.target_form == NHTTP_TARGET_ABSOLUTE)
        room[n++] = '/';
    room[n] = '\0';
    request->path = (struct nhttp_text){.data = room, .len = (size_t)n};
    return 0;
}

int hs_request_create(struct hs_conn *c, const struct nhttp_head *head, const char *bytes, size_t n)
{
    const struct nhttp_server_options *options = &c->server->options;
    struct nhttp_request *request = mcache_alloc(sizeof *request + tail_bytes(head, n));
    if (request == NULL)
        return -ENOMEM;
    memset(request, 0, offsetof(struct nhttp_request, head));
    size_t fields_bytes = head->field_count * sizeof(struct nhttp_field);
    char *tail = (char *)(request + 1);
    request->c = c;
    atomic_init(&request->refs, 1);
    request->status = 200;
    request->head = *head;
    request->head.fields = (struct nhttp_field *)(void *)tail;
    memcpy(tail, head->fields, fields_bytes);
    memcpy(tail + fields_bytes, bytes, n);
    request->bytes = tail + fields_bytes;
    request->head_bytes = (uint32_t)n;
    request->config = (struct nhttp_request_config){
        .max_body_bytes = options->max_body_bytes,
        .body_timeout_ms = options->body_timeout_ms,
        .handler_timeout_ms = options->handler_timeout_ms,
        .stream_body = options->stream_bodies,
    };
    request->began_us = options->on_record != NULL ? hs_now_us() : 0;
    int status = set_path(request, tail + fields_bytes + n);
    if (status != 0) {
        hs_request_free(request);
        return status;
    }
    c->request = request;
    return 0;
}

static void free_values(struct nhttp_request *request)
{
    /* Relaxed: nobody else has it any more. */
    struct hs_value *value = atomic_load_explicit(&request->values, memory_order_relaxed);
    while (value != NULL) {
        struct hs_value *next = value->next;
        hs_call_destroy(request->c, value);
        mcache_free(value);
        value = next;
    }
}

static void free_decoded(struct nhttp_request *request)
{
    while (request->decoded != NULL) {
        struct hs_decoded *decoded = request->decoded;
        request->decoded = decoded->next;
        mcache_free(decoded);
    }
}

void hs_request_free(struct nhttp_request *request)
{
    hs_request_drop_hijack(request);
    free_values(request);
    free_decoded(request);
    hs_upload_destroy(request->upload);
    linkbuffer_destroy(request->in.lb);
    mcache_free(request->in.trailers);
    linkbuffer_destroy(request->out.lb);
    mcache_free(request->lines.data);
    mcache_free(request->out.copy.data);
    mcache_free(request);
}

void hs_request_unref(struct nhttp_request *request)
{
    /* Release: what this holder did; acquire: what all of them did, before the free. */
    if (atomic_fetch_sub_explicit(&request->refs, 1, memory_order_acq_rel) == 1)
        hs_request_free(request);
}

bool hs_request_claim(struct nhttp_request *request, enum hs_claim as)
{
    uint8_t none = HS_CLAIM_NONE;
    /* Acquire, release: what the one that answers does comes behind what the other has done. */
    bool is_first = atomic_compare_exchange_strong_explicit(
        &request->claim, &none, (uint8_t)as, memory_order_acq_rel, memory_order_acquire);
    if (is_first && as == HS_CLAIM_POLLER && request->upload != NULL)
        hs_upload_pass(request->upload);
    return is_first;
}

void hs_request_share(struct nhttp_request *request, uint32_t more)
{
    struct hs_conn *c = request->c;
    /* Relaxed, both: nobody else has them yet. */
    atomic_store_explicit(&request->refs, 1 + more, memory_order_relaxed);
    bool is_streaming = request->upload != NULL;
    uint32_t work = is_streaming ? HS_WORK_AWAITED : 0;
    atomic_store_explicit(&c->work, work, memory_order_relaxed);
    request->is_shared = true;
    c->is_streaming = is_streaming;
    hs_conn_ref(c);
    hs_conn_hold(c);
    /* The hold is the request's: see end_shared(). */
    c->is_held = false;
    hs_conn_enter(c, HS_PHASE_WORK);
}

void hs_request_unshare(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    /* Relaxed: it is nobody else's again. */
    atomic_store_explicit(&request->refs, 1, memory_order_relaxed);
    request->is_shared = false;
    c->is_streaming = false;
    c->phase = HS_PHASE_HEAD;
    c->is_held = true;
    hs_conn_let_go(c);
    hs_conn_unref(c);
}

/* The answer has been written: the connection is told, and let go. The request may go. */
static void end_shared(struct nhttp_request *request, bool is_last)
{
    struct hs_conn *c = request->c;
    struct netpoll_conn *conn = c->conn;
    /* Relaxed: ordered by the word. */
    atomic_store_explicit(&c->rests_ms, (uint32_t)hs_now_ms(), memory_order_relaxed);
    hs_conn_tell_state(c, NHTTP_CONN_IDLE);
    bool is_streaming = request->upload != NULL;
    request->is_last = is_last;
    /* A close before the poller has thrown the rest of a body away would reset the connection. */
    if (is_last && !is_streaming)
        (void)netpoll_conn_close(conn);
    else if (!is_last)
        (void)netpoll_conn_set_alarm(conn, c->server->options.idle_timeout_ms);
    /* Release: the poller, which sees the bit, goes on with the connection; acquire: what it did to
     * the request, before that is freed. Pairs with its own changes of the word. */
    uint32_t before = atomic_fetch_or_explicit(&c->work, HS_WORK_ANSWERED, memory_order_acq_rel);
    if ((before & HS_WORK_AWAITED) != 0 && netpoll_conn_post(conn, hs_go_on, c->server) != 0)
        (void)netpoll_conn_abort(conn);
    /* Or else the poller does. */
    if ((before & HS_WORK_LOOKING) == 0 && !is_streaming)
        hs_request_unref(request);
}

bool hs_request_is_last(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    return request->closes || !request->head.keeps_alive || hs_conn_is_last(c) ||
           c->server->options.disable_keep_alive;
}

/* Whose connection it becomes. */
struct hijack {
    nhttp_hijacked_fn *fn;
    void *arg;
};

static void hand_over(struct netpoll_conn *conn, int fd, struct linkbuffer *unread, void *arg)
{
    struct hijack hijack = *(struct hijack *)arg;
    (void)conn;
    mcache_free(arg);
    hijack.fn(fd, unread, hijack.arg);
}

/* The answer has been flushed: the connection is not ours any more. */
static void hijack_conn(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    struct hijack *hijack = mcache_alloc(sizeof *hijack);
    int status = -ENOMEM;
    if (hijack != NULL) {
        *hijack = (struct hijack){.fn = request->hijack_fn, .arg = request->hijack_arg};
        hs_conn_tell_state(c, NHTTP_CONN_HIJACKED);
        status = netpoll_conn_detach(c->conn, hand_over, hijack);
    }
    if (status == 0) {
        request->hijack_fn = NULL;
        return;
    }
    mcache_free(hijack);
    (void)netpoll_conn_abort(c->conn);
    hs_request_drop_hijack(request);
}

/* Writes the answer, or what is left of it. Whether it is the last. */
static bool answer(struct nhttp_request *request)
{
    struct netpoll_conn *conn = request->c->conn;
    bool may_drain =
        request->upload != NULL ? hs_upload_may_drain(request) : hs_body_may_drain(request);
    bool is_last =
        request->is_head_sent ? request->is_last : hs_request_is_last(request) || !may_drain;
    int status = hs_write_answer(request, is_last);
    if (status != 0)
        (void)netpoll_conn_abort(conn);
    else
        hs_flush(conn);
    bool is_hijacked = request->hijack_fn != NULL;
    if (is_hijacked)
        hijack_conn(request);
    return is_last || status != 0 || is_hijacked;
}

void hs_request_let_go(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    struct netpoll_conn *conn = c->conn;
    hs_request_unref(request);
    hs_conn_unref(c);
    netpoll_conn_release(conn);
}

void hs_request_finish(struct nhttp_request *request)
{
    if (request->is_claimed || hs_request_claim(request, HS_CLAIM_HANDLER)) {
        /* The end of the connection that may follow concerns nobody any more. Relaxed: if the
         * poller's exchange comes first, its call may be beside this one. */
        atomic_store_explicit(&request->cancel, HS_CANCEL_DONE, memory_order_relaxed);
        end_shared(request, answer(request));
    } else {
        hs_request_drop_hijack(request);
    }
    hs_request_let_go(request);
}

void hs_request_fail(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    if (!hs_request_claim(request, HS_CLAIM_POLLER))
        return;
    bool is_last = request->upload != NULL || !request->head.keeps_alive || hs_conn_is_last(c) ||
                   c->server->options.disable_keep_alive;
    bool is_head = request->head.method == NHTTP_METHOD_HEAD;
    int error = hs_write_refusal(c, 500, is_last, !is_head);
    hs_record(c, request, 500, 0);
    if (error != 0)
        (void)netpoll_conn_abort(c->conn);
    end_shared(request, is_last || error != 0);
}

/* The request has been answered, and what is left of its body is thrown away. */
static void begin_drain(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    request->in.bytes = 0;
    request->in.rested_ms = 0;
    request->in.is_resting = false;
    hs_conn_hold(c);
    hs_conn_enter(c, HS_PHASE_DRAIN);
}

bool hs_request_answer_here(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    bool is_coming = request->in.state == HS_BODY_COMING;
    bool is_last = answer(request);
    if (is_coming && !is_last) {
        begin_drain(request);
        return true;
    }
    c->request = NULL;
    c->phase = HS_PHASE_HEAD;
    hs_request_free(request);
    if (is_last) {
        hs_conn_finish(c, is_coming);
        return false;
    }
    /* Relaxed: read by this thread. */
    atomic_store_explicit(&c->rests_ms, (uint32_t)hs_now_ms(), memory_order_relaxed);
    hs_conn_let_go(c);
    hs_conn_tell_state(c, NHTTP_CONN_IDLE);
    return true;
}

void hs_request_leave(struct hs_conn *c)
{
    struct nhttp_request *request = c->request;
    c->phase = HS_PHASE_HEAD;
    if (!c->is_streaming) {
        c->request = NULL;
        return;
    }
    c->is_streaming = false;
    /* Relaxed: ordered by the word. Whoever has it may still wait for its body. */
    if (atomic_load_explicit(&request->claim, memory_order_relaxed) == HS_CLAIM_POLLER)
        hs_upload_cancel(request);
    bool is_whole = request->in.state == HS_BODY_WHOLE;
    bool is_last = request->is_last || request->in.state == HS_BODY_BROKEN;
    if (!is_whole && !is_last) {
        begin_drain(request);
        return;
    }
    c->request = NULL;
    hs_request_unref(request);
    if (is_last)
        hs_conn_finish(c, !is_whole && !netpoll_conn_is_at_end(c->conn));
}

/* Who waits for room in the output is told: there is some, or it does not matter any more. */
static void tell_room(struct nhttp_request *request)
{
    /* Acquire: pairs with nhttp_response_on_writable(), whose function is called. */
    uint8_t before = atomic_exchange_explicit(&request->room, HS_ROOM_THERE, memory_order_acq_rel);
    if (before == HS_ROOM_WANTED)
        hs_request_resume(request, request->room_fn, request->room_arg);
}

struct nhttp_request *hs_request_look(struct hs_conn *c)
{
    /* Acquire, release: pairs with end_shared(), of which one sees the other. */
    uint32_t before = atomic_fetch_or_explicit(&c->work, HS_WORK_LOOKING, memory_order_acq_rel);
    if ((before & HS_WORK_ANSWERED) == 0)
        return c->request;
    hs_request_leave(c);
    return NULL;
}

bool hs_request_look_end(struct hs_conn *c)
{
    /* As in hs_request_look(). */
    uint32_t before =
        atomic_fetch_and_explicit(&c->work, ~(uint32_t)HS_WORK_LOOKING, memory_order_acq_rel);
    if ((before & HS_WORK_ANSWERED) == 0)
        return false;
    if (!c->is_streaming)
        hs_request_unref(c->request);
    hs_request_leave(c);
    return true;
}

void hs_request_abandon(struct hs_conn *c)
{
    struct nhttp_request *request = hs_request_look(c);
    if (request == NULL)
        return;
    hs_request_cancel(request);
    if (request->upload != NULL)
        hs_upload_cancel(request);
    tell_room(request);
    if (!hs_request_look_end(c) && c->is_streaming)
        hs_request_unref(request);
}

void hs_request_make_room(struct hs_conn *c)
{
    struct nhttp_request *request = hs_request_look(c);
    if (request == NULL)
        return;
    tell_room(request);
    (void)hs_request_look_end(c);
}

void hs_request_cancel(struct nhttp_request *request)
{
    /* Acquire: pairs with nhttp_request_on_cancel(), whose function is called. */
    uint8_t before =
        atomic_exchange_explicit(&request->cancel, HS_CANCEL_DONE, memory_order_acq_rel);
    if (before == HS_CANCEL_DONE)
        return;
    hs_count(request->c->server->counters, HS_COUNT_CANCELLED);
    if (before == HS_CANCEL_WANTED)
        hs_call_on_cancel(request);
}

void hs_request_overrule(struct nhttp_request *request, int status)
{
    struct hs_conn *c = request->c;
    bool is_whole = request->in.state == HS_BODY_WHOLE;
    bool is_last = !request->head.keeps_alive || hs_conn_is_last(c) ||
                   c->server->options.disable_keep_alive || !is_whole;
    bool is_head = request->head.method == NHTTP_METHOD_HEAD;
    int error = hs_write_refusal(c, status, is_last, !is_head);
    hs_record(c, request, status, 0);
    if (request->upload != NULL)
        hs_upload_cancel(request);
    c->request = NULL;
    c->is_streaming = false;
    c->phase = HS_PHASE_HEAD;
    hs_request_unref(request);
    if (error != 0) {
        (void)netpoll_conn_abort(c->conn);
        return;
    }
    hs_flush(c->conn);
    if (is_last)
        hs_conn_finish(c, !is_whole);
}

int nhttp_request_on_cancel(struct nhttp_request *request, nhttp_request_fn *fn, void *arg)
{
    uint8_t none = HS_CANCEL_NONE;
    if (fn == NULL)
        return -EINVAL;
    if (request->cancel_fn != NULL)
        return nhttp_request_is_cancelled(request) ? -ECANCELED : -EEXIST;
    request->cancel_fn = fn;
    request->cancel_arg = arg;
    /* Release: pairs with hs_request_cancel(). */
    if (atomic_compare_exchange_strong_explicit(&request->cancel, &none, HS_CANCEL_WANTED,
                                                memory_order_release, memory_order_relaxed))
        return 0;
    return -ECANCELED;
}

bool nhttp_request_is_cancelled(const struct nhttp_request *request)
{
    /* Acquire: what led to it has happened. */
    return atomic_load_explicit(&request->cancel, memory_order_acquire) == HS_CANCEL_DONE;
}
