/* Files among the output. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <linkbuffer/file.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(conn_file, .timeout = 60);

#define LARGE ((size_t)64 << 20)
#define HARD  ((size_t)16 << 20)

struct files {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event released;
    struct event disconnects;
    _Atomic int reason;
    int fd; /* pattern 1 */
    size_t n;
};

#define FILES_INIT                                                         \
    {                                                                      \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .released = EVENT_INIT, \
        .disconnects = EVENT_INIT,                                         \
    }

static void note_release(void *arg)
{
    event_add(&((struct files *)arg)->released);
}

static void note_disconnect(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct files *files = arg;
    (void)conn;
    atomic_store(&files->reason, (int)reason);
    event_add(&files->disconnects);
}

static void open_file(struct files *files, size_t n)
{
    char name[] = "/tmp/netpoll-XXXXXX";
    enum {
        PIECE = 1 << 20
    };
    char *piece = malloc(PIECE);
    files->fd = mkstemp(name);
    files->n = n;
    CHECK(piece != NULL && files->fd >= 0 && unlink(name) == 0);
    for (size_t at = 0; at < n; at += PIECE) {
        size_t step = n - at < PIECE ? n - at : PIECE;
        pattern_fill(1, at, piece, step);
        CHECK(write(files->fd, piece, step) == (ssize_t)step);
    }
    free(piece);
}

static void start(struct rig *rig, struct files *files, size_t n, enum netpoll_handler mode,
                  netpoll_conn_fn *on_request)
{
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = on_request,
                                           .on_disconnect = note_disconnect,
                                           .handler = mode,
                                           .arg = files};
    open_file(files, n);
    rig_start(rig, &options);
}

static void finish(struct rig *rig, struct files *files)
{
    netpoll_conn_release(files->grab.conn);
    rig_finish_when_idle(rig);
    close(files->fd);
}

static void expect_pattern(int fd, size_t offset, size_t n)
{
    enum {
        PIECE = 1 << 20
    };
    char *data = malloc(PIECE);
    CHECK(data != NULL);
    for (size_t at = 0; at < n; at += PIECE) {
        size_t step = n - at < PIECE ? n - at : PIECE;
        CHECK(client_receive(fd, data, step) == step);
        CHECK(pattern_matches(1, offset + at, data, step));
    }
    free(data);
}

static void write_file(struct netpoll_conn *conn, struct files *files, size_t offset, size_t n)
{
    const struct linkbuffer_file file = {
        .fd = files->fd, .offset = (off_t)offset, .n = n, .release = note_release, .arg = files};
    CHECK(netpoll_conn_write_file(conn, &file) == 0);
}

static void write_memory(struct netpoll_conn *conn, size_t offset, size_t n)
{
    void *room;
    CHECK(netpoll_conn_reserve(conn, n, &room) == 0);
    pattern_fill(1, offset, room, n);
}

/* Pieces of many sizes, every other one of the file; one of them by way of a buffer. */
static void send_mixture(struct netpoll_conn *conn, void *arg)
{
    static const size_t sizes[] = {1,    1,     2, 4095, 4096, 4097, 100,   10000,
                                   1000, 65536, 1, 1,    7,    300,  20000, 131071};
    struct files *files = arg;
    size_t at = 0;
    struct linkbuffer *lb;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (i % 2 == 0)
            write_memory(conn, at, sizes[i]);
        else
            write_file(conn, files, at, sizes[i]);
        at += sizes[i];
    }
    CHECK(linkbuffer_create(&lb) == 0);
    const struct linkbuffer_file file = {.fd = files->fd,
                                         .offset = (off_t)at,
                                         .n = files->n - at,
                                         .release = note_release,
                                         .arg = files};
    CHECK(linkbuffer_write_file(lb, &file) == 0);
    CHECK(linkbuffer_flush(lb) == files->n - at);
    CHECK(netpoll_conn_append(conn, lb) == 0);
    linkbuffer_destroy(lb);
    CHECK(netpoll_conn_flush(conn) >= 0);
    event_add(&files->requests);
}

TEST_BOTH_MODES(conn_file, goes_out_in_its_place_among_memory)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    start(&rig, &files, 500000, *mode, send_mixture);
    int fd = rig_dial(&rig);
    for (unsigned i = 1; i <= 20; i++) {
        client_send(fd, "x", 1);
        expect_pattern(fd, 0, files.n);
        event_wait(&files.released, i * 9);
    }
    client_close(fd);
    finish(&rig, &files);
    cr_assert_eq(event_count(&files.released), 180);
}

