/* Connections that end while their descriptor lives on. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "dial_rig.h"

#include <linkbuffer/linkbuffer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(conn_detach, .timeout = 60);

#define LARGE ((size_t)8 << 20)

/* What a connection was, and what was left of it. */
struct left {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event detached;
    struct event calls; /* of keep() */
    struct event ends;
    struct event closes;
    enum netpoll_close_reason reason;
    uint64_t consumed;
    int fd;
    struct linkbuffer *unread;
    char order[8]; /* d: on_disconnect, h: handed over, c: close callback */
};

#define LEFT_INIT                                                                               \
    {                                                                                           \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .detached = EVENT_INIT, .calls = EVENT_INIT, \
        .ends = EVENT_INIT, .closes = EVENT_INIT, .fd = -2                                      \
    }

static void note(struct left *left, char what)
{
    size_t n = strlen(left->order);
    CHECK(n + 1 < sizeof left->order);
    left->order[n] = what;
}

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct left *left = arg;
    (void)conn;
    left->reason = reason;
    note(left, 'd');
    event_add(&left->ends);
}

static void note_close(struct netpoll_conn *conn, void *arg)
{
    struct left *left = arg;
    (void)conn;
    note(left, 'c');
    event_add(&left->closes);
}

static void keep(struct netpoll_conn *conn, int fd, struct linkbuffer *unread, void *arg)
{
    struct left *left = arg;
    CHECK(!netpoll_conn_is_active(conn));
    CHECK(fd >= 0 || unread == NULL);
    left->fd = fd;
    left->unread = unread;
    note(left, 'h');
    event_add(&left->calls);
}

/* Checks and consumes pattern 1. */
static void consume(struct netpoll_conn *conn, struct left *left, size_t n)
{
    const void *data;
    CHECK(netpoll_conn_next(conn, n, &data) == 0);
    CHECK(pattern_matches(1, left->consumed, data, n));
    left->consumed += n;
    event_add(&left->requests);
}

static void consume_all(struct netpoll_conn *conn, void *arg)
{
    size_t n = netpoll_conn_len(conn);
    /* It may have been detached meanwhile. */
    if (netpoll_conn_is_active(conn))
        consume(conn, arg, n);
}

static struct netpoll_conn_options options_for(struct left *left, enum netpoll_handler mode,
                                               netpoll_conn_fn *on_request)
{
    return (struct netpoll_conn_options){.on_connect = grab_conn,
                                         .on_request = on_request,
                                         .on_disconnect = note_end,
                                         .handler = mode,
                                         .arg = left};
}

static void finish(struct rig *rig, struct left *left)
{
    netpoll_conn_release(left->grab.conn);
    rig_finish_when_idle(rig);
}

/* Receives on a descriptor that does not block; fewer than n bytes at the end. */
static size_t receive_when_ready(int fd, char *into, size_t n)
{
    size_t got = 0;
    while (got < n) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        CHECK(poll(&ready, 1, DEADLINE_MS) == 1);
        ssize_t result = recv(fd, into + got, n - got, 0);
        CHECK(result >= 0);
        if (result == 0)
            break;
        got += (size_t)result;
    }
    return got;
}

static void expect_unread(struct left *left, size_t n)
{
    const void *data;
    CHECK(left->unread != NULL && linkbuffer_len(left->unread) == n);
    CHECK(linkbuffer_next(left->unread, n, &data) == 0);
    CHECK(pattern_matches(1, left->consumed, data, n));
    linkbuffer_destroy(left->unread);
}

