/* Receiving in all its ways, on the real kernel: long and short messages by turns, pauses, rests,
 * more connections than blocks. With epoll the same must hold. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(uring_receive, .timeout = 60);

/* Messages of one connection get long, so that it leaves the ring of blocks, and short again. */
Test(uring_receive, long_and_short_messages_by_turns)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {.pollers = 1};
    uint64_t seed = 1;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (int turn = 0; turn < 4; turn++) {
        for (int i = 0; i < 12; i++)
            expect_echo(fd, seed++, (size_t)100000 + 777 * (size_t)i);
        for (int i = 0; i < 150; i++)
            expect_echo(fd, seed++, 1 + (size_t)i);
    }
    client_close(fd);
    rig_finish_when_idle(&rig);
}

Test(uring_receive, the_end_of_a_long_flow_is_seen)
{
    static char bytes[4 << 20];
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {.pollers = 1};
    rig_start(&rig, &options);
    for (int i = 0; i < 5; i++) {
        int fd = rig_dial(&rig);
        for (size_t sent = 0; sent < sizeof bytes; sent += sizeof bytes / 8)
            expect_echo(fd, sent, sizeof bytes / 8);
        client_end_sending(fd);
        cr_assert(client_sees_end(fd));
        client_close(fd);
    }
    rig_finish_when_idle(&rig);
}

struct paused {
    struct grab grab;
    struct event cancels;
    struct event ends;
    enum netpoll_close_reason reason;
};

static void grab_and_pause(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_pause(conn) == 0);
    grab_conn(conn, arg);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct paused *)arg)->cancels);
}

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct paused *paused = arg;
    (void)conn;
    paused->reason = reason;
    event_add(&paused->ends);
}

/* The peer's end is not told while input is paused, and must not hide what comes after it. */
Test(uring_receive, a_reset_after_the_end_is_seen_in_a_pause)
{
    struct paused paused = {
        .grab = GRAB_INIT, .cancels = EVENT_INIT, .ends = EVENT_INIT, .reason = NETPOLL_CLOSE_USER};
    struct netpoll_conn_options options = {.on_connect = grab_and_pause,
                                           .on_request = echo_copy,
                                           .on_cancel = note_cancel,
                                           .on_disconnect = note_end,
                                           .arg = &paused};
    struct netpoll_conn_options others = {.on_request = echo_copy};
    struct rig rig = {.pollers = 1};
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_server_create(rig.runtime, &others, NULL, &server), 0);
    cr_assert_eq(netpoll_server_listen(server, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_address(server, 0, address, sizeof address), 0);
    int other = client_dial(address);
    int fd = rig_dial(&rig);
    event_wait(&paused.grab.connects, 1);
    /* Of the same poller, which does not receive any more when it has answered. */
    for (int i = 0; i < 3; i++)
        expect_echo(other, 1, 10);
    client_end_sending(fd);
    /* Now it has seen the end. */
    for (int i = 0; i < 3; i++)
        expect_echo(other, 2, 10);
    cr_assert_eq(event_count(&paused.cancels), 0);
    cr_assert_eq(event_count(&paused.ends), 0);
    client_reset(fd);
    event_wait(&paused.cancels, 1);
    netpoll_conn_release(paused.grab.conn);
    event_wait(&paused.ends, 1);
    cr_assert_eq(paused.reason, NETPOLL_CLOSE_RESET);
    client_close(other);
    cr_assert_eq(netpoll_server_destroy(server), 0);
    rig_finish_when_idle(&rig);
}

