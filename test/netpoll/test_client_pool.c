/* Pools of client connections: which connection a get is given, and how many are kept for how
 * long. */
#include "../support/process.h"
#include "conn.h"
#include "pool_rig.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(client_pool, .timeout = 60);

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
    pool_rig_start(&rig);
    struct netpoll_conn *conn = pool_get(&rig);
    uint64_t id = netpoll_conn_id(conn);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    cr_assert_eq(pool_stats(&rig).in_use, 1);
    expect_conn_echo(conn, 1, 1000);
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).idle, 1);
    cr_assert_eq(pool_stats(&rig).in_use, 0);
    for (uint64_t i = 0; i < 100; i++) {
        conn = pool_get(&rig);
        cr_assert_eq(netpoll_conn_id(conn), id);
        cr_assert(netpoll_client_pool_is_reused(rig.pool, conn));
        expect_conn_echo(conn, i, 70000);
        pool_put(&rig, conn);
    }
    struct netpoll_client_pool_stats stats = pool_stats(&rig);
    cr_assert_eq(stats.gets, 101);
    cr_assert_eq(stats.reuses, 100);
    cr_assert_eq(stats.dials, 1);
    cr_assert_eq(stats.addresses, 1);
    pool_rig_finish(&rig);
}

Test(client_pool, an_idle_connection_keeps_no_memory_of_what_it_read)
{
    struct pool_rig rig = {.dial.rig.pollers = 1};
    pool_rig_start(&rig);
    pool_put(&rig, pool_get(&rig));
    size_t before = live_bytes();
    for (uint64_t i = 0; i < 50; i++) {
        struct netpoll_conn *conn = pool_get(&rig);
        expect_conn_echo(conn, i, 200000);
        pool_put(&rig, conn);
    }
    /* 10 MB have passed. */
    cr_assert_lt(live_bytes(), before + 4000000);
    pool_rig_finish(&rig);
}

Test(client_pool, the_newest_is_handed_out_first)
{
    struct pool_rig rig = {0};
    struct netpoll_conn *conns[3];
    uint64_t ids[3];
    pool_rig_start(&rig);
    for (int i = 0; i < 3; i++) {
        conns[i] = pool_get(&rig);
        ids[i] = netpoll_conn_id(conns[i]);
    }
    pool_put(&rig, conns[1]);
    pool_put(&rig, conns[0]);
    pool_put(&rig, conns[2]);
    static const int order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        conns[i] = pool_get(&rig);
        cr_assert_eq(netpoll_conn_id(conns[i]), ids[order[i]]);
    }
    for (int i = 0; i < 3; i++)
        pool_put(&rig, conns[i]);
    pool_rig_finish(&rig);
}

Test(client_pool, addresses_do_not_mix)
{
    struct pool_rig rig = {0};
    char second[NETPOLL_ADDRESS_BYTES];
    char peer[NETPOLL_ADDRESS_BYTES];
    pool_rig_start(&rig);
    cr_assert_eq(netpoll_server_listen(rig.dial.rig.server, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(rig.dial.rig.server, 1, second, sizeof second), 0);
    pool_put(&rig, pool_get(&rig));
    struct netpoll_conn *conn = pool_get_from(&rig, second);
    cr_assert_eq(netpoll_conn_peer(conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, second);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).addresses, 2);
    conn = pool_get(&rig);
    cr_assert_eq(netpoll_conn_peer(conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, rig.dial.rig.address);
    pool_put(&rig, conn);
    pool_rig_finish(&rig);
}

static void wait_for_end(struct pool_rig *rig)
{
    WAIT_UNTIL(pool_stats(rig).addresses == 0);
}

Test(client_pool, what_is_not_reusable_is_closed)
{
    struct pool_rig rig = {0};
    pool_rig_start(&rig);
    cr_assert_eq(netpoll_client_pool_put(rig.pool, pool_get(&rig), false), 0);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    wait_for_end(&rig);
    cr_assert_eq(rig_stats(&rig.dial.rig).closed[NETPOLL_CLOSE_USER], 1);
    pool_rig_finish(&rig);
}

Test(client_pool, with_unread_bytes_it_is_closed)
{
    struct pool_rig rig = {0};
    pool_rig_start(&rig);
    struct netpoll_conn *conn = pool_get(&rig);
    cr_assert_eq(netpoll_conn_write(conn, "late", 4), 0);
    cr_assert_eq(netpoll_conn_flush(conn), 0);
    cr_assert_eq(netpoll_conn_wait(conn, 4, DEADLINE_MS), 0);
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    wait_for_end(&rig);
    pool_rig_finish(&rig);
}

Test(client_pool, after_its_end_it_is_not_kept)
{
    struct pool_rig rig = {0};
    pool_rig_start(&rig);
    struct netpoll_conn *conn = pool_get(&rig);
    cr_assert_eq(netpoll_conn_close(conn), 0);
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    conn = pool_get(&rig);
    cr_assert_eq(netpoll_conn_abort(conn), 0);
    WAIT_UNTIL(pool_stats(&rig).addresses == 0); /* it has ended and was not put back */
    cr_assert_eq(pool_stats(&rig).in_use, 1);
    cr_assert_eq(netpoll_client_pool_destroy(rig.pool), -EBUSY);
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).in_use, 0);
    pool_rig_finish(&rig);
}

