/* A connection of HTTP: its birth, its time limits and its end. Turn. */
#include "upload.h"

#include "addresses.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/runtime.h>

#include <string.h>

/* Between two looks at how fast a body comes. */
#define RATE_LOOK_MS 1000
/* The clock may be so far behind the one of alarms. */
#define CLOCK_SLACK_MS 20
/* Of hs_conn.state: a thread is calling on_state. */
#define STATE_TELLING 0x80U

void hs_conn_ref(struct hs_conn *c)
{
    /* Relaxed: the caller's right to it orders it. */
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void hs_conn_unref(struct hs_conn *c)
{
    /* Release: what this holder did; acquire: what all of them did, before the free. */
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    hs_server_unref(c->server);
    mcache_free(c);
}

/* Until no other state has come meanwhile. */
static void tell_states(struct hs_conn *c, enum nhttp_conn_state state)
{
    for (;;) {
        uint8_t seen = (uint8_t)((unsigned)state | STATE_TELLING);
        hs_call_on_state(c, state);
        /* Acquire, release: pairs with itself and with the exchange in hs_conn_tell_state(). */
        if (atomic_compare_exchange_strong_explicit(&c->state, &seen, (uint8_t)state,
                                                    memory_order_acq_rel, memory_order_acquire))
            return;
        state = (enum nhttp_conn_state)(seen & ~(unsigned)STATE_TELLING);
    }
}

void hs_conn_tell_state(struct hs_conn *c, enum nhttp_conn_state state)
{
    const struct nhttp_server_options *options = &c->server->options;
    if (options->on_state == NULL)
        return;
    /* Relaxed: the exchange looks again. */
    uint8_t before = atomic_load_explicit(&c->state, memory_order_relaxed);
    do {
        unsigned told = before & ~(unsigned)STATE_TELLING;
        if (told == (unsigned)state || told >= NHTTP_CONN_HIJACKED)
            return;
        /* Acquire, release: pairs with the exchange below, so that calls come one after the other.
         */
    } while (!atomic_compare_exchange_weak_explicit(&c->state, &before,
                                                    (uint8_t)((unsigned)state | STATE_TELLING),
                                                    memory_order_acq_rel, memory_order_relaxed));
    /* The end of a connection finds another thread that tells what came before: it goes on. */
    if ((before & STATE_TELLING) != 0)
        return;
    tell_states(c, state);
}

void hs_conn_hold(struct hs_conn *c)
{
    if (c->is_held)
        return;
    c->is_held = true;
    netpoll_conn_retain(c->conn);
}

void hs_conn_let_go(struct hs_conn *c)
{
    if (!c->is_held)
        return;
    c->is_held = false;
    netpoll_conn_release(c->conn);
}

static void drop_partial(struct hs_conn *c)
{
    mcache_free(c->partial);
    c->partial = NULL;
}

/* Connections that have come together must not go together. */
static uint32_t age_limit(const struct netpoll_conn *conn, int64_t max_age_ms)
{
    if (max_age_ms == NETPOLL_TIMEOUT_NONE)
        return UINT32_MAX;
    uint64_t chance = (netpoll_conn_id(conn) * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    return (uint32_t)(max_age_ms - (int64_t)(chance % 1000 * (uint64_t)max_age_ms / 10000));
}

/* False: there are too many from where it comes from. */
static bool is_admitted(struct hs_conn *c)
{
    char peer[NETPOLL_ADDRESS_BYTES];
    struct nhttp_server *server = c->server;
    if (server->addresses == NULL || netpoll_conn_peer(c->conn, peer, sizeof peer) != 0 ||
        !hs_address_parse(peer, c->address))
        return true;
    c->is_counted =
        hs_addresses_add(server->addresses, c->address, server->options.max_per_address) == 0;
    return c->is_counted;
}

void hs_conn_begin(struct netpoll_conn *conn, void *arg)
{
    struct nhttp_server *server = arg;
    struct hs_conn *c = mcache_alloc(sizeof *c);
    if (c == NULL) {
        (void)netpoll_conn_abort(conn);
        return;
    }
    memset(c, 0, sizeof *c);
    c->conn = conn;
    c->server = server;
    hs_server_ref(server);
    atomic_init(&c->refs, 1);
    c->opened_ms = (uint32_t)hs_now_ms();
    atomic_init(&c->rests_ms, c->opened_ms);
    c->age_limit_ms = age_limit(conn, server->options.max_age_ms);
    netpoll_conn_set_data(conn, c);
    hs_count(server->counters, HS_COUNT_OPENED);
    if (server->options.on_state != NULL)
        hs_call_on_state(c, NHTTP_CONN_NEW);
    if (!is_admitted(c)) {
        hs_count(server->counters, HS_COUNT_ADDRESS_LIMITS);
        hs_refuse(c, 429);
        return;
    }
    (void)netpoll_conn_set_alarm(conn, server->options.idle_timeout_ms);
}

void hs_conn_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct nhttp_server *server = arg;
    struct hs_conn *c = netpoll_conn_data(conn);
    (void)reason;
    if (c == NULL)
        return;
    if (c->phase == HS_PHASE_WORK)
        hs_request_abandon(c);
    hs_drop_request(c);
    c->phase = HS_PHASE_OVER;
    drop_partial(c);
    if (c->is_counted)
        hs_addresses_remove(server->addresses, c->address);
    hs_count(server->counters, HS_COUNT_CLOSED);
    hs_conn_tell_state(c, NHTTP_CONN_CLOSED);
    netpoll_conn_set_data(conn, NULL);
    hs_conn_let_go(c);
    hs_conn_unref(c);
}

/* The end of the peer's bytes, in a turn. */
static void look_at_end(struct netpoll_conn *conn, void *arg)
{
    struct hs_conn *c = netpoll_conn_data(conn);
    if (c == NULL)
        return;
    hs_on_input(conn, arg);
    if (c->phase != HS_PHASE_WORK)
        return;
    struct nhttp_request *request = hs_request_look(c);
    if (request == NULL)
        return;
    hs_request_cancel(request);
    (void)hs_request_look_end(c);
    if (c->server->options.ignore_half_close)
        (void)netpoll_conn_abort(conn);
}

void hs_conn_cancel(struct netpoll_conn *conn, void *arg)
{
    if (netpoll_conn_post(conn, look_at_end, arg) != 0)
        (void)netpoll_conn_abort(conn);
}

bool hs_conn_is_last(struct hs_conn *c)
{
    struct nhttp_server *server = c->server;
    /* Relaxed: see begin_end(). */
    if (atomic_load_explicit(&server->is_ending, memory_order_relaxed))
        return true;
    if (c->request_count >= server->options.max_requests) {
        hs_count(server->counters, HS_COUNT_REQUEST_LIMITS);
        return true;
    }
    if (c->age_limit_ms != UINT32_MAX && (uint32_t)hs_now_ms() - c->opened_ms >= c->age_limit_ms) {
        hs_count(server->counters, HS_COUNT_AGE_LIMITS);
        return true;
    }
    return false;
}

void hs_conn_finish(struct hs_conn *c, bool client_sends)
{
    int64_t linger_ms = c->server->options.linger_timeout_ms;
    drop_partial(c);
    hs_conn_let_go(c);
    if (!client_sends || linger_ms == NETPOLL_TIMEOUT_NONE) {
        c->phase = HS_PHASE_OVER;
        (void)netpoll_conn_close(c->conn);
        return;
    }
    /* Closing now would have the system reset the connection, and the answer be lost. */
    (void)netpoll_conn_shutdown_write(c->conn);
    hs_conn_enter(c, HS_PHASE_LINGER);
}

static int64_t sooner(int64_t a, int64_t b)
{
    if (a == NETPOLL_TIMEOUT_NONE)
        return b;
    return b == NETPOLL_TIMEOUT_NONE || a < b ? a : b;
}

/* What is left of a limit; 0: it has passed. */
static int64_t left_of(int64_t limit_ms, uint32_t since_ms)
{
    if (limit_ms == NETPOLL_TIMEOUT_NONE)
        return NETPOLL_TIMEOUT_NONE;
    int64_t passed = (int32_t)((uint32_t)hs_now_ms() - since_ms);
    int64_t left = limit_ms - passed;
    return left > CLOCK_SLACK_MS || (left > 0 && limit_ms <= CLOCK_SLACK_MS) ? left : 0;
}

/* A limit of the client's has passed: it is told, and the connection ends. */
static int64_t end_slow(struct hs_conn *c, enum hs_counter counter)
{
    hs_count(c->server->counters, counter);
    hs_refuse(c, 408);
    return NETPOLL_TIMEOUT_NONE;
}

/* An answer is on its way: the limit of that is write_timeout_ms. */
static bool is_sending(const struct hs_conn *c)
{
    return netpoll_conn_unsent(c->conn) > 0;
}

static int64_t look_at_head(struct hs_conn *c)
{
    const struct nhttp_server_options *options = &c->server->options;
    int64_t left;
    if (c->partial != NULL) {
        left = left_of(options->header_timeout_ms, c->began_ms);
        return left == 0 ? end_slow(c, HS_COUNT_HEADER_TIMEOUTS) : left;
    }
    /* Relaxed: whoever writes it wakes or is behind the poller's word. */
    left =
        left_of(options->idle_timeout_ms, atomic_load_explicit(&c->rests_ms, memory_order_relaxed));
    if (left != 0)
        return left;
    if (is_sending(c)) {
        atomic_store_explicit(&c->rests_ms, (uint32_t)hs_now_ms(), memory_order_relaxed);
        return options->idle_timeout_ms;
    }
    hs_count(c->server->counters, HS_COUNT_IDLE_TIMEOUTS);
    hs_conn_finish(c, false);
    return NETPOLL_TIMEOUT_NONE;
}

static bool is_too_slow(const struct hs_conn *c)
{
    uint32_t rate = c->server->options.body_min_rate;
    uint32_t passed = (uint32_t)hs_now_ms() - c->began_ms - c->request->in.rested_ms;
    return rate != UINT32_MAX && passed >= NHTTP_BODY_GRACE_MS &&
           c->request->in.bytes * 1000 / passed < rate;
}

/* What is left to a body; 0: it is too slow, which has been counted. */
static int64_t left_of_body(struct hs_conn *c)
{
    int64_t left = left_of(c->request->config.body_timeout_ms, c->progress_ms);
    bool is_slow = left != 0 && is_too_slow(c);
    if (left == 0 || is_slow) {
        hs_count(c->server->counters, is_slow ? HS_COUNT_BODY_RATE_LIMITS : HS_COUNT_BODY_TIMEOUTS);
        return 0;
    }
    bool has_rate = c->server->options.body_min_rate != UINT32_MAX;
    return has_rate ? sooner(left, RATE_LOOK_MS) : left;
}

static int64_t look_at_body(struct hs_conn *c)
{
    int64_t left = left_of_body(c);
    if (left != 0)
        return left;
    hs_refuse(c, 408);
    return NETPOLL_TIMEOUT_NONE;
}

static int64_t look_at_drain(struct hs_conn *c)
{
    int64_t left = left_of_body(c);
    if (left != 0)
        return left;
    hs_stop_drain(c, true);
    return NETPOLL_TIMEOUT_NONE;
}

/* Of a body that comes while its handler has the request. */
static int64_t look_at_upload(struct hs_conn *c, const struct nhttp_request *request)
{
    bool is_coming = request->upload != NULL && request->in.state == HS_BODY_COMING;
    return is_coming && !request->in.is_resting ? left_of_body(c) : NETPOLL_TIMEOUT_NONE;
}

/* How long its handler may still take without being told of. */
static int64_t left_of_watchdog(const struct hs_conn *c, const struct nhttp_request *request)
{
    if (c->was_logged || request->in.state == HS_BODY_COMING)
        return NETPOLL_TIMEOUT_NONE;
    return left_of(c->server->options.watchdog_ms,
                   request->upload != NULL ? c->progress_ms : c->began_ms);
}

static void log_slow_handler(struct hs_conn *c, const struct nhttp_request *request)
{
    c->was_logged = true;
    hs_count(c->server->counters, HS_COUNT_WATCHDOG);
    netpoll_runtime_log(c->server->runtime, NETPOLL_LOG_WARNING,
                        "connection %llu: request %u has been in work for %lld ms",
                        (unsigned long long)netpoll_conn_id(c->conn), request->number,
                        (long long)c->server->options.watchdog_ms);
}

/* True: it has been answered by this. */
static bool overrule(struct hs_conn *c, struct nhttp_request *request, enum hs_counter counter)
{
    if (!hs_request_claim(request, HS_CLAIM_POLLER))
        return false;
    hs_count(c->server->counters, counter);
    hs_request_cancel(request);
    hs_request_overrule(request, 503);
    return true;
}

static int64_t look_at_work(struct hs_conn *c)
{
    const struct nhttp_server_options *options = &c->server->options;
    struct nhttp_request *request = hs_request_look(c);
    if (request == NULL)
        return NETPOLL_TIMEOUT_NONE;
    /* Acquire: pairs with the store in request.c; a handler that has begun is let go on. */
    bool has_started = atomic_load_explicit(&request->has_started, memory_order_acquire);
    int64_t queue =
        has_started ? NETPOLL_TIMEOUT_NONE : left_of(options->queue_timeout_ms, c->began_ms);
    int64_t handler = left_of(request->config.handler_timeout_ms, c->began_ms);
    int64_t watchdog = left_of_watchdog(c, request);
    int64_t body = look_at_upload(c, request);
    if (body == 0) {
        hs_refuse_upload(c, 408);
        hs_go_on(c->conn, c->server);
        return NETPOLL_TIMEOUT_NONE;
    }
    if ((queue == 0 && overrule(c, request, HS_COUNT_QUEUE_TIMEOUTS)) ||
        (handler == 0 && overrule(c, request, HS_COUNT_HANDLER_TIMEOUTS))) {
        hs_go_on(c->conn, c->server);
        return NETPOLL_TIMEOUT_NONE;
    }
    if (watchdog == 0)
        log_slow_handler(c, request);
    if (hs_request_look_end(c))
        return NETPOLL_TIMEOUT_NONE;
    int64_t left = queue != 0 ? queue : NETPOLL_TIMEOUT_NONE;
    left = sooner(left, handler != 0 ? handler : NETPOLL_TIMEOUT_NONE);
    left = sooner(left, watchdog != 0 ? watchdog : NETPOLL_TIMEOUT_NONE);
    return sooner(left, body);
}

static int64_t look_at_linger(struct hs_conn *c)
{
    int64_t limit_ms = c->server->options.linger_timeout_ms;
    if (is_sending(c))
        c->began_ms = (uint32_t)hs_now_ms();
    int64_t left = left_of(limit_ms, c->began_ms);
    if (left != 0)
        return left;
    hs_count(c->server->counters, HS_COUNT_LINGER_TIMEOUTS);
    (void)netpoll_conn_abort(c->conn);
    return NETPOLL_TIMEOUT_NONE;
}

/* Looks at the limits of the phase, and acts on what has passed. When to look again. */
static int64_t look(struct hs_conn *c)
{
    switch ((enum hs_phase)c->phase) {
    case HS_PHASE_HEAD:
        return look_at_head(c);
    case HS_PHASE_BODY:
        return look_at_body(c);
    case HS_PHASE_WORK:
        return look_at_work(c);
    case HS_PHASE_DRAIN:
        return look_at_drain(c);
    case HS_PHASE_LINGER:
        return look_at_linger(c);
    case HS_PHASE_OVER:
        break;
    }
    return NETPOLL_TIMEOUT_NONE;
}

void hs_conn_alarm(struct netpoll_conn *conn, void *arg)
{
    struct hs_conn *c = netpoll_conn_data(conn);
    (void)arg;
    if (c == NULL)
        return;
    int64_t left = look(c);
    /* What has begun meanwhile has set its own. */
    if (left == NETPOLL_TIMEOUT_NONE && c->phase == HS_PHASE_HEAD)
        left = look_at_head(c);
    if (left != NETPOLL_TIMEOUT_NONE)
        (void)netpoll_conn_set_alarm(conn, left);
}

/* How long a phase that begins now has until its first limit may have passed. */
static int64_t first_limit(const struct hs_conn *c)
{
    const struct nhttp_server_options *options = &c->server->options;
    bool has_rate = options->body_min_rate != UINT32_MAX;
    int64_t body = has_rate ? RATE_LOOK_MS : NETPOLL_TIMEOUT_NONE;
    int64_t work;
    switch ((enum hs_phase)c->phase) {
    case HS_PHASE_HEAD:
        return c->partial != NULL ? options->header_timeout_ms : options->idle_timeout_ms;
    case HS_PHASE_BODY:
    case HS_PHASE_DRAIN:
        return sooner(body, c->request->config.body_timeout_ms);
    case HS_PHASE_WORK:
        work = sooner(options->queue_timeout_ms, options->watchdog_ms);
        work = sooner(work, c->request->config.handler_timeout_ms);
        body = sooner(body, c->request->config.body_timeout_ms);
        return c->is_streaming ? sooner(work, body) : work;
    case HS_PHASE_LINGER:
        return options->linger_timeout_ms;
    case HS_PHASE_OVER:
        break;
    }
    return NETPOLL_TIMEOUT_NONE;
}

void hs_conn_enter(struct hs_conn *c, enum hs_phase phase)
{
    c->phase = (uint8_t)phase;
    c->began_ms = (uint32_t)hs_now_ms();
    c->progress_ms = c->began_ms;
    c->was_logged = false;
    /* Only told, not acted upon: the caller is in the middle of what it does with the request. */
    int64_t left = first_limit(c);
    if (left != NETPOLL_TIMEOUT_NONE)
        (void)netpoll_conn_set_alarm(c->conn, left);
}

void hs_conn_look(struct hs_conn *c)
{
    int64_t left = look(c);
    if (left != NETPOLL_TIMEOUT_NONE)
        (void)netpoll_conn_set_alarm(c->conn, left);
}

void hs_conn_make_room(struct netpoll_conn *conn, void *arg)
{
    struct hs_conn *c = netpoll_conn_data(conn);
    if (c == NULL)
        return;
    if (c->phase == HS_PHASE_WORK)
        hs_request_make_room(c);
    else
        hs_on_input(conn, arg);
}
