/*
 * linkbuffer by itself, one call after the other, each with the figures it really gives. Needs
 * nothing else of the toolkit but the memory it stands on. One thread, which is reader and writer.
 */
#include <linkbuffer/io.h>
#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define STATUS_FAILED 1
#define STATUS_USAGE  2

/* Every call that can fail says so by its result: 0 or a count, or a negative errno value. */
static ssize_t need(ssize_t result)
{
    if (result < 0) {
        (void)fprintf(stderr, "buffer_demo: %s\n", strerror((int)-result));
        exit(STATUS_FAILED);
    }
    return result;
}

static struct linkbuffer *make_buffer(void)
{
    struct linkbuffer *lb;
    need(linkbuffer_create(&lb));
    return lb;
}

static void put(struct linkbuffer *lb, const char *text)
{
    need(linkbuffer_write(lb, text, strlen(text)));
    linkbuffer_flush(lb);
}

/* Consumes all there is and prints it in one piece. */
static void print_rest(struct linkbuffer *lb)
{
    const void *bytes;
    size_t n = linkbuffer_len(lb);
    need(linkbuffer_next(lb, n, &bytes));
    printf("\"%.*s\"", (int)n, n == 0 ? "" : (const char *)bytes);
    linkbuffer_release(lb);
}

static struct linkbuffer_stats stats_of(struct linkbuffer *lb)
{
    struct linkbuffer_stats stats;
    linkbuffer_stats_read(lb, &stats);
    return stats;
}

static void show_write(struct linkbuffer *lb)
{
    need(linkbuffer_write(lb, "hello, ", 7));
    need(linkbuffer_write(lb, "buffer", 6));
    printf("write:     readable before the flush %zu bytes,", linkbuffer_len(lb));
    linkbuffer_flush(lb);
    printf(" after it %zu; next shows ", linkbuffer_len(lb));
    print_rest(lb);
    printf("; blocks held after release %zu\n", stats_of(lb).blocks);
}

static void show_reserve(struct linkbuffer *lb)
{
    void *into;
    need(linkbuffer_reserve(lb, 100, &into));
    size_t reserved = linkbuffer_reserved_len(lb);
    int n = snprintf(into, reserved, "formatted in place");
    need(linkbuffer_commit(lb, (size_t)n));
    printf("reserve:   %zu bytes reserved, %zu committed: ", reserved, linkbuffer_reserved_len(lb));
    linkbuffer_flush(lb);
    print_rest(lb);
    putchar('\n');
}

static void show_peek(struct linkbuffer *lb)
{
    const void *bytes;
    put(lb, "two wind");
    put(lb, "ows");
    size_t copied = stats_of(lb).bytes_copied;
    need(linkbuffer_peek(lb, 8, &bytes));
    printf("peek:      8 bytes in one window: %zu copied;", stats_of(lb).bytes_copied - copied);
    need(linkbuffer_peek(lb, 11, &bytes));
    printf(" 11 in two: %zu copied: \"%.11s\"; still readable %zu\n",
           stats_of(lb).bytes_copied - copied, (const char *)bytes, linkbuffer_len(lb));
    need(linkbuffer_skip(lb, 11));
    linkbuffer_release(lb);
}

static void show_until(struct linkbuffer *lb)
{
    const void *line;
    size_t n;
    put(lb, "first;second;rest");
    printf("until ';':");
    while (linkbuffer_until(lb, ';', &line, &n) == 0)
        printf(" \"%.*s\"", (int)n, (const char *)line);
    printf(" and without one ");
    print_rest(lb);
    putchar('\n');
}

static void show_integers(struct linkbuffer *lb)
{
    uint32_t big;
    uint16_t little;
    uint8_t first;
    need(linkbuffer_write_u32_be(lb, 0x01020304));
    need(linkbuffer_write_u16_le(lb, 0x0506));
    linkbuffer_flush(lb);
    need(linkbuffer_peek_u32_be(lb, &big));
    need(linkbuffer_read_byte(lb, &first));
    need(linkbuffer_skip(lb, 3));
    need(linkbuffer_read_u16_le(lb, &little));
    linkbuffer_release(lb);
    printf("integers:  0x%08" PRIx32 " begins with byte %d; 0x%04x\n", big, first, little);
}

static void show_slice_and_append(struct linkbuffer *lb)
{
    struct linkbuffer *original = make_buffer();
    struct linkbuffer *slice;
    put(original, "a life of its own, without a copy");
    need(linkbuffer_slice(original, 17, &slice));
    put(lb, "appended:");
    need(linkbuffer_append(lb, original));
    linkbuffer_flush(lb);
    printf("append:    readable in the source %zu bytes, in the destination %zu: ",
           linkbuffer_len(original), linkbuffer_len(lb));
    linkbuffer_destroy(original);
    print_rest(lb);
    printf("\nslice:     after the end of its source: ");
    print_rest(slice);
    printf("; %zu bytes copied\n", stats_of(slice).bytes_copied);
    linkbuffer_destroy(slice);
}