Test(client_pool, strangers_are_not_taken)
{
    struct pool_rig rig = {0};
    pool_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig.dial, rig.dial.rig.address);
    cr_assert_eq(netpoll_client_pool_put(rig.pool, conn, true), -EINVAL);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    expect_conn_echo(conn, 1, 10);
    hang_up(conn);
    conn = pool_get(&rig);
    netpoll_conn_retain(conn);
    pool_put(&rig, conn);
    cr_assert_eq(netpoll_client_pool_put(rig.pool, conn, true), -EINVAL); /* twice */
    netpoll_conn_release(conn);
    pool_rig_finish(&rig);
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
    pool_rig_start(&puppet->rig);
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
        conns[i] = pool_get(&puppet.rig);
    for (int i = 0; i < COUNT; i++)
        pool_put(&puppet.rig, conns[i]);
    cr_assert_eq(pool_stats(&puppet.rig).idle, COUNT);
    event_wait(&puppet.connects, COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(i % 2 == 0 ? netpoll_conn_close(puppet.conns[i])
                                : netpoll_conn_abort(puppet.conns[i]),
                     0);
        netpoll_conn_release(puppet.conns[i]);
    }
    wait_for_end(&puppet.rig);
    struct netpoll_client_pool_stats stats = pool_stats(&puppet.rig);
    cr_assert_eq(stats.hung_up, COUNT);
    cr_assert_eq(stats.idle, 0);
    WAIT_UNTIL(descriptor_count() == descriptors);
    struct netpoll_conn *conn = pool_get(&puppet.rig);
    cr_assert_not(netpoll_client_pool_is_reused(puppet.rig.pool, conn));
    pool_put(&puppet.rig, conn);
    event_wait(&puppet.connects, COUNT + 1);
    netpoll_conn_release(puppet.conns[COUNT]);
    pool_rig_finish(&puppet.rig);
}

Test(client_pool, an_idle_one_that_was_spoken_to_is_not_handed_out)
{
    struct puppet puppet = {0};
    start_puppet(&puppet);
    struct netpoll_conn *conn = pool_get(&puppet.rig);
    uint64_t id = netpoll_conn_id(conn);
    pool_put(&puppet.rig, conn);
    event_wait(&puppet.connects, 1);
    cr_assert_eq(netpoll_conn_write(puppet.conns[0], "408", 3), 0);
    cr_assert_eq(netpoll_conn_flush(puppet.conns[0]), 0);
    WAIT_UNTIL(linkbuffer_unread(conn->input.lb) == 3);
    conn = pool_get(&puppet.rig);
    cr_assert_neq(netpoll_conn_id(conn), id);
    cr_assert_eq(pool_stats(&puppet.rig).unfit, 1);
    pool_put(&puppet.rig, conn);
    event_wait(&puppet.connects, 2);
    netpoll_conn_release(puppet.conns[0]);
    netpoll_conn_release(puppet.conns[1]);
    pool_rig_finish(&puppet.rig);
}

/* Bounds and times */

static void put_three(struct pool_rig *rig, uint64_t *ids)
{
    struct netpoll_conn *conns[3];
    for (int i = 0; i < 3; i++) {
        conns[i] = pool_get(rig);
        ids[i] = netpoll_conn_id(conns[i]);
    }
    for (int i = 0; i < 3; i++)
        pool_put(rig, conns[i]);
}

Test(client_pool, max_idle_per_address_closes_the_oldest)
{
    struct pool_rig rig = {.options.max_idle_per_address = 2};
    uint64_t ids[3];
    pool_rig_start(&rig);
    put_three(&rig, ids);
    cr_assert_eq(pool_stats(&rig).idle, 2);
    cr_assert_eq(pool_stats(&rig).evicted, 1);
    struct netpoll_conn *newest = pool_get(&rig);
    struct netpoll_conn *other = pool_get(&rig);
    cr_assert_eq(netpoll_conn_id(newest), ids[2]);
    cr_assert_eq(netpoll_conn_id(other), ids[1]);
    pool_put(&rig, newest);
    pool_put(&rig, other);
    pool_rig_finish(&rig);
}

