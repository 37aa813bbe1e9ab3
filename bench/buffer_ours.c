/* The operations with linkbuffer. */
#include "buffer_case.h"

#include <linkbuffer/linkbuffer.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* As the reactor settles what a handler has left. */
#define SETTLE_LIMIT ((size_t)2048 - LINKBUFFER_BLOCK_OVERHEAD)

#define HEAD_BYTES ((size_t)32)
#define TAIL_BYTES ((size_t)32)

static void must(const char *call, int status)
{
    if (status != 0)
        buffer_fail(call, -status);
}

static struct linkbuffer *create(void)
{
    struct linkbuffer *lb;
    must("linkbuffer_create", linkbuffer_create(&lb));
    return lb;
}

/* Gives the bytes it has copied. */
static size_t destroy(struct linkbuffer *lb)
{
    struct linkbuffer_stats stats;
    linkbuffer_stats_read(lb, &stats);
    linkbuffer_destroy(lb);
    return stats.bytes_copied;
}

static void write_flush(struct linkbuffer *lb, size_t size)
{
    must("linkbuffer_write", linkbuffer_write(lb, buffer_source, size));
    linkbuffer_flush(lb);
}

static void read_release(struct linkbuffer *lb, size_t size)
{
    const void *bytes;
    must("linkbuffer_next", linkbuffer_next(lb, size, &bytes));
    buffer_sink = *(const unsigned char *)bytes;
    linkbuffer_release(lb);
}

static void write_read(size_t size, uint64_t count)
{
    struct linkbuffer *lb = create();
    for (uint64_t i = 0; i < count; i++) {
        write_flush(lb, size);
        read_release(lb, size);
    }
    linkbuffer_destroy(lb);
}

static void slice(size_t size, uint64_t count)
{
    struct linkbuffer *lb = create();
    for (uint64_t i = 0; i < count; i++) {
        struct linkbuffer *part;
        if (linkbuffer_len(lb) < size) {
            must("linkbuffer_write_ref",
                 linkbuffer_write_ref(lb, buffer_source, BUFFER_SOURCE_BYTES, NULL, NULL));
            linkbuffer_flush(lb);
        }
        must("linkbuffer_slice", linkbuffer_slice(lb, size, &part));
        linkbuffer_release(lb);
        linkbuffer_destroy(part);
    }
    linkbuffer_destroy(lb);
}

static void write_append_read(size_t size, uint64_t count)
{
    struct linkbuffer *from = create();
    struct linkbuffer *to = create();
    for (uint64_t i = 0; i < count; i++) {
        write_flush(from, size);
        must("linkbuffer_append", linkbuffer_append(to, from));
        linkbuffer_flush(to);
        read_release(to, size);
    }
    linkbuffer_destroy(from);
    linkbuffer_destroy(to);
}

static void move(size_t pieces, uint64_t count)
{
    struct linkbuffer *from = create();
    struct linkbuffer *to = create();
    for (size_t i = 0; i < pieces; i++)
        must("linkbuffer_write_ref",
             linkbuffer_write_ref(from, buffer_source, BUFFER_SOURCE_BYTES, NULL, NULL));
    linkbuffer_flush(from);
    for (uint64_t i = 0; i < count; i++) {
        must("linkbuffer_append", linkbuffer_append(to, from));
        linkbuffer_flush(to);
        struct linkbuffer *previous = from;
        from = to;
        to = previous;
    }
    linkbuffer_destroy(from);
    linkbuffer_destroy(to);
}

/* As a framing does that learns the length last: head and tail reserved at once, the body lent. */
static void insert(size_t size, uint64_t count)
{
    struct linkbuffer *lb = create();
    const struct linkbuffer_ref body = {.data = buffer_source, .n = size};
    for (uint64_t i = 0; i < count; i++) {
        void *space;
        must("linkbuffer_reserve", linkbuffer_reserve(lb, HEAD_BYTES + TAIL_BYTES, &space));
        memset(space, 'h', HEAD_BYTES + TAIL_BYTES);
        must("linkbuffer_write_direct", linkbuffer_write_direct(lb, TAIL_BYTES, &body));
        linkbuffer_flush(lb);
        must("linkbuffer_skip", linkbuffer_skip(lb, HEAD_BYTES + size + TAIL_BYTES));
        linkbuffer_release(lb);
    }
    linkbuffer_destroy(lb);
}

