/* Limits of one connection: set, changed and taken back while it lives, and seen by who waits. */
#include "../support/pattern.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

TestSuite(conn_limits, .timeout = 60);

#define LARGE    ((size_t)4 << 20)
#define SHORT_MS 40
/* Many times a limit that must not count. */
#define LONG_MS 200

struct limited {
    struct grab grab; /* first: see grab_conn() */
    struct event turns;
    struct event steps; /* of the test, for a handler that waits for it */
    struct event cancels;
    struct event ends;
    _Atomic int reason;
    _Atomic int status; /* of the wait that the handler is in */
};

#define LIMITED_INIT                                                                        \
    {                                                                                       \
        .grab = GRAB_INIT, .turns = EVENT_INIT, .steps = EVENT_INIT, .cancels = EVENT_INIT, \
        .ends = EVENT_INIT,                                                                 \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct limited *limited = arg;
    (void)conn;
    atomic_store(&limited->reason, (int)reason);
    event_add(&limited->ends);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct limited *)arg)->cancels);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static int start(struct rig *rig, struct limited *limited, struct netpoll_conn_options options)
{
    options.on_connect = grab_conn;
    options.on_disconnect = note_end;
    options.on_cancel = note_cancel;
    options.arg = limited;
    rig_start(rig, &options);
    int fd = client_dial_narrow(rig->address, 4096);
    event_wait(&limited->grab.connects, 1);
    return fd;
}

static void finish(struct rig *rig, struct limited *limited, int fd)
{
    client_close(fd);
    netpoll_conn_release(limited->grab.conn);
    rig_finish_when_idle(rig);
}

static void set_timeout(const struct limited *limited, enum netpoll_timeout which, int64_t ms)
{
    cr_assert_eq(netpoll_conn_set_timeout(limited->grab.conn, which, ms), 0);
}

static void set_deadline(const struct limited *limited, enum netpoll_deadline which, int64_t in_ms)
{
    cr_assert_eq(netpoll_conn_set_deadline(limited->grab.conn, which, in_ms), 0);
}

static void want_ten(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    if (netpoll_conn_next(conn, 10, &data) == 0)
        CHECK(netpoll_conn_write(conn, data, 10) == 0 && netpoll_conn_flush(conn) == 0);
    event_add(&((struct limited *)arg)->turns);
}

static void send_much(struct netpoll_conn *conn, void *arg)
{
    static char much[LARGE];
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write_ref(conn, much, sizeof much, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
    event_add(&((struct limited *)arg)->turns);
}

static void work_until_cancelled(struct netpoll_conn *conn, void *arg)
{
    struct limited *limited = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    event_add(&limited->turns);
    event_wait(&limited->cancels, 1);
}

/* A timeout of its own ends it, though the options have none. */
static void expect_end(enum netpoll_handler mode, enum netpoll_timeout which,
                       netpoll_conn_fn *on_request, enum netpoll_close_reason reason)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){.on_request = on_request,
                                                 .handler = mode,
                                                 .read_timeout_ms = NETPOLL_TIMEOUT_NONE,
                                                 .write_timeout_ms = NETPOLL_TIMEOUT_NONE});
    client_send(fd, "x", 1);
    if (on_request == send_much)
        event_wait(&limited.turns, 1);
    set_timeout(&limited, which, SHORT_MS);
    event_wait(&limited.ends, 1);
    cr_assert_eq(atomic_load(&limited.reason), (int)reason);
    finish(&rig, &limited, fd);
}

TEST_BOTH_MODES(conn_limits, a_read_timeout_of_its_own)
{
    expect_end(*mode, NETPOLL_READ_TIMEOUT, want_ten, NETPOLL_CLOSE_READ_TIMEOUT);
}

TEST_BOTH_MODES(conn_limits, a_write_timeout_of_its_own)
{
    expect_end(*mode, NETPOLL_WRITE_TIMEOUT, send_much, NETPOLL_CLOSE_WRITE_TIMEOUT);
}

