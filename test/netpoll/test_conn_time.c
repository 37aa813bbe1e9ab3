/* Time limits of connections, and waits that end by them. */
#include "rig.h"

#include "../support/pattern.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* What a handler saw, and why the connection ended. */
struct fate {
    struct grab grab;
    struct event requests;
    struct event ends;
    struct event cancels;
    struct event waits; /* about to wait */
    _Atomic int status; /* of the last call of interest */
    _Atomic int reason;
    _Atomic int64_t waited_ms;
    int64_t timeout_ms;
    size_t n;
};

#define FATE_INIT                                                                             \
    {                                                                                         \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .ends = EVENT_INIT, .cancels = EVENT_INIT, \
        .waits = EVENT_INIT                                                                   \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct fate *fate = arg;
    (void)conn;
    atomic_store(&fate->reason, (int)reason);
    event_add(&fate->ends);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    (void)conn;
    event_add(&fate->cancels);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Wants ten bytes; says what it was told when they do not come. */
static void want_ten(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    const void *data;
    int status = netpoll_conn_next(conn, 10, &data);
    atomic_store(&fate->status, status);
    if (status == -ETIMEDOUT) {
        CHECK(netpoll_conn_write(conn, "late", 4) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
    }
    event_add(&fate->requests);
}

static struct netpoll_conn_options options_for(struct fate *fate, enum netpoll_handler mode,
                                               netpoll_conn_fn *on_request)
{
    return (struct netpoll_conn_options){.on_connect = grab_conn,
                                         .on_request = on_request,
                                         .on_disconnect = note_end,
                                         .on_cancel = note_cancel,
                                         .arg = fate,
                                         .handler = mode};
}

TEST_BOTH_MODES(conn_time, a_message_that_drips_in_is_timed_from_its_first_byte)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, *mode, want_ten);
    char answer[4];
    options.read_timeout_ms = 150;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    int64_t since = now_ms();
    for (unsigned i = 0; i < 9 && event_count(&fate.ends) == 0; i++) {
        (void)client_try_send(fd, "x", 1);
        sleep_ms(30);
    }
    cr_assert_eq(client_receive(fd, answer, 4), 4);
    cr_assert_arr_eq(answer, "late", 4);
    cr_assert_eq(client_receive(fd, answer, 1), 0);
    cr_assert_geq(now_ms() - since, 150);
    cr_assert_lt(now_ms() - since, 1500);
    client_close(fd);
    event_wait(&fate.ends, 1);
    cr_assert_eq(atomic_load(&fate.status), -ETIMEDOUT);
    cr_assert_eq(atomic_load(&fate.reason), NETPOLL_CLOSE_READ_TIMEOUT);
    netpoll_conn_release(fate.grab.conn);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_time, whole_messages_are_not_timed)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, *mode, want_ten);
    options.read_timeout_ms = 60;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 8; i++) {
        client_send(fd, "0123456789", 10);
        sleep_ms(25);
    }
    cr_assert_eq(event_count(&fate.ends), 0);
    cr_assert_eq(rig_stats(&rig).read_timeouts, 0);
    client_close(fd);
    event_wait(&fate.ends, 0);
    netpoll_conn_release(fate.grab.conn);
    rig_finish_when_idle(&rig);
}

static void fill_output(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    static char piece[100000];
    const void *data;
    CHECK(netpoll_conn_next(conn, netpoll_conn_len(conn), &data) == 0);
    for (unsigned i = 0; i < 100; i++) {
        if (netpoll_conn_write(conn, piece, sizeof piece) != 0 || netpoll_conn_flush(conn) < 0)
            break;
    }
    event_add(&fate->requests);
}

TEST_BOTH_MODES(conn_time, a_peer_that_takes_nothing_is_aborted)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, *mode, fill_output);
    options.write_timeout_ms = 100;
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&fate.ends, 1);
    cr_assert_eq(atomic_load(&fate.reason), NETPOLL_CLOSE_WRITE_TIMEOUT);
    cr_assert_eq(rig_stats(&rig).write_timeouts, 1);
    client_close(fd);
    netpoll_conn_release(fate.grab.conn);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_time, an_idle_connection_is_closed_and_traffic_renews_it)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, *mode, want_ten);
    char byte;
    options.idle_timeout_ms = 200;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 6; i++) {
        client_send(fd, "0123456789", 10);
        event_wait(&fate.requests, i + 1);
        sleep_ms(60);
    }
    cr_assert_eq(event_count(&fate.ends), 0);
    int64_t since = now_ms();
    cr_assert_eq(client_receive(fd, &byte, 1), 0);
    cr_assert_geq(now_ms() - since, 80);
    cr_assert_lt(now_ms() - since, 2000);
    event_wait(&fate.ends, 1);
    cr_assert_eq(atomic_load(&fate.reason), NETPOLL_CLOSE_IDLE_TIMEOUT);
    client_close(fd);
    netpoll_conn_release(fate.grab.conn);
    rig_finish_when_idle(&rig);
}

