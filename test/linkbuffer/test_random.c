/*
 * Random operations on two buffers and their slices against flat arrays of bytes, with memory that
 * fails now and then. Everything shown is compared with the model until it is released. SEED in
 * the environment chooses another run.
 */
#include "model.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linkbuffer/file.h>
#include <linkbuffer/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUFFERS = 6,
    HOT = 64 * 1024 - 64,
    FILE_BYTES = 1 << 17
};

/* The first two live for the whole run, the rest are slices. */
static struct model models[BUFFERS];
static struct linkbuffer_block *hot;
static size_t hot_used;
static size_t lent;
static size_t given_back;
static uint64_t random_state;
static size_t content;
static int file_fd; /* the pattern from 0 on; -1: a run without files */

static size_t random_below(size_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 11) % n;
}

/* Mostly small, sometimes large, so that windows of all sizes meet. */
static size_t random_size(size_t max)
{
    static const size_t scales[] = {4, 40, 40, 400, 400, 4000, 20000};
    size_t scale = scales[random_below(sizeof scales / sizeof *scales)];
    return random_below((scale < max ? scale : max) + 1);
}

/* Mostly what is there, sometimes all of it, sometimes more. */
static size_t random_demand(const struct model *m)
{
    size_t dice = random_below(16);
    if (dice == 0)
        return m->unread + 1 + random_below(100);
    return dice == 1 ? m->unread : random_size(m->unread);
}

static void fill(uint8_t *into, size_t n)
{
    pattern_fill(into, n, content);
    content += n;
}

static void check(struct model *m)
{
    cr_assert_eq(linkbuffer_unread(m->lb), m->unread);
    cr_assert_eq(linkbuffer_reserved_len(m->lb), m->written);
    if (random_below(8) == 0)
        cr_assert_eq(linkbuffer_len(m->lb), m->unread);
    if (random_below(16) == 0)
        model_check_content(m);
    model_check_held(m);
}

/* A call that may fail for memory: 0 is success, and then the model has to follow. */
static bool succeeded(int status)
{
    bool injected = alloc_failed();
    cr_assert(status == 0 || (status == -ENOMEM && injected), "status %d", status);
    return status == 0;
}

static void give_back(void *arg)
{
    given_back++;
    free(arg);
}

static void do_write(struct model *m, size_t n)
{
    uint8_t *bytes = m->bytes + m->unread + m->written;
    fill(bytes, n);
    if (succeeded(linkbuffer_write(m->lb, bytes, n)))
        m->written += n;
}

static void do_reserve(struct model *m, size_t n)
{
    void *into;
    if (!succeeded(linkbuffer_reserve(m->lb, n, &into)))
        return;
    uint8_t *bytes = m->bytes + m->unread + m->written;
    fill(bytes, n);
    if (n > 0)
        memcpy(into, bytes, n);
    m->written += n;
}

static void do_commit(struct model *m, size_t n)
{
    (void)alloc_failed();
    n = random_below(2) == 0 ? m->written : random_below(m->written + 2 + n / 64);
    int status = linkbuffer_commit(m->lb, n);
    cr_assert_eq(status, n > m->written ? -EINVAL : 0);
    if (status == 0)
        m->written = n;
}

static void do_write_ref(struct model *m, size_t n)
{
    uint8_t *bytes = m->bytes + m->unread + m->written;
    uint8_t *memory = malloc(n + 1);
    cr_assert_not_null(memory);
    fill(bytes, n);
    memcpy(memory, bytes, n);
    if (succeeded(linkbuffer_write_ref(m->lb, memory, n, give_back, memory))) {
        lent++;
        m->written += n;
    } else {
        free(memory);
    }
}

static void do_write_file(struct model *m, size_t n)
{
    size_t offset = random_below(FILE_BYTES - n);
    struct linkbuffer_file file = {
        .fd = file_fd, .offset = (off_t)offset, .n = n, .release = give_back};
    if (file_fd < 0)
        return;
    file.arg = malloc(1);
    cr_assert_not_null(file.arg);
    if (succeeded(linkbuffer_write_file(m->lb, &file))) {
        pattern_fill(m->bytes + m->unread + m->written, n, offset);
        lent++;
        m->written += n;
    } else {
        free(file.arg);
    }
}