TEST_BOTH_MODES(conn_limits, an_idle_timeout_of_its_own_and_that_of_the_options_again)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){
                       .on_request = want_ten, .handler = *mode, .idle_timeout_ms = SHORT_MS});
    set_timeout(&limited, NETPOLL_IDLE_TIMEOUT, NETPOLL_TIMEOUT_NONE);
    sleep_ms(LONG_MS);
    cr_assert_eq(event_count(&limited.ends), 0);
    set_timeout(&limited, NETPOLL_IDLE_TIMEOUT, 0);
    event_wait(&limited.ends, 1);
    cr_assert_eq(atomic_load(&limited.reason), NETPOLL_CLOSE_IDLE_TIMEOUT);
    finish(&rig, &limited, fd);
}

/* What came and went while there was none counts as well. */
TEST_BOTH_MODES(conn_limits, an_idle_timeout_that_is_new_counts_from_then_on)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){.on_request = want_ten, .handler = *mode});
    sleep_ms(LONG_MS);
    int64_t since = now_ms();
    set_timeout(&limited, NETPOLL_IDLE_TIMEOUT, LONG_MS);
    event_wait(&limited.ends, 1);
    cr_assert_geq(now_ms() - since, LONG_MS - 1);
    cr_assert_eq(atomic_load(&limited.reason), NETPOLL_CLOSE_IDLE_TIMEOUT);
    finish(&rig, &limited, fd);
}

struct standstill {
    struct event begins;
    struct event ends; /* by the test */
    struct event over;
};

static void stand_still(struct netpoll_timer *timer, void *arg)
{
    struct standstill *standstill = arg;
    (void)timer;
    event_add(&standstill->begins);
    event_wait(&standstill->ends, 1);
    event_add(&standstill->over);
}

static void note_turn(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct limited *)arg)->steps);
}

/* While its poller stands still, so that the turn that this brings is over when that looks. */
static void resume_unseen(const struct rig *rig, struct limited *limited)
{
    struct standstill standstill = {.begins = EVENT_INIT, .ends = EVENT_INIT, .over = EVENT_INIT};
    struct netpoll_timer *timer;
    CHECK(netpoll_timer_after(rig->runtime, 0, stand_still, &standstill, &timer) == 0);
    event_wait(&standstill.begins, 1);
    CHECK(netpoll_conn_resume(limited->grab.conn) == 0);
    CHECK(netpoll_conn_post(limited->grab.conn, note_turn, limited) == 0);
    event_wait(&limited->steps, 1);
    sleep_ms(5);
    event_add(&standstill.ends);
    event_wait(&standstill.over, 1);
    netpoll_timer_release(timer);
}

/* What is left of a limit when a connection is paused is left when it goes on. */
static void expect_rest(struct netpoll_conn_options options, const char *sent, struct event *end,
                        struct limited *limited)
{
    struct rig rig = {.pollers = 1};
    options.on_request = want_ten;
    int fd = start(&rig, limited, options);
    int64_t since = now_ms();
    client_send(fd, sent, strlen(sent));
    if (*sent != '\0')
        event_wait(&limited->turns, 1);
    CHECK(netpoll_conn_pause(limited->grab.conn) == 0);
    int64_t left = LONG_MS - 2 - (now_ms() - since);
    uint64_t ends = event_count(end);
    sleep_ms(2 * LONG_MS);
    cr_assert_eq(event_count(end), ends);
    since = now_ms();
    resume_unseen(&rig, limited);
    event_wait(end, ends + 1);
    cr_assert_geq(now_ms() - since, left);
    cr_assert_lt(now_ms() - since, 10 * LONG_MS);
    finish(&rig, limited, fd);
}

Test(conn_limits, a_read_timeout_rests_while_input_does)
{
    struct limited limited = LIMITED_INIT;
    expect_rest((struct netpoll_conn_options){.read_timeout_ms = LONG_MS}, "x", &limited.turns,
                &limited);
}

Test(conn_limits, an_idle_timeout_rests_while_input_does)
{
    struct limited limited = LIMITED_INIT;
    expect_rest((struct netpoll_conn_options){.idle_timeout_ms = LONG_MS}, "", &limited.ends,
                &limited);
}

Test(conn_limits, a_request_timeout_of_its_own)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd =
        start(&rig, &limited, (struct netpoll_conn_options){.on_request = work_until_cancelled});
    set_timeout(&limited, NETPOLL_REQUEST_TIMEOUT, SHORT_MS);
    client_send(fd, "x", 1);
    event_wait(&limited.cancels, 1);
    cr_assert_eq(rig_stats(&rig).request_timeouts, 1);
    finish(&rig, &limited, fd);
}

