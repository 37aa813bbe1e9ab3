/* Ranges of files among the bytes of a buffer. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linkbuffer/file.h>
#include <linkbuffer/io.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FILE_BYTES = 200000,
};

/* A file of the pattern, which nobody else can open. */
static int open_pattern(size_t n)
{
    char name[] = "/tmp/linkbuffer-XXXXXX";
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(name), 0);
    for (size_t at = 0; at < n; at += 10000)
        send_pattern(fd, n - at < 10000 ? n - at : 10000, at);
    return fd;
}

static void put_file(struct linkbuffer *lb, int fd, size_t offset, size_t n, int *releases)
{
    const struct linkbuffer_file file = {
        .fd = fd, .offset = (off_t)offset, .n = n, .release = count_call, .arg = releases};
    cr_assert_eq(linkbuffer_write_file(lb, &file), 0);
    cr_assert_eq(linkbuffer_flush(lb), n);
}

/* 100 bytes, a file's up to 20000, 500 bytes, a file's up to 100000, 100 bytes: of the pattern. */
static struct linkbuffer *make_mixed(int fd, int *releases)
{
    struct linkbuffer *lb = make_buffer();
    put(lb, 100, 0);
    put_file(lb, fd, 100, 19900, releases);
    put(lb, 500, 20000);
    put_file(lb, fd, 20500, 79500, releases);
    put(lb, 100, 100000);
    cr_assert_eq(linkbuffer_len(lb), 100100);
    return lb;
}

Test(file, is_read_when_somebody_wants_to_see_it)
{
    static const size_t steps[] = {1, 7, 99, 100, 101, 4032, 4096, 19999, 20000, 70000, 100100};
    static uint8_t into[100100];
    int fd = open_pattern(FILE_BYTES);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int releases = 0;
        struct linkbuffer *lb = make_mixed(fd, &releases);
        struct linkbuffer *other = make_mixed(fd, &releases);
        for (size_t at = 0; at < 100100;) {
            size_t n = steps[i] < 100100 - at ? steps[i] : 100100 - at;
            const void *out;
            const void *peeked;
            cr_assert_eq(linkbuffer_peek(lb, n, &peeked), 0);
            cr_assert(pattern_holds(peeked, n, at));
            cr_assert_eq(linkbuffer_next(lb, n, &out), 0);
            cr_assert(pattern_holds(out, n, at));
            cr_assert(pattern_holds(peeked, n, at));
            cr_assert_eq(linkbuffer_read(other, into, n), n);
            cr_assert(pattern_holds(into, n, at));
            at += n;
            if (at % 2 == 0)
                linkbuffer_release(lb);
        }
        linkbuffer_release(lb);
        linkbuffer_release(other);
        cr_assert_eq(releases, 4);
        cr_assert_eq(linkbuffer_len(lb), 0);
        linkbuffer_destroy(lb);
        linkbuffer_destroy(other);
    }
    close(fd);
}

Test(file, bytes_and_integers_are_read_from_it)
{
    int releases = 0;
    int fd = open_pattern(FILE_BYTES);
    struct linkbuffer *lb = make_buffer();
    uint8_t byte;
    uint32_t word;
    put_file(lb, fd, 10, 5, &releases);
    put(lb, 4, 15);
    cr_assert_eq(linkbuffer_read_byte(lb, &byte), 0);
    cr_assert_eq(byte, pattern_at(10));
    for (size_t at = 11; at < 19; at += 4) {
        uint8_t expected[4];
        pattern_fill(expected, 4, at);
        cr_assert_eq(linkbuffer_read_u32_be(lb, &word), 0);
        cr_assert_eq(word, (uint32_t)expected[0] << 24 | (uint32_t)expected[1] << 16 |
                               (uint32_t)expected[2] << 8 | expected[3]);
    }
    linkbuffer_destroy(lb);
    cr_assert_eq(releases, 1);
    close(fd);
}

