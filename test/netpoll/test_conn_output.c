/* What is written, when it leaves, and how much may wait. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <linkbuffer/linkbuffer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(conn_output, .timeout = 60);

#define HIGH ((size_t)1 << 20)
#define HARD ((size_t)16 << 20)

struct answers {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event released;
    struct event high; /* flushes that said 1 */
    char *large;       /* HARD + HIGH bytes of pattern 1 */
    size_t sent;       /* of large; touched in turns only */
};

#define ANSWERS_INIT                                                                           \
    {                                                                                          \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .released = EVENT_INIT, .high = EVENT_INIT, \
    }

static void note_release(void *arg)
{
    event_add(&((struct answers *)arg)->released);
}

static void start(struct rig *rig, struct answers *answers, enum netpoll_handler mode,
                  netpoll_conn_fn *on_request)
{
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = on_request, .handler = mode, .arg = answers};
    answers->large = malloc(HARD + HIGH);
    CHECK(answers->large != NULL);
    pattern_fill(1, 0, answers->large, HARD + HIGH);
    rig_start(rig, &options);
}

static void finish(struct rig *rig, struct answers *answers)
{
    netpoll_conn_release(answers->grab.conn);
    rig_finish_when_idle(rig);
    free(answers->large);
}

/* The next n bytes are those of pattern 1 from here on. */
static void expect_pattern(int fd, size_t offset, size_t n)
{
    char *data = malloc(n);
    CHECK(data != NULL);
    CHECK(client_receive(fd, data, n) == n);
    CHECK(pattern_matches(1, offset, data, n));
    free(data);
}

/* Every way to write, in one answer. */
static void write_in_every_way(struct netpoll_conn *conn, void *arg)
{
    struct answers *answers = arg;
    struct linkbuffer *lb;
    void *room;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    CHECK(netpoll_conn_reserve(conn, 1000, &room) == 0);
    memcpy(room, "reserved ", 9);
    CHECK(netpoll_conn_commit(conn, 1001) == -EINVAL);
    CHECK(netpoll_conn_commit(conn, 9) == 0);
    CHECK(netpoll_conn_write(conn, "written ", 8) == 0);
    CHECK(netpoll_conn_write_ref(conn, "lent ", 5, note_release, answers) == 0);
    CHECK(linkbuffer_create(&lb) == 0);
    CHECK(linkbuffer_write(lb, "moved ", 6) == 0);
    CHECK(linkbuffer_flush(lb) == 6);
    CHECK(netpoll_conn_append(conn, lb) == 0);
    CHECK(linkbuffer_len(lb) == 0);
    CHECK(linkbuffer_write(lb, "again", 5) == 0);
    CHECK(linkbuffer_flush(lb) == 5);
    CHECK(netpoll_conn_append(conn, lb) == 0);
    linkbuffer_destroy(lb);
    CHECK(netpoll_conn_write_ref(conn, "", 0, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
    CHECK(netpoll_conn_write(conn, "never flushed", 13) == 0);
    event_add(&answers->requests);
}

TEST_BOTH_MODES(conn_output, every_way_to_write_keeps_the_order)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {0};
    char text[64] = {0};
    start(&rig, &answers, *mode, write_in_every_way);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&answers.requests, 1);
    client_end_sending(fd);
    netpoll_conn_retain(answers.grab.conn);
    netpoll_conn_release(answers.grab.conn);
    netpoll_conn_release(answers.grab.conn);
    cr_assert_eq(client_receive(fd, text, sizeof text), 33);
    cr_assert_str_eq(text, "reserved written lent moved again");
    cr_assert_eq(event_count(&answers.released), 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
    free(answers.large);
}

/* More pieces than one system call takes. */
#define PIECES 500

static void answer_in_pieces(struct netpoll_conn *conn, void *arg)
{
    struct answers *answers = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    for (size_t i = 0; i < PIECES; i++)
        CHECK(netpoll_conn_write_ref(conn, answers->large + i * 700, 700, note_release, answers) ==
              0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(conn_output, many_pieces_leave_in_order_and_are_given_back_once)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {0};
    start(&rig, &answers, *mode, answer_in_pieces);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    expect_pattern(fd, 0, PIECES * (size_t)700);
    event_wait(&answers.released, PIECES);
    client_close(fd);
    finish(&rig, &answers);
    cr_assert_eq(event_count(&answers.released), PIECES);
}

/* One answer of 256 KiB for each byte of the request. */
#define ANSWER  ((size_t)256 << 10)
#define ANSWERS 60

static void answer_each_byte(struct netpoll_conn *conn, void *arg)
{
    struct answers *answers = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    CHECK(netpoll_conn_write(conn, answers->large + answers->sent, ANSWER) == 0);
    answers->sent += ANSWER;
    int status = netpoll_conn_flush(conn);
    CHECK(status == 0 || status == 1);
    if (status == 1)
        event_add(&answers->high);
    struct netpoll_conn_stats stats;
    netpoll_conn_stats_read(conn, &stats);
    CHECK(stats.unsent <= HIGH + ANSWER);
    event_add(&answers->requests);
}

/* What is unread is what was not served, at one moment. */
static void compare_unread(struct netpoll_conn *conn, void *arg)
{
    struct answers *answers = arg;
    size_t served = answers->sent / ANSWER;
    CHECK(served < ANSWERS);
    CHECK(netpoll_conn_len(conn) == ANSWERS - served);
}

TEST_BOTH_MODES(conn_output, a_peer_that_does_not_read_gets_no_turn_until_it_does)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {.pollers = 1};
    char requests[ANSWERS] = {0};
    start(&rig, &answers, *mode, answer_each_byte);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, requests, sizeof requests);
    event_wait(&answers.high, 1);
    run_in_turn(answers.grab.conn, compare_unread, &answers);
    expect_pattern(fd, 0, ANSWERS * ANSWER);
    client_close(fd);
    finish(&rig, &answers);
    cr_assert_eq(event_count(&answers.requests), ANSWERS);
}

