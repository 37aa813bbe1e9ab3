/* Buffers and descriptors, buffers and sources. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linkbuffer/io.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KIB ((size_t)1024)

struct pair {
    struct linkbuffer *lb;
    int near; /* the buffer's end */
    int far;
};

static struct pair open_sockets(void)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    return (struct pair){make_buffer(), ends[0], ends[1]};
}

static void close_pair(struct pair *pair)
{
    linkbuffer_destroy(pair->lb);
    close(pair->near);
    if (pair->far >= 0)
        close(pair->far);
}

static void close_far(struct pair *pair)
{
    close(pair->far);
    pair->far = -1;
}

/* Takes up to n bytes at the far end and compares them: how many came. */
static size_t take(int fd, size_t n, size_t position)
{
    static uint8_t got[65536];
    ssize_t came = read(fd, got, n < sizeof got ? n : sizeof got);
    if (came < 0) {
        cr_assert_eq(errno, EAGAIN);
        return 0;
    }
    cr_assert(pattern_holds(got, (size_t)came, position));
    return (size_t)came;
}

Test(io, fill_reads_what_has_come_and_flushes_it)
{
    struct pair pair = open_sockets();
    send_pattern(pair.far, 3000, 0);
    size_t came = 0;
    while (came < 3000) {
        ssize_t n = linkbuffer_fill_fd(pair.lb, pair.near, 65536);
        cr_assert_gt(n, 0);
        came += (size_t)n;
        cr_assert(holds_unread(pair.lb, came, 0));
    }
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 65536), -EAGAIN);
    close_far(&pair);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 65536), 0);
    cr_assert(holds_unread(pair.lb, 3000, 0));
    close_pair(&pair);
}

Test(io, fill_reads_max_bytes_at_most)
{
    struct pair pair = open_sockets();
    send_pattern(pair.far, 10, 0);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 0), -EINVAL);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 4), 4);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 1), 1);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, SIZE_MAX), 5);
    cr_assert(holds_unread(pair.lb, 10, 0));
    close_pair(&pair);
}

Test(io, fill_that_fails_leaves_what_was_written_unflushed)
{
    struct pair pair = open_sockets();
    size_t before = live_bytes();
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 100), -EAGAIN);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, -1, 100), -EBADF);
    cr_assert_eq(live_bytes(), before);
    uint8_t bytes[5];
    pattern_fill(bytes, 5, 0);
    cr_assert_eq(linkbuffer_write(pair.lb, bytes, 5), 0);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, -1, 100), -EBADF);
    cr_assert_eq(linkbuffer_reserved_len(pair.lb), 5);
    cr_assert_eq(linkbuffer_len(pair.lb), 0);
    send_pattern(pair.far, 5, 5);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 100), 5);
    cr_assert_eq(linkbuffer_reserved_len(pair.lb), 0);
    cr_assert(holds_unread(pair.lb, 10, 0));
    close_pair(&pair);
}

Test(io, fill_repeats_interrupted_reads)
{
    struct pair pair = open_sockets();
    send_pattern(pair.far, 10, 0);
    interrupt_calls(3);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 100), 10);
    cr_assert(holds_unread(pair.lb, 10, 0));
    close_pair(&pair);
}

Test(io, ten_bytes_that_were_filled_in_hold_the_smallest_block)
{
    struct pair pair = open_sockets();
    size_t before = live_bytes();
    send_pattern(pair.far, 10, 0);
    cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 65536), 10);
    cr_assert_leq(live_bytes() - before, 128);
    cr_assert(holds_unread(pair.lb, 10, 0));
    close_pair(&pair);
}

Test(io, fill_continues_what_is_needed_in_one_piece)
{
    SKIP_IF_HOSTILE();
    struct pair pair = open_sockets();
    const void *out;
    linkbuffer_need(pair.lb, 1000);
    for (size_t came = 0; came < 1000; came += 10) {
        send_pattern(pair.far, 10, came);
        cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 65536), 10);
        cr_assert_eq(linkbuffer_fill_fd(pair.lb, pair.near, 65536), -EAGAIN);
    }
    cr_assert_eq(linkbuffer_next(pair.lb, 1000, &out), 0);
    cr_assert(pattern_holds(out, 1000, 0));
    cr_assert_eq(figures(pair.lb).bytes_copied, 0);
    close_pair(&pair);
}

