/* Callbacks that panic, or say and do what they should not. */
#include "web.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <gopool/panic.h>
#include <linkbuffer/linkbuffer.h>

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#define POST(path, n) "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " #n "\r\n\r\n"

/* What one of them is to do. */
struct plan {
    int head_status;
    int64_t timeout_ms;
    bool panics_in_head, panics_in_record, panics_in_destroy, panics_in_cancel;
    bool hijacks_in_head;
    enum nhttp_conn_state panics_at;
    struct event destroyed, arrivals, cancels, hijacked, records;
    struct nhttp_request *request;
};

#define PLAN_INIT                                                                       \
    .head_status = 0, .panics_at = (enum nhttp_conn_state)100, .destroyed = EVENT_INIT, \
    .arrivals = EVENT_INIT, .cancels = EVENT_INIT, .hijacked = EVENT_INIT, .records = EVENT_INIT

static void destroy(void *value)
{
    struct plan *plan = value;
    event_add(&plan->destroyed);
    if (plan->panics_in_destroy)
        gopool_panic("on purpose");
}

static void note_hijack(int fd, struct linkbuffer *unread, void *arg)
{
    struct plan *plan = arg;
    if (fd >= 0)
        close(fd);
    linkbuffer_destroy(unread);
    event_add(&plan->hijacked);
}

static int on_head(struct nhttp_request *request, struct nhttp_request_config *config, void *arg)
{
    struct plan *plan = arg;
    /* What only handlers may say. */
    nhttp_request_defer(request);
    nhttp_request_finish(request);
    CHECK(nhttp_response_begin(request, 5) == -EPERM);
    CHECK(nhttp_request_set_value(request, "key", plan, destroy) == 0);
    if (plan->hijacks_in_head)
        CHECK(nhttp_request_hijack(request, note_hijack, plan) == 0);
    config->body_timeout_ms = plan->timeout_ms;
    config->handler_timeout_ms = plan->timeout_ms;
    if (plan->panics_in_head) {
        CHECK(nhttp_response_set_status(request, 302) == 0);
        gopool_panic("on purpose");
    }
    return plan->head_status;
}

static void on_record(const struct nhttp_record *record, void *arg)
{
    struct plan *plan = arg;
    (void)record;
    event_add(&plan->records);
    if (plan->panics_in_record)
        gopool_panic("on purpose");
}

static void on_state(uint64_t conn_id, enum nhttp_conn_state state, void *arg)
{
    struct plan *plan = arg;
    (void)conn_id;
    if (plan->panics_at == state)
        gopool_panic("on purpose");
}

static void on_cancel(struct nhttp_request *request, void *arg)
{
    struct plan *plan = arg;
    (void)request;
    event_add(&plan->cancels);
    if (plan->panics_in_cancel)
        gopool_panic("on purpose");
}

static void handle(struct nhttp_request *request, void *arg)
{
    struct plan *plan = arg;
    if (!path_is(request, "/later")) {
        web_handle(request, NULL);
        return;
    }
    nhttp_request_defer(request);
    CHECK(nhttp_request_on_cancel(request, on_cancel, plan) == 0);
    plan->request = request;
    event_add(&plan->arrivals);
}

#define WEB_OF(plan, mode)          \
    {                               \
        .options = {                \
            .handler = handle,      \
            .executor = (mode),     \
            .arg = &(plan),         \
            .on_head = on_head,     \
            .on_record = on_record, \
            .on_state = on_state    \
        }                           \
    }

