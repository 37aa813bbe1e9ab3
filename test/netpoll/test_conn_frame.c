/* Streams that are cut into frames: of every kind, however they come, and what is no frame. */
#include "../support/pattern.h"
#include "dial_rig.h"

#include <netpoll/framer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(conn_frame, .timeout = 60);

/* What a handler found. */
struct found {
    struct event faults; /* calls that were told something else than that more has to come */
    struct event ends;
    int status;       /* of the last of them */
    unsigned in_vain; /* calls without a frame */
    unsigned requests;
    enum netpoll_close_reason reason;
};

#define FOUND_INIT                               \
    {                                            \
        .faults = EVENT_INIT, .ends = EVENT_INIT \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct found *found = arg;
    (void)conn;
    found->reason = reason;
    event_add(&found->ends);
}

/* Sends back every frame, and what was told of the last one. */
static void echo_frames(struct netpoll_conn *conn, void *arg)
{
    struct found *found = arg;
    const void *frame;
    size_t n;
    int status;
    unsigned frames = 0;
    found->requests++;
    while ((status = netpoll_conn_next_frame(conn, &frame, &n)) == 0) {
        CHECK(netpoll_conn_write(conn, frame, n) == 0);
        frames++;
    }
    if (status == -EAGAIN) {
        found->in_vain += frames == 0;
    } else {
        found->status = status;
        (void)!netpoll_conn_write(conn, "bad", 3);
        event_add(&found->faults);
    }
    /* Nobody waits for the answer when the peer has reset. */
    status = netpoll_conn_flush(conn);
    CHECK(status >= 0 || status == -ENOTCONN);
}

/* "5:hello," */
static int measure_netstring(struct netpoll_conn *conn, size_t *frame_bytes, void *arg)
{
    const char *text;
    const void *data;
    size_t value = 0;
    (void)arg;
    for (size_t n = 1; n < 8; n++) {
        int status = netpoll_conn_peek(conn, n, &data);
        if (status != 0)
            return status;
        text = data;
        if (n > 1 && text[n - 1] == ':') {
            *frame_bytes = n + value + 1;
            return 0;
        }
        if (text[n - 1] < '0' || text[n - 1] > '9')
            return -EBADMSG;
        value = value * 10 + (size_t)(text[n - 1] - '0');
    }
    return -EBADMSG;
}

#define FIXED_BYTES 7

static const struct netpoll_framer framers[] = {
    {.length = {.bytes = 1}},
    {.length = {.offset = 2, .bytes = 2}},
    {.length = {.bytes = 3, .little_endian = true}},
    {.length = {.offset = 3, .bytes = 4, .little_endian = true, .adjust = -7}},
    {.length = {.offset = 1, .bytes = 8}},
    {.length = {.bytes = 4, .adjust = 2}},
    {.kind = NETPOLL_FRAMER_LINE, .delimiter = '\n'},
    {.kind = NETPOLL_FRAMER_LINE},
    {.kind = NETPOLL_FRAMER_FIXED, .fixed_bytes = FIXED_BYTES},
    {.kind = NETPOLL_FRAMER_CUSTOM, .fn = measure_netstring},
};

#define FRAMERS (sizeof framers / sizeof framers[0])

static size_t put_length_head(const struct netpoll_framer *framer, size_t rest, uint8_t *out)
{
    uint32_t n = framer->length.bytes;
    uint64_t value = (uint64_t)((int64_t)rest - framer->length.adjust);
    memset(out, 0xee, framer->length.offset);
    out += framer->length.offset;
    for (uint32_t i = 0; i < n; i++)
        out[framer->length.little_endian ? i : n - 1 - i] = (uint8_t)(value >> 8 * i);
    return framer->length.offset + n;
}