Test(io, drain_of_nothing_writes_nothing)
{
    struct pair pair = open_sockets();
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, -1, 100), 0);
    put(pair.lb, 10, 0);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, -1, 0), 0);
    cr_assert(holds_unread(pair.lb, 10, 0));
    close_pair(&pair);
}

Test(io, drain_writes_max_bytes_at_most)
{
    struct pair pair = open_sockets();
    put_pieces(pair.lb, 10, 5, 0);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, 1), 1);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, 9), 9);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, 25), 25);
    cr_assert(holds_unread(pair.lb, 15, 35));
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, SIZE_MAX), 15);
    cr_assert_eq(linkbuffer_len(pair.lb), 0);
    cr_assert_eq(take(pair.far, 100, 0), 50);
    close_pair(&pair);
}

/* More than the socket takes, in more pieces than one call takes. */
Test(io, drain_consumes_exactly_what_was_taken)
{
    enum {
        TOTAL = 2000 * 1000
    };
    struct pair pair = open_sockets();
    size_t sent = 0;
    size_t taken = 0;
    bool refused = false;
    put_pieces(pair.lb, 1000, TOTAL / 1000, 0);
    while (taken < TOTAL) {
        ssize_t n = linkbuffer_drain_fd(pair.lb, pair.near, SIZE_MAX);
        if (n > 0) {
            sent += (size_t)n;
        } else if (sent < TOTAL) {
            cr_assert_eq(n, -EAGAIN);
            refused = true;
        }
        cr_assert_eq(linkbuffer_len(pair.lb), TOTAL - sent);
        linkbuffer_release(pair.lb);
        if (n <= 0)
            taken += take(pair.far, 30001, taken);
    }
    cr_assert(refused, "the socket took everything at once: the test shows nothing");
    close_pair(&pair);
}

Test(io, drain_keeps_what_was_shown_until_release)
{
    struct pair pair = open_sockets();
    const void *shown;
    put_pieces(pair.lb, 100, 3, 0);
    cr_assert_eq(linkbuffer_peek(pair.lb, 300, &shown), 0);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, 300), 300);
    put(pair.lb, 300, 5000);
    cr_assert(pattern_holds(shown, 300, 0));
    close_pair(&pair);
}

Test(io, drain_repeats_interrupted_writes)
{
    struct pair pair = open_sockets();
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    put_pieces(pair.lb, 10, 4, 0);
    interrupt_calls(2);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, 20), 20);
    interrupt_calls(2);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, ends[1], 20), 20);
    cr_assert_eq(take(pair.far, 100, 0), 20);
    cr_assert_eq(take(ends[0], 100, 20), 20);
    close(ends[0]);
    close(ends[1]);
    close_pair(&pair);
}

Test(io, drain_that_fails_loses_nothing_and_raises_no_signal)
{
    struct pair pair = open_sockets();
    put_pieces(pair.lb, 10, 3, 0);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, -1, 100), -EBADF);
    close_far(&pair);
    cr_assert_eq(linkbuffer_drain_fd(pair.lb, pair.near, 100), -EPIPE);
    cr_assert(holds_unread(pair.lb, 30, 0));
    close_pair(&pair);
}

Test(io, drain_to_a_pipe_without_reader_is_an_error_where_the_signal_is_ignored)
{
    struct linkbuffer *lb = make_buffer();
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    put(lb, 10, 0);
    cr_assert_eq(linkbuffer_drain_fd(lb, ends[1], 100), -EPIPE);
    cr_assert(holds_unread(lb, 10, 0));
    close(ends[1]);
    linkbuffer_destroy(lb);
}

