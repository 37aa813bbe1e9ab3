/* Dialers: their options, what they dial, from where, and how that fails. */
#include "../support/process.h"
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(dialer, .timeout = 60);

static const char *port_of(const char *address)
{
    return strrchr(address, ':') + 1;
}

/* The options */

static void expect_refused(const struct netpoll_dialer_options *options)
{
    struct dial_rig rig = {0};
    struct netpoll_dialer *dialer = (struct netpoll_dialer *)&rig;
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_create(rig.rig.runtime, &rig.conn, options, &dialer), -EINVAL);
    cr_assert_null(dialer);
    dial_rig_finish(&rig);
}

Test(dialer, options_out_of_range_are_refused)
{
    static const struct netpoll_dialer_options bad[] = {
        {.timeout_ms = -2},
        {.timeout_ms = (int64_t)INT32_MAX + 1},
        {.fallback_ms = -2},
        {.fallback_ms = INT64_MAX},
        {.resolver_threads = NETPOLL_RESOLVER_THREADS_MAX + 1},
        {.local = ""},
        {.local = ":0"},
        {.local = "127.0.0.1"},
        {.local = "localhost:0"},
        {.local = "example.org:0"},
        {.local = "unix:@x"},
        {.reserved = {0, 0, 0, 0, 0, 0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_refused(&bad[i]);
}

Test(dialer, options_of_connections_are_checked)
{
    struct dial_rig rig = {0};
    struct netpoll_conn_options bad = {.read_timeout_ms = -2};
    struct netpoll_dialer *dialer = (struct netpoll_dialer *)&rig;
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_create(rig.rig.runtime, &bad, NULL, &dialer), -EINVAL);
    cr_assert_null(dialer);
    cr_assert_eq(netpoll_dialer_destroy(NULL), 0);
    dial_rig_finish(&rig);
}

/* What can be dialed */

static void expect_reached(const char *listen, const char *dialed_prefix)
{
    struct dial_rig rig = {.rig.listen = listen};
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    snprintf(address, sizeof address, "%s", rig.rig.address);
    if (dialed_prefix != NULL)
        snprintf(address, sizeof address, "%s%s", dialed_prefix, port_of(rig.rig.address));
    struct netpoll_conn *conn = dial(&rig, address);
    expect_conn_echo(conn, 7, 100000);
    hang_up(conn);
    dial_rig_finish(&rig);
}

Test(dialer, numeric_addresses_are_dialed)
{
    expect_reached("127.0.0.1:0", NULL);
    expect_reached("[::1]:0", NULL);
    expect_reached("127.0.0.1:0", "tcp4:127.0.0.1:");
    expect_reached("[::1]:0", "tcp6:[::1]:");
}

Test(dialer, a_server_of_every_address_is_dialed_by_its_own)
{
    expect_reached(":0", NULL);
    expect_reached(":0", ":");
    expect_reached(":0", "tcp4::");
    expect_reached(":0", "tcp6::");
}

Test(dialer, localhost_is_both_loopback_addresses)
{
    expect_reached("127.0.0.1:0", "localhost:");
    expect_reached("[::1]:0", "localhost:");
    expect_reached("127.0.0.1:0", "tcp4:localhost:");
    expect_reached("[::1]:0", "tcp6:localhost:");
}

Test(dialer, unix_sockets_are_dialed)
{
    char path[] = "/tmp/netpoll-dialer-XXXXXX";
    char address[64];
    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof address, "unix:%s/socket", path);
    expect_reached(address, NULL);
    snprintf(address, sizeof address, "unix:@netpoll-dialer-%d", (int)getpid());
    expect_reached(address, NULL);
    cr_assert_eq(rmdir(path), 0);
}

Test(dialer, a_connection_knows_its_addresses)
{
    struct dial_rig rig = {0};
    char peer[NETPOLL_ADDRESS_BYTES];
    char local[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(netpoll_conn_peer(conn, peer, sizeof peer), 0);
    cr_assert_eq(netpoll_conn_local(conn, local, sizeof local), 0);
    cr_assert_str_eq(peer, rig.rig.address);
    cr_assert_eq(strncmp(local, "127.0.0.1:", 10), 0);
    cr_assert_str_neq(local, peer);
    hang_up(conn);
    dial_rig_finish(&rig);
}

Test(dialer, a_unix_peer_has_its_address)
{
    struct dial_rig rig = {.rig.listen = own_unix_name("dialer-peer")};
    char peer[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(netpoll_conn_peer(conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, own_unix_name("dialer-peer"));
    cr_assert_eq(netpoll_conn_local(conn, peer, sizeof peer), 0);
    cr_assert_str_eq(peer, "unix:");
    hang_up(conn);
    dial_rig_finish(&rig);
}

/* on_request of a client */

static void note_answer(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    if (netpoll_conn_len(conn) < 4)
        return;
    CHECK(netpoll_conn_next(conn, 4, &data) == 0 && memcmp(data, "ping", 4) == 0);
    event_add(arg);
}

static void say_ping(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_write(conn, "ping", 4) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(dialer, callbacks_of_a_client_run)
{
    struct event answers = EVENT_INIT;
    struct dial_rig rig = {
        .conn = {
            .on_request = note_answer, .on_connect = say_ping, .arg = &answers, .handler = *mode}};
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    event_wait(&answers, 1);
    hang_up(conn);
    dial_rig_finish(&rig);
}

/* How it fails */

Test(dialer, an_address_that_is_none_is_refused)
{
    static const char *const bad[] = {
        NULL, /* of an environment variable that is not set, for example */
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:http",
        "::1:80",
        "[::1]",
        "[::1:80",
        "256.1.1.1:80",
        "1.2.3:80",
        "tcp4:",
        "tcp4:[::1]:80",
        "tcp6:1.2.3.4:80",
        "tcp5:1.2.3.4:80",
        "unix:",
        "unix:@",
        "exa mple.org:1",
        "a..b:80",
        ".a:80",
        "0x7f.1:80",
        "[fe80]:80",
        "host:80:80",
        "tcp4:tcp4:127.0.0.1:80",
        "a/b:80",
        ".:80",
        "-1",
    };
    struct dial_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_dial *handle = (struct netpoll_dial *)&rig;
    dial_rig_start(&rig);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(failing_dial(&rig, bad[i], 0), -EINVAL, "%s", bad[i] != NULL ? bad[i] : "");
        cr_assert_eq(netpoll_dialer_start(rig.dialer, bad[i], 0, note_outcome, &outcome, &handle),
                     -EINVAL);
        cr_assert_null(handle);
    }
    dial_rig_finish(&rig);
    cr_assert_eq(event_count(&outcome.told), 0);
}

Test(dialer, timeouts_out_of_range_are_refused)
{
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    cr_assert_eq(failing_dial(&rig, rig.rig.address, -2), -EINVAL);
    cr_assert_eq(failing_dial(&rig, rig.rig.address, (int64_t)INT32_MAX + 1), -EINVAL);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, rig.rig.address, 0, NULL, NULL, NULL), -EINVAL);
    dial_rig_finish(&rig);
}

Test(dialer, before_anybody_listens_it_is_refused)
{
    struct dial_rig rig = {0};
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    free_address(address, sizeof address);
    cr_assert_eq(failing_dial(&rig, address, 0), -ECONNREFUSED);
    cr_assert_eq(failing_dial(&rig, "unix:/nonexistent/netpoll", 0), -ENOENT);
    cr_assert_eq(failing_dial(&rig, "unix:@netpoll-nobody", 0), -ECONNREFUSED);
    cr_assert_eq(netpoll_server_listen(rig.rig.server, address), 0);
    struct netpoll_conn *conn = dial(&rig, address);
    expect_conn_echo(conn, 1, 1000);
    hang_up(conn);
    dial_rig_finish(&rig);
}

static void expect_timeout(const char *where)
{
    struct dial_rig rig = {.options.timeout_ms = 120};
    struct deaf deaf;
    deaf_start(&deaf, where);
    dial_rig_start(&rig);
    int64_t begin_ms = now_ms();
    cr_assert_eq(failing_dial(&rig, deaf.address, 0), -ETIMEDOUT);
    cr_assert_geq(now_ms() - begin_ms, 120);
    cr_assert_lt(now_ms() - begin_ms, 1200);
    begin_ms = now_ms();
    cr_assert_eq(failing_dial(&rig, deaf.address, 240), -ETIMEDOUT);
    cr_assert_geq(now_ms() - begin_ms, 240);
    cr_assert_lt(now_ms() - begin_ms, 2400);
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
}

Test(dialer, a_peer_that_does_not_answer_is_a_timeout)
{
    expect_timeout("127.0.0.1:0");
    expect_timeout(own_unix_name("dialer-deaf"));
}

Test(dialer, the_default_timeout_is_three_seconds)
{
    struct dial_rig rig = {0};
    struct deaf deaf;
    deaf_start(&deaf, "127.0.0.1:0");
    dial_rig_start(&rig);
    int64_t begin_ms = now_ms();
    cr_assert_eq(failing_dial(&rig, deaf.address, 0), -ETIMEDOUT);
    cr_assert_geq(now_ms() - begin_ms, 3000);
    cr_assert_lt(now_ms() - begin_ms, 30000);
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
}

Test(dialer, a_full_backlog_of_a_unix_socket_is_waited_for)
{
    struct dial_rig rig = {.options.timeout_ms = NETPOLL_TIMEOUT_NONE};
    struct outcome outcome = OUTCOME_INIT;
    struct deaf deaf;
    deaf_start(&deaf, own_unix_name("dialer-later"));
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, deaf.address, 0, note_outcome, &outcome, NULL),
                 0);
    cr_assert_eq(failing_dial(&rig, deaf.address, 50), -ETIMEDOUT);
    cr_assert_eq(event_count(&outcome.told), 0);
    deaf_listen_at_last(&deaf);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, 0);
    hang_up(outcome.conn);
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
}