/* Writes a frame with about so many bytes of its own: its size. */
static size_t put_frame(const struct netpoll_framer *framer, size_t rest, uint8_t *out)
{
    size_t head = 0;
    switch (framer->kind) {
    case NETPOLL_FRAMER_LENGTH:
        /* Two bytes that the length does not count are there all the same. */
        rest += framer->length.adjust > 0 ? (size_t)framer->length.adjust : 0;
        head = put_length_head(framer, rest, out);
        break;
    case NETPOLL_FRAMER_FIXED:
        rest = FIXED_BYTES;
        break;
    case NETPOLL_FRAMER_CUSTOM:
        head = (size_t)sprintf((char *)out, "%zu:", rest++);
        break;
    case NETPOLL_FRAMER_LINE:
        rest++;
        break;
    }
    memset(out + head, 'a' + (int)(rest % 26), rest);
    if (framer->kind == NETPOLL_FRAMER_LINE)
        out[head + rest - 1] = framer->delimiter;
    return head + rest;
}

/* A few short frames: bytes of all of them. */
static size_t put_frames(const struct netpoll_framer *framer, uint8_t *out)
{
    static const size_t sizes[] = {3, 0, 1, 14, 2};
    size_t n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        n += put_frame(framer, sizes[i], out + n);
    return n;
}

static struct netpoll_conn_options options_for(struct found *found, enum netpoll_handler mode,
                                               const struct netpoll_framer *framer)
{
    return (struct netpoll_conn_options){.on_request = echo_frames,
                                         .on_disconnect = note_end,
                                         .handler = mode,
                                         .framer = framer,
                                         .arg = found};
}

/* A piece that has been received by itself. */
static void send_piece(const struct rig *rig, int fd, const uint8_t *data, size_t n)
{
    uint64_t before = rig_stats(rig).bytes_in;
    if (n == 0)
        return;
    client_send(fd, data, n);
    WAIT_UNTIL(rig_stats(rig).bytes_in == before + n);
}

static void expect_frames(int fd, const uint8_t *stream, size_t n)
{
    uint8_t back[256];
    cr_assert_leq(n, sizeof back);
    cr_assert_eq(client_receive(fd, back, n), n);
    cr_assert_arr_eq(back, stream, n);
}

static void cut_in_every_way(enum netpoll_handler mode, const struct netpoll_framer *framer)
{
    struct found found = FOUND_INIT;
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = options_for(&found, mode, framer);
    uint8_t stream[256];
    size_t n = put_frames(framer, stream);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (size_t cut = 0; cut < n; cut++) {
        send_piece(&rig, fd, stream, cut);
        send_piece(&rig, fd, stream + cut, n - cut);
        expect_frames(fd, stream, n);
    }
    for (size_t i = 0; i < n; i++)
        send_piece(&rig, fd, stream + i, 1);
    expect_frames(fd, stream, n);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(found.in_vain, 0, "a call without a whole frame");
    cr_assert_eq(event_count(&found.faults), 0);
    cr_assert_eq(found.reason, NETPOLL_CLOSE_EOF);
}

TEST_BOTH_MODES(conn_frame, every_kind_however_it_is_cut)
{
    for (size_t i = 0; i < FRAMERS; i++)
        cut_in_every_way(*mode, &framers[i]);
}

/* One call may take all that are there, or one at a time. */
static void echo_one_frame(struct netpoll_conn *conn, void *arg)
{
    struct found *found = arg;
    const void *frame;
    size_t n;
    found->requests++;
    CHECK(netpoll_conn_next_frame(conn, &frame, &n) == 0);
    CHECK(netpoll_conn_write(conn, frame, n) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(conn_frame, frames_of_one_piece_may_be_taken_one_by_one)
{
    struct found found = FOUND_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&found, *mode, &framers[0]);
    uint8_t stream[256];
    size_t n = put_frames(&framers[0], stream);
    options.on_request = echo_one_frame;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, stream, n);
    expect_frames(fd, stream, n);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(found.requests, 5);
}