static void send_whole(struct netpoll_conn *conn, void *arg)
{
    struct files *files = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    write_file(conn, files, 0, files->n);
    CHECK(netpoll_conn_flush(conn) == (files->n > (size_t)1 << 20));
    event_add(&files->requests);
}

TEST_BOTH_MODES(conn_file, large_ones_wait_for_a_slow_client_and_refuse_nothing)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    start(&rig, &files, LARGE, *mode, send_whole);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&files.requests, 1);
    size_t unsent = netpoll_conn_unsent(files.grab.conn);
    cr_assert_gt(unsent, LARGE / 2);
    cr_assert_leq(unsent, LARGE);
    cr_assert_eq(netpoll_conn_write(files.grab.conn, "end", 3), 0);
    cr_assert_eq(netpoll_conn_flush(files.grab.conn), 1);
    /* Memory is bounded as ever. */
    write_memory(files.grab.conn, 0, HARD);
    cr_assert_eq(netpoll_conn_flush(files.grab.conn), 1);
    cr_assert_eq(netpoll_conn_write(files.grab.conn, "more", 4), 0);
    cr_assert_eq(netpoll_conn_flush(files.grab.conn), -ENOBUFS);
    expect_pattern(fd, 0, LARGE);
    char end[3];
    cr_assert_eq(client_receive(fd, end, 3), 3);
    cr_assert_eq(memcmp(end, "end", 3), 0);
    expect_pattern(fd, 0, HARD);
    event_wait(&files.released, 1);
    client_close(fd);
    finish(&rig, &files);
}

static void send_whole_and_close(struct netpoll_conn *conn, void *arg)
{
    send_whole(conn, arg);
    CHECK(netpoll_conn_close(conn) == 0);
}

/* However long it is, and whatever the limit of closing: a client that takes it gets it. */
TEST_BOTH_MODES(conn_file, goes_out_whole_behind_a_close)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    const struct timespec pace = {.tv_nsec = 25000000};
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = send_whole_and_close,
                                           .handler = *mode,
                                           .arg = &files,
                                           .close_timeout_ms = 700};
    open_file(&files, LARGE);
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    for (size_t at = 0; at < LARGE; at += LARGE / 64) {
        expect_pattern(fd, at, LARGE / 64);
        nanosleep(&pace, NULL);
    }
    cr_assert(client_sees_end(fd));
    client_close(fd);
    finish(&rig, &files);
    cr_assert_eq(event_count(&files.released), 1);
}

static void take_request(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    event_add(&((struct files *)arg)->requests);
}

Test(conn_file, is_sent_from_a_thread_of_the_users)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    start(&rig, &files, (size_t)8 << 20, NETPOLL_HANDLER_POOL, take_request);
    int fd = rig_dial(&rig);
    event_wait(&files.grab.connects, 1);
    for (unsigned i = 1; i <= 5; i++) {
        write_memory(files.grab.conn, 0, 1000);
        write_file(files.grab.conn, &files, 1000, files.n - 1000);
        cr_assert_geq(netpoll_conn_flush(files.grab.conn), 0);
        expect_pattern(fd, 0, files.n);
        event_wait(&files.released, i);
    }
    client_close(fd);
    finish(&rig, &files);
}

TEST_BOTH_MODES(conn_file, that_becomes_shorter_has_the_connection_aborted)
{
    struct files files = FILES_INIT;
    struct rig rig = {.expected_logs = 1};
    start(&rig, &files, LARGE, *mode, send_whole);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&files.requests, 1);
    cr_assert_eq(ftruncate(files.fd, (off_t)LARGE / 2), 0);
    cr_assert(client_sees_reset(fd));
    event_wait(&files.disconnects, 1);
    cr_assert_eq(atomic_load(&files.reason), NETPOLL_CLOSE_ERROR);
    client_close(fd);
    finish(&rig, &files);
    cr_assert_eq(event_count(&files.released), 1);
}

Test(conn_file, that_is_gone_when_it_is_flushed_has_the_connection_aborted)
{
    struct files files = FILES_INIT;
    struct rig rig = {.expected_logs = 1};
    start(&rig, &files, 1000, NETPOLL_HANDLER_POOL, take_request);
    int fd = rig_dial(&rig);
    event_wait(&files.grab.connects, 1);
    write_file(files.grab.conn, &files, 0, files.n);
    cr_assert_eq(ftruncate(files.fd, 0), 0);
    cr_assert_eq(netpoll_conn_flush(files.grab.conn), 0);
    cr_assert(client_sees_reset(fd));
    event_wait(&files.disconnects, 1);
    cr_assert_eq(atomic_load(&files.reason), NETPOLL_CLOSE_ERROR);
    client_close(fd);
    finish(&rig, &files);
    cr_assert_eq(event_count(&files.released), 1);
}

