/* Bytes through the whole of it: every byte comes back, in order, on its own connection. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

TestSuite(end_to_end, .timeout = 60);

#define PIECE_MAX ((size_t)8 << 20)

/* A stream of random pieces, sent by a thread of its own. */
struct stream {
    int fd;
    uint64_t seed;
    size_t total;
    size_t piece_max;
};

static void *send_stream(void *arg)
{
    const struct stream *stream = arg;
    uint64_t random = stream->seed;
    char *piece = malloc(stream->piece_max);
    CHECK(piece != NULL);
    for (size_t sent = 0; sent < stream->total;) {
        size_t n = random_size(&random, stream->piece_max);
        if (n > stream->total - sent)
            n = stream->total - sent;
        pattern_fill(stream->seed, sent, piece, n);
        client_send(stream->fd, piece, n);
        sent += n;
    }
    free(piece);
    client_end_sending(stream->fd);
    return NULL;
}

static void expect_stream(const struct stream *stream)
{
    uint64_t random = stream->seed + 1;
    char *piece = malloc(stream->piece_max);
    CHECK(piece != NULL);
    for (size_t got = 0; got < stream->total;) {
        size_t n = random_size(&random, stream->piece_max);
        if (n > stream->total - got)
            n = stream->total - got;
        CHECK(client_receive(stream->fd, piece, n) == n);
        CHECK(pattern_matches(stream->seed, got, piece, n));
        got += n;
    }
    free(piece);
    CHECK(client_sees_end(stream->fd));
}

static void *run_stream(void *arg)
{
    struct stream *stream = arg;
    pthread_t sender;
    CHECK(pthread_create(&sender, NULL, send_stream, stream) == 0);
    expect_stream(stream);
    pthread_join(sender, NULL);
    return NULL;
}

static void run_streams(const struct rig *rig, unsigned count, size_t total, size_t piece_max)
{
    struct stream streams[8];
    pthread_t threads[8];
    CHECK(count <= 8);
    for (unsigned i = 0; i < count; i++) {
        streams[i] = (struct stream){
            .fd = rig_dial(rig), .seed = 1000 + i, .total = total, .piece_max = piece_max};
        CHECK(pthread_create(&threads[i], NULL, run_stream, &streams[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        client_close(streams[i].fd);
    }
}

static void echo_streams(enum netpoll_handler mode, netpoll_conn_fn *echo, const char *listen)
{
    struct rig rig = {.listen = listen};
    struct netpoll_conn_options options = {.on_request = echo, .handler = mode};
    rig_start(&rig, &options);
    run_streams(&rig, 1, (size_t)32 << 20, PIECE_MAX);
    run_streams(&rig, 4, (size_t)3 << 20, (size_t)256 << 10);
    run_streams(&rig, 4, (size_t)64 << 10, 16);
    struct netpoll_stats stats = rig_stats(&rig);
    uint64_t expected = ((uint64_t)32 << 20) + 4 * ((uint64_t)3 << 20) + 4 * ((uint64_t)64 << 10);
    cr_assert_eq(stats.bytes_in, expected);
    cr_assert_eq(stats.bytes_out, expected);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(end_to_end, random_pieces_come_back_copied)
{
    echo_streams(*mode, echo_copy, NULL);
}

TEST_BOTH_MODES(end_to_end, random_pieces_come_back_in_their_blocks)
{
    echo_streams(*mode, echo_blocks, NULL);
}

TEST_BOTH_MODES(end_to_end, random_pieces_come_back_over_a_unix_socket)
{
    char listen[64];
    snprintf(listen, sizeof listen, "unix:@netpoll-test-%d", (int)getpid());
    echo_streams(*mode, echo_blocks, listen);
}

TEST_BOTH_MODES(end_to_end, two_hundred_connections_at_once)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    int fds[200];
    char data[4096];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 200; i++)
        fds[i] = rig_dial(&rig);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 200; i++) {
            pattern_fill(i, round * sizeof data, data, sizeof data);
            client_send(fds[i], data, sizeof data);
        }
        for (unsigned i = 0; i < 200; i++) {
            cr_assert_eq(client_receive(fds[i], data, sizeof data), sizeof data);
            cr_assert(pattern_matches(i, round * sizeof data, data, sizeof data));
        }
    }
    cr_assert_eq(rig_stats(&rig).connections, 200);
    for (unsigned i = 0; i < 200; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
}

static void *run_short_connections(void *arg)
{
    const struct rig *rig = arg;
    for (unsigned i = 0; i < 250; i++) {
        int fd = rig_dial(rig);
        expect_echo(fd, i, 1 + i);
        client_close(fd);
    }
    return NULL;
}

static void run_threads(unsigned count, void *(*fn)(void *arg), void *arg)
{
    pthread_t threads[8];
    CHECK(count <= 8);
    for (unsigned i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, fn, arg) == 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

TEST_BOTH_MODES(end_to_end, a_thousand_short_connections)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    rig_start(&rig, &options);
    run_threads(4, run_short_connections, &rig);
    cr_assert_eq(rig_stats(&rig).accepted, 1000);
    rig_finish_when_idle(&rig);
}

/*
 * Every client sends nothing but a number of its own, many times, and leaves in the middle; the
 * next one gets its descriptor. A server's connection that sees two numbers, or a client that
 * sees another one's, has been mixed up.
 */
#define MARKS 64

static _Atomic uint64_t next_mark = 1;

static void echo_marks(struct netpoll_conn *conn, void *arg)
{
    uint64_t mark;
    const void *data;
    (void)arg;
    while (netpoll_conn_next(conn, sizeof mark, &data) == 0) {
        memcpy(&mark, data, sizeof mark);
        if (netpoll_conn_data(conn) == NULL)
            netpoll_conn_set_data(conn, (void *)(uintptr_t)mark);
        CHECK((uintptr_t)netpoll_conn_data(conn) == mark);
        if (netpoll_conn_write(conn, data, sizeof mark) != 0)
            return;
    }
    (void)!netpoll_conn_flush(conn);
}

static void *run_marked_connections(void *arg)
{
    const struct rig *rig = arg;
    uint64_t marks[MARKS];
    uint64_t random = (uint64_t)(uintptr_t)&marks;
    for (unsigned i = 0; i < 300; i++) {
        uint64_t mark = atomic_fetch_add(&next_mark, 1);
        int fd = rig_dial(rig);
        for (unsigned k = 0; k < MARKS; k++)
            marks[k] = mark;
        client_send(fd, marks, sizeof marks);
        size_t wanted = (size_t)random_below(&random, MARKS + 1);
        CHECK(client_receive(fd, marks, wanted * sizeof mark) == wanted * sizeof mark);
        for (unsigned k = 0; k < wanted; k++)
            CHECK(marks[k] == mark);
        if (random_below(&random, 2) == 0)
            client_reset(fd);
        else
            client_close(fd);
    }
    return NULL;
}

TEST_BOTH_MODES(end_to_end, a_descriptor_that_is_used_again_brings_no_foreign_byte)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_marks, .handler = *mode};
    rig_start(&rig, &options);
    run_threads(4, run_marked_connections, &rig);
    rig_finish_when_idle(&rig);
}

