/* What dialers make: connections of several addresses, of sockets of the user's, and very many. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(dialer_conns, .timeout = 60);

static const char *port_of(const char *address)
{
    return strrchr(address, ':') + 1;
}

/* Several addresses */

/* [::1] of this port is deaf; 127.0.0.1 of the same port is the rig's, or nobody's. */
static void deaf_beside(struct deaf *deaf, const char *address)
{
    char text[64];
    snprintf(text, sizeof text, "[::1]:%s", port_of(address));
    deaf_start(deaf, text);
}

static void localhost_of(char *out, size_t size, const char *address)
{
    snprintf(out, size, "localhost:%s", port_of(address));
}

Test(dialer_conns, a_refused_address_is_passed_over_at_once)
{
    struct dial_rig rig = {.options.fallback_ms = 10000};
    char address[64];
    dial_rig_start(&rig);
    localhost_of(address, sizeof address, rig.rig.address);
    int64_t begin_ms = now_ms();
    struct netpoll_conn *conn = dial(&rig, address);
    cr_assert_lt(now_ms() - begin_ms, 5000);
    expect_conn_echo(conn, 1, 100);
    hang_up(conn);
    dial_rig_finish(&rig);
}

Test(dialer_conns, an_address_that_does_not_answer_has_a_head_start)
{
    struct dial_rig rig = {.options.fallback_ms = 80};
    struct deaf deaf;
    char address[64];
    dial_rig_start(&rig);
    deaf_beside(&deaf, rig.rig.address);
    localhost_of(address, sizeof address, rig.rig.address);
    int64_t begin_ms = now_ms();
    struct netpoll_conn *conn = dial(&rig, address);
    cr_assert_geq(now_ms() - begin_ms, 80);
    cr_assert_lt(now_ms() - begin_ms, 800);
    expect_conn_echo(conn, 1, 100);
    hang_up(conn);
    deaf_finish(&deaf);
    dial_rig_finish(&rig);
}

Test(dialer_conns, the_head_start_is_a_quarter_of_a_second)
{
    struct dial_rig rig = {0};
    struct deaf deaf;
    char address[64];
    dial_rig_start(&rig);
    deaf_beside(&deaf, rig.rig.address);
    localhost_of(address, sizeof address, rig.rig.address);
    int64_t begin_ms = now_ms();
    hang_up(dial(&rig, address));
    cr_assert_geq(now_ms() - begin_ms, 250);
    cr_assert_lt(now_ms() - begin_ms, 2500);
    deaf_finish(&deaf);
    dial_rig_finish(&rig);
}

Test(dialer_conns, without_a_fallback_one_address_has_all_the_time)
{
    struct dial_rig rig = {.options.fallback_ms = NETPOLL_TIMEOUT_NONE};
    struct deaf deaf;
    char address[64];
    dial_rig_start(&rig);
    deaf_beside(&deaf, rig.rig.address);
    localhost_of(address, sizeof address, rig.rig.address);
    cr_assert_eq(failing_dial(&rig, address, 400), -ETIMEDOUT);
    deaf_finish(&deaf);
    dial_rig_finish(&rig);
}

Test(dialer_conns, the_slow_address_may_still_win)
{
    struct dial_rig rig = {.options.fallback_ms = 20};
    struct deaf deaf;
    char free_one[NETPOLL_ADDRESS_BYTES];
    char address[64];
    char peer[NETPOLL_ADDRESS_BYTES];
    struct outcome outcome = OUTCOME_INIT;
    dial_rig_start(&rig);
    free_address(free_one, sizeof free_one);
    deaf_beside(&deaf, free_one);
    localhost_of(address, sizeof address, free_one);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, address, 20000, note_outcome, &outcome, NULL), 0);
    /* The SYN is sent again after a second. */
    cr_assert_eq(failing_dial(&rig, deaf.address, 100), -ETIMEDOUT);
    deaf_listen_at_last(&deaf);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, 0);
    cr_assert_eq(netpoll_conn_peer(outcome.conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, deaf.address);
    hang_up(outcome.conn);
    deaf_finish(&deaf);
    dial_rig_finish(&rig);
}

Test(dialer_conns, when_all_fail_the_one_that_was_reached_is_told)
{
    struct dial_rig rig = {.options.local = "127.0.0.1:0"};
    char free_one[NETPOLL_ADDRESS_BYTES];
    char address[64];
    dial_rig_start(&rig);
    free_address(free_one, sizeof free_one);
    localhost_of(address, sizeof address, free_one);
    /* [::1] cannot be dialed from 127.0.0.1. */
    cr_assert_eq(failing_dial(&rig, address, 0), -ECONNREFUSED);
    snprintf(address, sizeof address, "tcp6:localhost:%s", port_of(free_one));
    cr_assert_eq(failing_dial(&rig, address, 0), -EADDRNOTAVAIL);
    dial_rig_finish(&rig);
}

/* Sockets of the user's */