static void do_load(struct model *m, size_t n)
{
    n = random_demand(m);
    int status = linkbuffer_load(m->lb, n);
    if (n > m->unread)
        cr_assert_eq(status, -EAGAIN);
    else
        (void)succeeded(status);
}

static void do_write_direct(struct model *m, size_t n)
{
    uint8_t *memory = malloc(n + 1);
    struct linkbuffer_ref ref = {memory, n, give_back, memory};
    cr_assert_not_null(memory);
    fill(memory, n);
    size_t remain = random_below(m->written + 1 + m->written / 64);
    int status = linkbuffer_write_direct(m->lb, remain, &ref);
    uint8_t *at = m->bytes + m->unread + m->written - remain;
    if (remain > m->written) {
        cr_assert_eq(status, -EINVAL);
        free(memory);
    } else if (succeeded(status)) {
        memmove(at + n, at, remain);
        if (n > 0) /* else it is gone */
            memcpy(at, memory, n);
        m->written += n;
        lent++;
    } else {
        free(memory);
    }
}

static void do_write_integer(struct model *m, size_t n)
{
    uint8_t *bytes = m->bytes + m->unread + m->written;
    fill(bytes, 8);
    uint32_t big = 0;
    for (size_t i = 0; i < 4; i++)
        big = big << 8 | bytes[i];
    uint64_t little = 0;
    for (size_t i = 8; i > 0; i--)
        little = little << 8 | bytes[i - 1];
    if (n % 3 == 0) {
        if (succeeded(linkbuffer_write_byte(m->lb, bytes[0])))
            m->written += 1;
    } else if (n % 3 == 1) {
        if (succeeded(linkbuffer_write_u32_be(m->lb, big)))
            m->written += 4;
    } else if (succeeded(linkbuffer_write_u64_le(m->lb, little))) {
        m->written += 8;
    }
}

/* As a receiver does it; sometimes nothing comes. */
static void do_input(struct model *m, size_t n)
{
    void *into;
    size_t room;
    size_t written = linkbuffer_reserved_len(m->lb);
    if (!succeeded(linkbuffer_reserve_input(m->lb, n, &into, &room)))
        return;
    cr_assert(n == 0 ? room == 0 : room >= 1 && room <= n);
    size_t came = random_below(2) == 0 ? random_below(room + 1) : room;
    uint8_t *bytes = m->bytes + m->unread + m->written;
    fill(bytes, came);
    if (came > 0)
        memcpy(into, bytes, came);
    cr_assert_eq(linkbuffer_commit(m->lb, written + came), 0);
    m->written += came;
}

static void do_adopt(struct model *m, size_t n)
{
    if (hot != NULL && !linkbuffer_block_is_shared(hot))
        hot_used = 0;
    if (hot == NULL || hot_used + n > HOT) {
        linkbuffer_block_release(hot);
        hot = linkbuffer_block_create(HOT);
        hot_used = 0;
        if (hot == NULL) {
            cr_assert(alloc_failed());
            return;
        }
    }
    uint8_t *bytes = m->bytes + m->unread + m->written;
    uint8_t *data = (uint8_t *)linkbuffer_block_data(hot) + hot_used;
    fill(data, n);
    if (succeeded(linkbuffer_adopt(m->lb, hot, data, n))) {
        memcpy(bytes, data, n);
        m->written += n;
        hot_used += n;
    }
}

static void do_append(struct model *m, size_t n)
{
    struct model *from = &models[random_below(BUFFERS)];
    (void)n;
    if (from->lb == NULL || m->unread + m->written + from->unread > LIMIT)
        return;
    if (from == m) {
        cr_assert_eq(linkbuffer_append(m->lb, from->lb), -EINVAL);
    } else if (succeeded(linkbuffer_append(m->lb, from->lb))) {
        memcpy(m->bytes + m->unread + m->written, from->bytes, from->unread);
        m->written += from->unread;
        model_consume(from, from->unread);
        check(from);
    }
}

static void do_flush(struct model *m, size_t n)
{
    (void)n;
    cr_assert_eq(linkbuffer_flush(m->lb), m->written);
    m->unread += m->written;
    m->written = 0;
}

