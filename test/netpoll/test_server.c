/* Servers: their options one by one, and their shutdown. */
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(server, .timeout = 60);

/* What callbacks told. */
struct seen {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event ends;
    struct event gate;
    enum netpoll_close_reason reason;
    int status;
    struct rig *rig;
};

#define SEEN_INIT                                                                          \
    {                                                                                      \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .ends = EVENT_INIT, .gate = EVENT_INIT, \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct seen *seen = arg;
    (void)conn;
    seen->reason = reason;
    event_add(&seen->ends);
}

static void ignore(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
}

static void expect_create(const struct netpoll_conn_options *options, int expected)
{
    struct rig rig = {0};
    struct netpoll_conn_options plain = {.on_request = ignore};
    struct netpoll_server *server = (struct netpoll_server *)&rig;
    rig_start(&rig, &plain);
    cr_assert_eq(netpoll_server_create(rig.runtime, options, NULL, &server), expected);
    if (expected != 0)
        cr_assert_null(server);
    cr_assert_eq(netpoll_server_destroy(server), 0);
    rig_finish(&rig);
}

Test(server, on_request_is_required)
{
    expect_create(&(struct netpoll_conn_options){0}, -EINVAL);
}

Test(server, reserved_fields_must_be_zero)
{
    for (unsigned i = 0; i < 8; i++) {
        struct netpoll_conn_options options = {.on_request = ignore};
        options.reserved[i] = 1;
        expect_create(&options, -EINVAL);
    }
}

static void expect_create_with(const struct netpoll_server_options *options, int expected)
{
    struct rig rig = {0};
    struct netpoll_conn_options plain = {.on_request = ignore};
    struct netpoll_server *server = (struct netpoll_server *)&rig;
    rig_start(&rig, &plain);
    cr_assert_eq(netpoll_server_create(rig.runtime, &plain, options, &server), expected);
    cr_assert_null(server);
    rig_finish(&rig);
}

Test(server, backlog_must_not_be_negative)
{
    expect_create_with(&(struct netpoll_server_options){.backlog = -1}, -EINVAL);
}

Test(server, reserved_fields_of_the_server_must_be_zero)
{
    expect_create_with(&(struct netpoll_server_options){.reserved = {0, 1}}, -EINVAL);
}

Test(server, timeouts_and_marks_out_of_range_are_refused)
{
    static const struct netpoll_conn_options bad[] = {
        {.on_request = ignore, .read_timeout_ms = -2},
        {.on_request = ignore, .write_timeout_ms = (int64_t)INT32_MAX + 1},
        {.on_request = ignore, .idle_timeout_ms = INT64_MIN},
        {.on_request = ignore, .request_timeout_ms = INT64_MAX},
        {.on_request = ignore, .close_timeout_ms = -2},
        {.on_request = ignore, .input_high_bytes = 100, .input_low_bytes = 101},
        {.on_request = ignore, .input_pinned_bytes = NETPOLL_INPUT_PINNED_BYTES_MAX + 1},
        {.on_request = ignore, .output_high_bytes = 100, .output_low_bytes = 101},
        {.on_request = ignore, .output_high_bytes = 100, .output_hard_bytes = 99},
        {.on_request = ignore, .max_message_bytes = NETPOLL_MESSAGE_BYTES_MAX + 1},
        {.on_request = ignore, .keepalive_s = -2},
        {.on_request = ignore, .user_timeout_ms = -1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_create(&bad[i], -EINVAL);
    expect_create(&(struct netpoll_conn_options){.on_request = ignore,
                                                 .read_timeout_ms = NETPOLL_TIMEOUT_NONE,
                                                 .write_timeout_ms = NETPOLL_TIMEOUT_MS_MAX},
                  0);
}

Test(server, an_unknown_handler_mode_is_refused)
{
    struct netpoll_conn_options options = {.on_request = ignore,
                                           .handler = (enum netpoll_handler)2};
    expect_create(&options, -EINVAL);
}

Test(server, destroying_nothing_is_allowed)
{
    cr_assert_eq(netpoll_server_destroy(NULL), 0);
    cr_assert_eq(netpoll_runtime_destroy(NULL), 0);
}

static void note_thread(struct netpoll_conn *conn, void *arg)
{
    struct seen *seen = arg;
    seen->status = is_thread_named("poller") ? NETPOLL_HANDLER_INLINE : NETPOLL_HANDLER_POOL;
    echo_copy(conn, arg);
}

TEST_BOTH_MODES(server, handler)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = note_thread, .handler = *mode, .arg = &seen};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    cr_assert_eq(seen.status, (int)*mode);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    struct seen *seen = arg;
    CHECK(is_thread_named("poller"));
    CHECK(netpoll_conn_post(conn, ignore, NULL) == 0);
    event_add(&seen->gate);
}

