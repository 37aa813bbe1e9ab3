/* A panic in a callback costs that connection and nothing else. */
#include "rig.h"

#include <gopool/panic.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

TestSuite(panic, .timeout = 60);

enum place {
    IN_PREPARE,
    IN_CONNECT,
    IN_REQUEST,
    IN_DISCONNECT,
    IN_CLOSE_CALLBACK,
    IN_CANCEL,
    IN_POST,
    PLACES
};

static const char *const place_names[PLACES] = {
    "on_prepare",     "on_connect", "on_request", "on_disconnect",
    "close callback", "on_cancel",  "post",
};

struct accident {
    enum place place;
    atomic_bool armed; /* the next callback at the place panics; set between connections */
    struct event ends;
    struct event closes;
    enum netpoll_close_reason reason;
};

static void panic_here(struct accident *accident, enum place place)
{
    if (accident->place == place && atomic_exchange(&accident->armed, false))
        gopool_panic("in %s", place_names[place]);
}

static void closed_first(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct accident *)arg)->closes);
}

static void closed_last(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    panic_here(arg, IN_CLOSE_CALLBACK);
}

static int on_prepare(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_add_close_callback(conn, closed_first, arg) == 0);
    CHECK(netpoll_conn_add_close_callback(conn, closed_last, arg) == 0);
    panic_here(arg, IN_PREPARE);
    return 0;
}

static void on_connect(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    panic_here(arg, IN_CONNECT);
}

static void on_post(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    panic_here(arg, IN_POST);
}

static void on_request(struct netpoll_conn *conn, void *arg)
{
    struct accident *accident = arg;
    panic_here(accident, IN_REQUEST);
    if (accident->place == IN_POST && atomic_load(&accident->armed))
        CHECK(netpoll_conn_post(conn, on_post, accident) == 0);
    echo_copy(conn, arg);
}

static void on_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    panic_here(arg, IN_CANCEL);
}

static void on_disconnect(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct accident *accident = arg;
    (void)conn;
    accident->reason = reason;
    event_add(&accident->ends);
    panic_here(accident, IN_DISCONNECT);
}

/* The connection that will meet the accident: does whatever leads to the place. */
static void run_into(const struct rig *rig, enum place place)
{
    int fd = rig_dial(rig);
    if (place == IN_PREPARE || place == IN_CONNECT) {
        (void)client_drain(fd);
    } else if (place == IN_REQUEST || place == IN_POST) {
        client_send(fd, "x", 1);
        (void)client_drain(fd);
    } else {
        client_end_sending(fd);
        (void)client_drain(fd);
    }
    client_close(fd);
}

static enum netpoll_close_reason expected_reason(enum place place)
{
    return place == IN_DISCONNECT || place == IN_CLOSE_CALLBACK ? NETPOLL_CLOSE_EOF
                                                                : NETPOLL_CLOSE_PANIC;
}

static void expect_contained(enum netpoll_handler mode, enum place place)
{
    struct accident accident = {.place = place, .ends = EVENT_INIT, .closes = EVENT_INIT};
    struct rig rig = {.pollers = 1, .expected_logs = 1};
    struct netpoll_server_options options = {.on_prepare = on_prepare,
                                             .on_connect = on_connect,
                                             .on_request = on_request,
                                             .on_disconnect = on_disconnect,
                                             .on_cancel = on_cancel,
                                             .handler = mode,
                                             .arg = &accident};
    rig_start(&rig, &options);
    int other = rig_dial(&rig);
    expect_echo(other, 1, 100);
    atomic_store(&accident.armed, true);
    run_into(&rig, place);
    event_wait(&accident.closes, 1);
    cr_assert(!atomic_load(&accident.armed), "%s did not panic", place_names[place]);
    cr_assert_eq(event_count(&accident.ends), place == IN_PREPARE ? 0 : 1);
    if (place != IN_PREPARE)
        cr_assert_eq(accident.reason, expected_reason(place), "%s", place_names[place]);
    cr_assert_eq(rig_logs(&rig), 1);
    cr_assert_not_null(strstr(rig.last_log, place_names[place]), "%s", rig.last_log);
    expect_echo(other, 2, 100);
    client_close(other);
    event_wait(&accident.closes, 2);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(panic, in_on_prepare)
{
    expect_contained(*mode, IN_PREPARE);
}

TEST_BOTH_MODES(panic, in_on_connect)
{
    expect_contained(*mode, IN_CONNECT);
}

TEST_BOTH_MODES(panic, in_on_request)
{
    expect_contained(*mode, IN_REQUEST);
}

TEST_BOTH_MODES(panic, in_on_disconnect)
{
    expect_contained(*mode, IN_DISCONNECT);
}

TEST_BOTH_MODES(panic, in_a_close_callback)
{
    expect_contained(*mode, IN_CLOSE_CALLBACK);
}

TEST_BOTH_MODES(panic, in_on_cancel)
{
    expect_contained(*mode, IN_CANCEL);
}

TEST_BOTH_MODES(panic, in_a_post)
{
    expect_contained(*mode, IN_POST);
}

/* A panic with an answer half written: what was not flushed must not leave. */
static void write_and_panic(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_write(conn, "half an answer", 14) == 0);
    gopool_panic("half way");
}

TEST_BOTH_MODES(panic, sends_nothing_that_was_not_flushed)
{
    struct rig rig = {.expected_logs = 1};
    struct netpoll_server_options options = {.on_request = write_and_panic, .handler = *mode};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    cr_assert_eq(client_drain(fd), 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
}
