/* Integers in both byte orders, in one piece and torn. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>

static const uint8_t bytes[8] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF};

/* The bytes, in windows of `piece` each. */
static struct linkbuffer *torn(size_t piece)
{
    struct linkbuffer *lb = make_buffer();
    for (size_t at = 0; at < sizeof bytes; at += piece) {
        size_t n = piece < sizeof bytes - at ? piece : sizeof bytes - at;
        cr_assert_eq(linkbuffer_write(lb, bytes + at, n), 0);
        cr_assert_eq(linkbuffer_flush(lb), n);
    }
    return lb;
}

#define CHECK_READ(type, width_order, expected)                                \
    do {                                                                       \
        struct linkbuffer *lb = torn(piece);                                   \
        type peeked = 0;                                                       \
        type read = 0;                                                         \
        alloc_fail_at(1);                                                      \
        cr_assert_eq(linkbuffer_peek_##width_order(lb, &peeked), 0);           \
        cr_assert_eq(linkbuffer_len(lb), sizeof bytes);                        \
        cr_assert_eq(linkbuffer_read_##width_order(lb, &read), 0);             \
        cr_assert_not(alloc_failed(), "reading an integer allocates nothing"); \
        cr_assert_eq(peeked, (expected));                                      \
        cr_assert_eq(read, (expected));                                        \
        cr_assert_eq(linkbuffer_len(lb), sizeof bytes - sizeof(type));         \
        cr_assert_eq(figures(lb).bytes_copied, 0);                             \
        linkbuffer_destroy(lb);                                                \
    } while (0)

Test(integer, bytes_are_put_together_wherever_they_lie)
{
    for (size_t piece = 1; piece <= sizeof bytes; piece++) {
        CHECK_READ(uint16_t, u16_be, 0x0123);
        CHECK_READ(uint16_t, u16_le, 0x2301);
        CHECK_READ(uint32_t, u32_be, 0x01234567);
        CHECK_READ(uint32_t, u32_le, 0x67452301);
        CHECK_READ(uint64_t, u64_be, 0x0123456789ABCDEF);
        CHECK_READ(uint64_t, u64_le, 0xEFCDAB8967452301);
    }
}

#define CHECK_WRITE(width_order, value, ...)                                 \
    do {                                                                     \
        static const uint8_t expected[] = {__VA_ARGS__};                     \
        uint8_t got[sizeof expected + 1];                                    \
        struct linkbuffer *lb = make_buffer();                               \
        cr_assert_eq(linkbuffer_write_##width_order(lb, (value)), 0);        \
        cr_assert_eq(linkbuffer_len(lb), 0, "readable at the next flush");   \
        cr_assert_eq(linkbuffer_flush(lb), sizeof expected);                 \
        cr_assert_eq(linkbuffer_read(lb, got, sizeof got), sizeof expected); \
        cr_assert_arr_eq(got, expected, sizeof expected);                    \
        linkbuffer_destroy(lb);                                              \
    } while (0)

Test(integer, the_order_is_that_of_the_name)
{
    CHECK_WRITE(u16_be, 0xFE01, 0xFE, 0x01);
    CHECK_WRITE(u16_le, 0xFE01, 0x01, 0xFE);
    CHECK_WRITE(u32_be, 0xFEDC0123, 0xFE, 0xDC, 0x01, 0x23);
    CHECK_WRITE(u32_le, 0xFEDC0123, 0x23, 0x01, 0xDC, 0xFE);
    CHECK_WRITE(u64_be, 0xFEDCBA9876543210, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10);
    CHECK_WRITE(u64_le, 0xFEDCBA9876543210, 0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE);
}

#define CHECK_SHORT(type, width_order)                                        \
    do {                                                                      \
        struct linkbuffer *lb = make_buffer();                                \
        type value = 7;                                                       \
        for (size_t n = 0; n < sizeof value; n++) {                           \
            cr_assert_eq(linkbuffer_peek_##width_order(lb, &value), -EAGAIN); \
            cr_assert_eq(linkbuffer_read_##width_order(lb, &value), -EAGAIN); \
            cr_assert_eq(linkbuffer_len(lb), n);                              \
            put(lb, 1, n);                                                    \
        }                                                                     \
        cr_assert_eq(value, 7);                                               \
        cr_assert_eq(linkbuffer_read_##width_order(lb, &value), 0);           \
        cr_assert_eq(linkbuffer_len(lb), 0);                                  \
        linkbuffer_destroy(lb);                                               \
    } while (0)

Test(integer, with_bytes_missing_it_is_not_there)
{
    CHECK_SHORT(uint16_t, u16_be);
    CHECK_SHORT(uint16_t, u16_le);
    CHECK_SHORT(uint32_t, u32_be);
    CHECK_SHORT(uint32_t, u32_le);
    CHECK_SHORT(uint64_t, u64_be);
    CHECK_SHORT(uint64_t, u64_le);
}

Test(integer, frames_are_cut_by_their_length)
{
    struct linkbuffer *lb = make_buffer();
    size_t position = 0;
    uint8_t body[300];
    for (size_t n = 0; n < sizeof body; n++) {
        pattern_fill(body, n, position);
        position += n;
        cr_assert_eq(linkbuffer_write_u32_be(lb, (uint32_t)n), 0);
        cr_assert_eq(linkbuffer_write(lb, body, n), 0);
    }
    cr_assert_eq(linkbuffer_flush(lb), position + 4 * sizeof body);
    position = 0;
    for (size_t n = 0; n < sizeof body; n++) {
        uint32_t length;
        const void *out;
        cr_assert_eq(linkbuffer_read_u32_be(lb, &length), 0);
        cr_assert_eq(length, n);
        cr_assert_eq(linkbuffer_next(lb, length, &out), 0);
        cr_assert(pattern_holds(out, n, position));
        position += n;
        linkbuffer_release(lb);
    }
    cr_assert_eq(linkbuffer_len(lb), 0);
    linkbuffer_destroy(lb);
}

Test(integer, peek_leaves_shown_bytes_alone)
{
    struct linkbuffer *lb = make_buffer();
    const void *shown;
    uint64_t value;
    put_pieces(lb, 5, 4, 0);
    cr_assert_eq(linkbuffer_peek(lb, 5, &shown), 0);
    cr_assert_eq(linkbuffer_peek_u64_le(lb, &value), 0);
    cr_assert_eq(linkbuffer_read_u64_be(lb, &value), 0);
    cr_assert(pattern_holds(shown, 5, 0));
    cr_assert(holds_unread(lb, 12, 8));
    linkbuffer_destroy(lb);
}