TEST_BOTH_MODES(http_callbacks, on_head_that_panics_is_a_500)
{
    struct plan plan = {PLAN_INIT, .panics_in_head = true, .hijacks_in_head = true};
    struct web web = WEB_OF(plan, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 3; i++)
        expect_answer(fd, GET("/"), 500, "Internal Server Error");
    event_wait(&plan.destroyed, 3);
    cr_assert_eq(event_count(&plan.hijacked), 3);
    cr_assert_eq(web_stats(&web).panics, 3);
    client_close(fd);
    web.rig.expected_logs = 3;
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_callbacks, on_head_may_refuse_with_every_status)
{
    struct plan plan = {PLAN_INIT};
    struct web web = WEB_OF(plan, *mode);
    uint64_t refused = 0;
    web_start(&web);
    int fd = web_dial(&web);
    for (plan.head_status = 400; plan.head_status <= 599; plan.head_status++)
        expect_answer(fd, GET("/"), plan.head_status, NULL);
    /* This one is not in the table, as those above 511. */
    expect_answer(fd, GET("/"), 500, NULL);
    struct nhttp_server_stats stats = web_stats(&web);
    for (unsigned i = 0; i < NHTTP_REFUSALS; i++) {
        cr_assert_eq(stats.refused[i], 400 + i == 500 ? 2 : 1, "%u", 400 + i);
        refused += stats.refused[i];
    }
    cr_assert_eq(refused, NHTTP_REFUSALS + 1);
    cr_assert_eq(stats.requests, 201);
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_callbacks, time_limits_of_on_head)
{
    static const int64_t bad[] = {-2, INT64_MIN, INT64_MAX, (int64_t)NETPOLL_TIMEOUT_MS_MAX + 1};
    struct plan plan = {PLAN_INIT};
    struct web web = WEB_OF(plan, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        plan.timeout_ms = bad[i];
        expect_answer(fd, GET("/"), 500, NULL);
    }
    /* As the options say. */
    plan.timeout_ms = 0;
    expect_answer(fd, POST("/echo", 3) "abc", 200, "abc");
    expect_answer(fd, GET("/"), 200, "Hello, World!");
    plan.timeout_ms = NETPOLL_TIMEOUT_NONE;
    expect_answer(fd, POST("/echo", 3) "abc", 200, "abc");
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_callbacks, a_hijacker_is_told_of_requests_that_have_no_handler)
{
    struct plan plan = {PLAN_INIT, .hijacks_in_head = true};
    struct web web = WEB_OF(plan, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size");
    expect_last(fd, 400);
    client_close(fd);
    event_wait(&plan.hijacked, 1);
    fd = web_dial(&web);
    ask(fd, POST("/", 10) "abc");
    event_wait(&plan.records, 1);
    client_end_sending(fd);
    event_wait(&plan.hijacked, 2);
    client_close(fd);
    web_finish_when_idle(&web);
    cr_assert_eq(event_count(&plan.hijacked), 2);
}

TEST_BOTH_MODES(http_callbacks, others_that_panic_change_nothing)
{
    struct plan plan = {PLAN_INIT, .panics_in_record = true, .panics_in_destroy = true};
    struct web web = WEB_OF(plan, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 3; i++) {
        expect_answer(fd, GET("/"), 200, "Hello, World!");
        expect_answer(fd, POST("/echo", 3) "abc", 200, "abc");
    }
    event_wait(&plan.destroyed, 6);
    WAIT_UNTIL(web_stats(&web).panics == 12);
    client_close(fd);
    web.rig.expected_logs = 12;
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_callbacks, on_state_that_panics_changes_nothing)
{
    static const enum nhttp_conn_state at[] = {NHTTP_CONN_NEW, NHTTP_CONN_ACTIVE, NHTTP_CONN_IDLE,
                                               NHTTP_CONN_CLOSED};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        struct plan plan = {PLAN_INIT};
        struct web web = WEB_OF(plan, *mode);
        plan.panics_at = at[i];
        web_start(&web);
        int fd = web_dial(&web);
        expect_answer(fd, GET("/"), 200, "Hello, World!");
        client_close(fd);
        web.rig.expected_logs = 1;
        WAIT_UNTIL(web_stats(&web).panics == 1);
        web_finish_when_idle(&web);
    }
}

TEST_BOTH_MODES(http_callbacks, on_cancel_that_panics_changes_nothing)
{
    struct plan plan = {PLAN_INIT, .panics_in_cancel = true};
    struct web web = WEB_OF(plan, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/later"));
    event_wait(&plan.arrivals, 1);
    client_end_sending(fd);
    event_wait(&plan.cancels, 1);
    say(plan.request, "late");
    nhttp_request_finish(plan.request);
    expect_answer(fd, NULL, 200, "late");
    client_close(fd);
    web.rig.expected_logs = 1;
    web_finish_when_idle(&web);
}

/* Every request whose head was taken is told of, also one that a shutdown cuts off. */
TEST_BOTH_MODES(http_callbacks, a_body_that_a_shutdown_cuts_off_is_told_of)
{
    struct plan plan = {PLAN_INIT};
    struct web web = WEB_OF(plan, *mode);
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, POST("/echo", 10) "abc");
    WAIT_UNTIL(web_stats(&web).requests == 1);
    cr_assert_eq(nhttp_server_shutdown(web.server, 50), 1);
    cr_assert_eq(event_count(&plan.records), 1);
    cr_assert_eq(event_count(&plan.destroyed), 1);
    cr_assert_eq(web_stats(&web).cancelled, 1);
    client_close(fd);
    web_finish(&web);
}

/* Of the first connection: IDLE is being told, by a worker, while the connection ends. */
struct order {
    struct event idle, may_go_on, closed;
    _Atomic uint64_t first;
    _Atomic bool is_telling, overlapped;
};

static void watch_order(uint64_t conn_id, enum nhttp_conn_state state, void *arg)
{
    struct order *order = arg;
    uint64_t none = 0;
    (void)atomic_compare_exchange_strong(&order->first, &none, conn_id);
    if (conn_id != atomic_load(&order->first))
        return;
    if (atomic_exchange(&order->is_telling, true))
        atomic_store(&order->overlapped, true);
    if (state == NHTTP_CONN_IDLE) {
        event_add(&order->idle);
        event_wait(&order->may_go_on, 1);
    }
    atomic_store(&order->is_telling, false);
    if (state == NHTTP_CONN_CLOSED)
        event_add(&order->closed);
}

Test(http_callbacks, states_are_told_one_after_the_other)
{
    struct order order = {.idle = EVENT_INIT, .may_go_on = EVENT_INIT, .closed = EVENT_INIT};
    struct web web = {.options = {.on_state = watch_order, .arg = &order}, .pollers = 1};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    event_wait(&order.idle, 1);
    client_reset(fd);
    WAIT_UNTIL(web_stats(&web).connections == 0);
    /* The poller has done with the first one when it answers another. */
    fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    client_close(fd);
    cr_assert_eq(event_count(&order.closed), 0);
    event_add(&order.may_go_on);
    event_wait(&order.closed, 1);
    cr_assert_not(atomic_load(&order.overlapped));
    web_finish_when_idle(&web);
}