/* Many pauses, whose cancellations race with what comes. */
Test(uring_receive, pauses_lose_nothing)
{
    struct paused paused = {.grab = GRAB_INIT};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = echo_copy, .arg = &paused};
    struct rig rig = {.pollers = 1};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&paused.grab.connects, 1);
    for (uint64_t i = 0; i < 300; i++) {
        cr_assert_eq(netpoll_conn_pause(paused.grab.conn), 0);
        char sent[1000];
        char got[1000];
        pattern_fill(i, 0, sent, sizeof sent);
        client_send(fd, sent, sizeof sent);
        cr_assert_eq(netpoll_conn_resume(paused.grab.conn), 0);
        cr_assert_eq(client_receive(fd, got, sizeof got), sizeof got);
        cr_assert_eq(memcmp(sent, got, sizeof got), 0);
    }
    netpoll_conn_release(paused.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

#define IDLE_MS INT64_C(40)
#define RESTING 1000

/* Long enough for every receive to make way; the clock is what this is about. */
static void rest(void)
{
    int64_t until = now_ms() + 3 * IDLE_MS;
    WAIT_UNTIL(now_ms() >= until);
}

/* Receives that wait for bytes in the ring that this descriptor is; -1: it is none, or the kernel
 * lists nothing now, as while somebody else is at the ring. */
static int receives_of(int fd)
{
    char path[64];
    char line[256];
    int count = -1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    while (info != NULL && fgets(line, sizeof line, info) != NULL) {
        if (strncmp(line, "PollList:", 9) == 0)
            count = 0;
        const char *op = strstr(line, "op=");
        if (count >= 0 && op != NULL)
            count += strtol(op + 3, NULL, 10) == IORING_OP_RECV;
    }
    if (info != NULL)
        fclose(info);
    return count;
}

static void note_ring(int fd, void *arg)
{
    if (receives_of(fd) >= 0)
        *(int *)arg = fd;
}

/* What the kernel has of a connection is a poll after it has rested, and a receive before. */
Test(uring_receive, demote_idle_ms)
{
    static int fds[RESTING];
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {.pollers = 1, .demote_idle_ms = IDLE_MS};
    if (backend_under_test() != NETPOLL_BACKEND_IO_URING)
        cr_skip_test("it is about io_uring");
    rig_start(&rig, &options);
    for (int i = 0; i < RESTING; i++)
        fds[i] = rig_dial(&rig);
    expect_echo(fds[0], 1, 100);
    int ring = -1;
    WAIT_UNTIL((for_each_descriptor(note_ring, &ring), ring >= 0));
    /* Bytes come at another time of the search for idle ones in every round. */
    for (int ms = 0; ms < 30; ms += 3) {
        WAIT_UNTIL(receives_of(ring) == 0);
        const int64_t until = now_ms() + ms;
        WAIT_UNTIL(now_ms() >= until);
        WAIT_UNTIL((expect_echo(fds[0], 1, 100), receives_of(ring) == 1));
    }
    WAIT_UNTIL(receives_of(ring) == 0);
    for (int i = 0; i < RESTING; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
}

Test(uring_receive, a_thousand_connections_that_rested_answer)
{
    static int fds[RESTING];
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {.pollers = 1, .demote_idle_ms = IDLE_MS};
    rig_start(&rig, &options);
    for (int i = 0; i < RESTING; i++) {
        fds[i] = rig_dial(&rig);
        expect_echo(fds[i], (uint64_t)i, 100);
    }
    for (int round = 0; round < 3; round++) {
        rest();
        for (int i = 0; i < RESTING; i++)
            expect_echo(fds[i], (uint64_t)i + (uint64_t)round, 1000);
    }
    rest();
    for (int i = 0; i < RESTING; i++) {
        client_end_sending(fds[i]);
        cr_assert(client_sees_end(fds[i]));
        client_close(fds[i]);
    }
    rig_finish_when_idle(&rig);
}

Test(uring_receive, a_reset_of_a_resting_connection_is_seen)
{
    struct paused paused = {.grab = GRAB_INIT, .cancels = EVENT_INIT, .ends = EVENT_INIT};
    struct netpoll_conn_options options = {
        .on_request = echo_copy, .on_disconnect = note_end, .arg = &paused};
    struct rig rig = {.pollers = 1, .demote_idle_ms = IDLE_MS};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    rest();
    client_reset(fd);
    event_wait(&paused.ends, 1);
    cr_assert_eq(paused.reason, NETPOLL_CLOSE_RESET);
    rig_finish_when_idle(&rig);
}

struct gate {
    struct event entered;
    struct event opened;
    atomic_bool is_shut;
};

/* Inline: the first message holds up its poller. */
static void echo_behind_gate(struct netpoll_conn *conn, void *arg)
{
    struct gate *gate = arg;
    if (atomic_exchange(&gate->is_shut, false)) {
        event_add(&gate->entered);
        event_wait(&gate->opened, 1);
    }
    echo_copy(conn, NULL);
}

#define CROWD 200

/* More have something to say at once than there are blocks, or are shown at a time. */
Test(uring_receive, a_crowd_speaks_at_once)
{
    static int fds[CROWD];
    char message[500];
    struct gate gate = {.entered = EVENT_INIT, .opened = EVENT_INIT};
    struct netpoll_conn_options options = {
        .handler = NETPOLL_HANDLER_INLINE, .on_request = echo_behind_gate, .arg = &gate};
    struct rig rig = {.pollers = 1};
    rig_start(&rig, &options);
    for (int i = 0; i < CROWD; i++)
        fds[i] = rig_dial(&rig);
    for (int i = 0; i < CROWD; i++)
        expect_echo(fds[i], 1, 10);
    atomic_store(&gate.is_shut, true);
    for (int i = 0; i < CROWD; i++) {
        pattern_fill((uint64_t)i, 0, message, sizeof message);
        client_send(fds[i], message, sizeof message);
    }
    event_wait(&gate.entered, 1);
    event_add(&gate.opened);
    for (int i = 0; i < CROWD; i++) {
        cr_assert_eq(client_receive(fds[i], message, sizeof message), sizeof message);
        cr_assert(pattern_matches((uint64_t)i, 0, message, sizeof message));
    }
    for (int i = 0; i < CROWD; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
}

struct flood {
    int fd;
    atomic_bool stop; /* orders nothing: a little more is sent */
    struct event started;
};

static void *flood(void *arg)
{
    static char bytes[1 << 20];
    struct flood *from = arg;
    while (!atomic_load(&from->stop)) {
        client_send(from->fd, bytes, sizeof bytes);
        event_add(&from->started);
    }
    return NULL;
}

static void echo_or_forget(struct netpoll_conn *conn, void *arg)
{
    size_t n = netpoll_conn_len(conn);
    if (n > 4096)
        CHECK(netpoll_conn_skip(conn, n) == 0);
    else
        echo_copy(conn, arg);
}

/* It never stops while the others want something. */
Test(uring_receive, one_that_floods_does_not_starve_the_others)
{
    int fds[10];
    pthread_t thread;
    struct netpoll_conn_options options = {.handler = NETPOLL_HANDLER_INLINE,
                                           .on_request = echo_or_forget};
    struct rig rig = {.pollers = 1};
    struct flood from = {.started = EVENT_INIT};
    rig_start(&rig, &options);
    from.fd = rig_dial(&rig);
    cr_assert_eq(pthread_create(&thread, NULL, flood, &from), 0);
    event_wait(&from.started, 3);
    for (int i = 0; i < 10; i++)
        fds[i] = rig_dial(&rig);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++)
            expect_echo(fds[i], (uint64_t)round, 100);
    }
    atomic_store(&from.stop, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 10; i++)
        client_close(fds[i]);
    client_reset(from.fd);
    rig_finish_when_idle(&rig);
}

Test(uring_receive, a_thousand_live_connections_are_shut_down)
{
    static int fds[RESTING];
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {0};
    rig_start(&rig, &options);
    for (int i = 0; i < RESTING; i++)
        fds[i] = rig_dial(&rig);
    expect_echo(fds[RESTING - 1], 1, 100);
    /* The last of them are still on their way in. */
    cr_assert_eq(netpoll_server_shutdown(rig.server, 20000), 0);
    for (int i = 0; i < RESTING; i++) {
        cr_assert(client_sees_end(fds[i]));
        client_close(fds[i]);
    }
    rig_finish(&rig);
}
