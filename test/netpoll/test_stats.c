/* The figures: whose they are, what is counted, and that nothing is counted twice. */
#include "../support/process.h"
#include "rig.h"

#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

TestSuite(stats, .timeout = 60);

static struct netpoll_stats poller_stats(const struct rig *rig, uint32_t index)
{
    struct netpoll_stats stats;
    cr_assert_eq(netpoll_runtime_poller_stats_read(rig->runtime, index, &stats), 0);
    return stats;
}

static uint64_t closed_in_all(const struct netpoll_stats *stats)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < NETPOLL_CLOSE_REASON_COUNT; i++)
        sum += stats->closed[i];
    return sum;
}

Test(stats, figures_of_the_pollers_add_up)
{
    struct rig rig = {.pollers = 3};
    struct netpoll_conn_options options = {.on_request = echo_copy,
                                           .handler = NETPOLL_HANDLER_INLINE};
    struct netpoll_stats all;
    struct netpoll_stats sum = {0};
    int fds[6];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 6; i++) {
        fds[i] = rig_dial(&rig);
        expect_echo(fds[i], i, 100);
    }
    all = rig_stats(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        struct netpoll_stats one = poller_stats(&rig, i);
        cr_assert_eq(one.connections, 2, "poller %u has %llu", i,
                     (unsigned long long)one.connections);
        cr_assert_eq(one.requests, 2);
        cr_assert_eq(one.bytes_in, 200);
        sum.accepted += one.accepted;
        if (one.round_us_max > sum.round_us_max)
            sum.round_us_max = one.round_us_max;
    }
    cr_assert_eq(all.connections, 6);
    cr_assert_eq(all.requests, 6);
    cr_assert_eq(all.accepted, sum.accepted);
    cr_assert_eq(all.bytes_in, 600);
    cr_assert_gt(all.round_us_max, 0);
    cr_assert_leq(all.round_us_max, sum.round_us_max, "the largest then, not the sum");
    for (unsigned i = 0; i < 6; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
}

Test(stats, there_are_no_figures_of_a_poller_that_does_not_exist)
{
    struct rig rig = {.pollers = 2};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_stats stats = {.requests = 7};
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_runtime_poller_stats_read(rig.runtime, 2, &stats), -EINVAL);
    cr_assert_eq(netpoll_runtime_poller_stats_read(rig.runtime, UINT32_MAX, &stats), -EINVAL);
    cr_assert_eq(stats.requests, 7);
    rig_finish(&rig);
}

/* One request, one receive, one send; what is copied is told. */
TEST_BOTH_MODES(stats, receives_sends_and_copies)
{
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 20; i++)
        expect_echo(fd, i, 100);
    WAIT_UNTIL(rig_stats(&rig).sends == 20);
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.receives, 20);
    cr_assert_eq(stats.bytes_out, 2000);
    cr_assert_eq(stats.bytes_copied, *mode == NETPOLL_HANDLER_POOL ? 2000 : 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* The first byte says how the connection is to end. */
static void end_as_told(struct netpoll_conn *conn, void *arg)
{
    const void *word;
    (void)arg;
    CHECK(netpoll_conn_next(conn, 1, &word) == 0);
    if (*(const char *)word == 'c')
        netpoll_conn_close(conn);
    if (*(const char *)word == 'a')
        netpoll_conn_abort(conn);
    if (*(const char *)word == 'p')
        gopool_panic("as told");
}

static void expect_closed(struct rig *rig, const char *word, enum netpoll_close_reason reason,
                          void (*end)(int fd))
{
    struct netpoll_stats before = rig_stats(rig);
    int fd = rig_dial(rig);
    WAIT_UNTIL(rig_stats(rig).connections == 1);
    client_send(fd, word, strlen(word));
    if (end != NULL)
        end(fd);
    else
        (void)client_drain(fd);
    WAIT_UNTIL(rig_stats(rig).connections == 0);
    struct netpoll_stats after = rig_stats(rig);
    cr_assert_eq(after.closed[reason], before.closed[reason] + 1, "%s", word);
    cr_assert_eq(closed_in_all(&after), closed_in_all(&before) + 1, "%s", word);
    cr_assert_eq(after.panics, before.panics + (word[0] == 'p'));
    if (end == NULL)
        client_close(fd);
}

TEST_BOTH_MODES(stats, ends_are_counted_by_their_reason)
{
    struct rig rig = {.expected_logs = 1};
    struct netpoll_conn_options options = {.on_request = end_as_told, .handler = *mode};
    rig_start(&rig, &options);
    expect_closed(&rig, "", NETPOLL_CLOSE_EOF, client_close);
    expect_closed(&rig, "", NETPOLL_CLOSE_RESET, client_reset);
    expect_closed(&rig, "c", NETPOLL_CLOSE_USER, NULL);
    expect_closed(&rig, "a", NETPOLL_CLOSE_USER, NULL);
    expect_closed(&rig, "p", NETPOLL_CLOSE_PANIC, NULL);
    int fd = rig_dial(&rig);
    WAIT_UNTIL(rig_stats(&rig).connections == 1);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.closed[NETPOLL_CLOSE_SHUTDOWN], 1);
    cr_assert_eq(stats.accepted, closed_in_all(&stats));
    cr_assert_eq(stats.close_timeouts, 0);
    client_close(fd);
    rig_finish(&rig);
}