Test(file, a_delimiter_is_found_in_it)
{
    int releases = 0;
    int fd = open_pattern(0);
    char line[12000];
    memset(line, 'a', sizeof line);
    line[9000] = '\n';
    cr_assert_eq(write(fd, line, sizeof line), (ssize_t)sizeof line);
    struct linkbuffer *lb = make_buffer();
    const void *out;
    size_t n;
    cr_assert_eq(linkbuffer_write(lb, line, 100), 0);
    cr_assert_eq(linkbuffer_flush(lb), 100);
    put_file(lb, fd, 0, 5000, &releases);
    cr_assert_eq(linkbuffer_find(lb, '\n'), -EAGAIN);
    put_file(lb, fd, 5000, 7000, &releases);
    cr_assert_eq(linkbuffer_find(lb, '\n'), 9100);
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), 0);
    cr_assert_eq(n, 9101);
    cr_assert_eq(memcmp((const char *)out + 100, line, 9001), 0);
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_len(lb), 2999);
    linkbuffer_destroy(lb);
    cr_assert_eq(releases, 2);
    close(fd);
}

Test(file, is_told_to_a_sender_and_holds_no_memory)
{
    SKIP_IF_HOSTILE();
    int releases = 0;
    int fd = open_pattern(FILE_BYTES);
    struct linkbuffer *lb = make_mixed(fd, &releases);
    struct linkbuffer_file file;
    struct iovec iov[8];
    cr_assert_eq(linkbuffer_file_len(lb), 99400);
    cr_assert_leq(figures(lb).bytes_held, 4096);
    cr_assert_eq(linkbuffer_iov(lb, iov, 8), 1);
    cr_assert_eq(iov[0].iov_len, 100);
    cr_assert_eq(linkbuffer_find_file(lb, &file), 100);
    cr_assert_eq(linkbuffer_skip(lb, 150), 0);
    cr_assert_eq(linkbuffer_iov(lb, iov, 8), 0);
    cr_assert_eq(linkbuffer_find_file(lb, &file), 0);
    cr_assert_eq(file.fd, fd);
    cr_assert_eq(file.offset, 150);
    cr_assert_eq(file.n, 19850);
    /* Only what is wanted, and little more, is read. */
    cr_assert_eq(linkbuffer_load(lb, 5000), 0);
    cr_assert_eq(linkbuffer_find_file(lb, &file), 5000);
    cr_assert_eq(file.offset, 5150);
    cr_assert_eq(linkbuffer_load(lb, 99950), 0);
    cr_assert_eq(linkbuffer_find_file(lb, &file), -ENOENT);
    cr_assert_eq(linkbuffer_file_len(lb), 0);
    cr_assert_eq(releases, 2);
    cr_assert(holds_unread(lb, 99950, 150));
    cr_assert_eq(linkbuffer_load(lb, 99951), -EAGAIN);
    linkbuffer_destroy(lb);
    close(fd);
}

Test(file, is_shared_by_slices_and_released_once)
{
    SKIP_IF_HOSTILE();
    int releases = 0;
    int fd = open_pattern(FILE_BYTES);
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slices[5];
    size_t at = 0;
    put_file(lb, fd, 0, 100000, &releases);
    put(lb, 50, 100000);
    for (size_t i = 0; i < 5; i++) {
        size_t n = i < 4 ? 20000 + i : 100050 - at;
        cr_assert_eq(linkbuffer_slice(lb, n, &slices[i]), 0);
        cr_assert_eq(figures(slices[i]).bytes_copied, 0);
        at += n;
    }
    linkbuffer_destroy(lb);
    at = 0;
    for (size_t i = 0; i < 5; i++) {
        size_t n = linkbuffer_len(slices[i]);
        const void *out;
        cr_assert_eq(releases, 0);
        cr_assert_eq(linkbuffer_next(slices[i], n, &out), 0);
        cr_assert(pattern_holds(out, n, at));
        linkbuffer_destroy(slices[i]);
        at += n;
    }
    cr_assert_eq(at, 100050);
    cr_assert_eq(releases, 1);
    close(fd);
}