TEST_BOTH_MODES(conn_limits, out_of_range_are_refused)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){.on_request = want_ten, .handler = *mode});
    struct netpoll_conn *conn = limited.grab.conn;
    const int64_t bad[] = {-2, INT64_MIN, (int64_t)NETPOLL_TIMEOUT_MS_MAX + 1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(netpoll_conn_set_timeout(conn, NETPOLL_READ_TIMEOUT, bad[i]), -EINVAL);
        cr_assert_eq(netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, bad[i]), -EINVAL);
    }
    cr_assert_eq(netpoll_conn_set_timeout(conn, (enum netpoll_timeout)4, 1), -EINVAL);
    cr_assert_eq(netpoll_conn_set_deadline(conn, (enum netpoll_deadline)2, 1), -EINVAL);
    finish(&rig, &limited, fd);
}

/* Deadlines */

TEST_BOTH_MODES(conn_limits, a_read_deadline_ends_who_says_nothing)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){.on_request = want_ten, .handler = *mode});
    set_deadline(&limited, NETPOLL_READ_DEADLINE, SHORT_MS);
    cr_assert(client_sees_end(fd));
    event_wait(&limited.ends, 1);
    cr_assert_eq(atomic_load(&limited.reason), NETPOLL_CLOSE_READ_TIMEOUT);
    finish(&rig, &limited, fd);
}

/* Consumes what there is, and says by when there has to be more. */
static void demand_more(struct netpoll_conn *conn, void *arg)
{
    struct limited *limited = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, 0) == 0);
    event_add(&limited->turns);
    event_wait(&limited->steps, 1);
}

Test(conn_limits, a_read_deadline_that_passes_while_a_handler_runs_is_seen_after_it)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {.pollers = 1};
    int fd = start(&rig, &limited, (struct netpoll_conn_options){.on_request = demand_more});
    client_send(fd, "x", 1);
    event_wait(&limited.turns, 1);
    /* The poller has looked at the deadline before it looks at this. */
    netpoll_conn_release(limited.grab.conn);
    int other = rig_dial(&rig);
    event_wait(&limited.grab.connects, 2);
    netpoll_conn_release(limited.grab.conn);
    cr_assert_eq(event_count(&limited.ends), 0);
    event_add(&limited.steps);
    cr_assert(client_sees_end(fd));
    event_wait(&limited.ends, 1);
    cr_assert_eq(atomic_load(&limited.reason), NETPOLL_CLOSE_READ_TIMEOUT);
    client_close(fd);
    client_close(other);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_limits, a_read_deadline_that_is_taken_back_does_nothing)
{
    char back[10];
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){.on_request = want_ten, .handler = *mode});
    set_deadline(&limited, NETPOLL_READ_DEADLINE, LONG_MS);
    set_deadline(&limited, NETPOLL_READ_DEADLINE, NETPOLL_TIMEOUT_NONE);
    sleep_ms(LONG_MS + SHORT_MS);
    client_send(fd, "0123456789", 10);
    cr_assert_eq(client_receive(fd, back, 10), 10);
    cr_assert_eq(event_count(&limited.ends), 0);
    finish(&rig, &limited, fd);
}

TEST_BOTH_MODES(conn_limits, a_write_deadline_aborts_who_has_output_queued)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &limited,
                   (struct netpoll_conn_options){.on_request = send_much, .handler = *mode});
    set_deadline(&limited, NETPOLL_WRITE_DEADLINE, NETPOLL_TIMEOUT_MS_MAX);
    client_send(fd, "x", 1);
    event_wait(&limited.turns, 1);
    set_deadline(&limited, NETPOLL_WRITE_DEADLINE, 0);
    event_wait(&limited.ends, 1);
    cr_assert_eq(atomic_load(&limited.reason), NETPOLL_CLOSE_WRITE_TIMEOUT);
    finish(&rig, &limited, fd);
}

