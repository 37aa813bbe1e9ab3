/* From input to requests: what the poller does whenever bytes have come. Turn. */
#include "upload.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <string.h>

/* Requests that one call takes before other connections get theirs. */
#define SHARE 64U
/* What is thrown away of a body at a time. */
#define DRAIN_BYTES ((size_t)64 << 10)
/* Queued output above which no further request is taken: netpoll's mark. */
#define OUTPUT_BYTES NETPOLL_OUTPUT_HIGH_BYTES_DEFAULT

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void hs_refuse(struct hs_conn *c, int status)
{
    struct nhttp_request *request = c->phase == HS_PHASE_BODY ? c->request : NULL;
    bool is_head = request != NULL && request->head.method == NHTTP_METHOD_HEAD;
    hs_count_refusal(c->server->counters, status);
    int error = hs_write_refusal(c, status, true, !is_head);
    hs_record(c, request, status, 0);
    if (request != NULL) {
        c->request = NULL;
        hs_request_free(request);
    }
    if (error != 0) {
        c->phase = HS_PHASE_OVER;
        hs_conn_let_go(c);
        (void)netpoll_conn_abort(c->conn);
        return;
    }
    hs_conn_finish(c, true);
}

void hs_drop_request(struct hs_conn *c)
{
    if (c->phase == HS_PHASE_BODY) {
        hs_count(c->server->counters, HS_COUNT_CANCELLED);
        hs_record(c, c->request, 0, 0);
    }
    if (c->phase == HS_PHASE_BODY || c->phase == HS_PHASE_DRAIN) {
        hs_request_unref(c->request);
        c->request = NULL;
    }
}

static void give_up(struct hs_conn *c)
{
    hs_drop_request(c);
    c->phase = HS_PHASE_OVER;
    hs_conn_let_go(c);
    /* One that is closing, which nobody can read from, goes on in order. */
    if (netpoll_conn_is_active(c->conn))
        (void)netpoll_conn_abort(c->conn);
}

/* What has been parsed of a head is kept, at the size that it has then. */
static int keep_partial(struct hs_conn *c, const struct nhttp_head_parser *parser)
{
    const struct nhttp_head *head = &parser->head;
    struct hs_partial *partial =
        mcache_alloc(sizeof *partial + parser->limits.fields * sizeof(struct nhttp_field));
    if (partial == NULL)
        return -ENOMEM;
    partial->parser = *parser;
    partial->parser.head.fields = partial->table;
    /* And the one that is open. */
    size_t n = head->field_count + (parser->lines < parser->limits.fields ? 1 : 0);
    memcpy(partial->table, head->fields, n * sizeof(struct nhttp_field));
    c->partial = partial;
    hs_conn_hold(c);
    hs_conn_tell_state(c, NHTTP_CONN_ACTIVE);
    hs_conn_enter(c, HS_PHASE_HEAD);
    return 0;
}

static int status_of(const struct nhttp_head_parser *parser)
{
    return parser->status >= 400 ? parser->status : 400;
}

static int parse_beginning(struct hs_conn *c, const void *data, size_t n)
{
    struct nhttp_head_parser parser;
    struct nhttp_field table[NHTTP_FIELDS_MAX];
    int status = nhttp_head_begin(&parser, NHTTP_HEAD_REQUEST, &c->server->options.head, table);
    if (status != 0)
        return status;
    ssize_t used = nhttp_head_parse(&parser, data, n);
    if (used == -EAGAIN) {
        status = keep_partial(c, &parser);
        return status != 0 ? status : -EAGAIN;
    }
    if (used < 0)
        return status_of(&parser);
    return hs_request_create(c, &parser.head, data, (size_t)used);
}

static int parse_more(struct hs_conn *c, const void *data, size_t n)
{
    struct hs_partial *partial = c->partial;
    ssize_t used = nhttp_head_parse(&partial->parser, data, n);
    if (used == -EAGAIN)
        return -EAGAIN;
    int status = used < 0 ? status_of(&partial->parser)
                          : hs_request_create(c, &partial->parser.head, data, (size_t)used);
    if (status == 0) {
        c->partial = NULL;
        mcache_free(partial);
    }
    return status;
}

/* What a client that has gone left undone. */
static bool drop_rest(struct hs_conn *c)
{
    hs_drop_request(c);
    hs_conn_finish(c, false);
    return false;
}

/* Why a request whose head is fine is not served: a status; 0: it is. */
static int find_fault(const struct hs_conn *c, const struct nhttp_request *request)
{
    const struct nhttp_head *head = &request->head;
    bool is_read = head->method == NHTTP_METHOD_GET || head->method == NHTTP_METHOD_HEAD;
    if (head->expects_other)
        return 417;
    if (head->method == NHTTP_METHOD_CONNECT)
        return 501;
    if (head->method == NHTTP_METHOD_TRACE || (c->server->options.get_only && !is_read))
        return 405;
    return 0;
}