/* With SIGPIPE as a process has it at first. */
TEST_BOTH_MODES(conn_file, a_peer_that_resets_ends_its_connection_and_not_the_process)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    signal(SIGPIPE, SIG_DFL);
    start(&rig, &files, LARGE, *mode, send_whole);
    for (unsigned i = 1; i <= 10; i++) {
        int fd = client_dial_narrow(rig.address, 4096);
        char some[1000];
        client_send(fd, "x", 1);
        cr_assert_eq(client_receive(fd, some, sizeof some), sizeof some);
        /* A reset behind the end of what it sends is told by EPIPE, which brings the signal. */
        if (i % 2 == 1)
            client_end_sending(fd);
        client_reset(fd);
        event_wait(&files.disconnects, i);
        event_wait(&files.released, i);
        netpoll_conn_release(files.grab.conn);
    }
    files.grab.conn = NULL;
    rig_finish_when_idle(&rig);
    close(files.fd);
}

/* The thread that flushes is the one that finds out. */
Test(conn_file, a_peer_that_has_reset_raises_no_signal_on_a_thread_of_the_users)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    signal(SIGPIPE, SIG_DFL);
    start(&rig, &files, 100000, NETPOLL_HANDLER_POOL, take_request);
    for (unsigned i = 1; i <= 20; i++) {
        int fd = rig_dial(&rig);
        event_wait(&files.grab.connects, i);
        struct netpoll_conn *conn = files.grab.conn;
        if (i % 2 == 1)
            client_end_sending(fd);
        client_reset(fd);
        int status = 0;
        while (status >= 0) {
            const struct linkbuffer_file file = {.fd = files.fd, .n = files.n};
            status = netpoll_conn_write_file(conn, &file);
            if (status == 0)
                status = netpoll_conn_flush(conn);
        }
        cr_assert_eq(status, -ENOTCONN);
        netpoll_conn_release(conn);
        event_wait(&files.disconnects, i);
    }
    rig_finish_when_idle(&rig);
    close(files.fd);
}

Test(conn_file, is_shared_by_two_connections)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    struct netpoll_conn *conns[2];
    int fds[2];
    struct linkbuffer *lb;
    struct linkbuffer *slice;
    start(&rig, &files, (size_t)4 << 20, NETPOLL_HANDLER_POOL, take_request);
    for (unsigned i = 0; i < 2; i++) {
        fds[i] = rig_dial(&rig);
        event_wait(&files.grab.connects, i + 1);
        conns[i] = files.grab.conn;
    }
    const struct linkbuffer_file file = {
        .fd = files.fd, .n = files.n, .release = note_release, .arg = &files};
    cr_assert_eq(linkbuffer_create(&lb), 0);
    cr_assert_eq(linkbuffer_write_file(lb, &file), 0);
    cr_assert_eq(linkbuffer_flush(lb), files.n);
    for (unsigned i = 0; i < 2; i++) {
        /* Half of it for both, the rest for each. */
        cr_assert_eq(linkbuffer_slice(lb, files.n / 2, &slice), 0);
        cr_assert_eq(netpoll_conn_append(conns[i], slice), 0);
        cr_assert_geq(netpoll_conn_flush(conns[i]), 0);
        linkbuffer_destroy(slice);
    }
    linkbuffer_destroy(lb);
    expect_pattern(fds[1], files.n / 2, files.n / 2);
    expect_pattern(fds[0], 0, files.n / 2);
    event_wait(&files.released, 1);
    for (unsigned i = 0; i < 2; i++) {
        client_close(fds[i]);
        netpoll_conn_release(conns[i]);
    }
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&files.released), 1);
    close(files.fd);
}

static void refuse_files(struct netpoll_conn *conn, void *arg)
{
    struct files *files = arg;
    struct linkbuffer_file file = {.fd = -1, .n = 1, .release = note_release, .arg = files};
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    CHECK(netpoll_conn_write_file(conn, &file) == -EINVAL);
    file.fd = files->fd;
    CHECK(netpoll_conn_close(conn) == 0);
    CHECK(netpoll_conn_write_file(conn, &file) == -ENOTCONN);
    event_add(&files->requests);
}

Test(conn_file, that_is_refused_is_not_released)
{
    struct files files = FILES_INIT;
    struct rig rig = {0};
    start(&rig, &files, 10, NETPOLL_HANDLER_POOL, refuse_files);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&files.requests, 1);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    finish(&rig, &files);
    cr_assert_eq(event_count(&files.released), 0);
}
