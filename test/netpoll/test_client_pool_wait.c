/* Gets that find as many connections of an address as there may be. */
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <netpoll/client_pool.h>
#include <string.h>

TestSuite(client_pool_wait, .timeout = 60);

struct full_rig {
    struct dial_rig dial;
    struct netpoll_client_pool_options options;
    struct netpoll_client_pool *pool;
    struct netpoll_conn *conn; /* the only one there may be */
};

static void start(struct full_rig *rig, int64_t wait_timeout_ms)
{
    rig->options.max_per_address = 1;
    rig->options.wait_timeout_ms = wait_timeout_ms;
    dial_rig_start(&rig->dial);
    cr_assert_eq(netpoll_client_pool_create(rig->dial.dialer, &rig->options, &rig->pool), 0);
    cr_assert_eq(netpoll_client_pool_get(rig->pool, rig->dial.rig.address, 0, &rig->conn), 0);
}

static void finish(struct full_rig *rig)
{
    cr_assert_eq(netpoll_client_pool_destroy(rig->pool), 0);
    dial_rig_finish(&rig->dial);
}

static void put(struct full_rig *rig, struct netpoll_conn *conn, bool reusable)
{
    CHECK(netpoll_client_pool_put(rig->pool, conn, reusable) == 0);
}

static struct netpoll_client_pool_stats stats_of(struct full_rig *rig)
{
    struct netpoll_client_pool_stats stats;
    netpoll_client_pool_stats_read(rig->pool, &stats);
    return stats;
}

/* A get that waits, by a thread of its own or by a function. */
struct getter {
    struct full_rig *rig;
    struct outcome outcome;
    pthread_t thread;
    bool has_thread;
};

static void *get_blocking(void *arg)
{
    struct getter *getter = arg;
    struct netpoll_conn *conn;
    int status =
        netpoll_client_pool_get(getter->rig->pool, getter->rig->dial.rig.address, 0, &conn);
    note_outcome(conn, status, &getter->outcome);
    return NULL;
}

static void begin(struct getter *getter, struct full_rig *rig, bool blocking)
{
    size_t waiting = stats_of(rig).waiting;
    *getter = (struct getter){.rig = rig, .outcome = OUTCOME_INIT, .has_thread = blocking};
    if (blocking)
        CHECK(pthread_create(&getter->thread, NULL, get_blocking, getter) == 0);
    else
        CHECK(netpoll_client_pool_start_get(rig->pool, rig->dial.rig.address, 0, note_outcome,
                                            &getter->outcome) == 0);
    WAIT_UNTIL(stats_of(rig).waiting == waiting + 1 || event_count(&getter->outcome.told) == 1);
}

static int end(struct getter *getter)
{
    event_wait(&getter->outcome.told, 1);
    if (getter->has_thread)
        CHECK(pthread_join(getter->thread, NULL) == 0);
    else
        CHECK(getter->outcome.on_poller);
    return getter->outcome.status;
}

/* Both kinds: the parameter is whether the get blocks. */
#define TEST_BOTH_KINDS(name)                           \
    ParameterizedTestParameters(client_pool_wait, name) \
    {                                                   \
        static bool kinds[] = {true, false};            \
        return cr_make_param_array(bool, kinds, 2);     \
    }                                                   \
    ParameterizedTest(const bool *blocking, client_pool_wait, name)

Test(client_pool_wait, without_a_wait_there_is_no_place)
{
    struct full_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_conn *conn = (struct netpoll_conn *)&rig;
    start(&rig, 0);
    cr_assert_eq(netpoll_client_pool_get(rig.pool, rig.dial.rig.address, 0, &conn), -EAGAIN);
    cr_assert_null(conn);
    cr_assert_eq(
        netpoll_client_pool_start_get(rig.pool, rig.dial.rig.address, 0, note_outcome, &outcome),
        -EAGAIN);
    cr_assert_eq(stats_of(&rig).full, 2);
    cr_assert_eq(stats_of(&rig).waiting, 0);
    put(&rig, rig.conn, true);
    cr_assert_eq(netpoll_client_pool_get(rig.pool, rig.dial.rig.address, 0, &conn), 0);
    put(&rig, conn, true);
    finish(&rig);
    cr_assert_eq(event_count(&outcome.told), 0);
}

TEST_BOTH_KINDS(what_is_put_back_goes_to_who_waits)
{
    struct full_rig rig = {0};
    struct getter getter;
    start(&rig, NETPOLL_TIMEOUT_NONE);
    begin(&getter, &rig, *blocking);
    put(&rig, rig.conn, true);
    cr_assert_eq(end(&getter), 0);
    cr_assert_eq(getter.outcome.conn, rig.conn);
    cr_assert(netpoll_client_pool_is_reused(rig.pool, rig.conn));
    struct netpoll_client_pool_stats stats = stats_of(&rig);
    cr_assert_eq(stats.in_use, 1);
    cr_assert_eq(stats.gets, 2);
    cr_assert_eq(stats.reuses, 1);
    expect_conn_echo(rig.conn, 1, 1000);
    put(&rig, rig.conn, true);
    finish(&rig);
}

TEST_BOTH_KINDS(the_place_of_one_that_ends_goes_to_who_waits)
{
    struct full_rig rig = {0};
    struct getter getter;
    start(&rig, NETPOLL_TIMEOUT_NONE);
    begin(&getter, &rig, *blocking);
    put(&rig, rig.conn, false);
    cr_assert_eq(end(&getter), 0);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, getter.outcome.conn));
    cr_assert_eq(stats_of(&rig).dials, 2);
    expect_conn_echo(getter.outcome.conn, 1, 1000);
    put(&rig, getter.outcome.conn, true);
    finish(&rig);
}