/* Works until its connection is canceled. */
static void work_until_canceled(struct netpoll_conn *conn, void *arg)
{
    struct seen *seen = arg;
    event_add(&seen->requests);
    event_wait(&seen->gate, 1);
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
}

Test(server, on_cancel)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = work_until_canceled,
                                           .on_cancel = note_cancel,
                                           .on_disconnect = note_end,
                                           .arg = &seen};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&seen.requests, 1);
    client_end_sending(fd);
    event_wait(&seen.ends, 1);
    cr_assert_eq(event_count(&seen.gate), 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static int option_of_server_side(struct netpoll_conn_options options, int level, int name)
{
    struct rig rig = {0};
    int value = -1;
    socklen_t n = sizeof value;
    options.on_request = echo_copy;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    CHECK(getsockopt(peer_descriptor(fd), level, name, &value, &n) == 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
    return value;
}

Test(server, disable_nodelay)
{
    struct netpoll_conn_options options = {.disable_nodelay = false};
    cr_assert_eq(option_of_server_side(options, IPPROTO_TCP, TCP_NODELAY), 1);
    options.disable_nodelay = true;
    cr_assert_eq(option_of_server_side(options, IPPROTO_TCP, TCP_NODELAY), 0);
}

Test(server, keepalive_and_user_timeout)
{
    struct netpoll_conn_options options = {.keepalive_s = 0};
    cr_assert_eq(option_of_server_side(options, SOL_SOCKET, SO_KEEPALIVE), 1);
    cr_assert_eq(option_of_server_side(options, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    options.keepalive_s = 7;
    cr_assert_eq(option_of_server_side(options, IPPROTO_TCP, TCP_KEEPIDLE), 7);
    cr_assert_eq(option_of_server_side(options, IPPROTO_TCP, TCP_KEEPINTVL), 4);
    options.keepalive_s = -1;
    cr_assert_eq(option_of_server_side(options, SOL_SOCKET, SO_KEEPALIVE), 0);
    options.user_timeout_ms = 1234;
    cr_assert_eq(option_of_server_side(options, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
}

/* The kernel tells the length of a listener's queue where it tells other sockets' losses. */
static void find_backlog(int fd, void *arg)
{
    int listens = 0;
    socklen_t n = sizeof listens;
    struct tcp_info info;
    socklen_t info_bytes = sizeof info;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0 &&
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0)
        *(int *)arg = (int)info.tcpi_sacked;
}

static int backlog_of_listener(int backlog)
{
    struct netpoll_server_options server_options = {.backlog = backlog};
    struct rig rig = {.server_options = &server_options};
    struct netpoll_conn_options options = {.on_request = ignore};
    int found = -1;
    rig_start(&rig, &options);
    for_each_descriptor(find_backlog, &found);
    rig_finish(&rig);
    return found;
}

Test(server, backlog)
{
    cr_assert_eq(backlog_of_listener(17), 17);
    int largest = backlog_of_listener(1 << 20); /* the system's own limit */
    int expected = NETPOLL_BACKLOG_DEFAULT < largest ? NETPOLL_BACKLOG_DEFAULT : largest;
    cr_assert_eq(backlog_of_listener(0), expected);
}

/* Shutdown. */

/* Answers when the gate is open. */
static void answer_behind_gate(struct netpoll_conn *conn, void *arg)
{
    struct seen *seen = arg;
    event_add(&seen->requests);
    event_wait(&seen->gate, 1);
    echo_copy(conn, arg);
}

static void *run_shutdown(void *arg)
{
    struct seen *seen = arg;
    seen->status = netpoll_server_shutdown(seen->rig->server, 20000);
    return NULL;
}

TEST_BOTH_MODES(server, shutdown_closes_idle_connections_and_listeners_at_once)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = echo_copy, .on_disconnect = note_end, .handler = *mode, .arg = &seen};
    int fds[20];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 20; i++) {
        fds[i] = rig_dial(&rig);
        expect_echo(fds[i], i, 100);
    }
    cr_assert_eq(netpoll_server_shutdown(rig.server, 20000), 0);
    cr_assert_eq(event_count(&seen.ends), 20);
    cr_assert_eq(seen.reason, NETPOLL_CLOSE_SHUTDOWN);
    cr_assert_eq(client_try_dial(rig.address), -ECONNREFUSED);
    cr_assert_eq(netpoll_server_listen(rig.server, "127.0.0.1:0"), -ESHUTDOWN);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert(client_sees_end(fds[i]));
        client_close(fds[i]);
    }
    cr_assert_eq(netpoll_server_shutdown(rig.server, 20000), 0, "again");
    rig_finish(&rig);
}

Test(server, shutdown_lets_a_busy_connection_answer)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = answer_behind_gate, .arg = &seen};
    pthread_t thread;
    char answer[4];
    seen.rig = &rig;
    rig_start(&rig, &options);
    int idle = rig_dial(&rig);
    int fd = rig_dial(&rig);
    client_send(fd, "work", 4);
    event_wait(&seen.requests, 1);
    cr_assert_eq(pthread_create(&thread, NULL, run_shutdown, &seen), 0);
    cr_assert(client_sees_end(idle), "shutdown has begun");
    event_add(&seen.gate);
    cr_assert_eq(client_receive(fd, answer, 4), 4);
    cr_assert(client_sees_end(fd));
    pthread_join(thread, NULL);
    cr_assert_eq(seen.status, 0);
    client_close(idle);
    client_close(fd);
    rig_finish(&rig);
}