/* What has come is there whatever the time is; what has not is waited for while there is any. */
static void wait_past_a_deadline(struct netpoll_conn *conn, void *arg)
{
    struct limited *limited = arg;
    const void *data;
    CHECK(netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, 0) == 0);
    CHECK(netpoll_conn_wait(conn, 1, NETPOLL_TIMEOUT_NONE) == 0);
    CHECK(netpoll_conn_wait(conn, 10, NETPOLL_TIMEOUT_NONE) == -ETIMEDOUT);
    CHECK(netpoll_conn_wait(conn, 10, NETPOLL_TIMEOUT_NONE) == -ETIMEDOUT);
    CHECK(netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, NETPOLL_TIMEOUT_NONE) == 0);
    int64_t since = now_ms();
    CHECK(netpoll_conn_wait(conn, 10, SHORT_MS) == -ETIMEDOUT);
    CHECK(now_ms() - since >= SHORT_MS - 1);
    event_add(&limited->turns);
    CHECK(netpoll_conn_wait(conn, 10, NETPOLL_TIMEOUT_NONE) == 0);
    CHECK(netpoll_conn_next(conn, 10, &data) == 0 && memcmp(data, "0123456789", 10) == 0);
    event_add(&limited->turns);
}

Test(conn_limits, a_wait_past_a_read_deadline_ends_at_once_until_that_is_taken_back)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd =
        start(&rig, &limited, (struct netpoll_conn_options){.on_request = wait_past_a_deadline});
    client_send(fd, "01234", 5);
    event_wait(&limited.turns, 1);
    client_send(fd, "56789", 5);
    event_wait(&limited.turns, 2);
    cr_assert_eq(event_count(&limited.ends), 0);
    finish(&rig, &limited, fd);
}

/* Who waits for the output to leave */

static void send_much_and_wait(struct netpoll_conn *conn, void *arg)
{
    static char much[LARGE];
    struct limited *limited = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write_ref(conn, much, sizeof much, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
    event_add(&limited->turns);
    atomic_store(&limited->status, netpoll_conn_flush_wait(conn, NETPOLL_TIMEOUT_NONE));
    event_add(&limited->turns);
}

static uint32_t blocked_workers(const struct rig *rig)
{
    struct gopool_stats stats;
    gopool_stats_read(netpoll_runtime_pool(rig->runtime), &stats);
    return stats.blocked_workers;
}

/* A handler waits, with a peer that does not read. */
static int start_waiter(struct rig *rig, struct limited *limited, int64_t write_timeout_ms)
{
    int fd = start(rig, limited,
                   (struct netpoll_conn_options){.on_request = send_much_and_wait,
                                                 .write_timeout_ms = write_timeout_ms});
    client_send(fd, "x", 1);
    event_wait(&limited->turns, 1);
    WAIT_UNTIL(blocked_workers(rig) == 1);
    return fd;
}

static void expect_waiter_told(struct rig *rig, struct limited *limited, int fd, int status)
{
    event_wait(&limited->turns, 2);
    cr_assert_eq(atomic_load(&limited->status), status);
    finish(rig, limited, fd);
}

Test(conn_limits, a_write_deadline_wakes_who_waits_for_the_output)
{
    for (unsigned i = 0; i < 20; i++) {
        struct limited limited = LIMITED_INIT;
        struct rig rig = {0};
        int fd = start_waiter(&rig, &limited, 0);
        set_deadline(&limited, NETPOLL_WRITE_DEADLINE, i % 3);
        expect_waiter_told(&rig, &limited, fd, -ETIMEDOUT);
    }
}

Test(conn_limits, a_write_timeout_wakes_who_waits_for_the_output)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start_waiter(&rig, &limited, SHORT_MS);
    expect_waiter_told(&rig, &limited, fd, -ETIMEDOUT);
}

Test(conn_limits, an_abort_on_another_thread_wakes_who_waits_for_the_output)
{
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start_waiter(&rig, &limited, 0);
    cr_assert_eq(netpoll_conn_abort(limited.grab.conn), 0);
    expect_waiter_told(&rig, &limited, fd, -ENOTCONN);
}

Test(conn_limits, a_close_on_another_thread_lets_the_output_leave_first)
{
    static char got[LARGE];
    struct limited limited = LIMITED_INIT;
    struct rig rig = {0};
    int fd = start_waiter(&rig, &limited, 0);
    cr_assert_eq(netpoll_conn_close(limited.grab.conn), 0);
    cr_assert_eq(client_receive(fd, got, sizeof got), sizeof got);
    cr_assert(client_sees_end(fd));
    expect_waiter_told(&rig, &limited, fd, 0);
}