/* Bytes go both ways without the library. */
static void expect_usable(int fd, int client)
{
    char data[1000];
    char back[sizeof data];
    cr_assert(is_close_on_exec(fd));
    cr_assert((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    pattern_fill(7, 0, data, sizeof data);
    client_send(client, data, sizeof data);
    cr_assert_eq(receive_when_ready(fd, back, sizeof back), sizeof back);
    cr_assert(pattern_matches(7, 0, back, sizeof back));
    cr_assert_eq(send(fd, data, sizeof data, MSG_NOSIGNAL), (ssize_t)sizeof data);
    cr_assert_eq(client_receive(client, back, sizeof back), sizeof back);
    cr_assert(pattern_matches(7, 0, back, sizeof back));
    close(fd);
    cr_assert(client_sees_end(client));
}

#define FIRST_PART ((size_t)40)

static void answer_and_detach(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    if (netpoll_conn_peek(conn, 100, &data) != 0)
        return;
    CHECK(netpoll_conn_add_close_callback(conn, note_close, arg) == 0);
    consume(conn, arg, FIRST_PART);
    CHECK(netpoll_conn_write(conn, "answer", 6) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
    CHECK(netpoll_conn_detach(conn, keep, arg) == 0);
    CHECK(!netpoll_conn_is_active(conn));
    CHECK(netpoll_conn_reason(conn) == NETPOLL_CLOSE_DETACHED);
    CHECK(netpoll_conn_write(conn, "x", 1) == -ENOTCONN);
    CHECK(netpoll_conn_detach(conn, keep, arg) == -ENOTCONN);
    CHECK(netpoll_conn_close(conn) == -ENOTCONN);
}

static void detach_by_a_handler(enum netpoll_handler mode, const char *listen)
{
    struct left left = LEFT_INIT;
    struct rig rig = {.listen = listen};
    struct netpoll_conn_options options = options_for(&left, mode, answer_and_detach);
    char data[100];
    rig_start(&rig, &options);
    int client = rig_dial(&rig);
    pattern_fill(1, 0, data, sizeof data);
    client_send(client, data, sizeof data);
    cr_assert_eq(client_receive(client, data, 6), 6);
    cr_assert_eq(memcmp(data, "answer", 6), 0);
    event_wait(&left.calls, 1);
    cr_assert_geq(left.fd, 0);
    expect_unread(&left, 100 - FIRST_PART);
    expect_usable(left.fd, client);
    client_close(client);
    WAIT_UNTIL(rig_stats(&rig).closed[NETPOLL_CLOSE_DETACHED] == 1);
    finish(&rig, &left);
    cr_assert_eq(left.reason, NETPOLL_CLOSE_DETACHED);
    cr_assert_str_eq(left.order, "dhc");
    cr_assert_eq(event_count(&left.requests), 1);
}

TEST_BOTH_MODES(conn_detach, the_descriptor_works_and_what_was_not_read_is_given)
{
    detach_by_a_handler(*mode, NULL);
}

TEST_BOTH_MODES(conn_detach, so_does_that_of_a_unix_socket)
{
    char name[64];
    snprintf(name, sizeof name, "unix:@netpoll-detach-%d", (int)getpid());
    detach_by_a_handler(*mode, name);
}

static void answer_large_and_detach(struct netpoll_conn *conn, void *arg)
{
    char *large = malloc(LARGE);
    CHECK(large != NULL);
    consume_all(conn, arg);
    pattern_fill(1, 0, large, LARGE);
    CHECK(netpoll_conn_write_ref(conn, large, LARGE, free, large) == 0);
    CHECK(netpoll_conn_flush(conn) == 1);
    CHECK(netpoll_conn_detach(conn, keep, arg) == 0);
    event_add(&((struct left *)arg)->detached);
}

/* A client with a large answer on its way to it. */
static int dial_for_large(struct rig *rig, struct left *left, enum netpoll_handler mode,
                          int64_t close_timeout_ms)
{
    char data[10];
    struct netpoll_conn_options options = options_for(left, mode, answer_large_and_detach);
    options.close_timeout_ms = close_timeout_ms;
    rig_start(rig, &options);
    int client = client_dial_narrow(rig->address, 4096);
    pattern_fill(1, 0, data, sizeof data);
    client_send(client, data, sizeof data);
    event_wait(&left->detached, 1);
    return client;
}

TEST_BOTH_MODES(conn_detach, comes_after_what_was_flushed)
{
    struct left left = LEFT_INIT;
    struct rig rig = {0};
    int client = dial_for_large(&rig, &left, *mode, DEADLINE_MS);
    char *data = malloc(LARGE);
    cr_assert_not_null(data);
    cr_assert_eq(client_receive(client, data, LARGE / 8), LARGE / 8);
    cr_assert_eq(event_count(&left.calls), 0, "what is left does not fit into sockets");
    cr_assert_eq(client_receive(client, data + LARGE / 8, LARGE - LARGE / 8), LARGE - LARGE / 8);
    cr_assert(pattern_matches(1, 0, data, LARGE));
    event_wait(&left.calls, 1);
    cr_assert_null(left.unread);
    expect_usable(left.fd, client);
    client_close(client);
    free(data);
    finish(&rig, &left);
}

static void expect_nothing_given(struct rig *rig, struct left *left)
{
    event_wait(&left->calls, 1);
    cr_assert_eq(left->fd, -1);
    cr_assert_null(left->unread);
    finish(rig, left);
    cr_assert_eq(event_count(&left->calls), 1);
}

TEST_BOTH_MODES(conn_detach, fails_when_aborted_before_the_output_is_sent)
{
    struct left left = LEFT_INIT;
    struct rig rig = {0};
    int client = dial_for_large(&rig, &left, *mode, DEADLINE_MS);
    cr_assert_eq(netpoll_conn_abort(left.grab.conn), -ENOTCONN);
    cr_assert(client_sees_reset(client));
    client_close(client);
    expect_nothing_given(&rig, &left);
}

TEST_BOTH_MODES(conn_detach, fails_when_the_peer_resets_before_the_output_is_sent)
{
    struct left left = LEFT_INIT;
    struct rig rig = {0};
    client_reset(dial_for_large(&rig, &left, *mode, DEADLINE_MS));
    expect_nothing_given(&rig, &left);
}

TEST_BOTH_MODES(conn_detach, fails_when_the_output_is_not_sent_in_time)
{
    struct left left = LEFT_INIT;
    struct rig rig = {0};
    int client = dial_for_large(&rig, &left, *mode, 50);
    event_wait(&left.calls, 1);
    cr_assert(client_sees_reset(client));
    client_close(client);
    expect_nothing_given(&rig, &left);
}

static int try_in_on_prepare(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_detach(conn, keep, arg) == -ENOTCONN);
    return 0;
}

TEST_BOTH_MODES(conn_detach, needs_a_function_and_a_connection_that_lives)
{
    struct left left = LEFT_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&left, *mode, echo_copy);
    options.on_prepare = try_in_on_prepare;
    rig_start(&rig, &options);
    int client = rig_dial(&rig);
    event_wait(&left.grab.connects, 1);
    cr_assert_eq(netpoll_conn_detach(left.grab.conn, NULL, &left), -EINVAL);
    cr_assert(netpoll_conn_is_active(left.grab.conn));
    expect_echo(client, 1, 100);
    cr_assert_eq(netpoll_conn_detach(left.grab.conn, keep, &left), 0);
    event_wait(&left.calls, 1);
    cr_assert_null(left.unread);
    expect_usable(left.fd, client);
    cr_assert_eq(netpoll_conn_detach(left.grab.conn, keep, &left), -ENOTCONN);
    netpoll_conn_release(left.grab.conn);
    client_close(client);

    int other = rig_dial(&rig);
    event_wait(&left.grab.connects, 2);
    cr_assert_eq(netpoll_conn_close(left.grab.conn), 0);
    cr_assert_eq(netpoll_conn_detach(left.grab.conn, keep, &left), -ENOTCONN);
    client_close(other);
    event_wait(&left.ends, 2);
    cr_assert_eq(netpoll_conn_detach(left.grab.conn, keep, &left), -ENOTCONN);
    finish(&rig, &left);
    cr_assert_eq(event_count(&left.calls), 1);
}

/* A stream that goes on while its connection is detached. */
#define STREAM ((size_t)300000)

struct stream {
    int client;
    const char *data;
};

static void *run_sender(void *arg)
{
    const struct stream *stream = arg;
    uint64_t random = (uint64_t)stream->client;
    for (size_t sent = 0; sent < STREAM;) {
        size_t n = random_size(&random, STREAM - sent < 20000 ? STREAM - sent : 20000);
        client_send(stream->client, stream->data + sent, n);
        sent += n;
    }
    client_end_sending(stream->client);
    return NULL;
}

/* What is in the buffer and then in the descriptor is the rest of the stream. */
static void expect_rest(struct left *left)
{
    static char rest[STREAM + 1];
    size_t n = 0;
    if (left->unread != NULL) {
        n = linkbuffer_read(left->unread, rest, sizeof rest);
        linkbuffer_destroy(left->unread);
    }
    cr_assert_geq(left->fd, 0);
    n += receive_when_ready(left->fd, rest + n, sizeof rest - n);
    close(left->fd);
    cr_assert(pattern_matches(1, left->consumed, rest, n));
    cr_assert_eq(left->consumed + n, STREAM, "%zu bytes are lost",
                 STREAM - (size_t)left->consumed - n);
}

/* The rest of the stream, all at once. */
struct burst {
    struct left left; /* first: see grab_conn() */
    struct event sent;
};

static void detach_in_a_burst(struct netpoll_conn *conn, void *arg)
{
    struct burst *burst = arg;
    struct left *left = &burst->left;
    if (left->consumed > 0) {
        CHECK(netpoll_conn_detach(conn, keep, left) == 0);
        return;
    }
    consume(conn, left, 1);
    event_wait(&burst->sent, 1);
}

TEST_BOTH_MODES(conn_detach, the_rest_of_a_burst_is_not_lost)
{
    static struct burst burst;
    struct rig rig = {.pollers = 1};
    static char data[STREAM];
    struct netpoll_conn_options options = options_for(&burst.left, *mode, detach_in_a_burst);
    /* It stops receiving with much of the burst on its way. */
    options.input_high_bytes = 4096;
    pattern_fill(1, 0, data, STREAM);
    burst = (struct burst){.left = LEFT_INIT, .sent = EVENT_INIT};
    rig_start(&rig, &options);
    int client = rig_dial(&rig);
    client_send(client, data, 1);
    event_wait(&burst.left.requests, 1);
    client_send(client, data + 1, STREAM - 1);
    client_end_sending(client);
    event_add(&burst.sent);
    event_wait(&burst.left.calls, 1);
    expect_rest(&burst.left);
    client_close(client);
    finish(&rig, &burst.left);
}

/* Without on_request: read by whoever holds it. */
TEST_BOTH_MODES(conn_detach, a_dialed_connection_gives_what_its_holder_left)
{
    struct left left = LEFT_INIT;
    struct dial_rig rig = {.conn = {.handler = *mode}};
    char data[100];
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    pattern_fill(1, 0, data, sizeof data);
    cr_assert_eq(netpoll_conn_write(conn, data, sizeof data), 0);
    cr_assert_eq(netpoll_conn_flush(conn), 0);
    cr_assert_eq(netpoll_conn_wait(conn, sizeof data, DEADLINE_MS), 0);
    consume(conn, &left, FIRST_PART);
    cr_assert_eq(netpoll_conn_detach(conn, keep, &left), 0);
    event_wait(&left.calls, 1);
    cr_assert_eq(netpoll_conn_wait(conn, 1, 0), -ENOTCONN);
    netpoll_conn_release(conn);
    expect_unread(&left, sizeof data - FIRST_PART);
    client_send(left.fd, data, sizeof data);
    cr_assert_eq(receive_when_ready(left.fd, data, sizeof data), sizeof data);
    cr_assert(pattern_matches(1, 0, data, sizeof data));
    close(left.fd);
    dial_rig_finish(&rig);
}

/* Paused, so that there is more in the socket than in the buffer. */
TEST_BOTH_MODES(conn_detach, a_paused_connection_loses_nothing)
{
    static struct left left;
    struct rig rig = {.pollers = 1};
    static char data[STREAM];
    struct netpoll_conn_options options = options_for(&left, *mode, consume_all);
    left = (struct left)LEFT_INIT;
    pattern_fill(1, 0, data, STREAM);
    rig_start(&rig, &options);
    int client = rig_dial(&rig);
    event_wait(&left.grab.connects, 1);
    cr_assert_eq(netpoll_conn_pause(left.grab.conn), 0);
    client_send(client, data, STREAM);
    client_end_sending(client);
    cr_assert_eq(netpoll_conn_detach(left.grab.conn, keep, &left), 0);
    event_wait(&left.calls, 1);
    expect_rest(&left);
    client_close(client);
    finish(&rig, &left);
}

static void detach_in_mid_stream(struct rig *rig, struct left *left, const char *data,
                                 unsigned pause)
{
    struct stream stream = {.client = rig_dial(rig), .data = data};
    pthread_t sender;
    CHECK(pthread_create(&sender, NULL, run_sender, &stream) == 0);
    event_wait(&left->requests, 1);
    while (pause-- > 0)
        sched_yield();
    cr_assert_eq(netpoll_conn_detach(left->grab.conn, keep, left), 0);
    event_wait(&left->calls, 1);
    pthread_join(sender, NULL);
    expect_rest(left);
    client_close(stream.client);
    netpoll_conn_release(left->grab.conn);
}

TEST_BOTH_MODES(conn_detach, what_comes_meanwhile_is_not_lost)
{
    static struct left left;
    struct rig rig = {.pollers = 1};
    char *data = malloc(STREAM);
    struct netpoll_conn_options options = options_for(&left, *mode, consume_all);
    cr_assert_not_null(data);
    pattern_fill(1, 0, data, STREAM);
    left = (struct left)LEFT_INIT;
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 150; i++) {
        WAIT_UNTIL(rig_stats(&rig).connections == 0);
        left = (struct left)LEFT_INIT;
        detach_in_mid_stream(&rig, &left, data, i % 40);
    }
    rig_finish_when_idle(&rig);
    free(data);
}

