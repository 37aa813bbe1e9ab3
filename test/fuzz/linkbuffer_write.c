/* The writer side of the fuzzed buffers, and the blocks they adopt from. */
#include "linkbuffer_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOT = 16 * 1024
};

static struct linkbuffer_block *hot; /* NULL: none yet */
static size_t hot_used;
static size_t lent; /* pieces of memory whose release has not been called */

static void give_back(void *arg)
{
    FUZZ_CHECK(lent > 0);
    lent--;
    free(arg); /* a second call is a double free */
}

/* Memory of exactly n bytes, for give_back(). */
static uint8_t *lend(const uint8_t *bytes, size_t n)
{
    uint8_t *memory = malloc(n + (n == 0));

    FUZZ_CHECK(memory != NULL);
    if (n > 0)
        memcpy(memory, bytes, n);
    lent++;
    return memory;
}

static void do_write(struct fuzz_input *in, struct model *m)
{
    size_t n = choose_size(in);
    uint8_t *bytes = model_new_content(m, n);

    if (bytes != NULL && succeeded(linkbuffer_write(m->lb, n == 0 ? NULL : bytes, n)))
        m->written += n;
}

static void do_write_byte(struct fuzz_input *in, struct model *m)
{
    uint8_t *byte = model_place(m, 1);

    if (byte == NULL)
        return;
    *byte = fuzz_byte(in);
    if (succeeded(linkbuffer_write_byte(m->lb, *byte)))
        m->written++;
}

static void do_reserve(struct fuzz_input *in, struct model *m)
{
    size_t n = choose_size(in);
    uint8_t *bytes = model_place(m, n);
    void *into = m;

    if (bytes == NULL || m->reserved_count == RESERVED)
        return;
    if (!succeeded(linkbuffer_reserve(m->lb, n, &into))) {
        FUZZ_CHECK(into == m);
        return;
    }
    FUZZ_CHECK((n == 0) == (into == NULL));
    if (n > 0)
        m->reserved[m->reserved_count++] = (struct reserved){into, m->written, n};
    m->written += n;
}

static void do_commit(struct fuzz_input *in, struct model *m)
{
    uint8_t choice = fuzz_byte(in);
    size_t n = m->written;

    if (choice >= 192)
        n = choice % 16;
    else if (choice >= 16)
        n = m->written * (choice % 16) / 16;
    else if (choice > 0)
        n = m->written + choice;
    model_fill_reserved(m);
    int status = linkbuffer_commit(m->lb, n);
    FUZZ_CHECK(status == (n > m->written ? -EINVAL : 0));
    if (status == 0)
        m->written = n;
}

static void do_flush(struct fuzz_input *in, struct model *m)
{
    (void)in;
    model_fill_reserved(m);
    FUZZ_CHECK(linkbuffer_flush(m->lb) == m->written);
    model_flush(m);
}

static void do_write_ref(struct fuzz_input *in, struct model *m)
{
    size_t n = choose_size(in);
    uint8_t *bytes = model_new_content(m, n);

    if (bytes == NULL)
        return;
    uint8_t *memory = lend(bytes, n);
    size_t lent_before = lent;
    if (succeeded(linkbuffer_write_ref(m->lb, memory, n, give_back, memory))) {
        FUZZ_CHECK(lent == lent_before - (n == 0));
        m->written += n;
    } else {
        FUZZ_CHECK(lent == lent_before);
        give_back(memory);
    }
}