/* The head has been taken: what follows it? A status refuses it. */
static int begin_body(struct hs_conn *c)
{
    struct nhttp_request *request = c->request;
    const struct nhttp_head *head = &request->head;
    if (head->body == NHTTP_BODY_LENGTH && head->content_length > request->config.max_body_bytes)
        return 413;
    if (head->body == NHTTP_BODY_NONE)
        return 0;
    hs_conn_hold(c);
    hs_conn_enter(c, HS_PHASE_BODY);
    bool is_asked = request->config.stream_body; /* by its handler */
    if (head->expects_continue && !is_asked && netpoll_conn_len(c->conn) == 0)
        return hs_write_continue(c);
    return 0;
}

/* Acts on a status of what was looked at. True: there may be more to do now. */
static bool go_by(struct hs_conn *c, int status)
{
    if (status == -EAGAIN) {
        if (netpoll_conn_is_at_end(c->conn))
            return drop_rest(c);
        if (netpoll_conn_need(c->conn, netpoll_conn_len(c->conn) + 1) != 0)
            give_up(c);
        return false;
    }
    if (status < 0)
        give_up(c);
    else if (status > 0)
        hs_refuse(c, status);
    return status == 0;
}

/* The answer of on_head goes instead of the handler's. */
static bool answer_early(struct hs_conn *c, int status)
{
    struct nhttp_request *request = c->request;
    request->is_refused = true;
    hs_count_refusal(c->server->counters, status);
    if (request->status == 200)
        (void)hs_response_make(request, status, NULL);
    return hs_request_answer_here(request);
}

static bool take_head(struct hs_conn *c)
{
    size_t limit = (size_t)c->server->options.head.head_bytes + 1;
    size_t n = smaller(netpoll_conn_len(c->conn), limit);
    const void *data;
    if (n == 0 && !netpoll_conn_is_at_end(c->conn))
        return false;
    int status = n > 0 ? netpoll_conn_peek(c->conn, n, &data) : -EAGAIN;
    if (status == 0)
        status = c->partial != NULL ? parse_more(c, data, n) : parse_beginning(c, data, n);
    if (status != 0)
        return go_by(c, status);
    struct nhttp_request *request = c->request;
    if (netpoll_conn_skip(c->conn, request->head_bytes) != 0) {
        hs_request_free(request);
        return false;
    }
    hs_conn_tell_state(c, NHTTP_CONN_ACTIVE);
    hs_count(c->server->counters, HS_COUNT_REQUESTS);
    c->request_count++;
    request->number = c->request_count;
    hs_body_begin(request);
    status = find_fault(c, request);
    if (status != 0)
        return answer_early(c, status);
    status = hs_call_on_head(request);
    if (status != 0)
        return answer_early(c, status);
    status = begin_body(c);
    if (status == 413)
        return answer_early(c, status);
    if (status != 0)
        return go_by(c, status);
    return c->phase == HS_PHASE_BODY || hs_request_run(request);
}

static bool take_body(struct hs_conn *c)
{
    struct nhttp_request *request = c->request;
    bool streams = request->config.stream_body;
    size_t room = streams ? c->server->options.body_window_bytes : SIZE_MAX;
    int status = hs_body_take(request, room);
    bool has_more =
        status == HS_BODY_FULL || (status == -EAGAIN && !netpoll_conn_is_at_end(c->conn));
    if (streams && has_more)
        status = hs_upload_create(request);
    if (status != 0)
        return go_by(c, status);
    return hs_request_run(request);
}

void hs_refuse_upload(struct hs_conn *c, int status)
{
    struct nhttp_request *request = c->request;
    if (!hs_request_claim(request, HS_CLAIM_POLLER)) {
        hs_upload_cancel(request);
        return;
    }
    hs_count_refusal(c->server->counters, status);
    hs_request_cancel(request);
    hs_request_overrule(request, status);
}

/* What has come rests. */
static bool rest(struct hs_conn *c)
{
    c->needs_nothing = true;
    (void)netpoll_conn_need_nothing(c->conn);
    return false;
}

/* There is room again: the clocks of the body go on. */
static void end_rest(struct hs_conn *c)
{
    struct hs_body_in *in = &c->request->in;
    if (!in->is_resting)
        return;
    uint32_t now_ms = (uint32_t)hs_now_ms();
    in->is_resting = false;
    in->rested_ms += now_ms - in->rests_ms;
    c->progress_ms = now_ms;
    hs_conn_look(c);
}

static bool begin_rest(struct hs_conn *c)
{
    struct hs_body_in *in = &c->request->in;
    if (!in->is_resting)
        in->rests_ms = (uint32_t)hs_now_ms();
    in->is_resting = true;
    return rest(c);
}