Test(file, keeps_its_place_when_buffers_are_appended_cut_and_read_late)
{
    int releases = 0;
    int fd = open_pattern(FILE_BYTES);
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *from = make_buffer();
    struct linkbuffer_file file = {
        .fd = fd, .offset = 100, .n = 5000, .release = count_call, .arg = &releases};
    const void *out;
    put(lb, 100, 0);
    cr_assert_eq(linkbuffer_peek(lb, 50, &out), 0);
    cr_assert_eq(linkbuffer_write_file(lb, &file), 0);
    cr_assert_eq(linkbuffer_commit(lb, 1000), 0);
    cr_assert_eq(linkbuffer_flush(lb), 1000);
    put(lb, 10, 1100);
    put_file(from, fd, 1110, 90, &releases);
    put(from, 800, 1200);
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_eq(linkbuffer_flush(lb), 890);
    cr_assert_eq(linkbuffer_append(from, lb), 0);
    cr_assert_eq(linkbuffer_flush(from), 2000);
    put(from, 5, 2000);
    cr_assert(pattern_holds(out, 50, 0));
    cr_assert_eq(linkbuffer_next(from, 2005, &out), 0);
    cr_assert(pattern_holds(out, 2005, 0));
    linkbuffer_destroy(lb);
    linkbuffer_destroy(from);
    cr_assert_eq(releases, 2);
    close(fd);
}

Test(file, that_has_become_shorter_is_an_error_and_nothing_is_lost)
{
    int releases = 0;
    int fd = open_pattern(3000);
    struct linkbuffer *lb = make_buffer();
    const void *out = NULL;
    uint8_t byte;
    uint32_t word;
    uint8_t into[4000];
    size_t n;
    struct linkbuffer_stats before = figures(lb);
    put(lb, 10, 0);
    put_file(lb, fd, 10, 2990, &releases);
    cr_assert_eq(ftruncate(fd, 1000), 0);
    cr_assert_eq(linkbuffer_peek(lb, 1001, &out), -EIO);
    cr_assert_eq(linkbuffer_next(lb, 3000, &out), -EIO);
    cr_assert_null(out);
    cr_assert_eq(linkbuffer_load(lb, 3000), -EIO);
    cr_assert_eq(linkbuffer_find(lb, '\n'), -EIO);
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), -EIO);
    cr_assert_eq(figures(lb).bytes_copied, before.bytes_copied);
    cr_assert_eq(linkbuffer_len(lb), 3000);
    cr_assert_eq(linkbuffer_read(lb, into, 2000), 1000);
    cr_assert(pattern_holds(into, 1000, 0));
    cr_assert_eq(linkbuffer_read(lb, into, 2000), 0);
    cr_assert_eq(linkbuffer_read_byte(lb, &byte), -EIO);
    cr_assert_eq(linkbuffer_read_u32_be(lb, &word), -EIO);
    cr_assert_eq(linkbuffer_len(lb), 2000);
    cr_assert_eq(releases, 0);
    /* It can still be thrown away. */
    cr_assert_eq(linkbuffer_skip(lb, 2000), 0);
    linkbuffer_destroy(lb);
    cr_assert_eq(releases, 1);
    close(fd);
}

Test(file, that_cannot_be_is_refused)
{
    int releases = 0;
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_file file = {.fd = -1, .n = 1, .release = count_call, .arg = &releases};
    cr_assert_eq(linkbuffer_write_file(lb, &file), -EINVAL);
    file.fd = 0;
    file.offset = -1;
    cr_assert_eq(linkbuffer_write_file(lb, &file), -EINVAL);
    file.offset = 2;
    file.n = PTRDIFF_MAX - 1;
    cr_assert_eq(linkbuffer_write_file(lb, &file), -EINVAL);
    cr_assert_eq(releases, 0);
    file.n = 0;
    cr_assert_eq(linkbuffer_write_file(lb, &file), 0);
    cr_assert_eq(releases, 1);
    file.n = 1;
    alloc_fail_at(1);
    cr_assert_eq(linkbuffer_write_file(lb, &file), -ENOMEM);
    cr_assert(alloc_failed());
    cr_assert_eq(releases, 1);
    cr_assert_eq(linkbuffer_flush(lb), 0);
    linkbuffer_destroy(lb);
}