/* Signals to every thread of the process, a thousand a second, until it is told to stop. */
struct storm {
    atomic_bool stop; /* set by the test, read by the storm; orders nothing else */
    unsigned sent;
};

static _Atomic unsigned signals_taken;

static void take_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_taken, 1);
}

static void signal_thread(pid_t thread, void *arg)
{
    struct storm *storm = arg;
    if (thread != (pid_t)syscall(SYS_gettid) && syscall(SYS_tgkill, getpid(), thread, SIGUSR1) == 0)
        storm->sent++;
}

static void *run_storm(void *arg)
{
    struct storm *storm = arg;
    struct timespec period = {.tv_nsec = 1000000};
    while (!atomic_load(&storm->stop)) {
        for_each_thread(signal_thread, storm);
        nanosleep(&period, NULL);
    }
    return NULL;
}

TEST_BOTH_MODES(end_to_end, signals_interrupt_nothing)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_blocks, .handler = *mode};
    struct sigaction action = {.sa_handler = take_signal};
    struct storm storm = {0};
    pthread_t thread;
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    rig_start(&rig, &options);
    cr_assert_eq(pthread_create(&thread, NULL, run_storm, &storm), 0);
    run_streams(&rig, 4, (size_t)32 << 20, PIECE_MAX);
    run_threads(2, run_short_connections, &rig);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    atomic_store(&storm.stop, true);
    pthread_join(thread, NULL);
    rig_finish(&rig);
    cr_assert_gt(storm.sent, 0);
    cr_assert_gt(signals_taken, 0);
}

Test(end_to_end, two_runtimes_side_by_side)
{
    struct rig first = {0};
    struct rig second = {.pollers = 1, .beside_another = true};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_conn_options inline_options = {.on_request = echo_blocks,
                                                  .handler = NETPOLL_HANDLER_INLINE};
    rig_start(&first, &options);
    rig_start(&second, &inline_options);
    run_streams(&first, 1, (size_t)1 << 20, 65536);
    run_streams(&second, 2, (size_t)1 << 20, 65536);
    cr_assert_eq(rig_stats(&first).bytes_in, (uint64_t)1 << 20);
    cr_assert_eq(rig_stats(&second).bytes_in, (uint64_t)2 << 20);
    WAIT_UNTIL(rig_stats(&second).connections == 0);
    rig_finish(&second);
    run_streams(&first, 1, (size_t)1 << 20, 65536);
    rig_finish_when_idle(&first);
}