/* Gives the handler what has come. */
static bool feed(struct hs_conn *c, size_t room)
{
    struct nhttp_request *request = c->request;
    int status = hs_body_take(request, room);
    bool is_gone = status < 0 && (status != -EAGAIN || netpoll_conn_is_at_end(c->conn));
    if (status >= 400) {
        hs_refuse_upload(c, status);
        return true;
    }
    if (is_gone || hs_upload_give(request, status == 0 ? 0 : -EAGAIN) != 0) {
        hs_upload_cancel(request);
        return true;
    }
    if (status == -EAGAIN && netpoll_conn_need(c->conn, netpoll_conn_len(c->conn) + 1) != 0)
        hs_upload_cancel(request);
    return status != -EAGAIN;
}

/* A request is in work: whoever answers it is asked to tell; what comes of its body is his. */
static bool await(struct hs_conn *c)
{
    /* What comes then asks again. */
    if (!c->is_streaming && netpoll_conn_len(c->conn) == 0 && !netpoll_conn_is_at_end(c->conn))
        return false;
    /* Acquire: pairs with the release in hs_request_end(), whose writes to the connection's memory
     * are to be seen. */
    uint32_t before = atomic_fetch_or_explicit(&c->work, HS_WORK_AWAITED, memory_order_acq_rel);
    if ((before & HS_WORK_ANSWERED) != 0) {
        hs_request_leave(c);
        return true;
    }
    if (!c->is_streaming || c->request->in.state != HS_BODY_COMING)
        return rest(c);
    size_t room = hs_upload_room(c->request);
    if (room == 0)
        return begin_rest(c);
    end_rest(c);
    return c->phase != HS_PHASE_WORK || feed(c, room);
}

void hs_stop_drain(struct hs_conn *c, bool client_sends)
{
    hs_request_unref(c->request);
    c->request = NULL;
    hs_conn_finish(c, client_sends);
}

/* The rest of a body is thrown away. */
static bool drain(struct hs_conn *c)
{
    struct nhttp_request *request = c->request;
    int status = hs_body_take(request, DRAIN_BYTES);
    linkbuffer_destroy(request->in.lb);
    request->in.lb = NULL;
    if (request->in.bytes > c->server->options.max_drain_bytes) {
        hs_count(c->server->counters, HS_COUNT_DRAIN_LIMITS);
        hs_stop_drain(c, true);
        return false;
    }
    if (status == HS_BODY_FULL)
        return true;
    if (status == 0) {
        c->request = NULL;
        hs_request_unref(request);
        hs_conn_let_go(c);
        /* Relaxed: read by this thread, until there is another request. */
        atomic_store_explicit(&c->rests_ms, (uint32_t)hs_now_ms(), memory_order_relaxed);
        hs_conn_enter(c, HS_PHASE_HEAD);
        hs_conn_tell_state(c, NHTTP_CONN_IDLE);
        return true;
    }
    bool is_at_end = netpoll_conn_is_at_end(c->conn);
    if (status != -EAGAIN || is_at_end ||
        netpoll_conn_need(c->conn, netpoll_conn_len(c->conn) + 1) != 0)
        hs_stop_drain(c, !is_at_end);
    return false;
}

static void skip_all(struct netpoll_conn *conn)
{
    if (netpoll_conn_skip(conn, netpoll_conn_len(conn)) != 0)
        (void)netpoll_conn_abort(conn);
}

/* Goes one step. False: there is nothing to do. */
static bool step(struct hs_conn *c)
{
    switch ((enum hs_phase)c->phase) {
    case HS_PHASE_HEAD:
        return take_head(c);
    case HS_PHASE_BODY:
        return take_body(c);
    case HS_PHASE_WORK:
        return await(c);
    case HS_PHASE_DRAIN:
        return drain(c);
    case HS_PHASE_LINGER:
        skip_all(c->conn);
        break;
    case HS_PHASE_OVER:
        break;
    }
    return false;
}

/* The client does not take what it has asked for: it is asked no more until it does, see
 * hs_conn_make_room(). One that has closed its side is not taken for done meanwhile. */
static bool is_full(struct hs_conn *c)
{
    if (c->phase != HS_PHASE_HEAD || netpoll_conn_unsent(c->conn) <= OUTPUT_BYTES)
        return false;
    if (netpoll_conn_len(c->conn) > 0)
        hs_conn_hold(c);
    if (netpoll_conn_need(c->conn, 1) != 0)
        give_up(c);
    return true;
}

void hs_on_input(struct netpoll_conn *conn, void *arg)
{
    struct hs_conn *c = netpoll_conn_data(conn);
    (void)arg;
    if (c == NULL || !netpoll_conn_is_active(conn))
        return;
    if (c->needs_nothing) {
        c->needs_nothing = false;
        (void)!netpoll_conn_need(conn, 1);
    }
    unsigned before = c->request_count;
    while (!is_full(c) && step(c)) {
        if (c->request_count - before < SHARE)
            continue;
        /* The others get their turn. */
        if (netpoll_conn_post(conn, hs_go_on, c->server) != 0)
            give_up(c);
        break;
    }
    if (c->phase == HS_PHASE_LINGER)
        skip_all(conn);
}

void hs_go_on(struct netpoll_conn *conn, void *arg)
{
    hs_on_input(conn, arg);
}
