/* Pools of client connections: which connection a get is given, and when they are closed. */
#include "../support/process.h"
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <gopool/panic.h>
#include <netpoll/client_pool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(client_pool, .timeout = 60);

struct pool_rig {
    struct dial_rig dial;
    struct netpoll_client_pool_options options;
    struct netpoll_client_pool *pool;
};

static void start(struct pool_rig *rig)
{
    dial_rig_start(&rig->dial);
    cr_assert_eq(netpoll_client_pool_create(rig->dial.dialer, &rig->options, &rig->pool), 0);
}

static void finish(struct pool_rig *rig)
{
    cr_assert_eq(netpoll_client_pool_destroy(rig->pool), 0);
    dial_rig_finish(&rig->dial);
}

static struct netpoll_conn *get_from(struct pool_rig *rig, const char *address)
{
    struct netpoll_conn *conn;
    CHECK(netpoll_client_pool_get(rig->pool, address, DEADLINE_MS, &conn) == 0);
    CHECK(conn != NULL);
    return conn;
}

static struct netpoll_conn *get(struct pool_rig *rig)
{
    return get_from(rig, rig->dial.rig.address);
}

static int failing_get(struct pool_rig *rig)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)rig;
    int status = netpoll_client_pool_get(rig->pool, rig->dial.rig.address, DEADLINE_MS, &conn);
    CHECK(status != 0 && conn == NULL);
    return status;
}

static void put(struct pool_rig *rig, struct netpoll_conn *conn)
{
    CHECK(netpoll_client_pool_put(rig->pool, conn, true) == 0);
}

static struct netpoll_client_pool_stats stats_of(struct pool_rig *rig)
{
    struct netpoll_client_pool_stats stats;
    netpoll_client_pool_stats_read(rig->pool, &stats);
    return stats;
}

Test(client_pool, options_out_of_range_are_refused)
{
    static const struct netpoll_client_pool_options bad[] = {
        {.wait_timeout_ms = -2},
        {.idle_timeout_ms = -2},
        {.max_age_ms = (int64_t)INT32_MAX + 1},
        {.reserved = {0, 0, 0, 0, 0, 0, 0, 1}},
    };
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct netpoll_client_pool *pool = (struct netpoll_client_pool *)&rig;
        cr_assert_eq(netpoll_client_pool_create(rig.dialer, &bad[i], &pool), -EINVAL);
        cr_assert_null(pool);
    }
    cr_assert_eq(netpoll_client_pool_destroy(NULL), 0);
    dial_rig_finish(&rig);
}

/* Which one is handed out */

Test(client_pool, a_connection_that_was_put_back_is_handed_out_again)
{
    struct pool_rig rig = {0};
    start(&rig);
    struct netpoll_conn *conn = get(&rig);
    uint64_t id = netpoll_conn_id(conn);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    cr_assert_eq(stats_of(&rig).in_use, 1);
    expect_conn_echo(conn, 1, 1000);
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).idle, 1);
    cr_assert_eq(stats_of(&rig).in_use, 0);
    for (uint64_t i = 0; i < 100; i++) {
        conn = get(&rig);
        cr_assert_eq(netpoll_conn_id(conn), id);
        cr_assert(netpoll_client_pool_is_reused(rig.pool, conn));
        expect_conn_echo(conn, i, 70000);
        put(&rig, conn);
    }
    struct netpoll_client_pool_stats stats = stats_of(&rig);
    cr_assert_eq(stats.gets, 101);
    cr_assert_eq(stats.reuses, 100);
    cr_assert_eq(stats.dials, 1);
    cr_assert_eq(stats.addresses, 1);
    finish(&rig);
}

Test(client_pool, an_idle_connection_keeps_no_memory_of_what_it_read)
{
    struct pool_rig rig = {.dial.rig.pollers = 1};
    start(&rig);
    put(&rig, get(&rig));
    size_t before = live_bytes();
    for (uint64_t i = 0; i < 50; i++) {
        struct netpoll_conn *conn = get(&rig);
        expect_conn_echo(conn, i, 200000);
        put(&rig, conn);
    }
    /* 10 MB have passed. */
    cr_assert_lt(live_bytes(), before + 4000000);
    finish(&rig);
}