static void do_show(struct model *m, bool consume)
{
    size_t n = random_demand(m);
    const void *out = m;
    int status = consume ? linkbuffer_next(m->lb, n, &out) : linkbuffer_peek(m->lb, n, &out);
    if (n > m->unread) {
        cr_assert_eq(status, -EAGAIN);
        cr_assert_eq(out, m);
    } else if (succeeded(status)) {
        cr_assert(n > 0 || out == NULL);
        cr_assert(n == 0 || memcmp(out, m->bytes, n) == 0);
        model_hold(m, out, n);
        if (consume)
            model_consume(m, n);
    }
}

static void do_next(struct model *m, size_t n)
{
    (void)n;
    do_show(m, true);
}

static void do_peek(struct model *m, size_t n)
{
    (void)n;
    do_show(m, false);
}

static void do_skip(struct model *m, size_t n)
{
    n = random_demand(m);
    int status = linkbuffer_skip(m->lb, n);
    cr_assert_eq(status, n > m->unread ? -EAGAIN : 0);
    if (status == 0)
        model_consume(m, n);
}

static void do_read(struct model *m, size_t n)
{
    static uint8_t into[2 * LIMIT];
    n = random_demand(m);
    size_t expected = n < m->unread ? n : m->unread;
    cr_assert_eq(linkbuffer_read(m->lb, into, n), expected);
    cr_assert_eq(memcmp(into, m->bytes, expected), 0);
    model_consume(m, expected);
}

static void do_need(struct model *m, size_t n)
{
    linkbuffer_need(m->lb, random_below(3) == 0 ? n : m->unread + n);
}

static void do_read_u16(struct model *m, size_t n)
{
    uint16_t value = 0;
    (void)n;
    if (m->unread < sizeof value) {
        cr_assert_eq(linkbuffer_peek_u16_be(m->lb, &value), -EAGAIN);
        return;
    }
    cr_assert_eq(linkbuffer_peek_u16_be(m->lb, &value), 0);
    cr_assert_eq(value, m->bytes[0] * 256 + m->bytes[1]);
    cr_assert_eq(linkbuffer_read_u16_be(m->lb, &value), 0);
    model_consume(m, sizeof value);
}

static void do_read_u64(struct model *m, size_t n)
{
    uint64_t value = 0;
    uint64_t expected = 0;
    (void)n;
    if (m->unread < sizeof value) {
        cr_assert_eq(linkbuffer_read_u64_le(m->lb, &value), -EAGAIN);
        return;
    }
    for (size_t i = sizeof value; i > 0; i--)
        expected = expected << 8 | m->bytes[i - 1];
    cr_assert_eq(linkbuffer_read_u64_le(m->lb, &value), 0);
    cr_assert_eq(value, expected);
    model_consume(m, sizeof value);
}

static ssize_t give(void *arg, void *into, size_t n)
{
    struct model *m = arg;
    n = 1 + random_below(n < 3000 ? n : 3000);
    uint8_t *bytes = m->bytes + m->unread + m->written;
    fill(bytes, n);
    memcpy(into, bytes, n);
    m->unread += m->written + n;
    m->written = 0;
    return (ssize_t)n;
}

static void do_pull(struct model *m, size_t n)
{
    if (m->unread + m->written + n + 70000 > LIMIT)
        return;
    ssize_t len = linkbuffer_pull(m->lb, n, give, m);
    if (len == -ENOMEM)
        cr_assert(alloc_failed());
    else
        cr_assert_eq(len, (ssize_t)m->unread);
}

static void do_until(struct model *m, size_t n)
{
    /* Few different delimiters, so that a search is resumed now and then. */
    uint8_t delimiter = (uint8_t)random_below(n % 4 == 0 ? 256 : 2);
    const uint8_t *hit = m->unread == 0 ? NULL : memchr(m->bytes, delimiter, m->unread);
    const void *out = m;
    size_t got = 0;
    int status = linkbuffer_until(m->lb, delimiter, &out, &got);
    if (hit == NULL) {
        cr_assert_eq(status, -EAGAIN);
    } else if (succeeded(status)) {
        cr_assert_eq(got, (size_t)(hit - m->bytes) + 1);
        cr_assert_eq(memcmp(out, m->bytes, got), 0);
        model_hold(m, out, got);
        model_consume(m, got);
    }
}

static void destroy(struct model *m)
{
    model_check_held(m);
    model_drop_held(m);
    linkbuffer_destroy(m->lb);
    m->lb = NULL;
}

