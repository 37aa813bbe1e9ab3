/* The reader side of the fuzzed buffers. */
#include "linkbuffer_model.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

static size_t bytes_copied(struct model *m)
{
    struct linkbuffer_stats stats;

    linkbuffer_stats_read(m->lb, &stats);
    return stats.bytes_copied;
}

/* next and peek; what lies in one piece is shown where it lies. */
static void show(struct fuzz_input *in, struct model *m, bool consume)
{
    size_t n = choose_demand(in, m);
    struct iovec first = {NULL, 0};
    bool is_readable = linkbuffer_iov(m->lb, &first, 1) == 1;
    size_t copied = bytes_copied(m);
    const void *out = m;
    int status = consume ? linkbuffer_next(m->lb, n, &out) : linkbuffer_peek(m->lb, n, &out);

    FUZZ_CHECK(is_readable == (m->unread > 0));
    if (n > m->unread) {
        FUZZ_CHECK(status == -EAGAIN && out == m);
    } else if (!succeeded(status)) {
        FUZZ_CHECK(out == m);
    } else if (n == 0) {
        FUZZ_CHECK(out == NULL);
    } else {
        FUZZ_CHECK(memcmp(out, model_unread(m), n) == 0);
        FUZZ_CHECK(n > first.iov_len || (out == first.iov_base && bytes_copied(m) == copied));
        model_hold(m, out, n, false);
        if (consume)
            model_consume(m, n);
    }
}

static void do_next(struct fuzz_input *in, struct model *m)
{
    show(in, m, true);
}

static void do_peek(struct fuzz_input *in, struct model *m)
{
    show(in, m, false);
}

static void do_skip(struct fuzz_input *in, struct model *m)
{
    size_t n = choose_demand(in, m);
    int status = linkbuffer_skip(m->lb, n);

    FUZZ_CHECK(status == (n > m->unread ? -EAGAIN : 0));
    if (status == 0)
        model_consume(m, n);
}

static void do_read(struct fuzz_input *in, struct model *m)
{
    static uint8_t into[LIMIT + 256];
    size_t n = choose_demand(in, m);
    size_t expected = n < m->unread ? n : m->unread;

    FUZZ_CHECK(linkbuffer_read(m->lb, into, n) == expected);
    FUZZ_CHECK(memcmp(into, model_unread(m), expected) == 0);
    model_consume(m, expected);
}

static void do_read_byte(struct fuzz_input *in, struct model *m)
{
    uint8_t byte = 0;
    int status = linkbuffer_read_byte(m->lb, &byte);

    (void)in;
    FUZZ_CHECK(status == (m->unread == 0 ? -EAGAIN : 0));
    if (status == 0) {
        FUZZ_CHECK(byte == *model_unread(m));
        model_consume(m, 1);
    }
}

/* A byte that is there, or one that is there now and then, so that searches are resumed. */
static void do_until(struct fuzz_input *in, struct model *m)
{
    uint8_t choice = fuzz_byte(in);
    uint8_t delimiter = choice;
    const void *out = m;
    size_t got = 0;

    if (choice >= 128 && m->unread > 0)
        delimiter = model_unread(m)[m->unread * (choice - 128U) / 128];
    else if (choice >= 32)
        delimiter = DELIMITER;
    const uint8_t *hit = memchr(model_unread(m), delimiter, m->unread);
    int status = linkbuffer_until(m->lb, delimiter, &out, &got);
    if (hit == NULL) {
        FUZZ_CHECK(status == -EAGAIN && out == m && got == 0);
    } else if (succeeded(status)) {
        FUZZ_CHECK(got == (size_t)(hit - model_unread(m)) + 1);
        FUZZ_CHECK(memcmp(out, model_unread(m), got) == 0);
        model_hold(m, out, got, false);
        model_consume(m, got);
    } else {
        FUZZ_CHECK(out == m && got == 0);
    }
}

static uint64_t integer_of(const uint8_t *bytes, size_t n, bool is_big_endian)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | bytes[is_big_endian ? i : n - 1 - i];
    return value;
}

#define READ_INTEGER(type, suffix)                                                             \
    static int read_##suffix(struct linkbuffer *lb, bool consume, uint64_t *out)               \
    {                                                                                          \
        type got = 0;                                                                          \
        int status =                                                                           \
            consume ? linkbuffer_read_##suffix(lb, &got) : linkbuffer_peek_##suffix(lb, &got); \
        *out = got;                                                                            \
        return status;                                                                         \
    }