static void work_long(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    const void *data;
    CHECK(netpoll_conn_next(conn, netpoll_conn_len(conn), &data) == 0);
    event_wait(&fate->cancels, 1);
    event_add(&fate->requests);
}

Test(conn_time, a_handler_that_takes_long_is_told)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, NETPOLL_HANDLER_POOL, work_long);
    options.request_timeout_ms = 50;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&fate.requests, 1);
    cr_assert_eq(rig_stats(&rig).request_timeouts, 1);
    cr_assert_eq(event_count(&fate.ends), 0);
    client_close(fd);
    netpoll_conn_release(fate.grab.conn);
    rig_finish_when_idle(&rig);
}

/* Waits */

static void wait_for_n(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    const void *head;
    const void *data;
    CHECK(netpoll_conn_next(conn, 1, &head) == 0);
    event_add(&fate->waits);
    int64_t since = now_ms();
    int status = netpoll_conn_wait(conn, fate->n, fate->timeout_ms);
    atomic_store(&fate->waited_ms, now_ms() - since);
    CHECK(*(const char *)head == 'h');
    if (status == 0)
        CHECK(netpoll_conn_next(conn, fate->n, &data) == 0 && pattern_matches(5, 0, data, fate->n));
    else
        (void)!netpoll_conn_skip(conn, netpoll_conn_len(conn));
    atomic_store(&fate->status, status);
    event_add(&fate->requests);
}

static int start_waiter(struct rig *rig, struct fate *fate, size_t n, int64_t timeout_ms)
{
    struct netpoll_conn_options options = options_for(fate, NETPOLL_HANDLER_POOL, wait_for_n);
    fate->n = n;
    fate->timeout_ms = timeout_ms;
    rig_start(rig, &options);
    int fd = rig_dial(rig);
    client_send(fd, "h", 1);
    event_wait(&fate->waits, 1);
    return fd;
}

static void finish_waiter(struct rig *rig, struct fate *fate, int fd)
{
    client_close(fd);
    netpoll_conn_release(fate->grab.conn);
    rig_finish_when_idle(rig);
}

static void expect_wait(size_t n)
{
    static char data[2 << 20];
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    int fd = start_waiter(&rig, &fate, n, NETPOLL_TIMEOUT_NONE);
    pattern_fill(5, 0, data, n);
    client_send(fd, data, n / 2);
    sleep_ms(10);
    client_send(fd, data + n / 2, n - n / 2);
    event_wait(&fate.requests, 1);
    cr_assert_eq(atomic_load(&fate.status), 0);
    finish_waiter(&rig, &fate, fd);
}

Test(conn_wait, the_rest_of_a_message)
{
    expect_wait(1);
    expect_wait(1000);
    expect_wait(2 << 20); /* above the mark at which input rests */
}

Test(conn_wait, ends_at_its_time)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    int fd = start_waiter(&rig, &fate, 10, 50);
    event_wait(&fate.requests, 1);
    cr_assert_eq(atomic_load(&fate.status), -ETIMEDOUT);
    cr_assert_geq(atomic_load(&fate.waited_ms), 49);
    cr_assert_eq(rig_stats(&rig).wait_timeouts, 1);
    finish_waiter(&rig, &fate, fd);
}

Test(conn_wait, ends_with_the_peers_end_and_its_reset)
{
    for (unsigned i = 0; i < 2; i++) {
        struct rig rig = {0};
        struct fate fate = FATE_INIT;
        int fd = start_waiter(&rig, &fate, 10, NETPOLL_TIMEOUT_NONE);
        client_send(fd, "less", 4);
        if (i == 0) {
            client_end_sending(fd);
            event_wait(&fate.requests, 1);
            cr_assert_eq(atomic_load(&fate.status), NETPOLL_EOF);
            finish_waiter(&rig, &fate, fd);
            continue;
        }
        client_reset(fd);
        event_wait(&fate.requests, 1);
        cr_assert_eq(atomic_load(&fate.status), -ECONNRESET);
        netpoll_conn_release(fate.grab.conn);
        rig_finish_when_idle(&rig);
    }
}