Test(client_pool, the_newest_is_handed_out_first)
{
    struct pool_rig rig = {0};
    struct netpoll_conn *conns[3];
    uint64_t ids[3];
    start(&rig);
    for (int i = 0; i < 3; i++) {
        conns[i] = get(&rig);
        ids[i] = netpoll_conn_id(conns[i]);
    }
    put(&rig, conns[1]);
    put(&rig, conns[0]);
    put(&rig, conns[2]);
    static const int order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        conns[i] = get(&rig);
        cr_assert_eq(netpoll_conn_id(conns[i]), ids[order[i]]);
    }
    for (int i = 0; i < 3; i++)
        put(&rig, conns[i]);
    finish(&rig);
}

Test(client_pool, addresses_do_not_mix)
{
    struct pool_rig rig = {0};
    char second[NETPOLL_ADDRESS_BYTES];
    char peer[NETPOLL_ADDRESS_BYTES];
    start(&rig);
    cr_assert_eq(netpoll_server_listen(rig.dial.rig.server, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(rig.dial.rig.server, 1, second, sizeof second), 0);
    put(&rig, get(&rig));
    struct netpoll_conn *conn = get_from(&rig, second);
    cr_assert_eq(netpoll_conn_peer(conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, second);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).addresses, 2);
    conn = get(&rig);
    cr_assert_eq(netpoll_conn_peer(conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, rig.dial.rig.address);
    put(&rig, conn);
    finish(&rig);
}

static void wait_for_end(struct pool_rig *rig)
{
    WAIT_UNTIL(stats_of(rig).addresses == 0);
}

Test(client_pool, what_is_not_reusable_is_closed)
{
    struct pool_rig rig = {0};
    start(&rig);
    cr_assert_eq(netpoll_client_pool_put(rig.pool, get(&rig), false), 0);
    cr_assert_eq(stats_of(&rig).idle, 0);
    wait_for_end(&rig);
    cr_assert_eq(rig_stats(&rig.dial.rig).closed[NETPOLL_CLOSE_USER], 1);
    finish(&rig);
}

Test(client_pool, with_unread_bytes_it_is_closed)
{
    struct pool_rig rig = {0};
    start(&rig);
    struct netpoll_conn *conn = get(&rig);
    cr_assert_eq(netpoll_conn_write(conn, "late", 4), 0);
    cr_assert_eq(netpoll_conn_flush(conn), 0);
    cr_assert_eq(netpoll_conn_wait(conn, 4, DEADLINE_MS), 0);
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).idle, 0);
    wait_for_end(&rig);
    finish(&rig);
}

Test(client_pool, after_its_end_it_is_not_kept)
{
    struct pool_rig rig = {0};
    start(&rig);
    struct netpoll_conn *conn = get(&rig);
    cr_assert_eq(netpoll_conn_close(conn), 0);
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).idle, 0);
    conn = get(&rig);
    cr_assert_eq(netpoll_conn_abort(conn), 0);
    WAIT_UNTIL(stats_of(&rig).addresses == 0); /* it has ended and was not put back */
    cr_assert_eq(stats_of(&rig).in_use, 1);
    cr_assert_eq(netpoll_client_pool_destroy(rig.pool), -EBUSY);
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).in_use, 0);
    finish(&rig);
}

Test(client_pool, strangers_are_not_taken)
{
    struct pool_rig rig = {0};
    start(&rig);
    struct netpoll_conn *conn = dial(&rig.dial, rig.dial.rig.address);
    cr_assert_eq(netpoll_client_pool_put(rig.pool, conn, true), -EINVAL);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    expect_conn_echo(conn, 1, 10);
    hang_up(conn);
    conn = get(&rig);
    netpoll_conn_retain(conn);
    put(&rig, conn);
    cr_assert_eq(netpoll_client_pool_put(rig.pool, conn, true), -EINVAL); /* twice */
    netpoll_conn_release(conn);
    finish(&rig);
}