/* Everything that may end a connection, at the same time. */
#define ROUNDS 300

struct ends {
    struct left left; /* first: see grab_conn() */
    pthread_barrier_t start;
    int client;
    unsigned round;
};

static void *run_other_end(void *arg)
{
    struct ends *ends = arg;
    struct netpoll_conn *conn = ends->left.grab.conn;
    unsigned kind = ends->round % 4;
    pthread_barrier_wait(&ends->start);
    if (kind == 0)
        (void)netpoll_conn_close(conn);
    else if (kind == 1)
        (void)netpoll_conn_abort(conn);
    else if (kind == 2)
        client_reset(ends->client);
    else
        client_end_sending(ends->client);
    return NULL;
}

/* What detach has said is what comes of it. */
static void race_for_the_end(struct ends *ends, struct rig *rig)
{
    struct left *left = &ends->left;
    pthread_t thread;
    ends->client = rig_dial(rig);
    event_wait(&left->grab.connects, 1);
    expect_echo(ends->client, 1, 10);
    CHECK(netpoll_conn_add_close_callback(left->grab.conn, note_close, left) == 0);
    CHECK(pthread_create(&thread, NULL, run_other_end, ends) == 0);
    pthread_barrier_wait(&ends->start);
    int status = netpoll_conn_detach(left->grab.conn, keep, left);
    pthread_join(thread, NULL);
    cr_assert(status == 0 || status == -ENOTCONN);
    cr_assert(ends->round % 4 != 3 || status == 0, "the peer's end alone ends nothing");
    netpoll_conn_release(left->grab.conn);
    if (ends->round % 4 != 2)
        client_close(ends->client);
    event_wait(&left->closes, 1);
    cr_assert_eq(event_count(&left->calls), status == 0);
    cr_assert_null(left->unread);
    if (left->fd >= 0)
        close(left->fd);
}

TEST_BOTH_MODES(conn_detach, is_done_once_or_refused_whatever_else_ends_it)
{
    static struct ends ends;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&ends.left, *mode, echo_copy);
    rig_start(&rig, &options);
    pthread_barrier_init(&ends.start, NULL, 2);
    for (ends.round = 0; ends.round < ROUNDS; ends.round++) {
        ends.left = (struct left)LEFT_INIT;
        race_for_the_end(&ends, &rig);
    }
    pthread_barrier_destroy(&ends.start);
    rig_finish_when_idle(&rig);
}