static int refuse_every_other(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    return atomic_fetch_add((atomic_uint *)arg, 1) % 2 == 1;
}

Test(stats, refused_connections_are_neither_open_nor_closed)
{
    struct rig rig = {0};
    atomic_uint seen = 0;
    struct netpoll_conn_options options = {
        .on_request = echo_copy, .on_prepare = refuse_every_other, .arg = &seen};
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 6; i++) {
        int fd = rig_dial(&rig);
        WAIT_UNTIL(atomic_load(&seen) == i + 1);
        client_close(fd);
    }
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.accepted, 6);
    cr_assert_eq(stats.refused, 3);
    cr_assert_eq(stats.accept_drops, 0);
    cr_assert_eq(closed_in_all(&stats), 3);
    rig_finish(&rig);
}

/* From here on the poller that this runs on cannot watch another descriptor. */
static void break_poller(struct netpoll_conn *conn, void *arg)
{
    refuse_system_call(SYS_epoll_ctl, ENOMEM);
    echo_copy(conn, arg);
}

Test(stats, accepted_connections_that_are_dropped)
{
    struct rig rig = {.pollers = 1, .expected_logs = 2};
    struct netpoll_conn_options options = {.on_request = break_poller,
                                           .handler = NETPOLL_HANDLER_INLINE};
    if (backend_under_test() != NETPOLL_BACKEND_EPOLL)
        cr_skip_test("a ring needs no call to watch one more");
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    for (unsigned i = 0; i < 2; i++) {
        int dropped = rig_dial(&rig);
        (void)client_drain(dropped);
        client_close(dropped);
    }
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.accepted, 3);
    cr_assert_eq(stats.accept_drops, 2);
    cr_assert_eq(stats.refused, 0);
    /* Taken back when the peer has seen its end already. */
    WAIT_UNTIL(rig_stats(&rig).connections == 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

#define ANSWER ((size_t)16 << 20)

struct flood {
    struct event answers;
    _Atomic int status;
    char *data;
};

/* More than a peer that does not read takes. */
static void answer_much(struct netpoll_conn *conn, void *arg)
{
    struct flood *flood = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write_ref(conn, flood->data, ANSWER, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) == 1);
    CHECK(netpoll_conn_write_ref(conn, flood->data, ANSWER, NULL, NULL) == 0);
    for (unsigned i = 0; i < 3; i++)
        atomic_store(&flood->status, netpoll_conn_flush(conn));
    event_add(&flood->answers);
}

TEST_BOTH_MODES(stats, output_that_stands)
{
    struct rig rig = {.pollers = 1};
    struct flood flood = {.answers = EVENT_INIT, .data = calloc(1, ANSWER)};
    struct netpoll_conn_options options = {.on_request = answer_much,
                                           .handler = *mode,
                                           .arg = &flood,
                                           .output_hard_bytes = ANSWER / 8};
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&flood.answers, 1);
    cr_assert_eq(atomic_load(&flood.status), -ENOBUFS);
    cr_assert_eq(rig_stats(&rig).flushes_refused, 3);
    WAIT_UNTIL(rig_stats(&rig).output_pauses == 1);
    client_send(fd, "x", 1);
    cr_assert_eq(rig_stats(&rig).input_pauses, 0);
    client_reset(fd);
    rig_finish_when_idle(&rig);
    free(flood.data);
}

struct gate {
    struct event entered;
    struct event open;
};

static void wait_at_gate(struct netpoll_conn *conn, void *arg)
{
    struct gate *gate = arg;
    event_add(&gate->entered);
    event_wait(&gate->open, 1);
    echo_copy(conn, NULL);
}