/* As the reactor receives: into a block that is used again while no buffer shows it. */
static void receive(struct linkbuffer *lb, struct linkbuffer_block **block, struct stream *stream)
{
    if (*block == NULL || linkbuffer_block_is_shared(*block)) {
        linkbuffer_block_release(*block);
        *block = linkbuffer_block_create(STREAM_CHUNK);
        if (*block == NULL)
            buffer_fail("linkbuffer_block_create", ENOMEM);
    }
    void *data = linkbuffer_block_data(*block);
    memcpy(data, stream_next(stream), STREAM_CHUNK);
    must("linkbuffer_adopt", linkbuffer_adopt(lb, *block, data, STREAM_CHUNK));
    linkbuffer_flush(lb);
}

static uint64_t read_messages(struct linkbuffer *lb, bool release_each)
{
    const void *bytes;
    uint32_t n;
    uint64_t done = 0;
    while (linkbuffer_peek_u32_be(lb, &n) == 0) {
        if (linkbuffer_next(lb, STREAM_PREFIX + n, &bytes) != 0)
            return done;
        stream_check((const char *)bytes + STREAM_PREFIX, n);
        if (release_each)
            linkbuffer_release(lb);
        done++;
    }
    return done;
}

/* Gives the messages read, and the bytes copied for them. */
static uint64_t frame(uint64_t count, bool release_each, size_t *copied)
{
    struct linkbuffer *lb = create();
    struct linkbuffer_block *block = NULL;
    struct stream stream = {0};
    uint64_t done = 0;
    while (done < count) {
        receive(lb, &block, &stream);
        done += read_messages(lb, release_each);
        linkbuffer_settle(lb, SETTLE_LIMIT);
    }
    *copied = destroy(lb);
    linkbuffer_block_release(block);
    return done;
}

static void frame_block(size_t size, uint64_t count)
{
    size_t copied;
    (void)size;
    frame(count, false, &copied);
}

static void frame_each(size_t size, uint64_t count)
{
    size_t copied;
    (void)size;
    frame(count, true, &copied);
}

const struct buffer_side buffer_ours = {
    .name = "linkbuffer",
    .ops =
        {
            [BUFFER_WRITE] = write_read,
            [BUFFER_IN_PLACE] = write_read,
            [BUFFER_SLICE] = slice,
            [BUFFER_SLICE_REF] = slice,
            [BUFFER_APPEND] = write_append_read,
            [BUFFER_MOVE] = move,
            [BUFFER_FRAMING] = frame_block,
            [BUFFER_FRAMING_EACH] = frame_each,
            [BUFFER_DIRECT] = insert,
        },
};

size_t buffer_copied_contiguous(void)
{
    struct linkbuffer *lb = create();
    for (size_t size = 1; size <= BUFFER_SOURCE_BYTES; size *= 2) {
        write_flush(lb, size);
        read_release(lb, size);
    }
    /* In one block, though adopted in two ranges. */
    struct linkbuffer_block *block = linkbuffer_block_create(1000);
    if (block == NULL)
        buffer_fail("linkbuffer_block_create", ENOMEM);
    char *data = linkbuffer_block_data(block);
    memset(data, 0, 1000);
    for (size_t i = 0; i < 1000; i += 500)
        must("linkbuffer_adopt", linkbuffer_adopt(lb, block, data + i, 500));
    linkbuffer_block_release(block);
    linkbuffer_flush(lb);
    read_release(lb, 1000);
    return destroy(lb);
}

size_t buffer_copied_write_ref(void)
{
    const void *bytes;
    struct linkbuffer *lb = create();
    for (size_t size = 1; size <= BUFFER_SOURCE_BYTES; size *= 2) {
        must("linkbuffer_write_ref", linkbuffer_write_ref(lb, buffer_source, size, NULL, NULL));
        linkbuffer_flush(lb);
        must("linkbuffer_next", linkbuffer_next(lb, size, &bytes));
        if (bytes != buffer_source)
            buffer_fail("linkbuffer_next: not the memory that was lent", EFAULT);
        linkbuffer_release(lb);
    }
    return destroy(lb);
}

double buffer_copied_framing(void)
{
    size_t copied;
    uint64_t done = frame(100000, false, &copied);
    return (double)copied / (double)done;
}
