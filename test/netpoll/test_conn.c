/* Birth of a connection, and what may be asked of it. */
#include "../support/process.h"
#include "rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <linkbuffer/linkbuffer.h>
#include <netinet/in.h>
#include <netpoll/transform.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(conn, .timeout = 60);

struct birth {
    struct grab grab; /* first: see grab_conn() */
    struct event closes;
    struct event requests;
    int verdict; /* what on_prepare returns */
};

#define BIRTH_INIT                                                      \
    {                                                                   \
        .grab = GRAB_INIT, .closes = EVENT_INIT, .requests = EVENT_INIT \
    }

static void note_close(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct birth *)arg)->closes);
}

static void note_request(struct netpoll_conn *conn, void *arg)
{
    event_add(&((struct birth *)arg)->requests);
    echo_copy(conn, arg);
}

static int judge(struct netpoll_conn *conn, void *arg)
{
    CHECK(is_thread_named("poller"));
    CHECK(netpoll_conn_add_close_callback(conn, note_close, arg) == 0);
    return ((struct birth *)arg)->verdict;
}

TEST_BOTH_MODES(conn, on_prepare_turns_away)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_prepare = judge,
                                           .on_connect = grab_conn,
                                           .on_request = note_request,
                                           .handler = *mode,
                                           .arg = &birth};
    birth.verdict = -EPERM;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    cr_assert_eq(client_drain(fd), 0);
    event_wait(&birth.closes, 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&birth.grab.connects), 0);
    cr_assert_eq(event_count(&birth.requests), 0);
}

static int keep_and_refuse(struct netpoll_conn *conn, void *arg)
{
    netpoll_conn_retain(conn);
    *(struct netpoll_conn **)arg = conn;
    return -EPERM;
}

TEST_BOTH_MODES(conn, a_handle_kept_by_on_prepare_of_a_refused_connection_is_dead)
{
    struct netpoll_conn *conn = NULL;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_prepare = keep_and_refuse, .on_request = echo_copy, .handler = *mode, .arg = &conn};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    cr_assert_eq(client_drain(fd), 0);
    cr_assert_not(netpoll_conn_is_active(conn));
    cr_assert_eq(netpoll_conn_write(conn, "late", 4), -ENOTCONN);
    cr_assert_eq(netpoll_conn_flush(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_close(conn), -ENOTCONN);
    netpoll_conn_release(conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static int refuse_to_open(struct netpoll_conn *conn, void *arg, void **state)
{
    (void)conn;
    (void)arg;
    *state = NULL;
    return -EPERM;
}

static int append_all(void *state, struct linkbuffer *from, size_t max, struct linkbuffer *into)
{
    (void)state;
    (void)max;
    return linkbuffer_append(into, from);
}

static int append_decoded(void *state, struct linkbuffer *wire, struct linkbuffer *plain,
                          struct linkbuffer *reply)
{
    (void)reply;
    return append_all(state, wire, 0, plain);
}

static void close_nothing(void *state)
{
    (void)state;
}

static int look_keep_and_go_on(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_unsent(conn) == 0);
    (void)keep_and_refuse(conn, arg);
    return 0;
}

TEST_BOTH_MODES(conn, so_is_one_of_a_connection_whose_transform_does_not_begin)
{
    static netpoll_prepare_fn *const prepares[] = {keep_and_refuse, look_keep_and_go_on};
    struct netpoll_transform transform = {.open = refuse_to_open,
                                          .decode = append_decoded,
                                          .encode = append_all,
                                          .close = close_nothing};
    for (size_t i = 0; i < sizeof prepares / sizeof prepares[0]; i++) {
        struct netpoll_conn *conn = NULL;
        struct rig rig = {.expected_logs = (uint32_t)i};
        struct netpoll_conn_options options = {.on_prepare = prepares[i],
                                               .on_request = echo_copy,
                                               .handler = *mode,
                                               .transform = &transform,
                                               .arg = &conn};
        rig_start(&rig, &options);
        int fd = rig_dial(&rig);
        cr_assert_eq(client_drain(fd), 0);
        cr_assert_eq(netpoll_conn_unsent(conn), 0);
        cr_assert_eq(netpoll_conn_flush_wait(conn, 0), -ENOTCONN);
        netpoll_conn_release(conn);
        client_close(fd);
        rig_finish_when_idle(&rig);
    }
}

static void ignore(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
}

/* Everything that needs the other end is refused before the first byte. */
static int try_everything(struct netpoll_conn *conn, void *arg)
{
    char address[NETPOLL_ADDRESS_BYTES];
    const void *data;
    void *room;
    CHECK(netpoll_conn_write(conn, "early", 5) == -ENOTCONN);
    CHECK(netpoll_conn_reserve(conn, 5, &room) == -ENOTCONN);
    CHECK(netpoll_conn_flush(conn) == -ENOTCONN);
    CHECK(netpoll_conn_next(conn, 1, &data) == -ENOTCONN);
    CHECK(netpoll_conn_post(conn, ignore, NULL) == -ENOTCONN);
    CHECK(netpoll_conn_peer(conn, address, sizeof address) == -ENOTCONN);
    CHECK(netpoll_conn_close(conn) == -ENOTCONN);
    CHECK(netpoll_conn_abort(conn) == -ENOTCONN);
    CHECK(netpoll_conn_unsent(conn) == 0);
    CHECK(netpoll_conn_data(conn) == NULL);
    netpoll_conn_set_data(conn, arg);
    return 0;
}

static void find_data(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_is_active(conn));
    CHECK(netpoll_conn_data(conn) == arg);
    grab_conn(conn, arg);
}