/* A handler that does not consume while more comes than is wanted. */
Test(stats, input_that_stands)
{
    struct rig rig = {.pollers = 1};
    struct gate gate = {.entered = EVENT_INIT, .open = EVENT_INIT};
    struct netpoll_conn_options options = {.on_request = wait_at_gate,
                                           .arg = &gate,
                                           .input_high_bytes = 4096,
                                           .input_low_bytes = 1024};
    char data[8192] = {0};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&gate.entered, 1);
    cr_assert_eq(rig_stats(&rig).input_pauses, 0);
    client_send(fd, data, sizeof data);
    WAIT_UNTIL(rig_stats(&rig).input_pauses == 1);
    event_add(&gate.open);
    cr_assert_eq(client_receive(fd, data, sizeof data), sizeof data);
    cr_assert_eq(client_receive(fd, data, 1), 1);
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.input_pauses, 1);
    cr_assert_eq(stats.output_pauses, 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

Test(stats, input_that_the_user_stops)
{
    struct rig rig = {.pollers = 1};
    struct grab grab = GRAB_INIT;
    struct netpoll_conn_options options = {
        .on_request = echo_copy, .on_connect = grab_conn, .arg = &grab};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    for (unsigned i = 1; i <= 2; i++) {
        cr_assert_eq(netpoll_conn_pause(grab.conn), 0);
        WAIT_UNTIL(rig_stats(&rig).user_pauses == i);
        /* It is paused already: however often its poller looks, this is one pause. */
        uint64_t wakeups = rig_stats(&rig).wakeups;
        WAIT_UNTIL(netpoll_conn_pause(grab.conn) == 0 && rig_stats(&rig).wakeups > wakeups + 2);
        cr_assert_eq(rig_stats(&rig).user_pauses, i);
        cr_assert_eq(netpoll_conn_resume(grab.conn), 0);
        expect_echo(fd, i, 10);
    }
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.input_pauses, 0);
    cr_assert_eq(stats.output_pauses, 0);
    netpoll_conn_release(grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static void answer_and_close(struct netpoll_conn *conn, void *arg)
{
    struct flood *flood = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write_ref(conn, flood->data, ANSWER, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) == 1);
    netpoll_conn_close(conn);
}

TEST_BOTH_MODES(stats, a_close_that_takes_too_long)
{
    struct rig rig = {0};
    struct flood flood = {.data = calloc(1, ANSWER)};
    struct netpoll_conn_options options = {
        .on_request = answer_and_close, .handler = *mode, .arg = &flood, .close_timeout_ms = 50};
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    WAIT_UNTIL(rig_stats(&rig).closed[NETPOLL_CLOSE_USER] == 1);
    cr_assert_eq(rig_stats(&rig).close_timeouts, 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
    free(flood.data);
}

static void note_post(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(arg);
}

static void note_conn(struct netpoll_conn *conn, void *arg)
{
    grab_conn(conn, arg);
}

/* An idle poller is woken once for each post that finds it asleep, and for nothing else. */
Test(stats, posts_that_wake_the_poller)
{
    struct rig rig = {.pollers = 1};
    struct grab grab = GRAB_INIT;
    struct event posts = EVENT_INIT;
    struct netpoll_conn_options options = {.on_request = echo_copy,
                                           .on_connect = note_conn,
                                           .handler = NETPOLL_HANDLER_INLINE,
                                           .arg = &grab};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 10);
    uint64_t before = rig_stats(&rig).posts_woke;
    for (unsigned i = 0; i < 10; i++)
        expect_echo(fd, i, 10);
    cr_assert_eq(rig_stats(&rig).posts_woke, before, "requests need no system call to wake");
    for (unsigned i = 1; i <= 10; i++) {
        cr_assert_eq(netpoll_conn_post(grab.conn, note_post, &posts), 0);
        event_wait(&posts, i);
    }
    uint64_t woke = rig_stats(&rig).posts_woke - before;
    cr_assert(woke >= 1 && woke <= 10, "%llu", (unsigned long long)woke);
    netpoll_conn_release(grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

#define PAUSE_MS 30
#define PAUSE_US (UINT64_C(1000) * PAUSE_MS)

static void take_long(struct netpoll_conn *conn, void *arg)
{
    poll(NULL, 0, PAUSE_MS);
    echo_copy(conn, arg);
}

Test(stats, a_round_lasts_as_long_as_what_is_done_in_it)
{
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {.on_request = take_long,
                                           .handler = NETPOLL_HANDLER_INLINE};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 3; i++)
        expect_echo(fd, i, 10);
    int64_t at = now_ms();
    poll(NULL, 0, 20 * PAUSE_MS);
    int64_t rested_ms = now_ms() - at;
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_geq(stats.round_us_max, PAUSE_US);
    cr_assert_geq(stats.round_us_sum, 3 * PAUSE_US);
    cr_assert_leq(stats.round_us_max, stats.round_us_sum);
    cr_assert_lt((int64_t)stats.round_us_max, rested_ms * 1000, "waiting is no round");
    client_close(fd);
    rig_finish_when_idle(&rig);
}