READ_INTEGER(uint16_t, u16_be)
READ_INTEGER(uint16_t, u16_le)
READ_INTEGER(uint32_t, u32_be)
READ_INTEGER(uint32_t, u32_le)
READ_INTEGER(uint64_t, u64_be)
READ_INTEGER(uint64_t, u64_le)

static void do_read_integer(struct fuzz_input *in, struct model *m)
{
    static int (*const readers[])(struct linkbuffer *, bool, uint64_t *) = {
        read_u16_be, read_u16_le, read_u32_be, read_u32_le, read_u64_be, read_u64_le};
    uint8_t choice = fuzz_byte(in);
    bool consume = choice >= 128;
    unsigned kind = choice % 6;
    size_t n = (size_t)2 << kind / 2;
    size_t copied = bytes_copied(m);
    uint64_t value = 0;
    int status = readers[kind](m->lb, consume, &value);

    FUZZ_CHECK(status == (n > m->unread ? -EAGAIN : 0));
    FUZZ_CHECK(bytes_copied(m) == copied);
    if (status != 0)
        return;
    FUZZ_CHECK(value == integer_of(model_unread(m), n, kind % 2 == 0));
    if (consume)
        model_consume(m, n);
}

static void do_slice(struct fuzz_input *in, struct model *m)
{
    struct model *to = &models[2 + fuzz_byte(in) % (BUFFERS - 2)];
    size_t n = choose_demand(in, m);
    struct linkbuffer *slice = m->lb;

    if (to == m)
        return;
    int status = linkbuffer_slice(m->lb, n, &slice);
    if (n > m->unread)
        FUZZ_CHECK(status == -EAGAIN && slice == NULL);
    else if (!succeeded(status))
        FUZZ_CHECK(slice == NULL);
    if (slice == NULL)
        return;
    model_drop_held(m, true);
    if (to->lb != NULL)
        model_end(to);
    model_start(to, slice, model_unread(m), n);
    model_consume(m, n);
    model_check(to);
}

static void do_release(struct fuzz_input *in, struct model *m)
{
    (void)in;
    model_check_held(m);
    linkbuffer_release(m->lb);
    model_drop_held(m, false);
}

static void do_settle(struct fuzz_input *in, struct model *m)
{
    size_t copy_limit = choose_size(in);

    model_check_held(m);
    linkbuffer_settle(m->lb, copy_limit);
    model_drop_held(m, false);
    model_check_content(m);
}

static void do_iov(struct fuzz_input *in, struct model *m)
{
    struct iovec first;

    (void)in;
    model_check_content(m);
    FUZZ_CHECK(linkbuffer_iov(m->lb, &first, 0) == 0);
    if (linkbuffer_iov(m->lb, &first, 1) == 1)
        model_hold(m, first.iov_base, first.iov_len, true);
}

static void do_stats(struct fuzz_input *in, struct model *m)
{
    struct linkbuffer_stats stats;

    (void)in;
    linkbuffer_stats_read(m->lb, &stats);
    FUZZ_CHECK(stats.bytes_copied >= m->copied);
    FUZZ_CHECK(stats.blocks > 0 || (m->unread == 0 && stats.bytes_held == 0));
    m->copied = stats.bytes_copied;
}

/* Everything is consumed, released and taken back: the buffer owns nothing. */
static void do_empty(struct fuzz_input *in, struct model *m)
{
    struct linkbuffer_stats stats;

    do_iov(in, m);
    FUZZ_CHECK(linkbuffer_skip(m->lb, m->unread) == 0);
    model_consume(m, m->unread);
    do_release(in, m);
    FUZZ_CHECK(linkbuffer_commit(m->lb, 0) == 0);
    m->written = 0;
    m->reserved_count = 0;
    linkbuffer_stats_read(m->lb, &stats);
    FUZZ_CHECK(stats.blocks == 0 && stats.bytes_held == 0);
}

static void do_destroy(struct fuzz_input *in, struct model *m)
{
    (void)in;
    if (m >= &models[2])
        model_end(m);
}

operation_fn *const read_operations[] = {
    do_next,    do_next,    do_peek,  do_peek,  do_skip,  do_read,    do_read_byte, do_read_integer,
    do_until,   do_until,   do_slice, do_slice, do_slice, do_settle,  do_settle,    do_release,
    do_release, do_release, do_iov,   do_stats, do_empty, do_destroy,
};
const size_t read_operation_count = sizeof read_operations / sizeof *read_operations;
