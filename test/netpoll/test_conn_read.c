/* What a handler may read, and what it is told when there is too little. */
#include "../support/pattern.h"
#include "rig.h"

#include <linkbuffer/linkbuffer.h>
#include <netpoll/error.h>
#include <netpoll/framer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

TestSuite(conn_read, .timeout = 60);

/* A script that runs in a turn when the whole input is there. */
struct script {
    size_t wanted;
    void (*run)(struct netpoll_conn *conn);
    struct event done;
    struct linkbuffer *slice;
};

static void run_script(struct netpoll_conn *conn, void *arg)
{
    struct script *script = arg;
    if (netpoll_conn_len(conn) < script->wanted)
        return;
    netpoll_conn_set_data(conn, script);
    script->run(conn);
    event_add(&script->done);
}

/* Sends the text and lets the script run on it. */
static void read_by(enum netpoll_handler mode, void (*run)(struct netpoll_conn *conn),
                    const char *text, bool then_end)
{
    struct script script = {.wanted = strlen(text), .run = run, .done = EVENT_INIT};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = run_script, .handler = mode, .arg = &script};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, text, strlen(text));
    if (then_end)
        client_end_sending(fd);
    event_wait(&script.done, 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static bool shows(const void *data, const char *text)
{
    return memcmp(data, text, strlen(text)) == 0;
}

static void read_in_every_way(struct netpoll_conn *conn)
{
    const void *first;
    const void *data;
    char copy[4] = {0};
    size_t n = 0;
    CHECK(netpoll_conn_len(conn) == 26);
    CHECK(netpoll_conn_peek(conn, 3, &first) == 0 && shows(first, "abc"));
    CHECK(netpoll_conn_peek(conn, 26, &data) == 0 && shows(data, "abcdefghijklmnopqrstuvwxyz"));
    CHECK(netpoll_conn_len(conn) == 26);
    CHECK(netpoll_conn_next(conn, 5, &data) == 0 && shows(data, "abcde"));
    CHECK(netpoll_conn_skip(conn, 2) == 0);
    CHECK(netpoll_conn_until(conn, 'k', &data, &n) == 0 && n == 4 && shows(data, "hijk"));
    CHECK(netpoll_conn_read(conn, copy, 3) == 3 && shows(copy, "lmn"));
    CHECK(netpoll_conn_len(conn) == 12);
    CHECK(netpoll_conn_next(conn, 0, &data) == 0);
    CHECK(netpoll_conn_read(conn, copy, 0) == 0);
    CHECK(shows(first, "abc"));
    CHECK(netpoll_conn_skip(conn, 12) == 0);
    CHECK(netpoll_conn_read(conn, copy, 3) == 0);
}

TEST_BOTH_MODES(conn_read, every_call_consumes_what_it_says)
{
    read_by(*mode, read_in_every_way, "abcdefghijklmnopqrstuvwxyz", false);
}

static void read_too_much(struct netpoll_conn *conn)
{
    const void *untouched = conn;
    const void *data = untouched;
    struct linkbuffer *slice = (struct linkbuffer *)conn;
    size_t n = 77;
    CHECK(netpoll_conn_next(conn, 4, &data) == -EAGAIN);
    CHECK(netpoll_conn_peek(conn, 4, &data) == -EAGAIN);
    CHECK(netpoll_conn_skip(conn, 4) == -EAGAIN);
    CHECK(netpoll_conn_until(conn, '\n', &data, &n) == -EAGAIN);
    CHECK(netpoll_conn_slice(conn, 4, &slice) == -EAGAIN && slice == NULL);
    CHECK(netpoll_conn_next(conn, NETPOLL_MESSAGE_BYTES_DEFAULT, &data) == -EAGAIN);
    CHECK(netpoll_conn_next(conn, NETPOLL_MESSAGE_BYTES_DEFAULT + 1, &data) == -EMSGSIZE);
    CHECK(netpoll_conn_peek(conn, SIZE_MAX, &data) == -EMSGSIZE);
    CHECK(netpoll_conn_skip(conn, SIZE_MAX) == -EMSGSIZE);
    CHECK(netpoll_conn_slice(conn, SIZE_MAX, &slice) == -EMSGSIZE && slice == NULL);
    CHECK(data == untouched && n == 77);
    CHECK(netpoll_conn_len(conn) == 3);
    CHECK(netpoll_conn_skip(conn, 3) == 0);
}

TEST_BOTH_MODES(conn_read, too_little_is_eagain_and_too_much_is_emsgsize)
{
    read_by(*mode, read_too_much, "abc", false);
}

/* Called again at the end, whatever was asked for. */
static void read_at_end(struct netpoll_conn *conn)
{
    const void *data;
    struct linkbuffer *slice;
    size_t n;
    if (netpoll_conn_next(conn, 4, &data) == -EAGAIN) {
        struct script *script = netpoll_conn_data(conn);
        script->wanted = 3;
        return;
    }
    CHECK(netpoll_conn_next(conn, 4, &data) == NETPOLL_EOF);
    CHECK(netpoll_conn_peek(conn, 4, &data) == NETPOLL_EOF);
    CHECK(netpoll_conn_skip(conn, 4) == NETPOLL_EOF);
    CHECK(netpoll_conn_until(conn, '\n', &data, &n) == NETPOLL_EOF);
    CHECK(netpoll_conn_slice(conn, 4, &slice) == NETPOLL_EOF);
    CHECK(netpoll_conn_is_active(conn));
    CHECK(netpoll_conn_next(conn, 3, &data) == 0 && shows(data, "abc"));
    netpoll_conn_set_data(conn, NULL);
}

TEST_BOTH_MODES(conn_read, too_little_at_the_end_is_eof)
{
    read_by(*mode, read_at_end, "abc", true);
}

static void read_after_close(struct netpoll_conn *conn)
{
    const void *data;
    struct linkbuffer *slice;
    size_t n;
    char copy[4];
    CHECK(netpoll_conn_close(conn) == 0);
    CHECK(netpoll_conn_next(conn, 1, &data) == -ENOTCONN);
    CHECK(netpoll_conn_peek(conn, 1, &data) == -ENOTCONN);
    CHECK(netpoll_conn_skip(conn, 1) == -ENOTCONN);
    CHECK(netpoll_conn_until(conn, 'a', &data, &n) == -ENOTCONN);
    CHECK(netpoll_conn_read(conn, copy, 1) == -ENOTCONN);
    CHECK(netpoll_conn_slice(conn, 1, &slice) == -ENOTCONN && slice == NULL);
}

TEST_BOTH_MODES(conn_read, nothing_can_be_read_after_close)
{
    read_by(*mode, read_after_close, "abc", false);
}

static void slice_three(struct netpoll_conn *conn)
{
    struct script *script = netpoll_conn_data(conn);
    CHECK(netpoll_conn_slice(conn, 3, &script->slice) == 0);
    CHECK(netpoll_conn_len(conn) == 3);
    CHECK(netpoll_conn_skip(conn, 3) == 0);
}

TEST_BOTH_MODES(conn_read, a_slice_outlives_its_connection)
{
    struct script script = {.wanted = 6, .run = slice_three, .done = EVENT_INIT};
    struct rig rig = {.beside_another = true}; /* the slice holds memory beyond its end */
    struct netpoll_conn_options options = {
        .on_request = run_script, .handler = *mode, .arg = &script};
    char copy[8] = {0};
    size_t before = live_bytes();
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "abcdef", 6);
    event_wait(&script.done, 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(linkbuffer_read(script.slice, copy, sizeof copy), 3);
    cr_assert_str_eq(copy, "abc");
    linkbuffer_destroy(script.slice);
    cr_assert_eq(live_bytes(), before);
}

/* Lines that come in pieces: the next turn comes with a byte more than was searched in vain. */
static void echo_lines(struct netpoll_conn *conn, void *arg)
{
    const void *line;
    size_t n;
    (void)arg;
    while (netpoll_conn_until(conn, '\n', &line, &n) == 0) {
        CHECK(netpoll_conn_write(conn, line, n) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
    }
}

TEST_BOTH_MODES(conn_read, until_finds_lines_that_come_in_pieces)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_lines, .handler = *mode};
    char line[1000];
    char answer[1000];
    uint64_t random = 5;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 300; i++) {
        size_t n = random_size(&random, sizeof line);
        memset(line, 'a' + (int)(i % 26), n);
        line[n - 1] = '\n';
        size_t half = (size_t)random_below(&random, n);
        client_send(fd, line, half);
        client_send(fd, line + half, n - half);
        cr_assert_eq(client_receive(fd, answer, n), n);
        cr_assert_eq(memcmp(line, answer, n), 0);
    }
    client_close(fd);
    rig_finish_when_idle(&rig);
}