static void expect_adopted(int fd, int peer)
{
    struct dial_rig rig = {0};
    struct netpoll_conn *conn;
    char data[4];
    const void *got;
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, fd, &conn), 0);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    cr_assert(is_close_on_exec(fd));
    client_send(peer, "ping", 4);
    cr_assert_eq(netpoll_conn_wait(conn, 4, DEADLINE_MS), 0);
    cr_assert_eq(netpoll_conn_next(conn, 4, &got), 0);
    cr_assert_eq(memcmp(got, "ping", 4), 0);
    cr_assert_eq(netpoll_conn_write(conn, "pong", 4), 0);
    cr_assert_eq(netpoll_conn_flush(conn), 0);
    cr_assert_eq(client_receive(peer, data, 4), 4);
    cr_assert_eq(rig_stats(&rig.rig).dialed, 1);
    hang_up(conn);
    cr_assert(client_sees_end(peer));
    client_close(peer);
    rig.rig.descriptors -= 2; /* both were there before the start */
    dial_rig_finish(&rig);
}

Test(dialer_conns, a_socket_pair_is_adopted)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    expect_adopted(pair[0], pair[1]);
}

Test(dialer_conns, a_tcp_socket_is_adopted)
{
    struct deaf deaf;
    deaf_start(&deaf, "127.0.0.1:0");
    int peer = accept(deaf.listener, NULL, NULL);
    cr_assert_geq(peer, 0);
    int fd = dup(deaf.fillers[0]);
    client_close(deaf.fillers[0]);
    deaf.fillers[0] = dup(deaf.listener); /* for deaf_finish() */
    expect_adopted(fd, peer);
    deaf_finish(&deaf);
}

Test(dialer_conns, what_cannot_be_adopted_stays_the_callers)
{
    struct dial_rig rig = {.conn.on_prepare = NULL};
    struct netpoll_conn *conn = (struct netpoll_conn *)&rig;
    int pair[2];
    int dgram[2];
    int pipes[2];
    struct deaf deaf;
    deaf_start(&deaf, "127.0.0.1:0");
    dial_rig_start(&rig);
    cr_assert_eq(pipe(pipes), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, -1, &conn), -EBADF);
    cr_assert_null(conn);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, pipes[0], &conn), -ENOTSOCK);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, dgram[0], &conn), -EPROTOTYPE);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, deaf.listener, &conn), -ENOTCONN);
    cr_assert_eq(netpoll_dialer_shutdown(rig.dialer, 0), 0);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, pair[0], &conn), -ESHUTDOWN);
    cr_assert_null(conn);
    cr_assert_eq(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    cr_assert_not(is_close_on_exec(pair[0]));
    for (int i = 0; i < 2; i++) {
        client_close(pair[i]);
        client_close(dgram[i]);
        client_close(pipes[i]);
    }
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
}

static int refuse(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
    return -1;
}

Test(dialer_conns, a_socket_that_on_prepare_refuses_stays_the_callers)
{
    struct dial_rig rig = {.conn.on_prepare = refuse};
    int pair[2];
    dial_rig_start(&rig);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, pair[0], NULL), -ECONNABORTED);
    client_close(pair[0]);
    client_close(pair[1]);
    dial_rig_finish(&rig);
}

struct adopting {
    struct dial_rig rig;
    struct event done;
    int fd;
    int status;
};

static void adopt_in_handler(struct netpoll_conn *conn, void *arg)
{
    struct adopting *adopting = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    adopting->status = netpoll_dialer_adopt(adopting->rig.dialer, adopting->fd, NULL);
    event_add(&adopting->done);
}

TEST_BOTH_MODES(dialer_conns, a_handler_may_adopt)
{
    struct adopting adopting = {.done = EVENT_INIT};
    int pair[2];
    adopting.rig.server = (struct netpoll_conn_options){
        .on_request = adopt_in_handler, .handler = *mode, .arg = &adopting};
    adopting.rig.conn.on_request = echo_copy;
    dial_rig_start(&adopting.rig);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    adopting.fd = pair[0];
    int fd = rig_dial(&adopting.rig.rig);
    client_send(fd, "x", 1);
    event_wait(&adopting.done, 1);
    cr_assert_eq(adopting.status, 0);
    expect_echo(pair[1], 3, 1000);
    client_close(pair[1]);
    client_close(fd);
    dial_rig_finish(&adopting.rig);
}

/* Very many */

