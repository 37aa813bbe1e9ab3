/*
 * linkbuffer by itself, one call after the other, each with the figures it really gives. Needs
 * nothing else of the toolkit but the memory it stands on. The last section has two threads.
 */
#include <linkbuffer/io.h>
#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define STATUS_FAILED 1
#define STATUS_USAGE  2

#define MESSAGES     1000
#define MESSAGE_SIZE 1000
#define UNREAD_MAX   65536 /* where the writer waits for the reader */

/* Every call that can fail says so by its result: 0 or a count, or a negative errno value. */
static ssize_t must(ssize_t result)
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
    must(linkbuffer_create(&lb));
    return lb;
}

static void put(struct linkbuffer *lb, const char *text)
{
    must(linkbuffer_write(lb, text, strlen(text)));
    linkbuffer_flush(lb);
}

/* Consumes all there is and prints it in one piece. */
static void print_rest(struct linkbuffer *lb)
{
    const void *bytes;
    size_t n = linkbuffer_len(lb);
    must(linkbuffer_next(lb, n, &bytes));
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
    must(linkbuffer_write(lb, "hello, ", 7));
    must(linkbuffer_write(lb, "buffer", 6));
    printf("write:     readable before the flush %zu bytes,", linkbuffer_len(lb));
    linkbuffer_flush(lb);
    printf(" after it %zu; next shows ", linkbuffer_len(lb));
    print_rest(lb);
    printf("; blocks held after release %zu\n", stats_of(lb).blocks);
}

static void show_reserve(struct linkbuffer *lb)
{
    void *into;
    must(linkbuffer_reserve(lb, 100, &into));
    size_t reserved = linkbuffer_reserved_len(lb);
    int n = snprintf(into, reserved, "formatted in place");
    must(linkbuffer_commit(lb, (size_t)n));
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
    must(linkbuffer_peek(lb, 8, &bytes));
    printf("peek:      8 bytes in one window: %zu copied;", stats_of(lb).bytes_copied - copied);
    must(linkbuffer_peek(lb, 11, &bytes));
    printf(" 11 in two: %zu copied: \"%.11s\"; still readable %zu\n",
           stats_of(lb).bytes_copied - copied, (const char *)bytes, linkbuffer_len(lb));
    must(linkbuffer_skip(lb, 11));
    linkbuffer_release(lb);
}

static void show_until(struct linkbuffer *lb)
{
    const void *line;
    size_t n;
    put(lb, "first;second");
    must(linkbuffer_write_byte(lb, ';'));
    put(lb, "rest");
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
    must(linkbuffer_write_u32_be(lb, 0x01020304));
    must(linkbuffer_write_u16_le(lb, 0x0506));
    linkbuffer_flush(lb);
    must(linkbuffer_peek_u32_be(lb, &big));
    must(linkbuffer_read_byte(lb, &first));
    must(linkbuffer_skip(lb, 3));
    must(linkbuffer_read_u16_le(lb, &little));
    linkbuffer_release(lb);
    printf("integers:  0x%08" PRIx32 " begins with byte %d; 0x%04x\n", big, first, little);
}

static void show_slice_and_append(struct linkbuffer *lb)
{
    struct linkbuffer *original = make_buffer();
    struct linkbuffer *slice;
    put(original, "a life of its own, without a copy");
    must(linkbuffer_slice(original, 17, &slice));
    put(lb, "appended:");
    must(linkbuffer_append(lb, original));
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
    must(linkbuffer_write_ref(lb, body, sizeof body - 1, count_release, &released));
    linkbuffer_flush(lb);
    must(linkbuffer_next(lb, sizeof body - 1, &bytes));
    printf("write_ref: next shows the very same address: %s; released %u times",
           bytes == body ? "yes" : "no", released);
    linkbuffer_release(lb);
    printf(", after release %u\n", released);
    must(linkbuffer_write(lb, "head tail", 9));
    must(linkbuffer_write_direct(lb, 4, &ref));
    linkbuffer_flush(lb);
    printf("direct:    in front of the last 4 bytes: ");
    print_rest(lb);
    printf("; released %u times\n", released);
}

/* A block is filled once; buffers show ranges of it, each with a count of its own. */
static void show_adopt(struct linkbuffer *lb)
{
    struct linkbuffer_block *block = linkbuffer_block_create(1000);
    const void *bytes;
    must(block == NULL ? -errno : 0);
    char *data = linkbuffer_block_data(block);
    (void)snprintf(data, linkbuffer_block_capacity(block), "not this, but that");
    must(linkbuffer_adopt(lb, block, data + 14, 4));
    linkbuffer_flush(lb);
    must(linkbuffer_next(lb, 4, &bytes));
    printf("adopt:     \"%.4s\" of a block of %zu bytes, shown where it lies: %s; block shared: %s",
           (const char *)bytes, linkbuffer_block_capacity(block), bytes == data + 14 ? "yes" : "no",
           linkbuffer_block_is_shared(block) ? "yes" : "no");
    linkbuffer_release(lb);
    printf(", after release: %s\n", linkbuffer_block_is_shared(block) ? "yes" : "no");
    linkbuffer_block_release(block);
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
    must(linkbuffer_skip(lb, linkbuffer_len(lb)));
    linkbuffer_release(lb);
    putchar('\n');
}

