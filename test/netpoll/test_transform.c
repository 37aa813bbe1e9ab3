/* A connection whose bytes are other ones on the wire: a greeting first, then every bit turned. */
#include "rig.h"

#include "../support/pattern.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <linkbuffer/file.h>
#include <netpoll/transform.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define HELLO   "hello"
#define WELCOME "welcome"
#define BYE     "bye"

struct counts {
    _Atomic int opened;
    _Atomic int closed;
    _Atomic bool off_poller; /* a function ran elsewhere than the one before it */
};

struct turner {
    struct counts *counts;
    pthread_t thread;
    bool has_met; /* the greeting is over */
};

static void look_at_thread(struct turner *turner)
{
    if (!pthread_equal(turner->thread, pthread_self()))
        atomic_store(&turner->counts->off_poller, true);
}

static int turn_open(struct netpoll_conn *conn, void *arg, void **state)
{
    struct turner *turner = malloc(sizeof *turner);
    (void)conn;
    *turner = (struct turner){.counts = arg, .thread = pthread_self()};
    atomic_fetch_add(&turner->counts->opened, 1);
    *state = turner;
    return 0;
}

static int turn_bits(struct linkbuffer *from, size_t n, struct linkbuffer *into)
{
    const void *data;
    void *room;
    if (n == 0)
        return 0;
    int status = linkbuffer_next(from, n, &data);
    if (status == 0)
        status = linkbuffer_reserve(into, n, &room);
    for (size_t i = 0; status == 0 && i < n; i++)
        ((uint8_t *)room)[i] = (uint8_t) ~((const uint8_t *)data)[i];
    return status;
}

static int greet(struct turner *turner, struct linkbuffer *wire, struct linkbuffer *reply)
{
    const void *data;
    int status = linkbuffer_next(wire, strlen(HELLO), &data);
    if (status != 0)
        return status == -EAGAIN ? 0 : status;
    if (memcmp(data, HELLO, strlen(HELLO)) != 0)
        return -EPROTO;
    turner->has_met = true;
    return linkbuffer_write(reply, WELCOME, strlen(WELCOME));
}

static int turn_decode(void *state, struct linkbuffer *wire, struct linkbuffer *plain,
                       struct linkbuffer *reply)
{
    struct turner *turner = state;
    look_at_thread(turner);
    int status = turner->has_met ? 0 : greet(turner, wire, reply);
    if (status != 0 || !turner->has_met)
        return status;
    return turn_bits(wire, linkbuffer_len(wire), plain);
}

static int turn_encode(void *state, struct linkbuffer *plain, size_t max, struct linkbuffer *wire)
{
    struct turner *turner = state;
    look_at_thread(turner);
    struct iovec iov;
    if (!turner->has_met || linkbuffer_iov(plain, &iov, 1) == 0)
        return 0;
    return turn_bits(plain, iov.iov_len < max ? iov.iov_len : max, wire);
}

static int turn_finish(void *state, struct linkbuffer *wire)
{
    look_at_thread(state);
    return linkbuffer_write(wire, BYE, strlen(BYE));
}

static void turn_close(void *state)
{
    struct turner *turner = state;
    look_at_thread(turner);
    atomic_fetch_add(&turner->counts->closed, 1);
    free(turner);
}

static struct netpoll_transform transform_for(struct counts *counts)
{
    return (struct netpoll_transform){.open = turn_open,
                                      .decode = turn_decode,
                                      .encode = turn_encode,
                                      .finish = turn_finish,
                                      .close = turn_close,
                                      .arg = counts};
}

static void expect_bytes(int fd, const char *text)
{
    char got[16];
    cr_assert_eq(client_receive(fd, got, strlen(text)), strlen(text));
    cr_assert_arr_eq(got, text, strlen(text));
}

static void check_counts(struct counts *counts, int expected)
{
    cr_assert_eq(atomic_load(&counts->opened), expected);
    cr_assert_eq(atomic_load(&counts->closed), expected);
    cr_assert_not(atomic_load(&counts->off_poller));
}