/* A server whose connections can be ended, or spoken on, from outside. */
struct puppet {
    struct pool_rig rig;
    struct event connects;
    struct netpoll_conn *conns[64];
};

static void hold(struct netpoll_conn *conn, void *arg)
{
    struct puppet *puppet = arg;
    netpoll_conn_retain(conn);
    puppet->conns[event_count(&puppet->connects)] = conn;
    event_add(&puppet->connects);
}

static void start_puppet(struct puppet *puppet)
{
    puppet->connects = (struct event)EVENT_INIT;
    puppet->rig.dial.rig.pollers = 1; /* connects come one after the other */
    puppet->rig.dial.server = (struct netpoll_conn_options){.on_request = echo_copy,
                                                            .on_connect = hold,
                                                            .handler = NETPOLL_HANDLER_INLINE,
                                                            .arg = puppet};
    start(&puppet->rig);
}

Test(client_pool, idle_ones_whose_peer_hangs_up_are_forgotten_at_once)
{
    enum {
        COUNT = 50
    };
    struct puppet puppet = {.rig.options.max_idle_per_address = COUNT};
    struct netpoll_conn *conns[COUNT];
    start_puppet(&puppet);
    size_t descriptors = descriptor_count();
    for (int i = 0; i < COUNT; i++)
        conns[i] = get(&puppet.rig);
    for (int i = 0; i < COUNT; i++)
        put(&puppet.rig, conns[i]);
    cr_assert_eq(stats_of(&puppet.rig).idle, COUNT);
    event_wait(&puppet.connects, COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(i % 2 == 0 ? netpoll_conn_close(puppet.conns[i])
                                : netpoll_conn_abort(puppet.conns[i]),
                     0);
        netpoll_conn_release(puppet.conns[i]);
    }
    wait_for_end(&puppet.rig);
    struct netpoll_client_pool_stats stats = stats_of(&puppet.rig);
    cr_assert_eq(stats.hung_up, COUNT);
    cr_assert_eq(stats.idle, 0);
    WAIT_UNTIL(descriptor_count() == descriptors);
    struct netpoll_conn *conn = get(&puppet.rig);
    cr_assert_not(netpoll_client_pool_is_reused(puppet.rig.pool, conn));
    put(&puppet.rig, conn);
    event_wait(&puppet.connects, COUNT + 1);
    netpoll_conn_release(puppet.conns[COUNT]);
    finish(&puppet.rig);
}

Test(client_pool, an_idle_one_that_was_spoken_to_is_not_handed_out)
{
    struct puppet puppet = {0};
    start_puppet(&puppet);
    struct netpoll_conn *conn = get(&puppet.rig);
    uint64_t id = netpoll_conn_id(conn);
    put(&puppet.rig, conn);
    event_wait(&puppet.connects, 1);
    uint64_t before = rig_stats(&puppet.rig.dial.rig).bytes_in;
    cr_assert_eq(netpoll_conn_write(puppet.conns[0], "408", 3), 0);
    cr_assert_eq(netpoll_conn_flush(puppet.conns[0]), 0);
    WAIT_UNTIL(rig_stats(&puppet.rig.dial.rig).bytes_in == before + 3);
    conn = get(&puppet.rig);
    cr_assert_neq(netpoll_conn_id(conn), id);
    cr_assert_eq(stats_of(&puppet.rig).unfit, 1);
    put(&puppet.rig, conn);
    event_wait(&puppet.connects, 2);
    netpoll_conn_release(puppet.conns[0]);
    netpoll_conn_release(puppet.conns[1]);
    finish(&puppet.rig);
}

/* Bounds and times */

static void put_three(struct pool_rig *rig, uint64_t *ids)
{
    struct netpoll_conn *conns[3];
    for (int i = 0; i < 3; i++) {
        conns[i] = get(rig);
        ids[i] = netpoll_conn_id(conns[i]);
    }
    for (int i = 0; i < 3; i++)
        put(rig, conns[i]);
}