static void show_descriptors(struct linkbuffer *lb)
{
    int ends[2];
    struct linkbuffer *other = make_buffer();
    must(pipe(ends) == 0 ? 0 : -errno);
    put(lb, "through ");
    put(lb, "a pipe");
    ssize_t out = must(linkbuffer_drain_fd(lb, ends[1], SIZE_MAX));
    linkbuffer_release(lb);
    ssize_t in = must(linkbuffer_fill_fd(other, ends[0], 1 << 20));
    printf("pipe:      drained %zd bytes, filled %zd; held %zu and a header of %zu: ", out, in,
           stats_of(other).bytes_held, stats_of(other).blocks * LINKBUFFER_BLOCK_OVERHEAD);
    print_rest(other);
    putchar('\n');
    linkbuffer_destroy(other);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Reads 1000 bytes at most at a time, as from a slow peer, until n are there; says how often. */
static unsigned fill(struct linkbuffer *lb, int fd, size_t n)
{
    unsigned reads = 0;
    linkbuffer_need(lb, n); /* so that what comes is put in one piece */
    for (; linkbuffer_len(lb) < n; reads++)
        if (must(linkbuffer_fill_fd(lb, fd, 1000)) == 0)
            must(-EPIPE);
    return reads;
}

static void show_frame(struct linkbuffer *lb)
{
    static const char body[3000];
    struct linkbuffer *other = make_buffer();
    const void *message;
    uint32_t length;
    int ends[2];
    must(pipe(ends) == 0 ? 0 : -errno);
    must(linkbuffer_write_u32_be(lb, sizeof body));
    must(linkbuffer_write_ref(lb, body, sizeof body, NULL, NULL));
    linkbuffer_flush(lb);
    must(linkbuffer_drain_fd(lb, ends[1], sizeof length));
    fill(other, ends[0], sizeof length);
    must(linkbuffer_read_u32_be(other, &length));
    must(linkbuffer_drain_fd(lb, ends[1], SIZE_MAX));
    linkbuffer_release(lb);
    unsigned reads = fill(other, ends[0], length);
    must(linkbuffer_next(other, length, &message));
    printf("need:      %" PRIu32 " bytes came in %u reads and are shown in one piece, %zu copied\n",
           length, reads, stats_of(other).bytes_copied);
    linkbuffer_destroy(other);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* For whoever receives otherwise than by read(2): the library says how much, and where to. */
static void show_input(struct linkbuffer *lb)
{
    char mine[16];
    void *into;
    size_t n;
    must(linkbuffer_reserve_input(lb, 1 << 20, &into, &n));
    memcpy(into, "it came", 7);
    must(linkbuffer_commit(lb, linkbuffer_reserved_len(lb) - n + 7));
    linkbuffer_flush(lb);
    printf("input:     %zu bytes offered to a receiver, %zu unread;", n, linkbuffer_unread(lb));
    n = linkbuffer_read(lb, mine, sizeof mine);
    linkbuffer_release(lb);
    printf(" read copies %zu of %zu wanted: \"%.*s\"\n", n, sizeof mine, (int)n, mine);
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
    printf("pull:      8 wanted, %zd came;", must(linkbuffer_pull(lb, 8, give_three, &text)));
    printf(" 100 wanted, %zd when the source ended: ",
           must(linkbuffer_pull(lb, 100, give_three, &text)));
    print_rest(lb);
    putchar('\n');
}

static void show_settle(struct linkbuffer *lb)
{
    void *into;
    must(linkbuffer_reserve(lb, 60000, &into));
    memset(into, '.', 60000);
    linkbuffer_flush(lb);
    must(linkbuffer_skip(lb, 59990));
    size_t held = stats_of(lb).bytes_held;
    linkbuffer_settle(lb, 0);
    printf("settle:    %zu bytes unread hold %zu, then %zu, without headers of %zu: ",
           linkbuffer_len(lb), held, stats_of(lb).bytes_held, LINKBUFFER_BLOCK_OVERHEAD);
    print_rest(lb);
    putchar('\n');
}

static void *write_messages(void *arg)
{
    struct linkbuffer *lb = arg;
    void *into;
    for (int i = 0; i < MESSAGES; i++) {
        while (linkbuffer_unread(lb) > UNREAD_MAX)
            sched_yield();
        must(linkbuffer_reserve(lb, MESSAGE_SIZE, &into));
        memset(into, i, MESSAGE_SIZE);
        linkbuffer_flush(lb);
    }
    return NULL;
}

/* Nothing but the buffer is between the two: a flush is all it takes to hand bytes over. */
static void show_threads(struct linkbuffer *lb)
{
    char wanted[MESSAGE_SIZE];
    const void *bytes;
    pthread_t writer;
    size_t copied = stats_of(lb).bytes_copied;
    int good = 0;
    must(-pthread_create(&writer, NULL, write_messages, lb));
    for (int i = 0; i < MESSAGES; i++) {
        while (linkbuffer_len(lb) < MESSAGE_SIZE)
            sched_yield(); /* a program has its writer tell it */
        must(linkbuffer_next(lb, MESSAGE_SIZE, &bytes));
        memset(wanted, i, sizeof wanted);
        good += memcmp(bytes, wanted, sizeof wanted) == 0;
        linkbuffer_release(lb);
    }
    must(-pthread_join(writer, NULL));
    printf("threads:   %d of %d messages of %d bytes as written, no lock, %zu bytes copied\n", good,
           MESSAGES, MESSAGE_SIZE, stats_of(lb).bytes_copied - copied);
}

int main(int argc, char **argv)
{
    static void (*const sections[])(struct linkbuffer *) = {
        show_write,    show_reserve,          show_peek,       show_until,
        show_integers, show_slice_and_append, show_references, show_adopt,
        show_iov,      show_descriptors,      show_frame,      show_input,
        show_pull,     show_settle,           show_threads};
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
    mcache_stats_read(&stats);
    printf("memory:    %zu bytes live at the end\n", stats.live_bytes);
    return 0;
}
