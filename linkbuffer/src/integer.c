/* Integers in both byte orders, wherever their bytes lie. Either side, as the headers say. */
/* For endian.h. */
#define _DEFAULT_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "linkbuffer.h"
#include "validate.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Where n readable bytes lie in one piece: in the first window, or copied into `spare`; NULL: there
 * are fewer, or they are a file's that cannot be read. */
static __attribute__((noinline)) const uint8_t *look_further(struct linkbuffer *lb, uint8_t *spare,
                                                             size_t n)
{
    lb_reader_pull(lb);
    if (lb->reader.len < n)
        return NULL;
    return lb_reader_copy_out(&lb->reader, spare, n) == n ? spare : NULL;
}

static inline const uint8_t *look(struct linkbuffer *lb, uint8_t *spare, size_t n)
{
    struct lb_node *first = lb->reader.first;
    return first != NULL && first->len >= n ? first->data : look_further(lb, spare, n);
}

/* Why there are none. */
static int why_none(const struct linkbuffer *lb, size_t n)
{
    return lb->reader.len < n ? -EAGAIN : -EIO;
}

/* n is a constant wherever these are called; then each is a load or a store and a byte swap. */
static inline uint64_t from_be(const uint8_t *bytes, size_t n)
{
    uint64_t first_bytes = 0;
    memcpy(&first_bytes, bytes, n);
    return be64toh(first_bytes) >> (64 - 8 * n);
}

static inline uint64_t from_le(const uint8_t *bytes, size_t n)
{
    uint64_t first_bytes = 0;
    memcpy(&first_bytes, bytes, n);
    return le64toh(first_bytes);
}

static inline void to_be(uint8_t *bytes, uint64_t value, size_t n)
{
    uint64_t first_bytes = htobe64(value << (64 - 8 * n));
    memcpy(bytes, &first_bytes, n);
}

static inline void to_le(uint8_t *bytes, uint64_t value, size_t n)
{
    uint64_t first_bytes = htole64(value);
    memcpy(bytes, &first_bytes, n);
}

int linkbuffer_read_u16_be(struct linkbuffer *lb, uint16_t *out)
{
    int status = linkbuffer_peek_u16_be(lb, out);
    if (status == 0)
        lb_reader_consume(lb, sizeof *out);
    return status;
}

int linkbuffer_read_u32_be(struct linkbuffer *lb, uint32_t *out)
{
    int status = linkbuffer_peek_u32_be(lb, out);
    if (status == 0)
        lb_reader_consume(lb, sizeof *out);
    return status;
}

int linkbuffer_read_u64_be(struct linkbuffer *lb, uint64_t *out)
{
    int status = linkbuffer_peek_u64_be(lb, out);
    if (status == 0)
        lb_reader_consume(lb, sizeof *out);
    return status;
}

int linkbuffer_read_u16_le(struct linkbuffer *lb, uint16_t *out)
{
    int status = linkbuffer_peek_u16_le(lb, out);
    if (status == 0)
        lb_reader_consume(lb, sizeof *out);
    return status;
}

int linkbuffer_read_u32_le(struct linkbuffer *lb, uint32_t *out)
{
    int status = linkbuffer_peek_u32_le(lb, out);
    if (status == 0)
        lb_reader_consume(lb, sizeof *out);
    return status;
}

int linkbuffer_read_u64_le(struct linkbuffer *lb, uint64_t *out)
{
    int status = linkbuffer_peek_u64_le(lb, out);
    if (status == 0)
        lb_reader_consume(lb, sizeof *out);
    return status;
}

int linkbuffer_peek_u16_be(struct linkbuffer *lb, uint16_t *out)
{
    LB_READER_CALL(lb);
    uint8_t spare[sizeof *out];
    const uint8_t *bytes = look(lb, spare, sizeof spare);
    if (bytes == NULL)
        return why_none(lb, sizeof spare);
    *out = (uint16_t)from_be(bytes, sizeof spare);
    return 0;
}

int linkbuffer_peek_u32_be(struct linkbuffer *lb, uint32_t *out)
{
    LB_READER_CALL(lb);
    uint8_t spare[sizeof *out];
    const uint8_t *bytes = look(lb, spare, sizeof spare);
    if (bytes == NULL)
        return why_none(lb, sizeof spare);
    *out = (uint32_t)from_be(bytes, sizeof spare);
    return 0;
}

int linkbuffer_peek_u64_be(struct linkbuffer *lb, uint64_t *out)
{
    LB_READER_CALL(lb);
    uint8_t spare[sizeof *out];
    const uint8_t *bytes = look(lb, spare, sizeof spare);
    if (bytes == NULL)
        return why_none(lb, sizeof spare);
    *out = from_be(bytes, sizeof spare);
    return 0;
}

int linkbuffer_peek_u16_le(struct linkbuffer *lb, uint16_t *out)
{
    LB_READER_CALL(lb);
    uint8_t spare[sizeof *out];
    const uint8_t *bytes = look(lb, spare, sizeof spare);
    if (bytes == NULL)
        return why_none(lb, sizeof spare);
    *out = (uint16_t)from_le(bytes, sizeof spare);
    return 0;
}

int linkbuffer_peek_u32_le(struct linkbuffer *lb, uint32_t *out)
{
    LB_READER_CALL(lb);
    uint8_t spare[sizeof *out];
    const uint8_t *bytes = look(lb, spare, sizeof spare);
    if (bytes == NULL)
        return why_none(lb, sizeof spare);
    *out = (uint32_t)from_le(bytes, sizeof spare);
    return 0;
}

int linkbuffer_peek_u64_le(struct linkbuffer *lb, uint64_t *out)
{
    LB_READER_CALL(lb);
    uint8_t spare[sizeof *out];
    const uint8_t *bytes = look(lb, spare, sizeof spare);
    if (bytes == NULL)
        return why_none(lb, sizeof spare);
    *out = from_le(bytes, sizeof spare);
    return 0;
}

int linkbuffer_write_u16_be(struct linkbuffer *lb, uint16_t value)
{
    uint8_t bytes[sizeof value];
    to_be(bytes, value, sizeof bytes);
    return linkbuffer_write(lb, bytes, sizeof bytes);
}

int linkbuffer_write_u32_be(struct linkbuffer *lb, uint32_t value)
{
    uint8_t bytes[sizeof value];
    to_be(bytes, value, sizeof bytes);
    return linkbuffer_write(lb, bytes, sizeof bytes);
}

int linkbuffer_write_u64_be(struct linkbuffer *lb, uint64_t value)
{
    uint8_t bytes[sizeof value];
    to_be(bytes, value, sizeof bytes);
    return linkbuffer_write(lb, bytes, sizeof bytes);
}

int linkbuffer_write_u16_le(struct linkbuffer *lb, uint16_t value)
{
    uint8_t bytes[sizeof value];
    to_le(bytes, value, sizeof bytes);
    return linkbuffer_write(lb, bytes, sizeof bytes);
}

int linkbuffer_write_u32_le(struct linkbuffer *lb, uint32_t value)
{
    uint8_t bytes[sizeof value];
    to_le(bytes, value, sizeof bytes);
    return linkbuffer_write(lb, bytes, sizeof bytes);
}

int linkbuffer_write_u64_le(struct linkbuffer *lb, uint64_t value)
{
    uint8_t bytes[sizeof value];
    to_le(bytes, value, sizeof bytes);
    return linkbuffer_write(lb, bytes, sizeof bytes);
}