Test(client_pool, max_idle_per_address_closes_the_oldest)
{
    struct pool_rig rig = {.options.max_idle_per_address = 2};
    uint64_t ids[3];
    start(&rig);
    put_three(&rig, ids);
    cr_assert_eq(stats_of(&rig).idle, 2);
    cr_assert_eq(stats_of(&rig).evicted, 1);
    struct netpoll_conn *newest = get(&rig);
    struct netpoll_conn *other = get(&rig);
    cr_assert_eq(netpoll_conn_id(newest), ids[2]);
    cr_assert_eq(netpoll_conn_id(other), ids[1]);
    put(&rig, newest);
    put(&rig, other);
    finish(&rig);
}

Test(client_pool, max_idle_closes_the_oldest_of_all_addresses)
{
    struct pool_rig rig = {.options.max_idle = 3};
    char second[NETPOLL_ADDRESS_BYTES];
    uint64_t ids[3];
    start(&rig);
    cr_assert_eq(netpoll_server_listen(rig.dial.rig.server, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(rig.dial.rig.server, 1, second, sizeof second), 0);
    put(&rig, get_from(&rig, second));
    put_three(&rig, ids);
    cr_assert_eq(stats_of(&rig).idle, 3);
    cr_assert_eq(stats_of(&rig).evicted, 1);
    WAIT_UNTIL(stats_of(&rig).addresses == 1);
    struct netpoll_conn *conn = get_from(&rig, second);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    put(&rig, conn);
    finish(&rig);
}

Test(client_pool, by_default_sixteen_are_kept_of_an_address)
{
    struct pool_rig rig = {0};
    struct netpoll_conn *conns[20];
    start(&rig);
    for (int i = 0; i < 20; i++)
        conns[i] = get(&rig);
    for (int i = 0; i < 20; i++)
        put(&rig, conns[i]);
    cr_assert_eq(stats_of(&rig).idle, 16);
    finish(&rig);
}

Test(client_pool, idle_timeout_closes_them_one_by_one)
{
    struct pool_rig rig = {.options.idle_timeout_ms = 80};
    start(&rig);
    struct netpoll_conn *first = get(&rig);
    struct netpoll_conn *second = get(&rig);
    int64_t begin_ms = now_ms();
    put(&rig, first);
    WAIT_UNTIL(now_ms() >= begin_ms + 40);
    int64_t second_ms = now_ms();
    put(&rig, second);
    WAIT_UNTIL(stats_of(&rig).idle_timeouts == 1);
    cr_assert_geq(now_ms() - begin_ms, 80);
    cr_assert_lt(now_ms() - begin_ms, 800);
    WAIT_UNTIL(stats_of(&rig).idle_timeouts == 2);
    cr_assert_geq(now_ms() - second_ms, 80);
    cr_assert_lt(now_ms() - second_ms, 800);
    wait_for_end(&rig);
    /* And once more, when the timer had nothing to do. */
    put(&rig, get(&rig));
    WAIT_UNTIL(stats_of(&rig).idle_timeouts == 3);
    finish(&rig);
}

Test(client_pool, without_an_idle_timeout_they_stay)
{
    struct pool_rig rig = {.options.idle_timeout_ms = NETPOLL_TIMEOUT_NONE};
    struct pool_rig other = {.options.idle_timeout_ms = 20};
    start(&rig);
    put(&rig, get(&rig));
    cr_assert_eq(netpoll_client_pool_create(rig.dial.dialer, &other.options, &other.pool), 0);
    other.dial = rig.dial;
    put(&other, get(&other));
    WAIT_UNTIL(stats_of(&other).idle_timeouts == 1);
    cr_assert_eq(stats_of(&rig).idle, 1);
    cr_assert_eq(netpoll_client_pool_destroy(other.pool), 0);
    finish(&rig);
}

Test(client_pool, max_age_ends_them_when_put_back_and_when_asked_for)
{
    struct pool_rig rig = {.options.max_age_ms = 60};
    start(&rig);
    struct netpoll_conn *conn = get(&rig);
    int64_t begin_ms = now_ms();
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).idle, 1);
    WAIT_UNTIL(now_ms() > begin_ms + 60);
    conn = get(&rig);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    cr_assert_eq(stats_of(&rig).too_old, 1);
    begin_ms = now_ms();
    WAIT_UNTIL(now_ms() > begin_ms + 60);
    put(&rig, conn);
    cr_assert_eq(stats_of(&rig).idle, 0);
    cr_assert_eq(stats_of(&rig).too_old, 2);
    finish(&rig);
}