TEST_BOTH_MODES(server, shutdown_serves_what_had_come)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    int fds[50];
    char answer[4];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 50; i++) {
        fds[i] = rig_dial(&rig);
        client_send(fds[i], "last", 4);
    }
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    for (unsigned i = 0; i < 50; i++) {
        cr_assert_eq(client_receive(fds[i], answer, 4), 4);
        cr_assert(client_sees_end(fds[i]));
        client_close(fds[i]);
    }
    rig_finish(&rig);
}

static void *open_gate_at_reset(void *arg)
{
    struct seen *seen = arg;
    CHECK(client_sees_reset(seen->status));
    event_add(&seen->gate);
    return NULL;
}

Test(server, shutdown_aborts_at_the_deadline_and_tells_how_many)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = answer_behind_gate, .on_disconnect = note_end, .arg = &seen};
    pthread_t thread;
    rig_start(&rig, &options);
    int idle = rig_dial(&rig);
    int fd = rig_dial(&rig);
    client_send(fd, "work", 4);
    event_wait(&seen.requests, 1);
    seen.status = fd;
    cr_assert_eq(pthread_create(&thread, NULL, open_gate_at_reset, &seen), 0);
    int64_t start = now_ms();
    cr_assert_eq(netpoll_server_shutdown(rig.server, 200), 1);
    cr_assert_geq(now_ms() - start, 200);
    cr_assert_eq(event_count(&seen.ends), 2, "it waits for a handler that is at work");
    cr_assert_eq(seen.reason, NETPOLL_CLOSE_SHUTDOWN);
    pthread_join(thread, NULL);
    cr_assert_eq(netpoll_server_shutdown(rig.server, 200), 0, "again");
    client_close(idle);
    client_close(fd);
    rig_finish(&rig);
}

Test(server, shutdown_aborts_a_connection_that_is_retained)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = echo_copy, .arg = &seen};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&seen.grab.connects, 1);
    cr_assert_eq(netpoll_server_shutdown(rig.server, 100), 1);
    cr_assert(client_sees_reset(fd));
    netpoll_conn_release(seen.grab.conn);
    client_close(fd);
    rig_finish(&rig);
}

/* The server's own threads may not wait for themselves. */
static void shut_down_from_inside(struct netpoll_conn *conn, void *arg)
{
    struct seen *seen = arg;
    CHECK(netpoll_server_shutdown(seen->rig->server, 1000) == -EDEADLK);
    CHECK(netpoll_server_destroy(seen->rig->server) == -EDEADLK);
    CHECK(netpoll_runtime_destroy(seen->rig->runtime) != 0);
    echo_copy(conn, arg);
}

TEST_BOTH_MODES(server, shutdown_from_a_handler_is_refused)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = shut_down_from_inside, .handler = *mode, .arg = &seen};
    seen.rig = &rig;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(server, destroy_aborts_what_is_left)
{
    struct seen seen = SEEN_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = ignore, .on_disconnect = note_end, .handler = *mode, .arg = &seen};
    struct netpoll_server *other;
    char address[NETPOLL_ADDRESS_BYTES];
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &other), 0);
    cr_assert_eq(netpoll_server_listen(other, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(other, 0, address, sizeof address), 0);
    int fd = client_dial(address);
    WAIT_UNTIL(rig_stats(&rig).connections == 1);
    cr_assert_eq(netpoll_runtime_destroy(rig.runtime), -EBUSY);
    cr_assert_eq(netpoll_server_destroy(other), 0);
    cr_assert_eq(event_count(&seen.ends), 1);
    (void)client_drain(fd);
    client_close(fd);
    rig_finish(&rig);
}

static void *shut_down(void *arg)
{
    const struct rig *rig = arg;
    CHECK(netpoll_server_shutdown(rig->server, 1000) == 0);
    return NULL;
}

Test(server, shutdowns_at_the_same_time_wait_for_each_other)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    for (unsigned round = 0; round < 50; round++) {
        struct rig rig = {0};
        pthread_t threads[4];
        rig_start(&rig, &options);
        int fd = rig_dial(&rig);
        expect_echo(fd, round, 100);
        for (unsigned i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, shut_down, &rig) == 0);
        for (unsigned i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        cr_assert_eq(rig_stats(&rig).connections, 0);
        client_close(fd);
        rig_finish(&rig);
    }
}