#define TRICKLED_LINES 2000U

/* Byte by byte and without a rest, so that what ends a line comes while it is searched for. */
static void trickle_lines(const struct netpoll_conn_options *options)
{
    struct rig rig = {0};
    static const char line[] = "a line that comes late\n";
    char answer[sizeof line - 1];
    rig_start(&rig, options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < TRICKLED_LINES; i++) {
        for (size_t j = 0; j < sizeof answer; j++)
            client_send(fd, &line[j], 1);
        cr_assert_eq(client_receive(fd, answer, sizeof answer), sizeof answer);
        cr_assert_arr_eq(answer, line, sizeof answer);
    }
    client_close(fd);
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_read, until_finds_lines_that_end_while_it_searches)
{
    struct netpoll_conn_options options = {.on_request = echo_lines, .handler = *mode};
    trickle_lines(&options);
}

static void echo_frames(struct netpoll_conn *conn, void *arg)
{
    const void *line;
    size_t n;
    int status;
    (void)arg;
    while ((status = netpoll_conn_next_frame(conn, &line, &n)) == 0) {
        CHECK(netpoll_conn_write(conn, line, n) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
    }
    CHECK(status == -EAGAIN || status == NETPOLL_EOF);
}

TEST_BOTH_MODES(conn_read, a_framer_finds_lines_that_end_while_it_searches)
{
    struct netpoll_framer framer = {.kind = NETPOLL_FRAMER_LINE, .delimiter = '\n'};
    struct netpoll_conn_options options = {
        .on_request = echo_frames, .framer = &framer, .handler = *mode};
    trickle_lines(&options);
}

struct want {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    size_t n;
};

/* Wants as many bytes as it is told; takes all that there are. */
static void want_some(struct netpoll_conn *conn, void *arg)
{
    struct want *want = arg;
    const void *data;
    if (netpoll_conn_peek(conn, want->n, &data) == 0)
        CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    event_add(&want->requests);
}

static void take_all(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
}

TEST_BOTH_MODES(conn_read, what_was_wanted_before_a_post_has_read_is_forgotten)
{
    struct want want = {.grab = GRAB_INIT, .requests = EVENT_INIT, .n = 10};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = want_some, .handler = *mode, .arg = &want};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "12345", 5);
    event_wait(&want.requests, 1);
    run_in_turn(want.grab.conn, take_all, NULL);
    want.n = 1;
    client_send(fd, "1", 1);
    event_wait(&want.requests, 2);
    client_close(fd);
    netpoll_conn_release(want.grab.conn);
    rig_finish_when_idle(&rig);
}

