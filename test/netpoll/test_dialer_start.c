/* Dials that do not block, dials by threads of the runtime, and the ends of both. */
#include "../support/process.h"
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <gopool/panic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(dialer_start, .timeout = 60);

Test(dialer_start, the_function_runs_on_a_poller)
{
    struct dial_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, rig.rig.address, 0, note_outcome, &outcome, NULL),
                 0);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, 0);
    cr_assert(outcome.on_poller);
    expect_conn_echo(outcome.conn, 5, 1000);
    hang_up(outcome.conn);
    dial_rig_finish(&rig);
    cr_assert_eq(event_count(&outcome.told), 1);
}

/* A handler that dials. */
struct dialing {
    struct dial_rig rig;
    struct outcome outcome;
    struct event done;
    int status;
    bool told_inside;
};

static void start_in_handler(struct netpoll_conn *conn, void *arg)
{
    struct dialing *dialing = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_dialer_start(dialing->rig.dialer, "unix:/nonexistent", 0, note_outcome,
                               &dialing->outcome, NULL) == 0);
    dialing->told_inside = event_count(&dialing->outcome.told) != 0;
    struct netpoll_conn *dialed;
    dialing->status =
        netpoll_dialer_dial(dialing->rig.dialer, dialing->rig.rig.address, 0, &dialed);
    CHECK(dialed == NULL);
    event_add(&dialing->done);
}

Test(dialer_start, on_a_poller_it_tells_later_and_does_not_block)
{
    struct dialing dialing = {.outcome = OUTCOME_INIT, .done = EVENT_INIT};
    dialing.rig.server = (struct netpoll_conn_options){
        .on_request = start_in_handler, .handler = NETPOLL_HANDLER_INLINE, .arg = &dialing};
    dialing.rig.rig.pollers = 1;
    dial_rig_start(&dialing.rig);
    int fd = rig_dial(&dialing.rig.rig);
    client_send(fd, "x", 1);
    event_wait(&dialing.done, 1);
    event_wait(&dialing.outcome.told, 1);
    cr_assert_not(dialing.told_inside);
    cr_assert_eq(dialing.outcome.status, -ENOENT);
    cr_assert_eq(dialing.status, -EDEADLK);
    client_close(fd);
    dial_rig_finish(&dialing.rig);
}

struct replaced {
    struct dial_rig rig;
    struct deaf deaf;
    struct netpoll_conn *conn;
    struct event done;
};

/* The first waits for a backlog that the second one enlarges. */
static void dial_or_help(struct netpoll_conn *conn, void *arg)
{
    struct replaced *replaced = arg;
    const void *data;
    CHECK(netpoll_conn_next(conn, 1, &data) == 0);
    if (*(const char *)data == 'd')
        replaced->conn = dial(&replaced->rig, replaced->deaf.address);
    else
        deaf_listen_at_last(&replaced->deaf);
    event_add(&replaced->done);
}

Test(dialer_start, a_worker_that_dials_is_replaced)
{
    struct gopool_options one = {.name = "one", .cap = 1};
    struct replaced replaced = {.done = EVENT_INIT};
    struct gopool_stats stats;
    replaced.rig.rig.own_pool = &one;
    replaced.rig.server =
        (struct netpoll_conn_options){.on_request = dial_or_help, .arg = &replaced};
    deaf_start(&replaced.deaf, own_unix_name("dialer-replaced"));
    dial_rig_start(&replaced.rig);
    int first = rig_dial(&replaced.rig.rig);
    int second = rig_dial(&replaced.rig.rig);
    client_send(first, "d", 1);
    do {
        gopool_stats_read(replaced.rig.rig.pool, &stats);
    } while (stats.blocked_workers == 0);
    client_send(second, "h", 1);
    event_wait(&replaced.done, 2);
    hang_up(replaced.conn);
    client_close(first);
    client_close(second);
    dial_rig_finish(&replaced.rig);
    deaf_finish(&replaced.deaf);
}

struct crowded {
    struct dial_rig rig;
    struct deaf deaf;
    struct event done;
    int status[2];
};

static void dial_deaf(struct netpoll_conn *conn, void *arg)
{
    struct crowded *crowded = arg;
    const void *data;
    struct netpoll_conn *dialed;
    CHECK(netpoll_conn_next(conn, 1, &data) == 0);
    int which = *(const char *)data - '0';
    crowded->status[which] =
        netpoll_dialer_dial(crowded->rig.dialer, crowded->deaf.address, 500, &dialed);
    event_add(&crowded->done);
}