TEST_BOTH_MODES(transform, handlers_see_decoded_bytes_and_write_plain_ones)
{
    struct rig rig = {0};
    struct counts counts = {0};
    struct netpoll_transform transform = transform_for(&counts);
    struct netpoll_conn_options options = {
        .on_request = echo_copy, .handler = *mode, .transform = &transform};
    static uint8_t sent[300000];
    static uint8_t got[sizeof sent];
    pattern_fill(3, 0, sent, sizeof sent);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "hel", 3);
    client_send(fd, "lo", 2);
    expect_bytes(fd, WELCOME);
    client_send(fd, sent, sizeof sent);
    cr_assert_eq(client_receive(fd, got, sizeof got), sizeof got);
    /* Turned when it came, turned again when it went. */
    cr_assert_arr_eq(got, sent, sizeof sent);
    client_end_sending(fd);
    expect_bytes(fd, BYE);
    cr_assert_eq(client_receive(fd, got, 1), 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
    check_counts(&counts, 1);
}

static void speak_first(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_write(conn, "first", 5) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(transform, output_waits_for_the_greeting)
{
    struct rig rig = {0};
    struct counts counts = {0};
    struct netpoll_transform transform = transform_for(&counts);
    struct netpoll_conn_options options = {.on_connect = speak_first,
                                           .on_request = echo_copy,
                                           .handler = *mode,
                                           .transform = &transform};
    uint8_t got[5];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, HELLO, strlen(HELLO));
    expect_bytes(fd, WELCOME);
    cr_assert_eq(client_receive(fd, got, 5), 5);
    cr_assert_eq(got[0], (uint8_t) ~'f');
    cr_assert_eq(got[4], (uint8_t) ~'t');
    client_close(fd);
    rig_finish_when_idle(&rig);
    check_counts(&counts, 1);
}

/* The descriptor is the options' arg. */
static void send_file(struct netpoll_conn *conn, void *arg)
{
    const struct linkbuffer_file file = {.fd = *(const int *)arg, .n = 1000000};
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write(conn, "file", 4) == 0);
    CHECK(netpoll_conn_write_file(conn, &file) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
}

TEST_BOTH_MODES(transform, files_are_read_for_it)
{
    struct rig rig = {.expected_logs = 1};
    struct counts counts = {0};
    char name[] = "/tmp/netpoll-XXXXXX";
    int file = mkstemp(name);
    struct netpoll_transform transform = transform_for(&counts);
    struct netpoll_conn_options options = {
        .on_request = send_file, .handler = *mode, .transform = &transform, .arg = &file};
    static uint8_t bytes[1000000];
    static uint8_t got[sizeof bytes + 4];
    pattern_fill(3, 0, bytes, sizeof bytes);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(write(file, bytes, sizeof bytes), sizeof bytes);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, HELLO, strlen(HELLO));
    expect_bytes(fd, WELCOME);
    client_send(fd, "x", 1);
    cr_assert_eq(client_receive(fd, got, sizeof got), sizeof got);
    for (size_t i = 0; i < sizeof bytes; i++)
        cr_assert_eq(got[4 + i], (uint8_t)~bytes[i]);
    /* One that has become shorter ends the connection as it does without. */
    cr_assert_eq(ftruncate(file, 500000), 0);
    client_send(fd, "x", 1);
    cr_assert(client_sees_reset(fd));
    client_close(fd);
    rig_finish_when_idle(&rig);
    check_counts(&counts, 1);
    close(file);
}

TEST_BOTH_MODES(transform, its_error_ends_the_connection)
{
    struct rig rig = {.expected_logs = 1};
    struct counts counts = {0};
    struct netpoll_transform transform = transform_for(&counts);
    struct netpoll_conn_options options = {
        .on_request = echo_copy, .handler = *mode, .transform = &transform};
    char byte;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "HELLO", 5);
    cr_assert_eq(client_try_receive(fd, &byte, 1), 0);
    client_close(fd);
    rig_finish_when_idle(&rig);
    check_counts(&counts, 1);
}

Test(transform, every_function_but_finish_is_required)
{
    struct rig rig = {0};
    struct counts counts = {0};
    struct netpoll_conn_options plain = {.on_request = echo_copy};
    struct netpoll_transform transform = transform_for(&counts);
    struct netpoll_conn_options options = {.on_request = echo_copy, .transform = &transform};
    struct netpoll_server *server;
    rig_start(&rig, &plain);
    transform.decode = NULL;
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &server), -EINVAL);
    transform = transform_for(&counts);
    transform.close = NULL;
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &server), -EINVAL);
    rig_finish(&rig);
}
