/* The alarm of a connection: once, in a turn, whoever sets it. */
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stdatomic.h>

struct alarms {
    struct grab grab; /* first: see grab_conn() */
    struct event rings;
    struct event requests;
    struct event go_on;
    _Atomic int64_t rang_ms;
    _Atomic bool is_working;
    _Atomic bool overlapped;
    int64_t again_ms; /* what on_alarm sets; 0: nothing */
};

#define ALARMS_INIT                                                                         \
    {                                                                                       \
        .grab = GRAB_INIT, .rings = EVENT_INIT, .requests = EVENT_INIT, .go_on = EVENT_INIT \
    }

static void ring(struct netpoll_conn *conn, void *arg)
{
    struct alarms *alarms = arg;
    if (atomic_load(&alarms->is_working))
        atomic_store(&alarms->overlapped, true);
    atomic_store(&alarms->rang_ms, now_ms());
    if (alarms->again_ms != 0)
        CHECK(netpoll_conn_set_alarm(conn, alarms->again_ms) == 0);
    event_add(&alarms->rings);
}

static struct netpoll_conn_options options_for(struct alarms *alarms, enum netpoll_handler mode)
{
    return (struct netpoll_conn_options){.on_connect = grab_conn,
                                         .on_request = echo_copy,
                                         .on_alarm = ring,
                                         .arg = alarms,
                                         .handler = mode};
}

static void finish(struct rig *rig, struct alarms *alarms, int fd)
{
    client_close(fd);
    netpoll_conn_release(alarms->grab.conn);
    rig_finish_when_idle(rig);
}

TEST_BOTH_MODES(conn_alarm, it_rings_once_in_time)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_conn_options options = options_for(&alarms, *mode);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&alarms.grab.connects, 1);
    int64_t since = now_ms();
    CHECK(netpoll_conn_set_alarm(alarms.grab.conn, 60) == 0);
    event_wait(&alarms.rings, 1);
    cr_assert_geq(atomic_load(&alarms.rang_ms) - since, 59);
    cr_assert_lt(atomic_load(&alarms.rang_ms) - since, 600);
    expect_echo(fd, 1, 100);
    CHECK(netpoll_conn_set_alarm(alarms.grab.conn, 0) == 0);
    event_wait(&alarms.rings, 2);
    expect_echo(fd, 2, 100);
    cr_assert_eq(event_count(&alarms.rings), 2);
    finish(&rig, &alarms, fd);
}

TEST_BOTH_MODES(conn_alarm, the_time_set_last_is_the_one_that_counts)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_conn_options options = options_for(&alarms, *mode);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&alarms.grab.connects, 1);
    struct netpoll_conn *conn = alarms.grab.conn;
    int64_t since = now_ms();
    /* Later ones, each before the other rings; then an earlier one. */
    for (unsigned i = 0; i < 10; i++) {
        CHECK(netpoll_conn_set_alarm(conn, 100) == 0);
        expect_echo(fd, i, 100);
    }
    CHECK(netpoll_conn_set_alarm(conn, 60000) == 0);
    CHECK(netpoll_conn_set_alarm(conn, 200) == 0);
    event_wait(&alarms.rings, 1);
    cr_assert_geq(atomic_load(&alarms.rang_ms) - since, 199);
    /* None at all. */
    CHECK(netpoll_conn_set_alarm(conn, 50) == 0);
    CHECK(netpoll_conn_set_alarm(conn, NETPOLL_TIMEOUT_NONE) == 0);
    CHECK(netpoll_conn_set_alarm(conn, 60000) == 0);
    CHECK(netpoll_conn_set_alarm(conn, 150) == 0);
    event_wait(&alarms.rings, 2);
    cr_assert_geq(now_ms() - since, 349);
    finish(&rig, &alarms, fd);
}

