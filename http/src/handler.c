/* Where handlers run, and who has a request then. */
#include "request.h"

#include <netpoll/error.h>

struct call {
    struct nhttp_request *request;
    nhttp_request_fn *fn;
    void *arg;
};

static NETPOLL_DISPATCH void call(void *arg)
{
    const struct call *it = arg;
    it->fn(it->request, it->arg);
}

/* True: it has panicked. */
static bool try_call(struct call *it)
{
    struct gopool_panic panic;
    if (gopool_try_task(call, it, &panic) == 0)
        return false;
    hs_count(it->request->c->server->counters, HS_COUNT_PANICS);
    hs_log_panic(it->request, &panic);
    return true;
}

/* The answer of a handler that has panicked. */
static void make_failure(struct nhttp_request *request)
{
    request->has_failed = true;
    hs_request_drop_hijack(request);
    if (!request->is_head_sent)
        (void)hs_response_make(request, 500, NULL);
}

/* Runs the handler, and makes what it leaves an answer. False: it has been deferred. */
static bool run(struct nhttp_request *request)
{
    const struct nhttp_server_options *options = &request->c->server->options;
    struct call handler = {.request = request, .fn = options->handler, .arg = options->arg};
    if (!try_call(&handler))
        return !request->is_deferred;
    if (request->is_deferred) {
        hs_request_fail(request);
        return false;
    }
    make_failure(request);
    return true;
}

static bool run_here(struct nhttp_request *request)
{
    /* Relaxed: read by this thread. It waits for no worker. */
    atomic_store_explicit(&request->has_started, true, memory_order_relaxed);
    if (request->upload != NULL)
        hs_request_share(request, 1);
    bool is_done = run(request);
    if (!request->is_shared)
        return hs_request_answer_here(request);
    if (is_done)
        hs_request_finish(request);
    else
        hs_request_let_go(request);
    /* It may have been answered already. */
    return true;
}

static void run_task(void *arg)
{
    struct nhttp_request *request = arg;
    /* Release: pairs with the poller's look, which lets one that has begun go on. */
    atomic_store_explicit(&request->has_started, true, memory_order_release);
    /* Acquire: pairs with the claim. What has been answered is not begun any more. */
    bool is_overruled =
        atomic_load_explicit(&request->claim, memory_order_acquire) != HS_CLAIM_NONE;
    if (is_overruled || run(request)) {
        hs_request_finish(request);
        return;
    }
    hs_request_let_go(request);
}

static bool run_on_pool(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    hs_request_share(request, 1);
    request->task =
        (struct gopool_task){.fn = run_task, .arg = request, .flags = GOPOOL_TASK_REJECT_WHEN_FULL};
    if (gopool_submit(c->server->pool, &request->task) == 0)
        return true;
    hs_count(c->server->counters, HS_COUNT_QUEUE_FULL);
    hs_request_unshare(request);
    request->is_refused = true;
    (void)hs_response_make(request, 503, NULL);
    return hs_request_answer_here(request);
}

bool hs_request_run(struct nhttp_request *request)
{
    if (request->c->server->options.executor == NETPOLL_HANDLER_INLINE)
        return run_here(request);
    return run_on_pool(request);
}

/* One more has a shared request: until hs_request_let_go(). */
static void keep(struct nhttp_request *request)
{
    struct hs_conn *c = request->c;
    hs_conn_ref(c);
    netpoll_conn_retain(c->conn);
    /* Relaxed: the caller's count orders it. */
    atomic_fetch_add_explicit(&request->refs, 1, memory_order_relaxed);
}

void nhttp_request_defer(struct nhttp_request *request)
{
    if (request->is_deferred || request->is_in_head)
        return;
    request->is_deferred = true;
    if (!request->is_shared)
        hs_request_share(request, 1);
    keep(request);
}

void nhttp_request_finish(struct nhttp_request *request)
{
    if (!request->is_deferred)
        return;
    request->is_finished = true;
    hs_request_finish(request);
}

void hs_request_resume(struct nhttp_request *request, nhttp_request_fn *fn, void *arg)
{
    struct call it = {.request = request, .fn = fn, .arg = arg};
    keep(request);
    if (try_call(&it) && !request->is_finished) {
        make_failure(request);
        nhttp_request_finish(request);
    }
    hs_request_let_go(request);
}