/* Gets that do not block */

Test(client_pool, start_get_dials_and_reuses_on_a_poller)
{
    struct pool_rig rig = {0};
    uint64_t id = 0;
    start(&rig);
    for (int i = 0; i < 3; i++) {
        struct outcome outcome = OUTCOME_INIT;
        cr_assert_eq(netpoll_client_pool_start_get(rig.pool, rig.dial.rig.address, 0, note_outcome,
                                                   &outcome),
                     0);
        event_wait(&outcome.told, 1);
        cr_assert_eq(outcome.status, 0);
        cr_assert(outcome.on_poller);
        cr_assert(i == 0 || netpoll_conn_id(outcome.conn) == id);
        id = netpoll_conn_id(outcome.conn);
        expect_conn_echo(outcome.conn, 3, 500);
        put(&rig, outcome.conn);
    }
    cr_assert_eq(stats_of(&rig).dials, 1);
    finish(&rig);
}

Test(client_pool, a_dial_that_fails_leaves_nothing)
{
    struct pool_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_conn *conn;
    char long_address[1000];
    char address[NETPOLL_ADDRESS_BYTES];
    start(&rig);
    free_address(address, sizeof address);
    cr_assert_eq(netpoll_client_pool_get(rig.pool, address, 0, &conn), -ECONNREFUSED);
    cr_assert_null(conn);
    cr_assert_eq(netpoll_client_pool_start_get(rig.pool, address, 0, note_outcome, &outcome), 0);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, -ECONNREFUSED);
    cr_assert_eq(netpoll_client_pool_get(rig.pool, "nonsense", 0, &conn), -EINVAL);
    cr_assert_eq(netpoll_client_pool_start_get(rig.pool, "nonsense", 0, note_outcome, NULL),
                 -EINVAL);
    cr_assert_eq(netpoll_client_pool_start_get(rig.pool, address, 0, NULL, NULL), -EINVAL);
    cr_assert_eq(netpoll_client_pool_start_get(rig.pool, address, -2, note_outcome, NULL), -EINVAL);
    memset(long_address, 'a', sizeof long_address);
    memcpy(long_address + sizeof long_address - 4, ":80", 4);
    cr_assert_eq(netpoll_client_pool_get(rig.pool, long_address, 0, &conn), -EINVAL);
    struct netpoll_client_pool_stats stats = stats_of(&rig);
    cr_assert_eq(stats.dial_fails, 4);
    cr_assert_eq(stats.dialing, 0);
    cr_assert_eq(stats.addresses, 0);
    finish(&rig);
}

struct panicking {
    struct pool_rig rig;
    struct netpoll_conn *conn;
    struct event called;
};

static void note_and_panic(struct netpoll_conn *conn, int status, void *arg)
{
    struct panicking *panicking = arg;
    CHECK(status == 0);
    panicking->conn = conn;
    event_add(&panicking->called);
    gopool_panic("in the function of a get");
}

Test(client_pool, a_panic_in_the_function_closes_the_connection)
{
    struct panicking panicking = {.rig.dial.rig.expected_logs = 2, .called = EVENT_INIT};
    start(&panicking.rig);
    /* The first is dialed, the second is idle. */
    for (uint64_t i = 1; i <= 2; i++) {
        if (i == 2)
            put(&panicking.rig, get(&panicking.rig));
        cr_assert_eq(netpoll_client_pool_start_get(panicking.rig.pool,
                                                   panicking.rig.dial.rig.address, 0,
                                                   note_and_panic, &panicking),
                     0);
        event_wait(&panicking.called, i);
        WAIT_UNTIL(netpoll_conn_reason(panicking.conn) == NETPOLL_CLOSE_PANIC);
        put(&panicking.rig, panicking.conn);
    }
    finish(&panicking.rig);
}

