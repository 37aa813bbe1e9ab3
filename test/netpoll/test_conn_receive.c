/* How much the kernel gives at a time, and where a block of input ends. */
#include "../support/pattern.h"
#include "dial_rig.h"

#include <linkbuffer/block.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <netpoll/error.h>
#include <netpoll/framer.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(conn_receive, .timeout = 60);

/* What one receive has room for at the most: a block, and what its head takes of it. */
#define BLOCK_BYTES ((size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD)
/* A receive that has less room than this is not made: the next block is taken. */
#define ROOM_MIN ((size_t)16 * 1024)

/* The length in front of a frame. */
#define HEAD_BYTES ((size_t)4)
#define FRAMES     ((size_t)5)

struct flow {
    struct grab grab; /* first: see grab_conn() */
    /* Relaxed: looked for again until it is there. */
    _Atomic size_t consumed;
    _Atomic bool is_wrong;
};

#define FLOW_INIT          \
    {                      \
        .grab = GRAB_INIT, \
    }

static void pause_at_once(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_pause(conn) == 0);
    grab_conn(conn, arg);
}

static void consume(struct netpoll_conn *conn, void *arg)
{
    struct flow *flow = arg;
    const void *data;
    size_t n = netpoll_conn_len(conn);
    size_t before = atomic_load_explicit(&flow->consumed, memory_order_relaxed);
    CHECK(netpoll_conn_next(conn, n, &data) == 0);
    if (!pattern_matches(1, before, data, n))
        atomic_store(&flow->is_wrong, true);
    atomic_store_explicit(&flow->consumed, before + n, memory_order_relaxed);
}

/* A client whose connection does not receive, so that what it sends waits in the sockets. */
static int start_paused(struct rig *rig, struct flow *flow, struct netpoll_conn_options options)
{
    options.on_connect = pause_at_once;
    options.arg = flow;
    rig_start(rig, &options);
    int fd = rig_dial(rig);
    event_wait(&flow->grab.connects, 1);
    struct netpoll_conn *conn = flow->grab.conn;
    WAIT_UNTIL(rig_stats(rig).user_pauses == 1);
    /* The poller has told the kernel when it comes to this. */
    int other = rig_dial(rig);
    event_wait(&flow->grab.connects, 2);
    cr_assert_eq(netpoll_conn_abort(flow->grab.conn), 0);
    netpoll_conn_release(flow->grab.conn);
    client_close(other);
    WAIT_UNTIL(rig_stats(rig).connections == 1);
    flow->grab.conn = conn;
    return fd;
}