TEST_BOTH_MODES(conn_frame, long_ones_come_back_whole)
{
    struct found found = FOUND_INIT;
    struct rig rig = {0};
    struct netpoll_framer framer = {.length = {.bytes = 4}};
    struct netpoll_conn_options options = options_for(&found, *mode, &framer);
    uint64_t random = 3;
    uint8_t *frame = malloc((1 << 20) + 4);
    uint8_t *back = malloc((1 << 20) + 4);
    cr_assert(frame != NULL && back != NULL);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 60; i++) {
        size_t n = put_length_head(&framer, random_size(&random, 1 << 20), frame);
        size_t rest = (size_t)frame[0] << 24 | (size_t)frame[1] << 16 | (size_t)frame[2] << 8 |
                      (size_t)frame[3];
        pattern_fill(i, 0, frame + n, rest);
        n += rest;
        size_t half = (size_t)random_below(&random, n);
        client_send(fd, frame, half);
        client_send(fd, frame + half, n - half);
        cr_assert_eq(client_receive(fd, back, n), n);
        cr_assert_eq(memcmp(frame, back, n), 0);
    }
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(found.in_vain, 0);
    free(frame);
    free(back);
}

/* A frame, and bytes after it that are none. */
struct bad {
    struct netpoll_framer framer;
    const char *good;
    size_t good_bytes;
    const char *bad;
    size_t bad_bytes;
    int status;
};

/* It is told once, then comes the answer, then the end. */
static void expect_bad(enum netpoll_handler mode, const struct bad *bad, bool after_a_frame,
                       bool then_end)
{
    struct found found = FOUND_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&found, mode, &bad->framer);
    char stream[256];
    char back[256];
    size_t good_bytes = after_a_frame ? bad->good_bytes : 0;
    memcpy(stream, bad->good, good_bytes);
    memcpy(stream + good_bytes, bad->bad, bad->bad_bytes);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, stream, good_bytes + bad->bad_bytes);
    if (then_end)
        client_end_sending(fd);
    cr_assert_eq(client_receive(fd, back, good_bytes + 3), good_bytes + 3);
    cr_assert_eq(memcmp(back, stream, good_bytes), 0);
    cr_assert_eq(memcmp(back + good_bytes, "bad", 3), 0);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    event_wait(&found.ends, 1);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&found.faults), 1);
    cr_assert_eq(found.status, bad->status, "%d instead of %d", found.status, bad->status);
    cr_assert_eq(found.reason, NETPOLL_CLOSE_BAD_MESSAGE);
}

static void expect_all_bad(enum netpoll_handler mode, const struct bad *bads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect_bad(mode, &bads[i], false, false);
        expect_bad(mode, &bads[i], true, false);
        expect_bad(mode, &bads[i], false, true);
        expect_bad(mode, &bads[i], true, true);
    }
}

/* "2:ab," is a frame of 5 bytes. */
static int measure_any_netstring(struct netpoll_conn *conn, size_t *frame_bytes, void *arg)
{
    int status = measure_netstring(conn, frame_bytes, arg);
    if (status == 0 && *frame_bytes == 3)
        *frame_bytes = 0;
    return status;
}

#define LENGTH_1 .length = {.bytes = 1}
#define TEN      "0123456789"

TEST_BOTH_MODES(conn_frame, one_above_the_limit_is_emsgsize)
{
    static const struct bad bads[] = {
        {{.max_frame_bytes = 11, LENGTH_1}, "\x0a" TEN, 11, "\x0bx", 2, -EMSGSIZE},
        {{.length = {.bytes = 8}},
         "\0\0\0\0\0\0\0\x01x",
         9,
         "\x7f\xff\xff\xff\xff\xff\xff\xffx",
         9,
         -EMSGSIZE},
        {{.length = {.bytes = 8}},
         "\0\0\0\0\0\0\0\x01x",
         9,
         "\xff\xff\xff\xff\xff\xff\xff\xffx",
         9,
         -EMSGSIZE},
        {{.length = {.bytes = 4}}, "\0\0\0\x01x", 5, "\x01\x01\x00\x00x", 5, -EMSGSIZE},
        {{.kind = NETPOLL_FRAMER_LINE, .delimiter = '\n', .max_frame_bytes = 10},
         "012345678\n",
         10,
         TEN,
         10,
         -EMSGSIZE},
        {{.kind = NETPOLL_FRAMER_LINE, .delimiter = '\n', .max_frame_bytes = 10},
         "012345678\n",
         10,
         TEN "\n",
         11,
         -EMSGSIZE},
        {{.kind = NETPOLL_FRAMER_CUSTOM, .fn = measure_netstring, .max_frame_bytes = 6},
         "3:abc,",
         6,
         "4:a",
         3,
         -EMSGSIZE},
    };
    expect_all_bad(*mode, bads, sizeof bads / sizeof bads[0]);
}