struct polled {
    struct pool_rig rig;
    struct event done;
    int without_idle;
    int with_idle;
    int destroyed;
};

static void get_in_handler(struct netpoll_conn *conn, void *arg)
{
    struct polled *polled = arg;
    struct netpoll_conn *got;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    polled->without_idle = netpoll_client_pool_get(polled->rig.pool, "127.0.0.1:1", 0, &got);
    polled->with_idle =
        netpoll_client_pool_get(polled->rig.pool, polled->rig.dial.rig.address, 0, &got);
    if (got != NULL)
        put(&polled->rig, got);
    polled->destroyed = netpoll_client_pool_destroy(polled->rig.pool);
    event_add(&polled->done);
}

Test(client_pool, on_a_poller_get_gives_idle_ones_only)
{
    struct polled polled = {.done = EVENT_INIT};
    polled.rig.dial.server = (struct netpoll_conn_options){
        .on_request = get_in_handler, .handler = NETPOLL_HANDLER_INLINE, .arg = &polled};
    start(&polled.rig);
    put(&polled.rig, get(&polled.rig));
    int fd = rig_dial(&polled.rig.dial.rig);
    client_send(fd, "x", 1);
    event_wait(&polled.done, 1);
    cr_assert_eq(polled.without_idle, -EDEADLK);
    cr_assert_eq(polled.with_idle, 0);
    cr_assert_eq(polled.destroyed, -EDEADLK);
    cr_assert_eq(stats_of(&polled.rig).addresses, 1);
    client_close(fd);
    finish(&polled.rig);
}

/* The end */

Test(client_pool, after_stop_nothing_is_handed_out_and_nothing_kept)
{
    struct pool_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    start(&rig);
    struct netpoll_conn *out = get(&rig);
    put(&rig, get(&rig));
    netpoll_client_pool_stop(rig.pool);
    netpoll_client_pool_stop(rig.pool);
    cr_assert_eq(stats_of(&rig).idle, 0);
    cr_assert_eq(failing_get(&rig), -ESHUTDOWN);
    cr_assert_eq(
        netpoll_client_pool_start_get(rig.pool, rig.dial.rig.address, 0, note_outcome, &outcome),
        -ESHUTDOWN);
    expect_conn_echo(out, 1, 1000);
    cr_assert_eq(netpoll_client_pool_destroy(rig.pool), -EBUSY);
    put(&rig, out);
    cr_assert_eq(stats_of(&rig).idle, 0);
    finish(&rig);
}

Test(client_pool, a_dialer_that_shuts_down_does_not_wait_for_idle_ones)
{
    struct pool_rig rig = {0};
    start(&rig);
    put(&rig, get(&rig));
    put(&rig, get(&rig));
    cr_assert_eq(netpoll_dialer_shutdown(rig.dial.dialer, DEADLINE_MS), 0);
    cr_assert_eq(stats_of(&rig).idle, 0);
    cr_assert_eq(failing_get(&rig), -ESHUTDOWN);
    finish(&rig);
}

Test(client_pool, a_child_of_fork_gets_nothing)
{
    struct pool_rig rig = {0};
    struct netpoll_client_pool *pool;
    struct netpoll_conn *conn;
    int status;
    start(&rig);
    put(&rig, get(&rig));
    pid_t child = fork();
    if (child == 0) {
        const char *address = rig.dial.rig.address;
        netpoll_client_pool_stop(rig.pool);
        bool refused =
            netpoll_client_pool_get(rig.pool, address, 0, &conn) == -EPERM &&
            netpoll_client_pool_start_get(rig.pool, address, 0, note_outcome, NULL) == -EPERM &&
            netpoll_client_pool_create(rig.dial.dialer, NULL, &pool) == -EPERM &&
            netpoll_client_pool_destroy(rig.pool) == -EPERM;
        _exit(refused ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    conn = get(&rig);
    cr_assert(netpoll_client_pool_is_reused(rig.pool, conn));
    put(&rig, conn);
    finish(&rig);
}