/* Queues as much as is let in. */
static void fill_up(struct netpoll_conn *conn, void *arg)
{
    struct answers *answers = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    CHECK(netpoll_conn_write_ref(conn, answers->large, HARD, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) == 1);
    CHECK(netpoll_conn_write_ref(conn, answers->large + HARD, HIGH, NULL, NULL) == 0);
    event_add(&answers->requests);
}

TEST_BOTH_MODES(conn_output, a_flush_beyond_the_hard_bound_is_refused_and_loses_nothing)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {0};
    static const char more[65536];
    size_t extra = 0;
    start(&rig, &answers, *mode, fill_up);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&answers.requests, 1);
    /* On this thread: the handle is retained and nobody else writes. */
    struct netpoll_conn *conn = answers.grab.conn;
    int status;
    while ((status = netpoll_conn_flush(conn)) != -ENOBUFS) {
        cr_assert_eq(status, 1);
        cr_assert_eq(netpoll_conn_write(conn, more, sizeof more), 0);
        extra += sizeof more;
    }
    expect_pattern(fd, 0, HARD + HIGH);
    WAIT_UNTIL(netpoll_conn_flush(conn) == 0);
    CHECK(extra > 0);
    char *rest = malloc(extra);
    cr_assert_eq(client_receive(fd, rest, extra), extra);
    free(rest);
    client_close(fd);
    finish(&rig, &answers);
}

TEST_BOTH_MODES(conn_output, what_another_thread_flushes_is_finished_by_the_poller)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {0};
    start(&rig, &answers, *mode, answer_each_byte);
    int fd = client_dial_narrow(rig.address, 4096);
    event_wait(&answers.grab.connects, 1);
    cr_assert_eq(
        netpoll_conn_write_ref(answers.grab.conn, answers.large, HARD, note_release, &answers), 0);
    cr_assert_eq(netpoll_conn_flush(answers.grab.conn), 1);
    expect_pattern(fd, 0, HARD);
    event_wait(&answers.released, 1);
    client_close(fd);
    finish(&rig, &answers);
}