/* A handler that can do nothing with what has come, until it is told to go on. */
struct rester {
    struct event calls;
    _Atomic bool goes_on;
    _Atomic uint64_t consumed;
    struct netpoll_conn *conn;
};

static void rest(struct netpoll_conn *conn, void *arg)
{
    struct rester *rester = arg;
    rester->conn = conn;
    if (rester->goes_on) {
        size_t n = netpoll_conn_len(conn);
        CHECK(netpoll_conn_skip(conn, n) == 0);
        rester->consumed += n;
    } else {
        CHECK(netpoll_conn_need_nothing(conn) == 0);
    }
    event_add(&rester->calls);
}

static void go_on(struct netpoll_conn *conn, void *arg)
{
    struct rester *rester = arg;
    rester->goes_on = true;
    CHECK(netpoll_conn_need(conn, 1) == 0);
}

#define POURED ((size_t)32 << 20)

/* Input stops at its mark, and nobody is called for it, unless the peer ends. */
TEST_BOTH_MODES(conn_read, who_needs_nothing_is_left_alone)
{
    struct rester rester = {.calls = EVENT_INIT};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = rest, .handler = *mode, .arg = &rester, .input_high_bytes = 65536};
    rig_start(&rig, &options);
    size_t before = live_bytes();
    int fd = rig_dial(&rig);
    char *data = calloc(1, POURED);
    cr_assert_not_null(data);
    client_send(fd, data, 1);
    event_wait(&rester.calls, 1);
    size_t sent = 1 + client_send_until_it_stands(fd, data + 1, POURED - 1);
    /* The ring of io_uring keeps some blocks for all. */
    cr_assert_lt(rig_stats(&rig).bytes_in, 8 << 20);
    cr_assert_lt(live_bytes(), before + (8 << 20));
    cr_assert_eq(event_count(&rester.calls), 1);
    cr_assert_eq(netpoll_conn_post(rester.conn, go_on, &rester), 0);
    client_send(fd, data + sent, POURED - sent);
    WAIT_UNTIL(rester.consumed == POURED);
    rester.goes_on = false;
    uint64_t calls = event_count(&rester.calls);
    client_send(fd, data, 1);
    event_wait(&rester.calls, calls + 1);
    rester.goes_on = true;
    client_end_sending(fd);
    WAIT_UNTIL(rester.consumed == POURED + 1);
    free(data);
    client_close(fd);
    rig_finish_when_idle(&rig);
}