TEST_BOTH_MODES(conn_frame, what_is_none_is_ebadmsg)
{
    static const struct bad bads[] = {
        {{.length = {.bytes = 2, .adjust = -2}}, "\0\x03x", 3, "\0\x01x", 3, -EBADMSG},
        {{.length = {.bytes = 1, .adjust = -3}}, "\x04x", 2, "\x02x", 2, -EBADMSG},
        {{.kind = NETPOLL_FRAMER_CUSTOM, .fn = measure_netstring}, "3:abc,", 6, "2x", 2, -EBADMSG},
        {{.kind = NETPOLL_FRAMER_CUSTOM, .fn = measure_any_netstring},
         "3:abc,",
         6,
         "0:,",
         3,
         -EBADMSG},
    };
    expect_all_bad(*mode, bads, sizeof bads / sizeof bads[0]);
}

TEST_BOTH_MODES(conn_frame, the_end_within_one_is_eof)
{
    for (size_t i = 0; i < FRAMERS; i++) {
        struct found found = FOUND_INIT;
        struct rig rig = {0};
        struct netpoll_conn_options options = options_for(&found, *mode, &framers[i]);
        uint8_t stream[256];
        uint8_t back[256];
        size_t whole = put_frames(&framers[i], stream);
        rig_start(&rig, &options);
        int fd = rig_dial(&rig);
        client_send(fd, stream, whole);
        client_send(fd, stream, 1);
        client_end_sending(fd);
        cr_assert_eq(client_receive(fd, back, whole + 3), whole + 3);
        cr_assert_arr_eq(back, stream, whole);
        cr_assert_arr_eq(back + whole, "bad", 3);
        /* The rest of a frame is offered once more when the call had taken others. */
        (void)client_drain(fd);
        client_close(fd);
        event_wait(&found.ends, 1);
        rig_finish_when_idle(&rig);
        cr_assert_eq(found.status, NETPOLL_EOF);
        cr_assert_eq(found.reason, NETPOLL_CLOSE_EOF);
    }
}

static void look_by_other_calls(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    size_t n;
    struct event *done = arg;
    CHECK(netpoll_conn_next_frame(conn, &data, &n) == -EBADMSG);
    CHECK(netpoll_conn_len(conn) == 4);
    CHECK(netpoll_conn_peek(conn, 4, &data) == 0 && memcmp(data, "GET ", 4) == 0);
    CHECK(netpoll_conn_peek(conn, 5, &data) == -EBADMSG);
    CHECK(netpoll_conn_next_frame(conn, &data, &n) == -EBADMSG);
    event_add(done);
}

TEST_BOTH_MODES(conn_frame, what_is_none_can_be_looked_at)
{
    struct event done = EVENT_INIT;
    struct rig rig = {0};
    struct netpoll_framer framer = {.kind = NETPOLL_FRAMER_CUSTOM, .fn = measure_netstring};
    struct netpoll_conn_options options = {
        .on_request = look_by_other_calls, .handler = *mode, .framer = &framer, .arg = &done};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "GET ", 4);
    event_wait(&done, 1);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&done), 1);
}

static void take_head(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_skip(conn, 4) == 0);
}

struct taken {
    struct grab grab; /* first: see grab_conn() */
    struct event frames;
    size_t last;
};

static void take_frame(struct netpoll_conn *conn, void *arg)
{
    struct taken *taken = arg;
    const void *frame;
    CHECK(netpoll_conn_next_frame(conn, &frame, &taken->last) == 0);
    event_add(&taken->frames);
}

