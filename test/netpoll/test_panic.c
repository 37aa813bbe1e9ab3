/* A panic in a callback costs that connection and nothing else. */
#include "../support/process.h"
#include "rig.h"

#include <gopool/panic.h>
#include <linkbuffer/linkbuffer.h>

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
    IN_FRAMER,
    PLACES
};

static const char *const place_names[PLACES] = {
    "on_prepare",     "on_connect", "on_request", "on_disconnect",
    "close callback", "on_cancel",  "post",       "framer",
};

enum accident_kind {
    PANIC,
    EXIT, /* gopool_exit_task() */
};

struct accident {
    enum place place;
    enum accident_kind kind;
    atomic_bool armed; /* the next callback at the place has it; set between connections */
    struct event deferred;
    struct event ends;
    struct event closes;
    enum netpoll_close_reason reason;
    struct netpoll_framer framer; /* of options_for() */
};

static void run_deferred(void *arg)
{
    event_add(&((struct accident *)arg)->deferred);
}

static void panic_here(struct accident *accident, enum place place)
{
    struct gopool_defer defer;
    if (accident->place != place || !atomic_exchange(&accident->armed, false))
        return;
    gopool_defer_push(&defer, run_deferred, accident);
    if (accident->kind == EXIT)
        gopool_exit_task();
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
    /* Before the answer: once that is out, the test may arm an accident of another connection. */
    if (accident->kind == PANIC)
        panic_here(accident, IN_REQUEST);
    if (accident->place == IN_POST && atomic_load(&accident->armed))
        CHECK(netpoll_conn_post(conn, on_post, accident) == 0);
    echo_copy(conn, arg);
    if (accident->kind == EXIT)
        panic_here(accident, IN_REQUEST);
}

static int frame_of_all(struct netpoll_conn *conn, size_t *frame_bytes, void *arg)
{
    const void *first;
    int status = netpoll_conn_peek(conn, 1, &first);
    if (status != 0)
        return status;
    panic_here(arg, IN_FRAMER);
    *frame_bytes = netpoll_conn_len(conn);
    return 0;
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
    int fd = client_try_dial(rig->address);
    if (fd == -ECONNRESET && (place == IN_PREPARE || place == IN_CONNECT))
        return;
    CHECK(fd >= 0);
    if (place == IN_REQUEST || place == IN_POST || place == IN_FRAMER)
        client_send(fd, "x", 1);
    else if (place != IN_PREPARE && place != IN_CONNECT)
        client_end_sending(fd);
    (void)client_drain(fd);
    client_close(fd);
}

static enum netpoll_close_reason expected_reason(enum place place)
{
    return place == IN_DISCONNECT || place == IN_CLOSE_CALLBACK ? NETPOLL_CLOSE_EOF
                                                                : NETPOLL_CLOSE_PANIC;
}

static struct netpoll_conn_options options_for(struct accident *accident, enum netpoll_handler mode)
{
    accident->framer =
        (struct netpoll_framer){.kind = NETPOLL_FRAMER_CUSTOM, .fn = frame_of_all, .arg = accident};
    return (struct netpoll_conn_options){.on_prepare = on_prepare,
                                         .on_connect = on_connect,
                                         .on_request = on_request,
                                         .on_disconnect = on_disconnect,
                                         .on_cancel = on_cancel,
                                         .handler = mode,
                                         .framer = accident->place == IN_FRAMER ? &accident->framer
                                                                                : NULL,
                                         .arg = accident};
}

#define ACCIDENT_INIT(where, what)                                                    \
    {                                                                                 \
        .place = (where), .kind = (what), .deferred = EVENT_INIT, .ends = EVENT_INIT, \
        .closes = EVENT_INIT                                                          \
    }