Test(dialer_start, too_many_workers_that_wait_are_told)
{
    struct gopool_options two = {.name = "two", .cap = 2, .max_blocked = 1};
    struct crowded crowded = {.done = EVENT_INIT};
    struct gopool_stats stats;
    crowded.rig.rig.own_pool = &two;
    crowded.rig.server = (struct netpoll_conn_options){.on_request = dial_deaf, .arg = &crowded};
    deaf_start(&crowded.deaf, "127.0.0.1:0");
    dial_rig_start(&crowded.rig);
    int first = rig_dial(&crowded.rig.rig);
    int second = rig_dial(&crowded.rig.rig);
    client_send(first, "0", 1);
    do {
        gopool_stats_read(crowded.rig.rig.pool, &stats);
    } while (stats.blocked_workers == 0);
    client_send(second, "1", 1);
    event_wait(&crowded.done, 2);
    cr_assert_eq(crowded.status[0], -ETIMEDOUT);
    cr_assert_eq(crowded.status[1], -EAGAIN);
    client_close(first);
    client_close(second);
    dial_rig_finish(&crowded.rig);
    deaf_finish(&crowded.deaf);
}

static void panic_with(struct netpoll_conn *conn, int status, void *arg)
{
    CHECK(status == 0);
    *(struct netpoll_conn **)arg = conn;
    gopool_panic("in a dialed function");
}

Test(dialer_start, a_panic_in_the_function_closes_the_connection)
{
    struct dial_rig rig = {.rig.expected_logs = 1};
    struct netpoll_conn *_Atomic conn = NULL;
    dial_rig_start(&rig);
    cr_assert_eq(
        netpoll_dialer_start(rig.dialer, rig.rig.address, 0, panic_with, (void *)&conn, NULL), 0);
    WAIT_UNTIL(conn != NULL);
    WAIT_UNTIL(rig_stats(&rig.rig).connections == 0);
    cr_assert_eq(netpoll_conn_reason(conn), NETPOLL_CLOSE_PANIC);
    cr_assert_not_null(strstr(rig.rig.last_log, "in a dialed function"));
    netpoll_conn_release(conn);
    dial_rig_finish(&rig);
}

/* Calling off */

Test(dialer_start, a_dial_that_hangs_is_called_off)
{
    struct dial_rig rig = {.rig.beside_another = true};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_dial *handle;
    struct deaf deaf;
    deaf_start(&deaf, "127.0.0.1:0");
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, deaf.address, NETPOLL_TIMEOUT_NONE, note_outcome,
                                      &outcome, &handle),
                 0);
    cr_assert_eq(failing_dial(&rig, deaf.address, 50), -ETIMEDOUT);
    cr_assert_eq(event_count(&outcome.told), 0);
    cr_assert_eq(netpoll_dial_cancel(handle), 1);
    cr_assert_eq(netpoll_dial_cancel(handle), 1);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, -ECANCELED);
    cr_assert(outcome.on_poller);
    cr_assert_eq(netpoll_dial_cancel(handle), 1);
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
    cr_assert_eq(event_count(&outcome.told), 1);
    netpoll_dial_release(handle);
    cr_assert_eq(live_bytes(), rig.rig.live_bytes);
}

struct overtaken {
    struct dial_rig rig;
    struct outcome outcome;
    struct netpoll_dial *handle;
    struct event started;
    struct event called_off;
};

static void start_and_hold_up(struct netpoll_conn *conn, void *arg)
{
    struct overtaken *overtaken = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_dialer_start(overtaken->rig.dialer, overtaken->rig.rig.address, 0, note_outcome,
                               &overtaken->outcome, &overtaken->handle) == 0);
    event_add(&overtaken->started);
    event_wait(&overtaken->called_off, 1);
}

Test(dialer_start, what_calls_a_dial_off_may_overtake_its_start)
{
    struct overtaken overtaken = {
        .outcome = OUTCOME_INIT, .started = EVENT_INIT, .called_off = EVENT_INIT};
    overtaken.rig.rig.pollers = 1;
    overtaken.rig.server = (struct netpoll_conn_options){
        .on_request = start_and_hold_up, .handler = NETPOLL_HANDLER_INLINE, .arg = &overtaken};
    dial_rig_start(&overtaken.rig);
    int fd = rig_dial(&overtaken.rig.rig);
    client_send(fd, "x", 1);
    event_wait(&overtaken.started, 1);
    cr_assert_eq(netpoll_dial_cancel(overtaken.handle), 1);
    event_add(&overtaken.called_off);
    event_wait(&overtaken.outcome.told, 1);
    cr_assert_eq(overtaken.outcome.status, -ECANCELED);
    netpoll_dial_release(overtaken.handle);
    client_close(fd);
    dial_rig_finish(&overtaken.rig);
    cr_assert_eq(event_count(&overtaken.outcome.told), 1);
}