/* A source that gives the pattern in pieces, up to an end or an error. */
struct source {
    size_t piece;
    size_t left;
    ssize_t end; /* what comes when nothing is left */
    size_t given;
    size_t calls;
};

static ssize_t give(void *arg, void *into, size_t n)
{
    struct source *source = arg;
    source->calls++;
    cr_assert_geq(n, 1);
    n = n < source->piece ? n : source->piece;
    n = n < source->left ? n : source->left;
    if (n == 0)
        return source->end;
    pattern_fill(into, n, source->given);
    source->given += n;
    source->left -= n;
    return (ssize_t)n;
}

Test(io, pull_asks_until_enough_is_readable)
{
    for (size_t piece = 1; piece < 10000; piece = piece * 7 + 1) {
        struct linkbuffer *lb = make_buffer();
        struct source source = {.piece = piece, .left = 100000};
        const void *out;
        size_t read = 0;
        for (size_t n = 1; n < 20000; n = n * 3 + 1) {
            ssize_t len = linkbuffer_pull(lb, n, give, &source);
            cr_assert_geq(len, (ssize_t)n);
            cr_assert_eq(linkbuffer_len(lb), (size_t)len);
            cr_assert_eq(linkbuffer_next(lb, n, &out), 0);
            cr_assert(pattern_holds(out, n, read));
            read += n;
            linkbuffer_release(lb);
        }
        linkbuffer_destroy(lb);
    }
}

Test(io, pull_does_not_ask_for_what_is_there)
{
    struct linkbuffer *lb = make_buffer();
    struct source source = {.piece = 10, .left = 10};
    cr_assert_eq(linkbuffer_pull(lb, 0, give, &source), 0);
    put(lb, 10, 0);
    cr_assert_eq(linkbuffer_pull(lb, 0, give, &source), 10);
    cr_assert_eq(linkbuffer_pull(lb, 10, give, &source), 10);
    cr_assert_eq(source.calls, 0);
    linkbuffer_destroy(lb);
}

Test(io, pull_gives_what_there_is_at_the_end)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    struct source source = {.piece = 7, .left = 50};
    cr_assert_eq(linkbuffer_pull(lb, SIZE_MAX, give, &source), 50);
    cr_assert(holds_unread(lb, 50, 0));
    cr_assert_eq(linkbuffer_pull(lb, 51, give, &source), 50);
    cr_assert_eq(linkbuffer_skip(lb, 50), 0);
    linkbuffer_release(lb);
    cr_assert_eq(linkbuffer_pull(lb, 1, give, &source), 0);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}

Test(io, pull_keeps_what_came_before_an_error)
{
    struct linkbuffer *lb = make_buffer();
    struct source source = {.piece = 7, .left = 50, .end = -EIO};
    cr_assert_eq(linkbuffer_pull(lb, 51, give, &source), -EIO);
    cr_assert(holds_unread(lb, 50, 0));
    cr_assert_eq(linkbuffer_pull(lb, 50, give, &source), 50);
    source.left = 100;
    source.end = 0;
    cr_assert_geq(linkbuffer_pull(lb, 120, give, &source), 120);
    cr_assert(holds_unread(lb, source.given, 0));
    linkbuffer_destroy(lb);
}

static ssize_t give_too_much(void *arg, void *into, size_t n)
{
    (void)arg;
    (void)into;
    return (ssize_t)n + 1;
}

Test(io, pull_does_not_believe_a_source_that_says_more_than_fits)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    cr_assert_eq(linkbuffer_pull(lb, 1, give_too_much, NULL), -EOVERFLOW);
    cr_assert_eq(linkbuffer_len(lb), 0);
    cr_assert_eq(live_bytes(), before);
    put(lb, 10, 0);
    cr_assert_eq(linkbuffer_pull(lb, 20, give_too_much, NULL), -EOVERFLOW);
    cr_assert(holds_unread(lb, 10, 0));
    linkbuffer_destroy(lb);
}