Test(dialer_conns, a_thousand_dials_at_once_all_come_about)
{
    enum {
        COUNT = 1000
    };
    static struct outcome outcomes[COUNT];
    struct dial_rig rig = {.rig.pollers = 4,
                           .rig.server_options =
                               &(struct netpoll_server_options){.backlog = 2 * COUNT}};
    struct netpoll_stats stats;
    dial_rig_start(&rig);
    for (int i = 0; i < COUNT; i++) {
        outcomes[i] = (struct outcome)OUTCOME_INIT;
        cr_assert_eq(netpoll_dialer_start(rig.dialer, rig.rig.address, DEADLINE_MS, note_outcome,
                                          &outcomes[i], NULL),
                     0);
    }
    for (int i = 0; i < COUNT; i++) {
        event_wait(&outcomes[i].told, 1);
        cr_assert_eq(outcomes[i].status, 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(netpoll_runtime_poller_stats_read(rig.rig.runtime, i, &stats), 0);
        cr_assert_geq(stats.dialed, COUNT / 4 - COUNT / 10);
        cr_assert_leq(stats.dialed, COUNT / 4 + COUNT / 10);
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(netpoll_conn_close(outcomes[i].conn), 0);
        netpoll_conn_release(outcomes[i].conn);
    }
    dial_rig_finish(&rig);
}

Test(dialer_conns, a_dial_of_a_millisecond_comes_about_or_is_a_timeout)
{
    struct dial_rig rig = {0};
    uint64_t came_about = 0;
    dial_rig_start(&rig);
    for (int i = 0; i < 300; i++) {
        struct netpoll_conn *conn;
        int status = netpoll_dialer_dial(rig.dialer, rig.rig.address, 1, &conn);
        cr_assert(status == 0 || status == -ETIMEDOUT, "%s", netpoll_strerror(status));
        if (status != 0)
            continue;
        came_about++;
        expect_conn_echo(conn, (uint64_t)i, 64);
        hang_up(conn);
    }
    struct netpoll_stats stats = rig_stats(&rig.rig);
    cr_assert_eq(stats.dialed, came_about);
    cr_assert_eq(stats.dial_fails, 300 - came_about);
    cr_assert_eq(stats.dial_timeouts, 300 - came_about);
    dial_rig_finish(&rig);
}

/* Dials to two servers in turn, so that each finds descriptors that the other's connections have
 * just let go of. */
#define ROUNDS 50

struct caller {
    struct dial_rig *rig;
    const char *addresses[2];
    uint64_t seed;
    pthread_t thread;
};

static void tell_name(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_write(conn, arg, 1) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
}

static void swallow(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    (void)!netpoll_conn_skip(conn, netpoll_conn_len(conn));
}

static void *call_both(void *arg)
{
    struct caller *caller = arg;
    const void *name;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t which = random_below(&caller->seed, 2);
        struct netpoll_conn *conn = dial(caller->rig, caller->addresses[which]);
        /* Some are closed before the name has come. */
        if (random_below(&caller->seed, 4) != 0) {
            CHECK(netpoll_conn_wait(conn, 1, DEADLINE_MS) == 0);
            CHECK(netpoll_conn_next(conn, 1, &name) == 0);
            CHECK(*(const char *)name == (which == 0 ? 'a' : 'b'));
            CHECK(netpoll_conn_len(conn) == 0);
        }
        CHECK(netpoll_conn_close(conn) == 0);
        netpoll_conn_release(conn);
    }
    return NULL;
}

Test(dialer_conns, dial_then_close_mixes_nothing_up)
{
    enum {
        CALLERS = 20
    };
    static char names[2] = "ab";
    struct caller callers[CALLERS];
    struct dial_rig rig = {
        .server = {.on_request = swallow, .on_connect = tell_name, .arg = &names[0]}};
    struct netpoll_conn_options other = {
        .on_request = swallow, .on_connect = tell_name, .arg = &names[1]};
    struct netpoll_server *second;
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_server_create(rig.rig.runtime, &other, NULL, &second), 0);
    cr_assert_eq(netpoll_server_listen(second, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(second, 0, address, sizeof address), 0);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){
            .rig = &rig, .addresses = {rig.rig.address, address}, .seed = 1 + (uint64_t)i};
        cr_assert_eq(pthread_create(&callers[i].thread, NULL, call_both, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        cr_assert_eq(pthread_join(callers[i].thread, NULL), 0);
    cr_assert_eq(rig_stats(&rig.rig).dialed, (uint64_t)CALLERS * ROUNDS);
    WAIT_UNTIL(rig_stats(&rig.rig).connections == 0);
    cr_assert_eq(netpoll_server_destroy(second), 0);
    dial_rig_finish(&rig);
}

/* The peer's end */

static void note_close(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(arg);
}

static void hang_up_at_once(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_close(conn) == 0);
}

static void expect_ends(struct dial_rig *rig)
{
    dial_rig_start(rig);
    size_t descriptors = descriptor_count();
    for (int i = 0; i < 50; i++)
        netpoll_conn_release(dial(rig, rig->rig.address));
    WAIT_UNTIL(rig_stats(&rig->rig).connections == 0);
    WAIT_UNTIL(descriptor_count() == descriptors);
    dial_rig_finish(rig);
}

static void add_close_callback(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_add_close_callback(conn, note_close, arg) == 0);
}

TEST_BOTH_MODES(dialer_conns, when_peers_hang_up_callbacks_run_and_nothing_is_left)
{
    struct event closes = EVENT_INIT;
    struct dial_rig rig = {
        .server = {.on_request = swallow, .on_connect = hang_up_at_once},
        .conn = {.on_connect = add_close_callback, .handler = *mode, .arg = &closes}};
    expect_ends(&rig);
    cr_assert_eq(event_count(&closes), 50);
}