/* What the sockets take without waiting: bytes. */
static size_t fill_socket(int fd, const char *data, size_t most)
{
    size_t n = 0;
    for (ssize_t taken = 1; taken > 0 && n<most; n += taken> 0 ? (size_t)taken : 0)
        taken = send(fd, data + n, most - n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n;
}

static void expect_few_receives(enum netpoll_handler mode, const char *listen)
{
    static char data[1 << 20];
    struct flow flow = FLOW_INIT;
    struct rig rig = {.pollers = 1, .listen = listen};
    int fd = start_paused(&rig, &flow,
                          (struct netpoll_conn_options){.on_request = consume, .handler = mode});
    pattern_fill(1, 0, data, sizeof data);
    size_t n = fill_socket(fd, data, sizeof data);
    cr_assert_geq(n, 2 * BLOCK_BYTES, "the sockets take too little: %zu", n);
    uint64_t before = rig_stats(&rig).receives;
    cr_assert_eq(netpoll_conn_resume(flow.grab.conn), 0);
    WAIT_UNTIL(atomic_load_explicit(&flow.consumed, memory_order_relaxed) == n);
    cr_assert_leq(rig_stats(&rig).receives - before, n / ROOM_MIN + 2);
    cr_assert(!atomic_load(&flow.is_wrong));
    netpoll_conn_release(flow.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_receive, what_waits_comes_in_few_receives)
{
    expect_few_receives(*mode, NULL);
    expect_few_receives(*mode, own_unix_name("few-receives"));
}

/* Frames of one size, each of pattern 1 from its start. */
static void take_frame(struct netpoll_conn *conn, void *arg)
{
    struct flow *flow = arg;
    const void *frame;
    size_t n;
    CHECK(netpoll_conn_next_frame(conn, &frame, &n) == 0);
    if (!pattern_matches(1, 0, (const char *)frame + HEAD_BYTES, n - HEAD_BYTES))
        atomic_store(&flow->is_wrong, true);
    atomic_fetch_add_explicit(&flow->consumed, n, memory_order_relaxed);
}

static void expect_frames(enum netpoll_handler mode, size_t bytes)
{
    static const struct netpoll_framer framer = {.kind = NETPOLL_FRAMER_LENGTH,
                                                 .length = {.bytes = HEAD_BYTES}};
    size_t whole = FRAMES * bytes;
    char *data = malloc(whole);
    struct flow flow = FLOW_INIT;
    struct rig rig = {.pollers = 1};
    int fd = start_paused(&rig, &flow,
                          (struct netpoll_conn_options){
                              .on_request = take_frame, .handler = mode, .framer = &framer});
    cr_assert_not_null(data);
    for (size_t i = 0; i < FRAMES; i++) {
        uint32_t length = htonl((uint32_t)(bytes - HEAD_BYTES));
        memcpy(data + i * bytes, &length, HEAD_BYTES);
        pattern_fill(1, 0, data + i * bytes + HEAD_BYTES, bytes - HEAD_BYTES);
    }
    size_t n = fill_socket(fd, data, whole);
    cr_assert_eq(netpoll_conn_resume(flow.grab.conn), 0);
    client_send(fd, data + n, whole - n);
    WAIT_UNTIL(atomic_load_explicit(&flow.consumed, memory_order_relaxed) == whole);
    cr_assert(!atomic_load(&flow.is_wrong));
    cr_assert_eq(rig_stats(&rig).requests, FRAMES);
    free(data);
    netpoll_conn_release(flow.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_receive, frames_may_end_where_a_block_does)
{
    for (size_t bytes = BLOCK_BYTES - 1; bytes <= BLOCK_BYTES + 1; bytes++) {
        expect_frames(*mode, bytes);
        expect_frames(*mode, bytes / 2);
    }
}

/* Who reads without a handler */

static void send_and_close(struct netpoll_conn *conn, void *arg)
{
    char data[1000];
    (void)arg;
    pattern_fill(1, 0, data, sizeof data);
    CHECK(netpoll_conn_write(conn, data, sizeof data) == 0 && netpoll_conn_flush(conn) == 0);
    CHECK(netpoll_conn_close(conn) == 0);
}

Test(conn_receive, a_holder_reads_what_came_before_the_end)
{
    struct dial_rig rig = {.server.on_connect = send_and_close};
    const void *data;
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    WAIT_UNTIL(netpoll_conn_is_at_end(conn));
    cr_assert_eq(netpoll_conn_wait(conn, 1001, NETPOLL_TIMEOUT_NONE), NETPOLL_EOF);
    cr_assert_eq(netpoll_conn_wait(conn, 1000, NETPOLL_TIMEOUT_NONE), 0);
    cr_assert_eq(netpoll_conn_next(conn, 1000, &data), 0);
    cr_assert(pattern_matches(1, 0, data, 1000));
    cr_assert_eq(netpoll_conn_next(conn, 1, &data), NETPOLL_EOF);
    cr_assert_eq(netpoll_conn_wait(conn, 1, NETPOLL_TIMEOUT_NONE), NETPOLL_EOF);
    hang_up(conn);
    dial_rig_finish(&rig);
}

Test(conn_receive, a_wait_on_a_socket_without_addresses_ends_at_its_time)
{
    struct dial_rig rig = {0};
    struct netpoll_conn *conn;
    char address[NETPOLL_ADDRESS_BYTES];
    int pair[2];
    dial_rig_start(&rig);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(netpoll_dialer_adopt(rig.dialer, pair[0], &conn), 0);
    cr_assert_eq(netpoll_conn_wait(conn, 1, 10), -ETIMEDOUT);
    cr_assert_eq(netpoll_conn_peer(conn, address, sizeof address), 0);
    cr_assert_str_eq(address, "unix:");
    hang_up(conn);
    client_close(pair[1]);
    dial_rig_finish(&rig);
}
