/* What the user has written is called so that a panic in it goes no further: what stands around the
 * call has connections to let go of. Any thread. */
#include "request.h"

#include <netpoll/runtime.h>

bool hs_call(struct hs_conn *c, const char *what, void (*fn)(void *arg), void *arg)
{
    struct gopool_panic panic;
    if (gopool_try_task(fn, arg, &panic) == 0)
        return true;
    hs_count(c->server->counters, HS_COUNT_PANICS);
    char text[GOPOOL_PANIC_TEXT_BYTES];
    (void)gopool_panic_text(&panic, text, sizeof text);
    netpoll_runtime_log(c->server->runtime, NETPOLL_LOG_ERROR, "connection %llu: panic in %s: %s",
                        (unsigned long long)netpoll_conn_id(c->conn), what, text);
    return false;
}

struct head_call {
    struct nhttp_request *request;
    int status;
};

static NETPOLL_DISPATCH void call_on_head(void *arg)
{
    struct head_call *it = arg;
    const struct nhttp_server_options *options = &it->request->c->server->options;
    it->status = options->on_head(it->request, &it->request->config, options->arg);
}

static bool is_allowed(const struct head_call *it)
{
    struct nhttp_request_config *config = &it->request->config;
    const struct nhttp_server_options *options = &it->request->c->server->options;
    return (it->status == 0 || (it->status >= 400 && it->status <= 599)) &&
           hs_timeout_complete(&config->body_timeout_ms, options->body_timeout_ms) == 0 &&
           hs_timeout_complete(&config->handler_timeout_ms, options->handler_timeout_ms) == 0;
}

int hs_call_on_head(struct nhttp_request *request)
{
    struct head_call it = {.request = request};
    if (request->c->server->options.on_head == NULL)
        return 0;
    request->is_in_head = true;
    bool has_returned = hs_call(request->c, "on_head", call_on_head, &it);
    request->is_in_head = false;
    /* Nobody can have the connection while the body is read from it. */
    if (request->hijack_fn != NULL)
        request->config.stream_body = false;
    if (has_returned && is_allowed(&it))
        return it.status;
    hs_request_drop_hijack(request);
    (void)hs_response_make(request, 500, NULL);
    return 500;
}

struct state_call {
    struct hs_conn *c;
    enum nhttp_conn_state state;
};

static NETPOLL_DISPATCH void call_on_state(void *arg)
{
    const struct state_call *it = arg;
    const struct nhttp_server_options *options = &it->c->server->options;
    options->on_state(netpoll_conn_id(it->c->conn), it->state, options->arg);
}

void hs_call_on_state(struct hs_conn *c, enum nhttp_conn_state state)
{
    struct state_call it = {.c = c, .state = state};
    (void)hs_call(c, "on_state", call_on_state, &it);
}

struct record_call {
    const struct nhttp_server_options *options;
    const struct nhttp_record *record;
};

static NETPOLL_DISPATCH void call_on_record(void *arg)
{
    const struct record_call *it = arg;
    it->options->on_record(it->record, it->options->arg);
}

void hs_call_on_record(struct hs_conn *c, const struct nhttp_record *record)
{
    struct record_call it = {.options = &c->server->options, .record = record};
    (void)hs_call(c, "on_record", call_on_record, &it);
}

static NETPOLL_DISPATCH void call_on_cancel(void *arg)
{
    struct nhttp_request *request = arg;
    request->cancel_fn(request, request->cancel_arg);
}

void hs_call_on_cancel(struct nhttp_request *request)
{
    (void)hs_call(request->c, "a function of nhttp_request_on_cancel()", call_on_cancel, request);
}

static NETPOLL_DISPATCH void call_destroy(void *arg)
{
    const struct hs_value *value = arg;
    /* Relaxed: the caller has taken it away. */
    value->destroy(atomic_load_explicit(&value->value, memory_order_relaxed));
}

void hs_call_destroy(struct hs_conn *c, struct hs_value *value)
{
    /* Relaxed: as above. */
    bool is_there = atomic_load_explicit(&value->value, memory_order_relaxed) != NULL;
    if (is_there && value->destroy != NULL)
        (void)hs_call(c, "the destroy of a value", call_destroy, value);
}

struct hijack_call {
    nhttp_hijacked_fn *fn;
    void *arg;
};

static NETPOLL_DISPATCH void call_hijacked(void *arg)
{
    const struct hijack_call *it = arg;
    it->fn(-1, NULL, it->arg);
}

void hs_request_drop_hijack(struct nhttp_request *request)
{
    struct hijack_call it = {.fn = request->hijack_fn, .arg = request->hijack_arg};
    request->hijack_fn = NULL;
    if (it.fn != NULL)
        (void)hs_call(request->c, "a function of nhttp_request_hijack()", call_hijacked, &it);
}