Test(conn_wait, ends_when_another_thread_closes)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    int fd = start_waiter(&rig, &fate, 10, NETPOLL_TIMEOUT_NONE);
    event_wait(&fate.grab.connects, 1);
    sleep_ms(5);
    cr_assert_eq(netpoll_conn_close(fate.grab.conn), 0);
    event_wait(&fate.requests, 1);
    cr_assert_eq(atomic_load(&fate.status), -ENOTCONN);
    finish_waiter(&rig, &fate, fd);
}

static void take_all(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    event_add(&fate->requests);
}

static void wait_in_vain(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    event_add(&fate->waits);
    atomic_store(&fate->status, netpoll_conn_wait(conn, 1, NETPOLL_TIMEOUT_NONE));
}

/* What the callback before it has consumed does not count. */
Test(conn_wait, of_a_post_ends_with_the_server)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, NETPOLL_HANDLER_POOL, take_all);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&fate.requests, 1);
    cr_assert_eq(netpoll_conn_post(fate.grab.conn, wait_in_vain, &fate), 0);
    netpoll_conn_release(fate.grab.conn);
    event_wait(&fate.waits, 1);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    cr_assert_eq(atomic_load(&fate.status), -ESHUTDOWN);
    client_close(fd);
    rig_finish(&rig);
}

Test(conn_wait, a_new_deadline_wakes_it)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    int fd = start_waiter(&rig, &fate, 10, NETPOLL_TIMEOUT_NONE);
    event_wait(&fate.grab.connects, 1);
    cr_assert_eq(
        netpoll_conn_set_deadline(fate.grab.conn, NETPOLL_READ_DEADLINE, NETPOLL_TIMEOUT_MS_MAX),
        0);
    sleep_ms(20);
    cr_assert_eq(event_count(&fate.requests), 0);
    int64_t since = now_ms();
    cr_assert_eq(netpoll_conn_set_deadline(fate.grab.conn, NETPOLL_READ_DEADLINE, 0), 0);
    event_wait(&fate.requests, 1);
    cr_assert_lt(now_ms() - since, 200);
    cr_assert_eq(atomic_load(&fate.status), -ETIMEDOUT);
    finish_waiter(&rig, &fate, fd);
}

static void wait_inline(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    const void *data;
    atomic_store(&fate->status, netpoll_conn_wait(conn, 100, NETPOLL_TIMEOUT_NONE));
    CHECK(netpoll_conn_flush_wait(conn, NETPOLL_TIMEOUT_NONE) == -EDEADLK);
    CHECK(netpoll_conn_wait(conn, 1, -2) == -EINVAL);
    CHECK(netpoll_conn_wait(conn, 1, (int64_t)INT32_MAX + 1) == -EINVAL);
    CHECK(netpoll_conn_next(conn, netpoll_conn_len(conn), &data) == 0);
    event_add(&fate->requests);
}

Test(conn_wait, is_refused_on_a_poller)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, NETPOLL_HANDLER_INLINE, wait_inline);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&fate.requests, 1);
    cr_assert_eq(atomic_load(&fate.status), -EDEADLK);
    finish_waiter(&rig, &fate, fd);
}

/* Output that is waited for */

static void send_and_wait(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    static char data[4 << 20];
    const void *head;
    CHECK(netpoll_conn_next(conn, 1, &head) == 0);
    CHECK(netpoll_conn_write_ref(conn, data, sizeof data, NULL, NULL) == 0);
    int status = netpoll_conn_flush_wait(conn, 30);
    CHECK(status == -ETIMEDOUT && netpoll_conn_unsent(conn) > 0);
    event_add(&fate->waits);
    atomic_store(&fate->status, netpoll_conn_flush_wait(conn, NETPOLL_TIMEOUT_NONE));
    CHECK(atomic_load(&fate->status) != 0 || netpoll_conn_unsent(conn) == 0);
    event_add(&fate->requests);
}

Test(conn_wait, for_the_output_to_leave)
{
    static char got[4 << 20];
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, NETPOLL_HANDLER_POOL, send_and_wait);
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&fate.waits, 1);
    cr_assert_eq(client_receive(fd, got, sizeof got), sizeof got);
    event_wait(&fate.requests, 1);
    cr_assert_eq(atomic_load(&fate.status), 0);
    finish_waiter(&rig, &fate, fd);
}

Test(conn_wait, for_output_ends_with_a_reset)
{
    struct rig rig = {0};
    struct fate fate = FATE_INIT;
    struct netpoll_conn_options options = options_for(&fate, NETPOLL_HANDLER_POOL, send_and_wait);
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&fate.waits, 1);
    client_reset(fd);
    event_wait(&fate.requests, 1);
    cr_assert_lt(atomic_load(&fate.status), 0);
    netpoll_conn_release(fate.grab.conn);
    rig_finish_when_idle(&rig);
}