/* A post has taken the head of a frame that was measured already. */
TEST_BOTH_MODES(conn_frame, what_a_post_takes_is_no_frame_any_more)
{
    struct taken taken = {.grab = GRAB_INIT, .frames = EVENT_INIT};
    struct rig rig = {0};
    struct netpoll_framer framer = {.kind = NETPOLL_FRAMER_LENGTH, .length = {.bytes = 4}};
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = take_frame,
                                           .handler = *mode,
                                           .framer = &framer,
                                           .arg = &taken};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&taken.grab.connects, 1);
    client_send(fd, "\0\0\1\0", 4);
    WAIT_UNTIL(conn_stats(taken.grab.conn).unread == 4);
    run_in_turn(taken.grab.conn, take_head, NULL);
    cr_assert_eq(conn_stats(taken.grab.conn).held_blocks, 0, "what it has taken is released");
    client_send(fd, "\0\0\0\2ab", 6);
    event_wait(&taken.frames, 1);
    cr_assert_eq(taken.last, 6);
    client_close(fd);
    netpoll_conn_release(taken.grab.conn);
    rig_finish_when_idle(&rig);
}

static void read_without_a_framer(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    size_t n;
    CHECK(netpoll_conn_next_frame(conn, &data, &n) == -EINVAL);
    echo_copy(conn, arg);
}

Test(conn_frame, next_frame_needs_a_framer)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = read_without_a_framer};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* A connection that its holder reads is cut likewise. */
Test(conn_frame, a_holder_takes_frames)
{
    struct netpoll_framer framer = {.length = {.bytes = 2}};
    struct dial_rig rig = {.conn = {.framer = &framer}};
    const void *frame;
    size_t n;
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(netpoll_conn_next_frame(conn, &frame, &n), -EAGAIN);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(netpoll_conn_write(conn, "\0\x05hello\0", 8), 0);
        cr_assert_eq(netpoll_conn_flush(conn), 0);
        cr_assert_eq(netpoll_conn_write(conn, "\x05world", 6), 0);
        cr_assert_eq(netpoll_conn_flush(conn), 0);
        for (unsigned k = 0; k < 2; k++) {
            int status;
            /* Looked at before: what comes meanwhile must not be waited for. */
            size_t there = netpoll_conn_len(conn);
            while ((status = netpoll_conn_next_frame(conn, &frame, &n)) == -EAGAIN) {
                cr_assert_eq(netpoll_conn_wait(conn, there + 1, DEADLINE_MS), 0);
                there = netpoll_conn_len(conn);
            }
            cr_assert_eq(status, 0);
            cr_assert_eq(n, 7);
            cr_assert_eq(memcmp(frame, k == 0 ? "\0\x05hello" : "\0\x05world", 7), 0);
        }
    }
    netpoll_conn_release(conn);
    dial_rig_finish(&rig);
}

#define SLOW_PEERS 200

Test(conn_frame, slow_peers_hold_no_worker)
{
    struct found found = FOUND_INIT;
    struct gopool_options pool = {.cap = 2};
    struct rig rig = {.own_pool = &pool};
    struct netpoll_framer framer = {.length = {.bytes = 2}};
    struct netpoll_conn_options options = options_for(&found, NETPOLL_HANDLER_POOL, &framer);
    int slow[SLOW_PEERS];
    char back[7];
    options.on_disconnect = NULL;
    rig_start(&rig, &options);
    for (unsigned i = 0; i < SLOW_PEERS; i++) {
        slow[i] = rig_dial(&rig);
        client_send(slow[i], "\0\x05hel", i % 5 + 1);
    }
    int fd = rig_dial(&rig);
    client_send(fd, "\0\x05hello", 7);
    cr_assert_eq(client_receive(fd, back, 7), 7);
    cr_assert_eq(memcmp(back, "\0\x05hello", 7), 0);
    cr_assert_eq(found.in_vain, 0);
    cr_assert_eq(found.requests, 1);
    client_close(fd);
    for (unsigned i = 0; i < SLOW_PEERS; i++)
        client_reset(slow[i]);
    rig_finish_when_idle(&rig);
}

