/* Pools of client connections: gets that do not block, gets on pollers, and the end. */
#include "pool_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <gopool/panic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(client_pool_end, .timeout = 60);

Test(client_pool_end, start_get_dials_and_reuses_on_a_poller)
{
    struct pool_rig rig = {0};
    uint64_t id = 0;
    pool_rig_start(&rig);
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
        pool_put(&rig, outcome.conn);
    }
    cr_assert_eq(pool_stats(&rig).dials, 1);
    pool_rig_finish(&rig);
}

Test(client_pool_end, a_dial_that_fails_leaves_nothing)
{
    struct pool_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_conn *conn;
    char long_address[1000];
    char address[NETPOLL_ADDRESS_BYTES];
    pool_rig_start(&rig);
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
    cr_assert_eq(netpoll_client_pool_get(rig.pool, NULL, 0, &conn), -EINVAL);
    cr_assert_eq(netpoll_client_pool_start_get(rig.pool, NULL, 0, note_outcome, NULL), -EINVAL);
    struct netpoll_client_pool_stats stats = pool_stats(&rig);
    cr_assert_eq(stats.dial_fails, 4);
    cr_assert_eq(stats.dialing, 0);
    cr_assert_eq(stats.addresses, 0);
    pool_rig_finish(&rig);
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

Test(client_pool_end, a_panic_in_the_function_closes_the_connection)
{
    struct panicking panicking = {.rig.dial.rig.expected_logs = 2, .called = EVENT_INIT};
    pool_rig_start(&panicking.rig);
    /* The first is dialed, the second is idle. */
    for (uint64_t i = 1; i <= 2; i++) {
        if (i == 2)
            pool_put(&panicking.rig, pool_get(&panicking.rig));
        cr_assert_eq(netpoll_client_pool_start_get(panicking.rig.pool,
                                                   panicking.rig.dial.rig.address, 0,
                                                   note_and_panic, &panicking),
                     0);
        event_wait(&panicking.called, i);
        WAIT_UNTIL(netpoll_conn_reason(panicking.conn) == NETPOLL_CLOSE_PANIC);
        pool_put(&panicking.rig, panicking.conn);
    }
    pool_rig_finish(&panicking.rig);
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
        pool_put(&polled->rig, got);
    polled->destroyed = netpoll_client_pool_destroy(polled->rig.pool);
    event_add(&polled->done);
}

Test(client_pool_end, on_a_poller_get_gives_idle_ones_only)
{
    struct polled polled = {.done = EVENT_INIT};
    polled.rig.dial.server = (struct netpoll_conn_options){
        .on_request = get_in_handler, .handler = NETPOLL_HANDLER_INLINE, .arg = &polled};
    pool_rig_start(&polled.rig);
    pool_put(&polled.rig, pool_get(&polled.rig));
    int fd = rig_dial(&polled.rig.dial.rig);
    client_send(fd, "x", 1);
    event_wait(&polled.done, 1);
    cr_assert_eq(polled.without_idle, -EDEADLK);
    cr_assert_eq(polled.with_idle, 0);
    cr_assert_eq(polled.destroyed, -EDEADLK);
    cr_assert_eq(pool_stats(&polled.rig).addresses, 1);
    client_close(fd);
    pool_rig_finish(&polled.rig);
}

/* The end */

Test(client_pool_end, after_stop_nothing_is_handed_out_and_nothing_kept)
{
    struct pool_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    pool_rig_start(&rig);
    struct netpoll_conn *out = pool_get(&rig);
    pool_put(&rig, pool_get(&rig));
    netpoll_client_pool_stop(rig.pool);
    netpoll_client_pool_stop(rig.pool);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    cr_assert_eq(pool_failing_get(&rig), -ESHUTDOWN);
    cr_assert_eq(
        netpoll_client_pool_start_get(rig.pool, rig.dial.rig.address, 0, note_outcome, &outcome),
        -ESHUTDOWN);
    expect_conn_echo(out, 1, 1000);
    cr_assert_eq(netpoll_client_pool_destroy(rig.pool), -EBUSY);
    pool_put(&rig, out);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    pool_rig_finish(&rig);
}

Test(client_pool_end, a_dialer_that_shuts_down_does_not_wait_for_idle_ones)
{
    struct pool_rig rig = {0};
    pool_rig_start(&rig);
    pool_put(&rig, pool_get(&rig));
    pool_put(&rig, pool_get(&rig));
    cr_assert_eq(netpoll_dialer_shutdown(rig.dial.dialer, DEADLINE_MS), 0);
    cr_assert_eq(pool_stats(&rig).idle, 0);
    cr_assert_eq(pool_failing_get(&rig), -ESHUTDOWN);
    pool_rig_finish(&rig);
}

Test(client_pool_end, a_child_of_fork_gets_nothing)
{
    struct pool_rig rig = {0};
    struct netpoll_client_pool *pool;
    struct netpoll_conn *conn;
    int status;
    pool_rig_start(&rig);
    pool_put(&rig, pool_get(&rig));
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
    conn = pool_get(&rig);
    cr_assert(netpoll_client_pool_is_reused(rig.pool, conn));
    pool_put(&rig, conn);
    pool_rig_finish(&rig);
}