Test(dialer_start, after_its_end_a_dial_cannot_be_called_off)
{
    struct dial_rig rig = {.rig.beside_another = true};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_dial *handle;
    dial_rig_start(&rig);
    cr_assert_eq(
        netpoll_dialer_start(rig.dialer, rig.rig.address, 0, note_outcome, &outcome, &handle), 0);
    event_wait(&outcome.told, 1);
    cr_assert_eq(netpoll_dial_cancel(handle), 0);
    hang_up(outcome.conn);
    dial_rig_finish(&rig);
    cr_assert_eq(netpoll_dial_cancel(handle), 0);
    netpoll_dial_release(handle);
    netpoll_dial_release(NULL);
    cr_assert_eq(live_bytes(), rig.rig.live_bytes);
}

Test(dialer_start, what_cancel_says_is_what_the_function_is_told)
{
    struct dial_rig rig = {0};
    int called_off = 0;
    dial_rig_start(&rig);
    for (int i = 0; i < 400; i++) {
        struct outcome outcome = OUTCOME_INIT;
        struct netpoll_dial *handle;
        cr_assert_eq(
            netpoll_dialer_start(rig.dialer, rig.rig.address, 0, note_outcome, &outcome, &handle),
            0);
        for (int64_t until = i % 40; until > 0; until--)
            sched_yield();
        int said = netpoll_dial_cancel(handle);
        event_wait(&outcome.told, 1);
        cr_assert_eq(outcome.status, said == 1 ? -ECANCELED : 0);
        called_off += said;
        if (outcome.conn != NULL)
            hang_up(outcome.conn);
        netpoll_dial_release(handle);
    }
    cr_assert_gt(called_off, 0);
    dial_rig_finish(&rig);
}

/* The end */

Test(dialer_start, shutdown_ends_dials_and_refuses_new_ones)
{
    struct dial_rig rig = {0};
    struct outcome outcomes[3] = {OUTCOME_INIT, OUTCOME_INIT, OUTCOME_INIT};
    struct deaf deaf;
    deaf_start(&deaf, "127.0.0.1:0");
    dial_rig_start(&rig);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(
            netpoll_dialer_start(rig.dialer, deaf.address, 0, note_outcome, &outcomes[i], NULL), 0);
    cr_assert_eq(netpoll_dialer_shutdown(rig.dialer, -2), -EINVAL);
    cr_assert_eq(netpoll_dialer_shutdown(rig.dialer, 1000), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(event_count(&outcomes[i].told), 1);
        cr_assert_eq(outcomes[i].status, -ESHUTDOWN);
    }
    cr_assert_eq(failing_dial(&rig, rig.rig.address, 0), -ESHUTDOWN);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, rig.rig.address, 0, note_outcome, NULL, NULL),
                 -ESHUTDOWN);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, deaf.fillers[0], NULL), -ESHUTDOWN);
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
}

Test(dialer_start, connections_that_are_held_are_aborted_at_the_deadline)
{
    struct dial_rig rig = {.rig.beside_another = true};
    char byte = 'x';
    const void *data;
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(netpoll_dialer_shutdown(rig.dialer, 10), 1);
    cr_assert_eq(netpoll_conn_reason(conn), NETPOLL_CLOSE_SHUTDOWN);
    dial_rig_finish(&rig);
    /* What is left of it is safe to use. */
    cr_assert_not(netpoll_conn_is_active(conn));
    cr_assert_eq(netpoll_conn_write(conn, &byte, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_next(conn, 1, &data), -ENOTCONN);
    cr_assert_eq(netpoll_conn_close(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_peer(conn, &byte, 1), -ENOTCONN);
    netpoll_conn_release(conn);
    cr_assert_eq(live_bytes(), rig.rig.live_bytes);
}

Test(dialer_start, a_runtime_with_a_dialer_is_busy)
{
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_server_destroy(rig.rig.server), 0);
    cr_assert_eq(netpoll_runtime_destroy(rig.rig.runtime), -EBUSY);
    cr_assert_eq(netpoll_dialer_destroy(rig.dialer), 0);
    cr_assert_eq(netpoll_runtime_destroy(rig.rig.runtime), 0);
}

Test(dialer_start, a_child_of_fork_cannot_dial)
{
    struct dial_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_dial *handle;
    struct netpoll_conn *conn;
    struct deaf deaf;
    int status;
    deaf_start(&deaf, "127.0.0.1:0");
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, deaf.address, 0, note_outcome, &outcome, &handle),
                 0);
    pid_t child = fork();
    if (child == 0) {
        bool refused = netpoll_dialer_dial(rig.dialer, rig.rig.address, 0, &conn) == -EPERM &&
                       netpoll_dialer_start(rig.dialer, rig.rig.address, 0, note_outcome, NULL,
                                            NULL) == -EPERM &&
                       netpoll_dialer_adopt(rig.dialer, 0, NULL) == -EPERM &&
                       netpoll_dial_cancel(handle) == -EPERM &&
                       netpoll_dialer_destroy(rig.dialer) == -EPERM;
        _exit(refused ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(netpoll_dial_cancel(handle), 1);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, -ECANCELED);
    netpoll_dial_release(handle);
    dial_rig_finish(&rig);
    deaf_finish(&deaf);
}