TEST_BOTH_KINDS(a_wait_ends_in_time)
{
    struct full_rig rig = {0};
    struct getter getter;
    start(&rig, 60);
    int64_t begin_ms = now_ms();
    begin(&getter, &rig, *blocking);
    cr_assert_eq(end(&getter), -ETIMEDOUT);
    cr_assert_geq(now_ms() - begin_ms, 60);
    cr_assert_lt(now_ms() - begin_ms, 600);
    cr_assert_eq(stats_of(&rig).wait_timeouts, 1);
    cr_assert_eq(stats_of(&rig).waiting, 0);
    put(&rig, rig.conn, true);
    cr_assert_eq(stats_of(&rig).idle, 1);
    finish(&rig);
}

TEST_BOTH_KINDS(who_came_first_is_served_first)
{
    struct full_rig rig = {0};
    struct getter getters[3];
    start(&rig, NETPOLL_TIMEOUT_NONE);
    for (int i = 0; i < 3; i++)
        begin(&getters[i], &rig, *blocking);
    for (int i = 0; i < 3; i++) {
        put(&rig, rig.conn, true);
        cr_assert_eq(end(&getters[i]), 0);
        for (int later = i + 1; later < 3; later++)
            cr_assert_eq(event_count(&getters[later].outcome.told), 0);
    }
    put(&rig, rig.conn, true);
    finish(&rig);
}

TEST_BOTH_KINDS(stop_ends_waits)
{
    struct full_rig rig = {0};
    struct getter getters[2];
    start(&rig, NETPOLL_TIMEOUT_NONE);
    for (int i = 0; i < 2; i++)
        begin(&getters[i], &rig, *blocking);
    netpoll_client_pool_stop(rig.pool);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(end(&getters[i]), -ESHUTDOWN);
    put(&rig, rig.conn, true);
    finish(&rig);
}

TEST_BOTH_KINDS(a_dial_in_a_place_that_was_waited_for_may_fail)
{
    struct full_rig rig = {0};
    struct getter getters[2];
    start(&rig, NETPOLL_TIMEOUT_NONE);
    for (int i = 0; i < 2; i++)
        begin(&getters[i], &rig, *blocking);
    cr_assert_geq(netpoll_server_shutdown(rig.dial.rig.server, 0), 0);
    put(&rig, rig.conn, false);
    /* The second is given the place of the first. */
    for (int i = 0; i < 2; i++)
        cr_assert_eq(end(&getters[i]), -ECONNREFUSED);
    cr_assert_eq(stats_of(&rig).addresses, 0);
    cr_assert_eq(stats_of(&rig).dial_fails, 2);
    finish(&rig);
}

struct handled {
    struct full_rig rig;
    struct event done;
};

static void get_in_handler(struct netpoll_conn *conn, void *arg)
{
    struct handled *handled = arg;
    const void *data;
    struct netpoll_conn *got;
    if (netpoll_conn_next(conn, 1, &data) != 0)
        return;
    if (*(const char *)data == 'g') {
        CHECK(netpoll_client_pool_get(handled->rig.pool, handled->rig.dial.rig.address, 0, &got) ==
              0);
        put(&handled->rig, got, true);
    } else {
        put(&handled->rig, handled->rig.conn, true);
    }
    event_add(&handled->done);
}

Test(client_pool_wait, a_worker_that_waits_is_replaced)
{
    struct gopool_options one = {.name = "one", .cap = 1};
    struct handled handled = {.done = EVENT_INIT};
    handled.rig.dial.rig.own_pool = &one;
    handled.rig.dial.server =
        (struct netpoll_conn_options){.on_request = get_in_handler, .arg = &handled};
    start(&handled.rig, NETPOLL_TIMEOUT_NONE);
    int first = rig_dial(&handled.rig.dial.rig);
    int second = rig_dial(&handled.rig.dial.rig);
    client_send(first, "g", 1);
    WAIT_UNTIL(stats_of(&handled.rig).waiting == 1);
    client_send(second, "p", 1);
    event_wait(&handled.done, 2);
    client_close(first);
    client_close(second);
    finish(&handled.rig);
}

struct overtaken {
    struct full_rig rig;
    struct outcome outcome;
    struct event started;
    struct event put_back;
};

static void get_and_hold_up(struct netpoll_conn *conn, void *arg)
{
    struct overtaken *overtaken = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_client_pool_start_get(overtaken->rig.pool, overtaken->rig.dial.rig.address, 0,
                                        note_outcome, &overtaken->outcome) == 0);
    event_add(&overtaken->started);
    event_wait(&overtaken->put_back, 1);
}

Test(client_pool_wait, the_end_of_a_wait_may_overtake_its_beginning)
{
    struct overtaken overtaken = {
        .outcome = OUTCOME_INIT, .started = EVENT_INIT, .put_back = EVENT_INIT};
    overtaken.rig.dial.rig.pollers = 1;
    overtaken.rig.dial.server = (struct netpoll_conn_options){
        .on_request = get_and_hold_up, .handler = NETPOLL_HANDLER_INLINE, .arg = &overtaken};
    start(&overtaken.rig, 1000);
    int fd = rig_dial(&overtaken.rig.dial.rig);
    client_send(fd, "x", 1);
    event_wait(&overtaken.started, 1);
    put(&overtaken.rig, overtaken.rig.conn, true);
    event_add(&overtaken.put_back);
    event_wait(&overtaken.outcome.told, 1);
    cr_assert_eq(overtaken.outcome.conn, overtaken.rig.conn);
    put(&overtaken.rig, overtaken.outcome.conn, true);
    client_close(fd);
    finish(&overtaken.rig);
    cr_assert_eq(event_count(&overtaken.outcome.told), 1);
}