static void count_release(void *arg)
{
    ++*(unsigned *)arg;
}

static void show_references(struct linkbuffer *lb)
{
    static const char body[] = "[the caller's memory]";
    unsigned released = 0;
    const struct linkbuffer_ref ref = {body, sizeof body - 1, count_release, &released};
    const void *bytes;
    need(linkbuffer_write_ref(lb, body, sizeof body - 1, count_release, &released));
    linkbuffer_flush(lb);
    need(linkbuffer_next(lb, sizeof body - 1, &bytes));
    printf("write_ref: next shows the very same address: %s; released %u times",
           bytes == body ? "yes" : "no", released);
    linkbuffer_release(lb);
    printf(", after release %u\n", released);
    need(linkbuffer_write(lb, "head tail", 9));
    need(linkbuffer_write_direct(lb, 4, &ref));
    linkbuffer_flush(lb);
    printf("direct:    in front of the last 4 bytes: ");
    print_rest(lb);
    printf("; released %u times\n", released);
}

static void show_iov(struct linkbuffer *lb)
{
    struct iovec iov[8];
    put(lb, "as it");
    put(lb, " lies");
    int count = linkbuffer_iov(lb, iov, 8);
    printf("iov:       %d pieces:", count);
    for (int i = 0; i < count; i++)
        printf(" \"%.*s\"", (int)iov[i].iov_len, (const char *)iov[i].iov_base);
    need(linkbuffer_skip(lb, linkbuffer_len(lb)));
    linkbuffer_release(lb);
    putchar('\n');
}

static void show_descriptors(struct linkbuffer *lb)
{
    int ends[2];
    struct linkbuffer *other = make_buffer();
    need(pipe(ends) == 0 ? 0 : -errno);
    put(lb, "through ");
    put(lb, "a pipe");
    ssize_t out = need(linkbuffer_drain_fd(lb, ends[1], SIZE_MAX));
    linkbuffer_release(lb);
    ssize_t in = need(linkbuffer_fill_fd(other, ends[0], 1 << 20));
    printf("pipe:      drained %zd bytes in one write, filled %zd in one read, %zu held: ", out, in,
           stats_of(other).bytes_held);
    print_rest(other);
    putchar('\n');
    linkbuffer_destroy(other);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Anything that gives bytes can be a source: here a text, three bytes at a time. */
static ssize_t give_three(void *arg, void *into, size_t n)
{
    const char **text = arg;
    size_t length = strnlen(*text, n < 3 ? n : 3);
    memcpy(into, *text, length);
    *text += length;
    return (ssize_t)length;
}

static void show_pull(struct linkbuffer *lb)
{
    const char *text = "a source in pieces";
    ssize_t first = need(linkbuffer_pull(lb, 8, give_three, &text));
    ssize_t all = need(linkbuffer_pull(lb, 100, give_three, &text));
    printf("pull:      8 wanted, %zd came; 100 wanted, %zd when the source ended: ", first, all);
    print_rest(lb);
    putchar('\n');
}

static void show_settle(struct linkbuffer *lb)
{
    void *into;
    need(linkbuffer_reserve(lb, 60000, &into));
    memset(into, '.', 60000);
    linkbuffer_flush(lb);
    need(linkbuffer_skip(lb, 59990));
    size_t held = stats_of(lb).bytes_held;
    linkbuffer_settle(lb, 0);
    printf("settle:    10 bytes unread hold %zu bytes, then %zu: ", held, stats_of(lb).bytes_held);
    print_rest(lb);
    putchar('\n');
}

static void show_copies(void)
{
    enum {
        PIECES = 1000,
        PIECE = 1000
    };
    struct linkbuffer *lb = make_buffer();
    const void *bytes;
    void *into;
    for (int i = 0; i < PIECES; i++) {
        need(linkbuffer_reserve(lb, PIECE, &into));
        memset(into, i, PIECE);
        linkbuffer_flush(lb);
        need(linkbuffer_next(lb, PIECE, &bytes));
        linkbuffer_release(lb);
    }
    printf("copies:    %d bytes written in place and shown, %zu copied\n", PIECES * PIECE,
           stats_of(lb).bytes_copied);
    linkbuffer_destroy(lb);
}

int main(int argc, char **argv)
{
    static void (*const sections[])(struct linkbuffer *) = {
        show_write,      show_reserve,  show_peek,
        show_until,      show_integers, show_slice_and_append,
        show_references, show_iov,      show_descriptors,
        show_pull,       show_settle};
    struct mcache_stats stats;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("usage: buffer_demo [--help]\nShows what linkbuffer does; takes no other flag.");
        return 0;
    }
    if (argc > 1) {
        (void)fprintf(stderr, "buffer_demo: unknown flag \"%s\"; there is only --help\n", argv[1]);
        return STATUS_USAGE;
    }
    struct linkbuffer *lb = make_buffer();
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        sections[i](lb);
    linkbuffer_destroy(lb);
    show_copies();
    mcache_stats_read(&stats);
    printf("memory:    %zu bytes live at the end\n", stats.live_bytes);
    return 0;
}
