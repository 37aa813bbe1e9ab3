/* System calls that a connection makes to send, counted and disturbed by a wrapper. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

TestSuite(peer_sends, .timeout = 60);

/* What was sent on the descriptor that is watched. Relaxed: read behind what its peer received. */
static struct {
    _Atomic int fd; /* -1: none */
    _Atomic unsigned calls;
    _Atomic unsigned windows;       /* of all calls */
    _Atomic unsigned signals;       /* calls that may raise SIGPIPE */
    _Atomic unsigned interruptions; /* to come: so many calls give EINTR */
    _Atomic size_t most;            /* bytes that a call takes at most; 0: no bound */
} sends = {.fd = -1};

/* The linker gives these names. NOLINTBEGIN(readability-identifier-naming) */
ssize_t __real_send(int fd, const void *data, size_t n, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t n, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
/* NOLINTEND(readability-identifier-naming) */

/* False: interrupted. */
static bool note_send(size_t windows, int flags)
{
    if (atomic_load_explicit(&sends.interruptions, memory_order_relaxed) > 0) {
        atomic_fetch_sub_explicit(&sends.interruptions, 1, memory_order_relaxed);
        errno = EINTR;
        return false;
    }
    atomic_fetch_add_explicit(&sends.calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sends.windows, (unsigned)windows, memory_order_relaxed);
    if ((flags & MSG_NOSIGNAL) == 0)
        atomic_fetch_add_explicit(&sends.signals, 1, memory_order_relaxed);
    return true;
}

static bool is_watched(int fd)
{
    return atomic_load_explicit(&sends.fd, memory_order_relaxed) == fd;
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
ssize_t __wrap_send(int fd, const void *data, size_t n, int flags)
{
    size_t most = atomic_load_explicit(&sends.most, memory_order_relaxed);
    if (is_watched(fd) && !note_send(1, flags))
        return -1;
    return __real_send(fd, data, is_watched(fd) && most != 0 && n > most ? most : n, flags);
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t most = atomic_load_explicit(&sends.most, memory_order_relaxed);
    if (!is_watched(fd))
        return __real_sendmsg(fd, message, flags);
    if (!note_send(message->msg_iovlen, flags))
        return -1;
    if (most == 0)
        return __real_sendmsg(fd, message, flags);
    size_t n = message->msg_iov[0].iov_len;
    return __real_send(fd, message->msg_iov[0].iov_base, n > most ? most : n, flags);
}

#define PIECE_BYTES ((size_t)100)

/* An answer in pieces of memory of its own. */
struct answer {
    size_t pieces;
    bool flushes_each;
    char *data;
};

static void answer_in_pieces(struct netpoll_conn *conn, void *arg)
{
    const struct answer *answer = arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    for (size_t i = 0; i < answer->pieces; i++) {
        CHECK(netpoll_conn_write_ref(conn, answer->data + 2 * i * PIECE_BYTES, PIECE_BYTES, NULL,
                                     NULL) == 0);
        if (answer->flushes_each)
            CHECK(netpoll_conn_flush(conn) == 0);
    }
    CHECK(netpoll_conn_flush(conn) == 0);
}

static void watch_sends(int fd, unsigned interruptions, size_t most)
{
    atomic_store_explicit(&sends.calls, 0, memory_order_relaxed);
    atomic_store_explicit(&sends.windows, 0, memory_order_relaxed);
    atomic_store_explicit(&sends.signals, 0, memory_order_relaxed);
    atomic_store_explicit(&sends.interruptions, interruptions, memory_order_relaxed);
    atomic_store_explicit(&sends.most, most, memory_order_relaxed);
    atomic_store_explicit(&sends.fd, fd, memory_order_relaxed);
}

/* Asks for an answer of so many pieces and checks that it is whole. */
static void ask(enum netpoll_handler mode, struct answer *answer, unsigned interruptions,
                size_t most)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = answer_in_pieces, .handler = mode, .arg = answer};
    char back[PIECE_BYTES];
    size_t n = 2 * answer->pieces * PIECE_BYTES;
    answer->data = malloc(n);
    cr_assert_not_null(answer->data);
    pattern_fill(1, 0, answer->data, n);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    int server_fd;
    WAIT_UNTIL((server_fd = peer_descriptor(fd)) >= 0);
    watch_sends(server_fd, interruptions, most);
    client_send(fd, "x", 1);
    for (size_t i = 0; i < answer->pieces; i++) {
        cr_assert_eq(client_receive(fd, back, sizeof back), sizeof back);
        cr_assert(pattern_matches(1, 2 * i * PIECE_BYTES, back, sizeof back));
    }
    atomic_store_explicit(&sends.fd, -1, memory_order_relaxed);
    client_close(fd);
    rig_finish_when_idle(&rig);
    free(answer->data);
}

static unsigned read_count(const _Atomic unsigned *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

TEST_BOTH_MODES(peer_sends, forty_windows_leave_in_one)
{
    struct answer answer = {.pieces = 40};
    ask(*mode, &answer, 0, 0);
    cr_assert_eq(read_count(&sends.calls), 1, "%u calls", read_count(&sends.calls));
    cr_assert_eq(read_count(&sends.windows), 40);
    cr_assert_eq(read_count(&sends.signals), 0, "SIGPIPE is for others");
}

TEST_BOTH_MODES(peer_sends, one_window_needs_no_message)
{
    struct answer answer = {.pieces = 1};
    ask(*mode, &answer, 0, 0);
    cr_assert_eq(read_count(&sends.calls), 1);
    cr_assert_eq(read_count(&sends.windows), 1);
    cr_assert_eq(read_count(&sends.signals), 0);
}

TEST_BOTH_MODES(peer_sends, many_windows_leave_in_few)
{
    struct answer answer = {.pieces = 1000};
    ask(*mode, &answer, 0, 0);
    cr_assert_leq(read_count(&sends.calls), 1000 / 64 + 1);
    cr_assert_eq(read_count(&sends.windows), 1000);
}

/* A handler on the poller sends when its turn ends. */
Test(peer_sends, flushes_of_one_turn_leave_in_one)
{
    struct answer answer = {.pieces = 40, .flushes_each = true};
    ask(NETPOLL_HANDLER_INLINE, &answer, 0, 0);
    cr_assert_eq(read_count(&sends.calls), 1, "%u calls", read_count(&sends.calls));
    cr_assert_eq(read_count(&sends.windows), 40);
}

/* A handler elsewhere sends as it flushes: nothing waits for its end. */
Test(peer_sends, flushes_off_the_poller_leave_at_once)
{
    struct answer answer = {.pieces = 40, .flushes_each = true};
    ask(NETPOLL_HANDLER_POOL, &answer, 0, 0);
    cr_assert_eq(read_count(&sends.calls), 40);
}

TEST_BOTH_MODES(peer_sends, one_that_is_interrupted_is_made_again)
{
    struct answer answer = {.pieces = 40};
    ask(*mode, &answer, 5, 0);
    cr_assert_eq(read_count(&sends.interruptions), 0);
    cr_assert_eq(read_count(&sends.calls), 1);
}

/* The kernel may take less than it is given, down to parts of windows. */
TEST_BOTH_MODES(peer_sends, what_was_not_taken_is_sent_again)
{
    struct answer answer = {.pieces = 40};
    ask(*mode, &answer, 0, 70);
    cr_assert_eq(read_count(&sends.calls), 80);
}
