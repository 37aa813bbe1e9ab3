/**
 * Unsigned integers in a buffer, in both byte orders.
 *
 * Included by linkbuffer.h. An integer may lie across windows: reading it copies its bytes into
 * the result and nothing else, so it never needs memory and never moves what is shown.
 *
 * read:  consumes the integer. Thread: reader.
 *        @return 0; -EAGAIN when fewer bytes are readable, *out untouched
 * peek:  the same without consuming. Thread: reader.
 * write: appends the integer; readable at the next flush. Thread: writer.
 *        @return 0; -ENOMEM
 *
 * be is network order, the most significant byte first; le is the other way round.
 */
#ifndef LINKBUFFER_INTEGER_H
#define LINKBUFFER_INTEGER_H

#include <linkbuffer/block.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct linkbuffer;

LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_u16_be(struct linkbuffer *lb,
                                                                uint16_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_u32_be(struct linkbuffer *lb,
                                                                uint32_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_u64_be(struct linkbuffer *lb,
                                                                uint64_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_u16_le(struct linkbuffer *lb,
                                                                uint16_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_u32_le(struct linkbuffer *lb,
                                                                uint32_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_u64_le(struct linkbuffer *lb,
                                                                uint64_t *out);

LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek_u16_be(struct linkbuffer *lb,
                                                                uint16_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek_u32_be(struct linkbuffer *lb,
                                                                uint32_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek_u64_be(struct linkbuffer *lb,
                                                                uint64_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek_u16_le(struct linkbuffer *lb,
                                                                uint16_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek_u32_le(struct linkbuffer *lb,
                                                                uint32_t *out);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek_u64_le(struct linkbuffer *lb,
                                                                uint64_t *out);

LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_u16_be(struct linkbuffer *lb,
                                                                 uint16_t value);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_u32_be(struct linkbuffer *lb,
                                                                 uint32_t value);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_u64_be(struct linkbuffer *lb,
                                                                 uint64_t value);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_u16_le(struct linkbuffer *lb,
                                                                 uint16_t value);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_u32_le(struct linkbuffer *lb,
                                                                 uint32_t value);
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_u64_le(struct linkbuffer *lb,
                                                                 uint64_t value);

#ifdef __cplusplus
}
#endif

#endif