/* Memory that nobody wants back. */
static void do_write_constant(struct fuzz_input *in, struct model *m)
{
    static const char constant[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    size_t n = fuzz_byte(in) % sizeof constant;
    uint8_t *bytes = model_place(m, n);

    if (bytes == NULL || !succeeded(linkbuffer_write_ref(m->lb, constant, n, NULL, NULL)))
        return;
    memcpy(bytes, constant, n);
    m->written += n;
}

/* n bytes have been inserted at the offset: reservations that the cut goes through are two. */
static void split_reserved(struct model *m, size_t at, size_t n)
{
    size_t count = m->reserved_count;

    for (size_t i = 0; i < count; i++) {
        struct reserved *reserved = &m->reserved[i];
        if (reserved->at >= at) {
            reserved->at += n;
        } else if (reserved->at + reserved->n > at) {
            size_t head = at - reserved->at;
            m->reserved[m->reserved_count++] =
                (struct reserved){reserved->into + head, at + n, reserved->n - head};
            reserved->n = head;
        }
    }
}

static void do_write_direct(struct fuzz_input *in, struct model *m)
{
    static uint8_t inserted[LIMIT];
    size_t n = choose_size(in);
    uint8_t choice = fuzz_byte(in);
    size_t remain = choice < 224 ? m->written * choice / 223 : choose_size(in);

    if (model_place(m, n) == NULL || m->reserved_count > RESERVED / 2)
        return;
    fill_new(inserted, n);
    uint8_t *memory = lend(inserted, n);
    struct linkbuffer_ref ref = {memory, n, give_back, memory};
    int status = linkbuffer_write_direct(m->lb, remain, &ref);
    if (remain > m->written) {
        FUZZ_CHECK(status == -EINVAL);
        give_back(memory);
    } else if (succeeded(status)) {
        size_t at = m->written - remain;
        uint8_t *hole = model_unread(m) + m->unread + at;
        memmove(hole + n, hole, remain);
        memcpy(hole, inserted, n);
        split_reserved(m, at, n);
        m->written += n;
    } else {
        give_back(memory);
    }
}

/* Ranges of one block, one behind the other, some of them twice. */
static void do_adopt(struct fuzz_input *in, struct model *m)
{
    size_t n = choose_size(in) % HOT;
    bool again = fuzz_byte(in) % 8 == 0;

    if (hot != NULL && !linkbuffer_block_is_shared(hot))
        hot_used = 0;
    if (hot == NULL || hot_used + n > HOT) {
        linkbuffer_block_release(hot);
        hot_used = 0;
        hot = linkbuffer_block_create(HOT);
        if (hot == NULL) {
            FUZZ_CHECK(alloc_failed());
            return;
        }
        FUZZ_CHECK(linkbuffer_block_capacity(hot) >= HOT);
        FUZZ_CHECK(((uintptr_t)linkbuffer_block_data(hot) & 15) == 0);
    }
    uint8_t *data = (uint8_t *)linkbuffer_block_data(hot) + hot_used;
    uint8_t *bytes = model_place(m, n);
    if (bytes == NULL)
        return;
    fill_new(data, n);
    hot_used += n;
    do {
        memcpy(bytes, data, n);
        if (succeeded(linkbuffer_adopt(m->lb, hot, data, n)))
            m->written += n;
        bytes = again ? model_place(m, n) : NULL;
        again = false;
    } while (bytes != NULL);
}

/* A block that the buffer alone holds, with a window in the middle. */
static void do_adopt_own(struct fuzz_input *in, struct model *m)
{
    size_t n = choose_size(in);
    size_t before = fuzz_byte(in);
    size_t behind = (size_t)fuzz_byte(in) * 16;
    uint8_t *bytes = model_new_content(m, n);

    if (bytes == NULL)
        return;
    struct linkbuffer_block *block = linkbuffer_block_create(before + n + behind);
    if (block == NULL) {
        FUZZ_CHECK(alloc_failed());
        return;
    }
    uint8_t *data = (uint8_t *)linkbuffer_block_data(block) + before;
    memcpy(data, bytes, n);
    linkbuffer_block_retain(block);
    FUZZ_CHECK(linkbuffer_block_is_shared(block));
    linkbuffer_block_release(block);
    FUZZ_CHECK(!linkbuffer_block_is_shared(block));
    bool adopted = succeeded(linkbuffer_adopt(m->lb, block, data, n));
    FUZZ_CHECK(linkbuffer_block_is_shared(block) == (adopted && n > 0));
    if (adopted)
        m->written += n;
    linkbuffer_block_release(block);
}

static void do_append(struct fuzz_input *in, struct model *m)
{
    struct model *from = &models[fuzz_byte(in) % BUFFERS];
    uint8_t *bytes = from->lb == NULL ? NULL : model_place(m, from->unread);

    if (from == m) {
        FUZZ_CHECK(linkbuffer_append(m->lb, m->lb) == -EINVAL);
    } else if (bytes != NULL && succeeded(linkbuffer_append(m->lb, from->lb))) {
        memcpy(bytes, model_unread(from), from->unread);
        m->written += from->unread;
        model_consume(from, from->unread);
        model_drop_held(from, true);
        model_check(from);
    }
}

static bool write_integer(struct linkbuffer *lb, unsigned kind, uint64_t value)
{
    switch (kind) {
    case 0:
        return succeeded(linkbuffer_write_u16_be(lb, (uint16_t)value));
    case 1:
        return succeeded(linkbuffer_write_u16_le(lb, (uint16_t)value));
    case 2:
        return succeeded(linkbuffer_write_u32_be(lb, (uint32_t)value));
    case 3:
        return succeeded(linkbuffer_write_u32_le(lb, (uint32_t)value));
    case 4:
        return succeeded(linkbuffer_write_u64_be(lb, value));
    default:
        return succeeded(linkbuffer_write_u64_le(lb, value));
    }
}

static void do_write_integer(struct fuzz_input *in, struct model *m)
{
    unsigned kind = fuzz_byte(in) % 6;
    size_t n = (size_t)2 << kind / 2;
    uint8_t *bytes = model_new_content(m, n);
    uint64_t value = 0;

    if (bytes == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | bytes[kind % 2 == 0 ? i : n - 1 - i];
    if (write_integer(m->lb, kind, value))
        m->written += n;
}

void writing_end(void)
{
    FUZZ_CHECK(hot == NULL || !linkbuffer_block_is_shared(hot));
    linkbuffer_block_release(hot);
    hot = NULL;
    FUZZ_CHECK(lent == 0);
}

operation_fn *const write_operations[] = {
    do_write,        do_write_byte,   do_reserve,   do_reserve,        do_commit,        do_flush,
    do_flush,        do_flush,        do_write_ref, do_write_constant, do_adopt,         do_adopt,
    do_write_direct, do_write_direct, do_append,    do_adopt_own,      do_write_integer,
};
const size_t write_operation_count = sizeof write_operations / sizeof *write_operations;