Test(client_pool, max_idle_closes_the_oldest_of_all_addresses)
{
    struct pool_rig rig = {.options.max_idle = 3};
    char second[NETPOLL_ADDRESS_BYTES];
    uint64_t ids[3];
    pool_rig_start(&rig);
    cr_assert_eq(netpoll_server_listen(rig.dial.rig.server, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(rig.dial.rig.server, 1, second, sizeof second), 0);
    pool_put(&rig, pool_get_from(&rig, second));
    put_three(&rig, ids);
    cr_assert_eq(pool_stats(&rig).idle, 3);
    cr_assert_eq(pool_stats(&rig).evicted, 1);
    WAIT_UNTIL(pool_stats(&rig).addresses == 1);
    struct netpoll_conn *conn = pool_get_from(&rig, second);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    pool_put(&rig, conn);
    pool_rig_finish(&rig);
}

Test(client_pool, by_default_sixteen_are_kept_of_an_address)
{
    struct pool_rig rig = {0};
    struct netpoll_conn *conns[20];
    pool_rig_start(&rig);
    for (int i = 0; i < 20; i++)
        conns[i] = pool_get(&rig);
    for (int i = 0; i < 20; i++)
        pool_put(&rig, conns[i]);
    cr_assert_eq(pool_stats(&rig).idle, 16);
    pool_rig_finish(&rig);
}

Test(client_pool, idle_timeout_closes_them_one_by_one)
{
    struct pool_rig rig = {.options.idle_timeout_ms = 80};
    pool_rig_start(&rig);
    struct netpoll_conn *first = pool_get(&rig);
    struct netpoll_conn *second = pool_get(&rig);
    int64_t begin_ms = now_ms();
    pool_put(&rig, first);
    WAIT_UNTIL(now_ms() >= begin_ms + 40);
    int64_t second_ms = now_ms();
    pool_put(&rig, second);
    WAIT_UNTIL(pool_stats(&rig).idle_timeouts >= 1);
    cr_assert_geq(now_ms() - begin_ms, 80);
    cr_assert_lt(now_ms() - begin_ms, 800);
    WAIT_UNTIL(pool_stats(&rig).idle_timeouts == 2);
    cr_assert_geq(now_ms() - second_ms, 80);
    cr_assert_lt(now_ms() - second_ms, 800);
    wait_for_end(&rig);
    /* And once more, when the timer had nothing to do. */
    pool_put(&rig, pool_get(&rig));
    WAIT_UNTIL(pool_stats(&rig).idle_timeouts == 3);
    pool_rig_finish(&rig);
}

Test(client_pool, without_an_idle_timeout_they_stay)
{
    struct pool_rig rig = {.options.idle_timeout_ms = NETPOLL_TIMEOUT_NONE};
    struct pool_rig other = {.options.idle_timeout_ms = 20};
    pool_rig_start(&rig);
    pool_put(&rig, pool_get(&rig));
    cr_assert_eq(netpoll_client_pool_create(rig.dial.dialer, &other.options, &other.pool), 0);
    other.dial = rig.dial;
    pool_put(&other, pool_get(&other));
    WAIT_UNTIL(pool_stats(&other).idle_timeouts >= 1);
    cr_assert_eq(pool_stats(&rig).idle, 1);
    cr_assert_eq(netpoll_client_pool_destroy(other.pool), 0);
    pool_rig_finish(&rig);
}

Test(client_pool, max_age_ends_them_when_put_back_and_when_asked_for)
{
    struct pool_rig rig = {.options.max_age_ms = 60};
    pool_rig_start(&rig);
    struct netpoll_conn *conn = pool_get(&rig);
    int64_t begin_ms = now_ms();
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).idle, 1);
    WAIT_UNTIL(now_ms() > begin_ms + 60);
    conn = pool_get(&rig);
    cr_assert_not(netpoll_client_pool_is_reused(rig.pool, conn));
    cr_assert_eq(pool_stats(&rig).too_old, 1);
    begin_ms = now_ms();
    WAIT_UNTIL(now_ms() > begin_ms + 60);
    pool_put(&rig, conn);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    cr_assert_eq(pool_stats(&rig).too_old, 2);
    pool_rig_finish(&rig);
}