/* Threads that flush lines of their own, one at a time; a line must come whole. */
#define LINE_BYTES 1000
#define LINES      300

struct writer {
    struct answers *answers;
    pthread_mutex_t *turn;
    char letter;
};

static void *write_lines(void *arg)
{
    const struct writer *writer = arg;
    char line[LINE_BYTES];
    memset(line, writer->letter, sizeof line);
    line[sizeof line - 1] = '\n';
    for (unsigned i = 0; i < LINES; i++) {
        pthread_mutex_lock(writer->turn);
        CHECK(netpoll_conn_write(writer->answers->grab.conn, line, sizeof line) == 0);
        CHECK(netpoll_conn_flush(writer->answers->grab.conn) >= 0);
        pthread_mutex_unlock(writer->turn);
    }
    return NULL;
}

TEST_BOTH_MODES(conn_output, flushes_of_several_threads_do_not_interleave)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {0};
    pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    struct writer writers[3];
    pthread_t threads[3];
    char line[LINE_BYTES];
    start(&rig, &answers, *mode, answer_each_byte);
    int fd = client_dial_narrow(rig.address, 4096);
    event_wait(&answers.grab.connects, 1);
    for (unsigned i = 0; i < 3; i++) {
        writers[i] = (struct writer){.answers = &answers, .turn = &turn, .letter = (char)('a' + i)};
        cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 3 * LINES; i++) {
        cr_assert_eq(client_receive(fd, line, sizeof line), sizeof line);
        cr_assert_eq(line[sizeof line - 1], '\n');
        for (unsigned k = 1; k < sizeof line - 1; k++)
            CHECK(line[k] == line[0]);
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    client_close(fd);
    finish(&rig, &answers);
}

static _Atomic unsigned pipe_signals;

static void count_pipe_signal(int number)
{
    (void)number;
    atomic_fetch_add(&pipe_signals, 1);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct answers *)arg)->high);
}

/* Keeps its turn, and with it the connection, until the test has tried. */
static void hold_turn(struct netpoll_conn *conn, void *arg)
{
    struct answers *answers = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    event_add(&answers->requests);
    event_wait(&answers->released, event_count(&answers->requests));
}

/* The poller has taken the reset, so that the next send is told EPIPE. On this thread, which does
 * not block the signal. */
static void write_after_reset(struct rig *rig, struct answers *answers, unsigned pieces)
{
    uint64_t before = event_count(&answers->requests);
    int fd = rig_dial(rig);
    client_send(fd, "x", 1);
    event_wait(&answers->requests, before + 1);
    struct netpoll_conn *conn = answers->grab.conn;
    client_reset(fd);
    event_wait(&answers->high, before + 1);
    cr_assert(netpoll_conn_is_active(conn));
    for (unsigned i = 0; i < pieces; i++)
        cr_assert_eq(netpoll_conn_write_ref(conn, answers->large + i, 1, NULL, NULL), 0);
    cr_assert_eq(netpoll_conn_flush(conn), 0);
    cr_assert(!netpoll_conn_is_active(conn));
    event_add(&answers->released);
    netpoll_conn_release(conn);
}

Test(conn_output, nobody_gets_sigpipe)
{
    struct answers answers = ANSWERS_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = hold_turn,
                                           .on_cancel = note_cancel,
                                           .arg = &answers};
    char bytes[8] = {0};
    cr_assert_neq(signal(SIGPIPE, count_pipe_signal), SIG_ERR);
    answers.large = bytes;
    rig_start(&rig, &options);
    write_after_reset(&rig, &answers, 1);
    write_after_reset(&rig, &answers, 8);
    rig_finish_when_idle(&rig);
    cr_assert_eq(pipe_signals, 0);
}