static void expect_contained(enum netpoll_handler mode, enum place place)
{
    struct accident accident = ACCIDENT_INIT(place, PANIC);
    struct rig rig = {.pollers = 1, .expected_logs = 1};
    struct netpoll_conn_options options = options_for(&accident, mode);
    rig_start(&rig, &options);
    int other = rig_dial(&rig);
    expect_echo(other, 1, 100);
    atomic_store(&accident.armed, true);
    run_into(&rig, place);
    event_wait(&accident.closes, 1);
    cr_assert(!atomic_load(&accident.armed), "%s did not panic", place_names[place]);
    cr_assert_eq(event_count(&accident.deferred), 1);
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

TEST_BOTH_MODES(panic, in_a_framer)
{
    expect_contained(*mode, IN_FRAMER);
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
    struct netpoll_conn_options options = {.on_request = write_and_panic, .handler = *mode};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    cr_assert_eq(client_drain(fd), 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* Peeks at, holds and writes as much as a handler can, and panics with it in hand. */
#define HELD_BYTES ((size_t)300 * 1024)
/* What the blocks that a poller has ready to receive into come and go by, and more. */
#define POLLER_BYTES ((size_t)8 << 20)
#define HOLDERS      60
_Static_assert(HOLDERS *HELD_BYTES > 2 * POLLER_BYTES, "what they hold stands out");

static void destroy_slice(void *arg)
{
    linkbuffer_destroy(arg);
}

static void hold_much_and_panic(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    void *room;
    struct linkbuffer *slice;
    struct gopool_defer defer;
    (void)arg;
    if (netpoll_conn_peek(conn, HELD_BYTES, &data) != 0)
        return;
    CHECK(netpoll_conn_slice(conn, HELD_BYTES / 2, &slice) == 0);
    gopool_defer_push(&defer, destroy_slice, slice);
    CHECK(netpoll_conn_append(conn, slice) == 0);
    CHECK(netpoll_conn_reserve(conn, HELD_BYTES, &room) == 0);
    gopool_panic("with much in hand");
}

static void meet_panic(const struct rig *rig)
{
    static const char request[HELD_BYTES];
    int fd = rig_dial(rig);
    (void)client_try_send(fd, request, sizeof request);
    (void)client_drain(fd);
    client_close(fd);
    WAIT_UNTIL(rig_stats(rig).connections == 0);
}

TEST_BOTH_MODES(panic, gives_back_what_the_handler_held)
{
    struct rig rig = {.pollers = 1, .expected_logs = 1 + HOLDERS};
    struct netpoll_conn_options options = {.on_request = hold_much_and_panic, .handler = *mode};
    rig_start(&rig, &options);
    meet_panic(&rig);
    size_t before = live_bytes();
    for (unsigned i = 0; i < HOLDERS; i++)
        meet_panic(&rig);
    cr_assert_lt(live_bytes(), before + POLLER_BYTES);
    rig_finish(&rig);
}

/* What ends a callback without being a panic: the connection lives on. */
static void expect_exit(enum netpoll_handler mode, enum place place)
{
    struct accident accident = ACCIDENT_INIT(place, EXIT);
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = options_for(&accident, mode);
    rig_start(&rig, &options);
    atomic_store(&accident.armed, true);
    int fd = rig_dial(&rig);
    if (place == IN_PREPARE) {
        (void)client_drain(fd);
    } else {
        expect_echo(fd, 1, 100);
        expect_echo(fd, 2, 100);
    }
    client_close(fd);
    event_wait(&accident.closes, 1);
    cr_assert_eq(event_count(&accident.deferred), 1, "%s", place_names[place]);
    cr_assert_eq(event_count(&accident.ends), place == IN_PREPARE ? 0 : 1);
    if (place != IN_PREPARE)
        cr_assert_eq(accident.reason, NETPOLL_CLOSE_EOF);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(panic, the_end_of_a_task_ends_the_callback)
{
    /* A framer has to tell something. */
    for (enum place place = IN_PREPARE; place < IN_FRAMER; place++)
        expect_exit(*mode, place);
}

/* The function that the runtime's log calls belongs to no connection. */
static void log_and_panic(enum netpoll_log_level level, const char *message, void *arg)
{
    rig_log(level, message, arg);
    gopool_panic("in the log function");
}

struct log_case {
    enum netpoll_handler mode;
    enum place place;
};

static void panic_twice(void *arg)
{
    const struct log_case *log_case = arg;
    struct accident accident = ACCIDENT_INIT(log_case->place, PANIC);
    struct rig rig = {.pollers = 1, .expected_logs = 1, .log = log_and_panic};
    struct netpoll_conn_options options = options_for(&accident, log_case->mode);
    rig_start(&rig, &options);
    int other = rig_dial(&rig);
    expect_echo(other, 1, 100);
    atomic_store(&accident.armed, true);
    run_into(&rig, log_case->place);
    event_wait(&accident.closes, 1);
    expect_echo(other, 2, 100);
    client_close(other);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(panic, in_the_log_function)
{
    char output[8192];
    for (enum place place = IN_PREPARE; place < PLACES; place++) {
        struct log_case log_case = {.mode = *mode, .place = place};
        int status = run_in_child(panic_twice, &log_case, output, sizeof output);
        cr_assert_eq(status, 0, "%s: %d: %s", place_names[place], status, output);
        cr_assert_not_null(strstr(output, place_names[place]), "the line is lost: %s", output);
        cr_assert_not_null(strstr(output, "in the log function"), "%s", output);
    }
}