Test(file, is_drained_to_a_socket)
{
    int releases = 0;
    int ends[2];
    int fd = open_pattern(FILE_BYTES);
    struct linkbuffer *lb = make_mixed(fd, &releases);
    static uint8_t got[65536];
    size_t at = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    cr_assert_eq(linkbuffer_drain_fd(lb, ends[0], 0), 0);
    while (at < 100100) {
        ssize_t sent = linkbuffer_drain_fd(lb, ends[0], 30000);
        cr_assert(sent == -EAGAIN || (sent > 0 && sent <= 30000));
        ssize_t came = read(ends[1], got, sizeof got);
        cr_assert_gt(came, 0);
        cr_assert(pattern_holds(got, (size_t)came, at));
        at += (size_t)came;
    }
    linkbuffer_release(lb);
    cr_assert_eq(releases, 2);
    put_file(lb, fd, FILE_BYTES, 10, &releases);
    cr_assert_eq(linkbuffer_drain_fd(lb, ends[0], 30000), -EIO);
    cr_assert_eq(linkbuffer_len(lb), 10);
    linkbuffer_destroy(lb);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

Test(file, is_copied_where_the_kernel_cannot_move_it)
{
    int releases = 0;
    char name[] = "/tmp/linkbuffer-XXXXXX";
    int fd = open_pattern(FILE_BYTES);
    int to = mkstemp(name);
    static uint8_t got[FILE_BYTES];
    cr_assert_geq(to, 0);
    close(to);
    /* sendfile(2) refuses to append. */
    to = open(name, O_RDWR | O_APPEND);
    cr_assert_geq(to, 0);
    struct linkbuffer *lb = make_mixed(fd, &releases);
    while (linkbuffer_len(lb) > 0)
        cr_assert_gt(linkbuffer_drain_fd(lb, to, SIZE_MAX), 0);
    cr_assert_eq(pread(to, got, sizeof got, 0), 100100);
    cr_assert(pattern_holds(got, 100100, 0));
    linkbuffer_destroy(lb);
    /* Whose descriptor is not one is told so, and nothing is sent. */
    const struct linkbuffer_file file = {.fd = 1000000, .n = 10};
    cr_assert_eq(linkbuffer_send_file(to, &file, 10), -EIO);
    unlink(name);
    close(to);
    close(fd);
}

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

Test(file, sends_no_signal)
{
    int ends[2];
    int fd = open_pattern(FILE_BYTES);
    const struct linkbuffer_file file = {.fd = fd, .n = 1000};
    sigset_t set;
    sigset_t before;
    signal(SIGPIPE, SIG_DFL);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    close(ends[1]);
    cr_assert_eq(linkbuffer_send_file(ends[0], &file, 1000), -EPIPE);
    cr_assert_not(is_pending());
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    /* Who has blocked it does not get one more, and keeps the one that is waiting. */
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
    cr_assert_eq(sigismember(&before, SIGPIPE), 0);
    cr_assert_eq(linkbuffer_send_file(ends[0], &file, 1000), -EPIPE);
    cr_assert_not(is_pending());
    cr_assert_eq(raise(SIGPIPE), 0);
    cr_assert_eq(linkbuffer_send_file(ends[0], &file, 1000), -EPIPE);
    cr_assert(is_pending());
    close(ends[0]);
    close(fd);
}

/* Two ends of a TCP connection; the first one blocks when it is full. */
static void connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, n), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(ends[1], (struct sockaddr *)&address, n), 0);
    ends[0] = accept(listener, NULL, NULL);
    cr_assert_geq(ends[0], 0);
    close(listener);
}

/* A reset behind the end of what the peer sends is told by EPIPE, which brings the signal. */
static void *take_some_and_reset(void *arg)
{
    const struct linger at_once = {.l_onoff = 1};
    int fd = *(const int *)arg;
    char some[1000];
    cr_assert_gt(recv(fd, some, sizeof some, 0), 0);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
    return NULL;
}

/* What was sent before is what is told of it; the signal comes all the same. */
Test(file, sends_no_signal_either_when_the_peer_goes_in_the_middle)
{
    int ends[2];
    int fd = open_pattern(0);
    const struct linkbuffer_file file = {.fd = fd, .n = (size_t)64 << 20};
    pthread_t thread;
    signal(SIGPIPE, SIG_DFL);
    cr_assert_eq(ftruncate(fd, (off_t)file.n), 0);
    connect_pair(ends);
    cr_assert_eq(pthread_create(&thread, NULL, take_some_and_reset, &ends[1]), 0);
    ssize_t sent = linkbuffer_send_file(ends[0], &file, file.n);
    cr_assert_gt(sent, 0);
    cr_assert_lt(sent, (ssize_t)file.n);
    cr_assert_not(is_pending());
    cr_assert_eq(pthread_join(thread, NULL), 0);
    close(ends[0]);
    close(fd);
}