static void do_slice(struct model *m, size_t n)
{
    struct model *to = &models[2 + random_below(BUFFERS - 2)];
    struct linkbuffer *slice;
    if (to == m)
        return;
    n = random_demand(m);
    int status = linkbuffer_slice(m->lb, n, &slice);
    if (n > m->unread) {
        cr_assert_eq(status, -EAGAIN);
        return;
    }
    if (!succeeded(status))
        return;
    if (to->lb != NULL)
        destroy(to);
    to->lb = slice;
    to->unread = n;
    to->written = 0;
    memcpy(to->bytes, m->bytes, n);
    model_consume(m, n);
    check(to);
}

static void do_release(struct model *m, size_t n)
{
    (void)n;
    linkbuffer_release(m->lb);
    model_drop_held(m);
}

static void do_settle(struct model *m, size_t n)
{
    linkbuffer_settle(m->lb, n);
    model_drop_held(m);
}

static void do_drain(struct model *m, size_t n)
{
    (void)n;
    cr_assert_eq(linkbuffer_skip(m->lb, m->unread), 0);
    model_consume(m, m->unread);
    do_release(m, 0);
    cr_assert_eq(linkbuffer_commit(m->lb, 0), 0);
    m->written = 0;
    linkbuffer_need(m->lb, 0);
    cr_assert_eq(linkbuffer_flush(m->lb), 0);
    struct linkbuffer_stats stats = figures(m->lb);
    cr_assert_eq(stats.blocks, 0);
}

static void step(void)
{
    static void (*const writes[])(struct model *, size_t) = {
        do_write, do_reserve, do_write_ref,    do_adopt,     do_adopt,
        do_flush, do_flush,   do_commit,       do_append,    do_write_integer,
        do_input, do_input,   do_write_direct, do_write_file};
    static void (*const reads[])(struct model *, size_t) = {
        do_next,    do_next,    do_peek,   do_peek, do_skip,     do_read,     do_until, do_slice,
        do_release, do_release, do_settle, do_need, do_read_u16, do_read_u64, do_pull,  do_load};
    struct model *m = &models[random_below(BUFFERS)];
    if (m->lb == NULL)
        m = &models[random_below(2)];
    size_t n = random_size(20000);
    if (random_below(8) == 0)
        alloc_fail_at(1 + random_below(3));
    if (random_below(400) == 0)
        do_drain(m, n);
    else if (random_below(2) == 0 && m->unread + m->written + n <= LIMIT)
        writes[random_below(sizeof writes / sizeof *writes)](m, n);
    else
        reads[random_below(sizeof reads / sizeof *reads)](m, n);
    (void)alloc_failed();
    check(m);
}

static void run(uint64_t seed_of_run, size_t steps, int fd)
{
    size_t before = live_bytes();
    lent = given_back = 0;
    file_fd = seed_of_run % 2 == 0 ? fd : -1;
    random_state = seed_of_run * 0x9E3779B97F4A7C15U + 1;
    models[0].lb = make_buffer();
    models[1].lb = make_buffer();
    for (size_t i = 0; i < steps; i++)
        step();
    for (size_t i = 0; i < BUFFERS; i++) {
        if (models[i].lb != NULL) {
            model_check_content(&models[i]);
            destroy(&models[i]);
        }
        models[i].unread = models[i].written = 0;
    }
    linkbuffer_block_release(hot);
    hot = NULL;
    cr_assert_eq(given_back, lent);
    cr_assert_eq(live_bytes(), before);
}

static uint64_t seed;
static bool failed;

static void tell_seed(void)
{
    if (failed)
        fprintf(stderr, "random: begin with SEED=%llu to see it again\n", (unsigned long long)seed);
}

Test(random, operations_agree_with_a_flat_array, .fini = tell_seed)
{
    const char *from = getenv("SEED");
    seed = from == NULL ? 1 : strtoull(from, NULL, 10);
    failed = true;
    char name[] = "/tmp/linkbuffer-XXXXXX";
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    unlink(name);
    for (size_t at = 0; at < FILE_BYTES; at += 4096)
        send_pattern(fd, 4096, at);
    for (uint64_t end = seed + 25; seed < end; seed++)
        run(seed, 6000, fd);
    close(fd);
    failed = false;
}