#define BOASTERS    ((size_t)5000)
#define BOAST_BYTES ((size_t)64 << 20)

static size_t resident_bytes(void)
{
    char text[128];
    char *resident;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fgets(text, sizeof text, file) != NULL);
    fclose(file);
    /* The first figure is the address space. */
    (void)strtoul(text, &resident, 10);
    return strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* The memory of a sanitizer is not ours. */
static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#else
    return false;
#endif
}

Test(conn_frame, memory_follows_what_came_and_not_what_was_announced)
{
    struct found found = FOUND_INIT;
    struct rig rig = {0};
    struct netpoll_framer framer = {.length = {.bytes = 4}};
    struct netpoll_conn_options options = options_for(&found, NETPOLL_HANDLER_POOL, &framer);
    struct rlimit limit;
    static int peers[BOASTERS];
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * BOASTERS + 100)
        cr_skip_test("too few descriptors");
    options.on_disconnect = NULL;
    rig_start(&rig, &options);
    size_t resident = resident_bytes();
    size_t live = live_bytes();
    for (size_t i = 0; i < BOASTERS; i++) {
        peers[i] = rig_dial(&rig);
        client_send(peers[i], "\x01\0\0\0x", 5);
    }
    WAIT_UNTIL(rig_stats(&rig).bytes_in == BOASTERS * 5);
    size_t more = live_bytes() - live;
    cr_assert_lt(more, BOAST_BYTES, "%zu bytes", more);
    more = resident_bytes() - resident;
    if (!is_sanitized())
        cr_assert_lt(more, BOAST_BYTES, "%zu bytes", more);
    cr_assert_eq(found.requests, 0);
    for (size_t i = 0; i < BOASTERS; i++)
        client_reset(peers[i]);
    rig_finish_when_idle(&rig);
}

Test(conn_frame, framers_that_cannot_be_are_refused)
{
    static const struct netpoll_framer bad[] = {
        {.kind = (enum netpoll_framer_kind)99},
        {.length = {.bytes = 0}},
        {.length = {.bytes = 5}},
        {.length = {.bytes = 6}},
        {.length = {.bytes = 9}},
        {.length = {.bytes = 1, .offset = UINT32_MAX}},
        {.length = {.bytes = 1, .offset = 10000}},
        {.length = {.bytes = 4, .offset = 9998}},
        {.length = {.bytes = 4, .offset = 20}, .max_frame_bytes = 23},
        {.length = {.bytes = 4}, .max_frame_bytes = 10001},
        {.kind = NETPOLL_FRAMER_LINE, .max_frame_bytes = 10001},
        {.kind = NETPOLL_FRAMER_FIXED},
        {.kind = NETPOLL_FRAMER_FIXED, .fixed_bytes = 10001},
        {.kind = NETPOLL_FRAMER_FIXED, .fixed_bytes = 100, .max_frame_bytes = 99},
        {.kind = NETPOLL_FRAMER_CUSTOM},
    };
    static const struct netpoll_framer good[] = {
        {.length = {.bytes = 4, .offset = 9996}},
        {.length = {.bytes = 4, .offset = 20}, .max_frame_bytes = 24},
        {.kind = NETPOLL_FRAMER_LINE, .max_frame_bytes = 10000},
        {.kind = NETPOLL_FRAMER_FIXED, .fixed_bytes = 10000},
        {.kind = NETPOLL_FRAMER_FIXED, .fixed_bytes = 100, .max_frame_bytes = 100},
    };
    struct netpoll_conn_options options = {.on_request = echo_copy, .max_message_bytes = 10000};
    struct netpoll_server *server;
    struct rig rig = {0};
    rig_start(&rig, &options);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.framer = &bad[i];
        cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &server), -EINVAL, "%zu",
                     i);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        options.framer = &good[i];
        cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &server), 0, "%zu", i);
        cr_assert_eq(netpoll_server_destroy(server), 0);
    }
    rig_finish(&rig);
}