static int refuse(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
    return -1;
}

Test(dialer, on_prepare_may_refuse)
{
    struct dial_rig rig = {.conn.on_prepare = refuse};
    dial_rig_start(&rig);
    cr_assert_eq(failing_dial(&rig, rig.rig.address, 0), -ECONNABORTED);
    WAIT_UNTIL(rig_stats(&rig.rig).connections == 0);
    dial_rig_finish(&rig);
}

Test(dialer, no_descriptor_is_an_error_of_the_dial)
{
    struct dial_rig rig = {0};
    struct netpoll_conn *conn;
    dial_rig_start(&rig);
    rig_round_trip(&rig.rig); /* the server waits for connections, and needs no descriptor for it */
    int last = dup(0);
    struct rlimit few = {.rlim_cur = (rlim_t)last, .rlim_max = (rlim_t)last + 1000};
    client_close(last);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert_eq(netpoll_dialer_dial(rig.dialer, rig.rig.address, 0, &conn), -EMFILE);
    few.rlim_cur = few.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    hang_up(dial(&rig, rig.rig.address));
    dial_rig_finish(&rig);
}

/* Where it dials from */

static void note_peer(struct netpoll_conn *conn, void *arg)
{
    char *peer = arg;
    CHECK(netpoll_conn_peer(conn, peer, NETPOLL_ADDRESS_BYTES) == 0);
    CHECK(netpoll_conn_write(conn, "x", 1) == 0 && netpoll_conn_flush(conn) == 0);
}