TEST_BOTH_MODES(conn_alarm, it_may_set_itself_again)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_conn_options options = options_for(&alarms, *mode);
    alarms.again_ms = 5;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&alarms.grab.connects, 1);
    CHECK(netpoll_conn_set_alarm(alarms.grab.conn, 5) == 0);
    event_wait(&alarms.rings, 20);
    finish(&rig, &alarms, fd);
}

static void work(struct netpoll_conn *conn, void *arg)
{
    struct alarms *alarms = arg;
    atomic_store(&alarms->is_working, true);
    event_add(&alarms->requests);
    event_wait(&alarms->go_on, 1);
    atomic_store(&alarms->is_working, false);
    echo_copy(conn, arg);
}

static void note_round(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    event_add(arg);
}

/* Each poller has looked at what was due that long from now. */
static void let_pass(const struct rig *rig, int64_t ms)
{
    struct event rounds = EVENT_INIT;
    struct netpoll_timer *timers[2];
    for (unsigned i = 0; i < 2; i++)
        CHECK(netpoll_timer_after(rig->runtime, ms, note_round, &rounds, &timers[i]) == 0);
    event_wait(&rounds, 2);
    netpoll_timer_release(timers[0]);
    netpoll_timer_release(timers[1]);
}

Test(conn_alarm, it_waits_for_the_turn)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_conn_options options = options_for(&alarms, NETPOLL_HANDLER_POOL);
    char back;
    options.on_request = work;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&alarms.requests, 1);
    CHECK(netpoll_conn_set_alarm(alarms.grab.conn, 10) == 0);
    let_pass(&rig, 40);
    cr_assert_eq(event_count(&alarms.rings), 0);
    event_add(&alarms.go_on);
    cr_assert_eq(client_receive(fd, &back, 1), 1);
    event_wait(&alarms.rings, 1);
    cr_assert_not(atomic_load(&alarms.overlapped));
    finish(&rig, &alarms, fd);
}

Test(conn_alarm, it_rings_while_input_rests)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_conn_options options = options_for(&alarms, NETPOLL_HANDLER_INLINE);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&alarms.grab.connects, 1);
    CHECK(netpoll_conn_pause(alarms.grab.conn) == 0);
    CHECK(netpoll_conn_set_alarm(alarms.grab.conn, 5) == 0);
    event_wait(&alarms.rings, 1);
    CHECK(netpoll_conn_resume(alarms.grab.conn) == 0);
    expect_echo(fd, 1, 10);
    finish(&rig, &alarms, fd);
}

Test(conn_alarm, nonsense_is_refused)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_server *server;
    struct netpoll_conn_options options = options_for(&alarms, NETPOLL_HANDLER_INLINE);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&alarms.grab.connects, 1);
    struct netpoll_conn *conn = alarms.grab.conn;
    cr_assert_eq(netpoll_conn_set_alarm(conn, -2), -EINVAL);
    cr_assert_eq(netpoll_conn_set_alarm(conn, (int64_t)NETPOLL_TIMEOUT_MS_MAX + 1), -EINVAL);
    cr_assert_eq(netpoll_conn_set_timeout(conn, NETPOLL_REQUEST_TIMEOUT, 5), -EINVAL);
    CHECK(netpoll_conn_set_alarm(conn, 30) == 0);
    CHECK(netpoll_conn_close(conn) == 0);
    cr_assert_eq(netpoll_conn_set_alarm(conn, 5), -ENOTCONN);
    options.request_timeout_ms = 5;
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &server), -EINVAL);
    finish(&rig, &alarms, fd);
    cr_assert_eq(event_count(&alarms.rings), 0);
}

Test(conn_alarm, there_is_none_without_a_callback)
{
    struct rig rig = {0};
    struct alarms alarms = ALARMS_INIT;
    struct netpoll_conn_options options = options_for(&alarms, NETPOLL_HANDLER_INLINE);
    options.on_alarm = NULL;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&alarms.grab.connects, 1);
    cr_assert_eq(netpoll_conn_set_alarm(alarms.grab.conn, 5), -EINVAL);
    finish(&rig, &alarms, fd);
}