TEST_BOTH_MODES(conn, on_prepare_sets_data_and_can_do_nothing_else)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_prepare = try_everything,
                                           .on_connect = find_data,
                                           .on_request = note_request,
                                           .handler = *mode,
                                           .arg = &birth};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    event_wait(&birth.grab.connects, 1);
    cr_assert(netpoll_conn_is_active(birth.grab.conn));
    netpoll_conn_release(birth.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

Test(conn, ids_do_not_repeat)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = note_request, .arg = &birth};
    uint64_t ids[100];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 100; i++) {
        int fd = rig_dial(&rig);
        event_wait(&birth.grab.connects, i + 1);
        ids[i] = netpoll_conn_id(birth.grab.conn);
        for (unsigned k = 0; k < i; k++)
            cr_assert_neq(ids[k], ids[i]);
        netpoll_conn_release(birth.grab.conn);
        client_close(fd);
    }
    rig_finish_when_idle(&rig);
}

static void expect_peer(struct birth *birth, int fd, const char *expected)
{
    char text[NETPOLL_ADDRESS_BYTES];
    struct sockaddr_in6 address = {0};
    socklen_t n = sizeof address;
    char full[NETPOLL_ADDRESS_BYTES];
    CHECK(getsockname(fd, (struct sockaddr *)&address, &n) == 0);
    /* The port is in the same place for both families. */
    unsigned port = address.sin6_family == AF_UNIX ? 0 : ntohs(address.sin6_port);
    snprintf(full, sizeof full, expected, port);
    event_wait(&birth->grab.connects, 1);
    cr_assert_eq(netpoll_conn_peer(birth->grab.conn, text, sizeof text), 0);
    cr_assert_str_eq(text, full);
    cr_assert_eq(netpoll_conn_peer(birth->grab.conn, text, strlen(full) + 1), 0);
    cr_assert_eq(netpoll_conn_peer(birth->grab.conn, text, strlen(full)), -ENOSPC);
    netpoll_conn_release(birth->grab.conn);
}

static void expect_peer_on(const char *listen, const char *expected)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {.listen = listen};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = note_request, .arg = &birth};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_peer(&birth, fd, expected);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

Test(conn, peer_is_told_as_text)
{
    char unix_name[64];
    snprintf(unix_name, sizeof unix_name, "unix:@netpoll-peer-%d", (int)getpid());
    expect_peer_on("127.0.0.1:0", "127.0.0.1:%u");
    expect_peer_on("[::1]:0", "[::1]:%u");
    expect_peer_on(unix_name, "unix:");
}

/* Until the last one has run each is called once; from then on none is taken. */
TEST_BOTH_MODES(conn, a_close_callback_that_comes_too_late_is_refused)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = note_request, .handler = *mode, .arg = &birth};
    uint64_t taken = 0;
    int status;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&birth.grab.connects, 1);
    cr_assert_eq(netpoll_conn_close(birth.grab.conn), 0);
    do {
        status = netpoll_conn_add_close_callback(birth.grab.conn, note_close, &birth);
        taken += status == 0;
        event_wait(&birth.closes, taken);
    } while (status == 0);
    cr_assert_eq(status, -ENOTCONN);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(netpoll_conn_add_close_callback(birth.grab.conn, note_close, &birth), -ENOTCONN);
    netpoll_conn_release(birth.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&birth.closes), taken);
}

Test(conn, close_callbacks_need_a_function)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = note_request, .arg = &birth};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&birth.grab.connects, 1);
    cr_assert_eq(netpoll_conn_add_close_callback(birth.grab.conn, NULL, NULL), -EINVAL);
    netpoll_conn_release(birth.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static void add_note_close(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_add_close_callback(conn, note_close, arg) == 0);
}

static void add_note_close_later(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_add_close_callback(conn, add_note_close, arg) == 0);
}

Test(conn, a_close_callback_may_add_one)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = note_request, .arg = &birth};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&birth.grab.connects, 1);
    run_in_turn(birth.grab.conn, add_note_close_later, &birth);
    netpoll_conn_release(birth.grab.conn);
    client_close(fd);
    event_wait(&birth.closes, 1);
    rig_finish_when_idle(&rig);
}

static void expect_close_on_exec(int fd, void *arg)
{
    (void)arg;
    /* What the process had before the runtime is not its business. */
    if (fd > STDERR_FILENO)
        CHECK(is_close_on_exec(fd));
}

TEST_BOTH_MODES(conn, accepted_descriptors_are_close_on_exec)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = note_request, .handler = *mode, .arg = &birth};
    int fds[10];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = rig_dial(&rig);
        expect_echo(fds[i], i, 10);
        int server_fd = peer_descriptor(fds[i]);
        cr_assert_geq(server_fd, 0);
        cr_assert(is_close_on_exec(server_fd));
    }
    for (unsigned i = 0; i < 10; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
}

/* Alone in a child without the test framework's own descriptors. */
static void run_bare_server(void *arg)
{
    struct birth birth = BIRTH_INIT;
    struct rig rig = {.beside_another = true};
    struct netpoll_conn_options options = {.on_request = note_request, .arg = &birth};
    (void)arg;
    close_range(STDERR_FILENO + 1, ~0U, 0);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    for_each_descriptor(expect_close_on_exec, NULL);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

Test(conn, every_descriptor_of_a_server_is_close_on_exec)
{
    char output[1024];
    cr_assert_eq(run_in_child(run_bare_server, NULL, output, sizeof output), 0, "%s", output);
}
