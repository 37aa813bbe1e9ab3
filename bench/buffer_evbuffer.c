/* The operations with libevent's evbuffer, without locks. */
#include "buffer_case.h"

#include <event2/buffer.h>

#include <errno.h>
#include <string.h>

static void must(const char *call, int status)
{
    if (status < 0)
        buffer_fail(call, errno);
}

static struct evbuffer *create(void)
{
    struct evbuffer *buffer = evbuffer_new();
    if (buffer == NULL)
        buffer_fail("evbuffer_new", ENOMEM);
    return buffer;
}

static void read_in_place(struct evbuffer *buffer, size_t size)
{
    const unsigned char *bytes = evbuffer_pullup(buffer, (ev_ssize_t)size);
    if (bytes == NULL)
        buffer_fail("evbuffer_pullup", ENOMEM);
    buffer_sink = *bytes;
    must("evbuffer_drain", evbuffer_drain(buffer, size));
}

static void write_remove(size_t size, uint64_t count)
{
    static unsigned char into[BUFFER_SOURCE_BYTES];
    struct evbuffer *buffer = create();
    for (uint64_t i = 0; i < count; i++) {
        must("evbuffer_add", evbuffer_add(buffer, buffer_source, size));
        must("evbuffer_remove", evbuffer_remove(buffer, into, size));
        buffer_sink = into[0];
    }
    evbuffer_free(buffer);
}

static void write_pullup(size_t size, uint64_t count)
{
    struct evbuffer *buffer = create();
    for (uint64_t i = 0; i < count; i++) {
        must("evbuffer_add", evbuffer_add(buffer, buffer_source, size));
        read_in_place(buffer, size);
    }
    evbuffer_free(buffer);
}

static void refill(struct evbuffer *buffer, size_t size)
{
    if (evbuffer_get_length(buffer) < size)
        must("evbuffer_add_reference",
             evbuffer_add_reference(buffer, buffer_source, BUFFER_SOURCE_BYTES, NULL, NULL));
}

/* evbuffer_remove_buffer() has the contract of a slice: the front bytes leave one buffer and live
   on in another. evbuffer_add_buffer_reference() can only show all of a buffer. */
static void slice(size_t size, uint64_t count)
{
    struct evbuffer *buffer = create();
    for (uint64_t i = 0; i < count; i++) {
        struct evbuffer *part = create();
        refill(buffer, size);
        must("evbuffer_remove_buffer", evbuffer_remove_buffer(buffer, part, size));
        evbuffer_free(part);
    }
    evbuffer_free(buffer);
}

static void drop_count(const void *data, size_t n, void *arg)
{
    (void)data;
    (void)n;
    (*(uint64_t *)arg)--;
}

/* What a program does that wants to keep large parts without the copy: it counts by itself. */
static void slice_by_reference(size_t size, uint64_t count)
{
    uint64_t counted = 0;
    struct evbuffer *buffer = create();
    for (uint64_t i = 0; i < count; i++) {
        struct evbuffer *part = create();
        refill(buffer, size);
        const unsigned char *bytes = evbuffer_pullup(buffer, (ev_ssize_t)size);
        counted++;
        must("evbuffer_add_reference",
             evbuffer_add_reference(part, bytes, size, drop_count, &counted));
        must("evbuffer_drain", evbuffer_drain(buffer, size));
        evbuffer_free(part);
    }
    evbuffer_free(buffer);
    if (counted != 0)
        buffer_fail("evbuffer_free", EBUSY);
}

static void write_append_read(size_t size, uint64_t count)
{
    struct evbuffer *from = create();
    struct evbuffer *to = create();
    for (uint64_t i = 0; i < count; i++) {
        must("evbuffer_add", evbuffer_add(from, buffer_source, size));
        must("evbuffer_add_buffer", evbuffer_add_buffer(to, from));
        read_in_place(to, size);
    }
    evbuffer_free(from);
    evbuffer_free(to);
}

static void move(size_t pieces, uint64_t count)
{
    struct evbuffer *from = create();
    struct evbuffer *to = create();
    for (size_t i = 0; i < pieces; i++)
        must("evbuffer_add_reference",
             evbuffer_add_reference(from, buffer_source, BUFFER_SOURCE_BYTES, NULL, NULL));
    for (uint64_t i = 0; i < count; i++) {
        must("evbuffer_add_buffer", evbuffer_add_buffer(to, from));
        struct evbuffer *previous = from;
        from = to;
        to = previous;
    }
    evbuffer_free(from);
    evbuffer_free(to);
}

/* As evbuffer_read() receives: into space of the buffer's own, in two pieces if need be. */
static void receive(struct evbuffer *buffer, struct stream *stream)
{
    struct evbuffer_iovec space[2];
    const char *chunk = stream_next(stream);
    int pieces = evbuffer_reserve_space(buffer, (ev_ssize_t)STREAM_CHUNK, space, 2);
    must("evbuffer_reserve_space", pieces);
    size_t left = STREAM_CHUNK;
    for (int i = 0; i < pieces; i++) {
        if (space[i].iov_len > left)
            space[i].iov_len = left;
        memcpy(space[i].iov_base, chunk + (STREAM_CHUNK - left), space[i].iov_len);
        left -= space[i].iov_len;
    }
    must("evbuffer_commit_space", evbuffer_commit_space(buffer, space, pieces));
}

static void frame(size_t size, uint64_t count)
{
    (void)size;
    struct evbuffer *buffer = create();
    struct stream stream = {0};
    for (uint64_t done = 0; done < count;) {
        char prefix[STREAM_PREFIX];
        receive(buffer, &stream);
        while (evbuffer_copyout(buffer, prefix, sizeof prefix) == (ev_ssize_t)sizeof prefix) {
            uint32_t n = stream_length(prefix);
            if (evbuffer_get_length(buffer) < STREAM_PREFIX + n)
                break;
            const char *bytes =
                (const char *)evbuffer_pullup(buffer, (ev_ssize_t)(STREAM_PREFIX + n));
            if (bytes == NULL)
                buffer_fail("evbuffer_pullup", ENOMEM);
            stream_check(bytes + STREAM_PREFIX, n);
            must("evbuffer_drain", evbuffer_drain(buffer, STREAM_PREFIX + n));
            done++;
        }
    }
    evbuffer_free(buffer);
}

const struct buffer_side buffer_evbuffer = {
    .name = "evbuffer",
    .ops =
        {
            [BUFFER_WRITE] = write_remove,
            [BUFFER_IN_PLACE] = write_pullup,
            [BUFFER_SLICE] = slice,
            [BUFFER_SLICE_REF] = slice_by_reference,
            [BUFFER_APPEND] = write_append_read,
            [BUFFER_MOVE] = move,
            [BUFFER_FRAMING] = frame,
            [BUFFER_FRAMING_EACH] = frame,
        },
};