Test(io, pull_copies_nothing_that_fits_a_block)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    struct source source = {.piece = 3, .left = 3000, .end = -EAGAIN};
    const void *out;
    cr_assert_eq(linkbuffer_pull(lb, 3500, give, &source), -EAGAIN);
    source.left = 500;
    cr_assert_eq(linkbuffer_pull(lb, 3500, give, &source), 3500);
    cr_assert_eq(linkbuffer_next(lb, 3500, &out), 0);
    cr_assert(pattern_holds(out, 3500, 0));
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

struct text {
    const char *text;
    size_t at;
    size_t piece;
};

static ssize_t give_text(void *arg, void *into, size_t n)
{
    struct text *source = arg;
    size_t left = strlen(source->text) - source->at;
    n = n < left ? n : left;
    n = n < source->piece ? n : source->piece;
    memcpy(into, source->text + source->at, n);
    source->at += n;
    return (ssize_t)n;
}

/* A line from a source, from a buffer that is empty at first: 0 at the end of the source. */
static size_t read_line(struct linkbuffer *lb, struct text *source, const char **line)
{
    const void *out = NULL;
    size_t n = 0;
    while (linkbuffer_until(lb, '\n', &out, &n) == -EAGAIN) {
        size_t len = linkbuffer_len(lb);
        if (linkbuffer_pull(lb, len + 1, give_text, source) == (ssize_t)len)
            return 0;
    }
    *line = out;
    return n;
}

Test(io, lines_come_from_a_source_from_the_start_on)
{
    static const char *const lines[] = {"first\n", "\n", "the second one\n"};
    for (size_t piece = 1; piece < 40; piece++) {
        struct linkbuffer *lb = make_buffer();
        struct text source = {.text = "first\n\nthe second one\nrest", .piece = piece};
        const char *line;
        for (size_t i = 0; i < 3; i++) {
            cr_assert_eq(read_line(lb, &source, &line), strlen(lines[i]));
            cr_assert_eq(memcmp(line, lines[i], strlen(lines[i])), 0);
        }
        cr_assert_eq(read_line(lb, &source, &line), 0);
        cr_assert_eq(linkbuffer_len(lb), 4);
        linkbuffer_destroy(lb);
    }
}

/* Two buffers with a pipe between them. */
Test(io, what_is_drained_is_what_is_filled_in)
{
    struct pair pair = open_sockets();
    struct linkbuffer *to = make_buffer();
    size_t written = 0;
    size_t read = 0;
    for (size_t turn = 1; read < 300000; turn += 37) {
        if (linkbuffer_len(pair.lb) < 5000) {
            put(pair.lb, 1 + written % 7001, written);
            written += 1 + written % 7001;
        }
        ssize_t sent = linkbuffer_drain_fd(pair.lb, pair.near, 1 + turn % 3000);
        cr_assert(sent > 0 || sent == -EAGAIN);
        ssize_t came = linkbuffer_fill_fd(to, pair.far, 1 + turn % 9000);
        cr_assert(came > 0 || came == -EAGAIN);
        size_t len = linkbuffer_len(to);
        cr_assert(holds_unread(to, len, read));
        if (len > 4 * KIB) {
            cr_assert_eq(linkbuffer_skip(to, len), 0);
            read += len;
        }
        linkbuffer_release(to);
        linkbuffer_release(pair.lb);
    }
    linkbuffer_destroy(to);
    close_pair(&pair);
}

static ssize_t fill_all(void *arg, void *into, size_t n)
{
    (void)arg;
    memset(into, 'f', n);
    return (ssize_t)n;
}

Test(io, a_source_that_fills_every_offer_holds_about_what_it_gave)
{
    SKIP_IF_HOSTILE();
    size_t sizes[] = {100000, 1 << 20, 16 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct linkbuffer *lb = make_buffer();
        struct linkbuffer_stats stats;
        cr_assert_geq(linkbuffer_pull(lb, sizes[i], fill_all, NULL), (ssize_t)sizes[i]);
        linkbuffer_stats_read(lb, &stats);
        cr_assert_leq(stats.bytes_held, 4 * sizes[i]);
        linkbuffer_destroy(lb);
    }
}