Test(dialer, local_is_where_it_dials_from)
{
    char peer[NETPOLL_ADDRESS_BYTES] = "";
    struct dial_rig rig = {.options.local = "127.0.0.2:0",
                           .server = {.on_connect = note_peer, .arg = peer}};
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(netpoll_conn_wait(conn, 1, DEADLINE_MS), 0);
    cr_assert_eq(strncmp(peer, "127.0.0.2:", 10), 0, "%s", peer);
    cr_assert_eq(failing_dial(&rig, "[::1]:1", 0), -EADDRNOTAVAIL);
    hang_up(conn);
    dial_rig_finish(&rig);
}

Test(dialer, a_local_address_of_another_host_is_not_available)
{
    struct dial_rig rig = {.options.local = "192.0.2.1:0"};
    dial_rig_start(&rig);
    cr_assert_eq(failing_dial(&rig, rig.rig.address, 0), -EADDRNOTAVAIL);
    dial_rig_finish(&rig);
}

Test(dialer, a_dial_that_reaches_itself_has_reached_nobody)
{
    struct dial_rig rig = {0};
    char address[NETPOLL_ADDRESS_BYTES];
    free_address(address, sizeof address);
    rig.options.local = address;
    dial_rig_start(&rig);
    int status = failing_dial(&rig, address, 0);
    cr_assert_eq(status, -ECONNREFUSED, "%s", netpoll_strerror(status));
    dial_rig_finish(&rig);
}

static int int_option(struct netpoll_conn *conn, int level, int name)
{
    int value = -1;
    size_t size = sizeof value;
    cr_assert_eq(netpoll_conn_socket_option(conn, level, name, &value, &size), 0);
    return value;
}

Test(dialer, socket_options_are_set)
{
    struct dial_rig rig = {.conn = {.keepalive_s = 17, .user_timeout_ms = 12345}};
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(int_option(conn, IPPROTO_TCP, TCP_NODELAY), 1);
    cr_assert_eq(int_option(conn, IPPROTO_TCP, TCP_KEEPIDLE), 17);
    cr_assert_eq(int_option(conn, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    cr_assert_eq(int_option(conn, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 0);
    hang_up(conn);
    dial_rig_finish(&rig);
}

Test(dialer, fast_open_is_asked_for)
{
    struct dial_rig rig = {.options.fast_open = true};
    dial_rig_start(&rig);
    for (int i = 0; i < 3; i++) {
        struct netpoll_conn *conn = dial(&rig, rig.rig.address);
        cr_assert_eq(int_option(conn, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 1);
        expect_conn_echo(conn, 3, 5000);
        hang_up(conn);
    }
    dial_rig_finish(&rig);
}
