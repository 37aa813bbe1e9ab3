/* linkbuffer_write_direct(): the caller's memory in the midst of what was reserved. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static int direct(struct linkbuffer *lb, size_t remain, const char *text)
{
    struct linkbuffer_ref ref = {.data = text, .n = strlen(text)};
    return linkbuffer_write_direct(lb, remain, &ref);
}

static void *reserve_text(struct linkbuffer *lb, const char *text)
{
    void *into;
    cr_assert_eq(linkbuffer_reserve(lb, strlen(text), &into), 0);
    memcpy(into, text, strlen(text));
    return into;
}

static bool reads(struct linkbuffer *lb, const char *expected)
{
    const void *out;
    size_t n = strlen(expected);
    return linkbuffer_len(lb) == n && linkbuffer_peek(lb, n, &out) == 0 &&
           (n == 0 || memcmp(out, expected, n) == 0);
}

Test(direct, inserts_nest_with_less_and_less_behind_them)
{
    struct linkbuffer *lb = make_buffer();
    reserve_text(lb, "abcdefghij");
    cr_assert_eq(direct(lb, 10, "0"), 0);
    cr_assert_eq(direct(lb, 8, "12"), 0);
    cr_assert_eq(direct(lb, 5, "345"), 0);
    cr_assert_eq(direct(lb, 1, "6"), 0);
    cr_assert_eq(direct(lb, 0, "789"), 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), 20);
    cr_assert_eq(linkbuffer_flush(lb), 20);
    cr_assert(reads(lb, "0ab12cde345fghi6j789"));
    linkbuffer_destroy(lb);
}

Test(direct, inserts_go_anywhere_in_any_order)
{
    struct linkbuffer *lb = make_buffer();
    reserve_text(lb, "abcdef");
    cr_assert_eq(direct(lb, 0, "4"), 0);    /* abcdef4 */
    cr_assert_eq(direct(lb, 7, "1"), 0);    /* 1abcdef4 */
    cr_assert_eq(direct(lb, 4, "2222"), 0); /* 1abc2222def4 */
    cr_assert_eq(direct(lb, 6, "3"), 0);    /* 1abc22322def4, into an inserted one */
    cr_assert_eq(direct(lb, 9, "5"), 0);    /* 1abc522322def4, between two windows */
    cr_assert_eq(linkbuffer_write(lb, "gh", 2), 0);
    cr_assert_eq(direct(lb, 1, "6"), 0);
    cr_assert_eq(linkbuffer_write_byte(lb, 'i'), 0);
    cr_assert_eq(linkbuffer_flush(lb), 18);
    cr_assert(reads(lb, "1abc522322def4g6hi"));
    linkbuffer_destroy(lb);
}

Test(direct, memory_that_was_reserved_does_not_move)
{
    struct linkbuffer *lb = make_buffer();
    char *into = reserve_text(lb, "................");
    cr_assert_eq(direct(lb, 8, "<direct>"), 0);
    cr_assert_eq(direct(lb, 4, "[more]"), 0);
    memcpy(into, "0123456789abcdef", 16);
    cr_assert_eq(linkbuffer_flush(lb), 30);
    cr_assert(reads(lb, "01234567<direct>89ab[more]cdef"));
    linkbuffer_destroy(lb);
}

Test(direct, what_is_inserted_is_shown_in_place)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    static const char text[] = "inserted";
    const void *out;
    void *into = reserve_text(lb, "headtail");
    cr_assert_eq(direct(lb, 4, text), 0);
    cr_assert_eq(linkbuffer_flush(lb), 16);
    cr_assert_eq(linkbuffer_next(lb, 4, &out), 0);
    cr_assert_eq(out, into);
    cr_assert_eq(linkbuffer_next(lb, 8, &out), 0);
    cr_assert_eq(out, text);
    cr_assert_eq(linkbuffer_next(lb, 4, &out), 0);
    cr_assert_eq(out, (char *)into + 4);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

Test(direct, more_behind_than_was_written_is_refused)
{
    struct linkbuffer *lb = make_buffer();
    int calls = 0;
    struct linkbuffer_ref ref = {.data = "x", .n = 1, .release = count_call, .arg = &calls};
    cr_assert_eq(linkbuffer_write_direct(lb, 1, &ref), -EINVAL);
    put(lb, 10, 0);
    cr_assert_eq(linkbuffer_write_direct(lb, 1, &ref), -EINVAL, "flushed bytes are the reader's");
    reserve_text(lb, "abc");
    cr_assert_eq(linkbuffer_write_direct(lb, 4, &ref), -EINVAL);
    cr_assert_eq(linkbuffer_write_direct(lb, SIZE_MAX, &ref), -EINVAL);
    cr_assert_eq(linkbuffer_reserved_len(lb), 3);
    cr_assert_eq(calls, 0);
    linkbuffer_destroy(lb);
}

Test(direct, of_nothing_changes_nothing)
{
    struct linkbuffer *lb = make_buffer();
    int calls = 0;
    struct linkbuffer_ref nothing = {.release = count_call, .arg = &calls};
    cr_assert_eq(linkbuffer_write_direct(lb, 0, &nothing), 0);
    reserve_text(lb, "abc");
    cr_assert_eq(linkbuffer_write_direct(lb, 2, &nothing), 0);
    nothing.release = NULL;
    cr_assert_eq(linkbuffer_write_direct(lb, 1, &nothing), 0);
    cr_assert_eq(calls, 2);
    cr_assert_eq(linkbuffer_flush(lb), 3);
    cr_assert(reads(lb, "abc"));
    linkbuffer_destroy(lb);
}

Test(direct, into_an_empty_buffer_is_a_write_by_reference)
{
    struct linkbuffer *lb = make_buffer();
    cr_assert_eq(direct(lb, 0, "alone"), 0);
    cr_assert_eq(linkbuffer_flush(lb), 5);
    cr_assert(reads(lb, "alone"));
    linkbuffer_destroy(lb);
}

/* Every cut, with every commit after it and writes behind. */
Test(direct, commit_and_later_writes_see_the_inserted_bytes)
{
    static const char base[] = "abcdefgh";
    size_t before = live_bytes();
    for (size_t remain = 0; remain <= 8; remain++) {
        for (size_t keep = 0; keep <= 11; keep++) {
            struct linkbuffer *lb = make_buffer();
            int calls = 0;
            char expected[16] = "";
            struct linkbuffer_ref ref = {"XYZ", 3, count_call, &calls};
            reserve_text(lb, base);
            cr_assert_eq(linkbuffer_write_direct(lb, remain, &ref), 0);
            cr_assert_eq(linkbuffer_commit(lb, keep), 0);
            cr_assert_eq(linkbuffer_write(lb, "+-", 2), 0);
            cr_assert_eq(linkbuffer_flush(lb), keep + 2);
            memcpy(expected, base, 8 - remain);
            memcpy(expected + 8 - remain, "XYZ", 3);
            memcpy(expected + 11 - remain, base + 8 - remain, remain);
            memcpy(expected + keep, "+-", 3);
            cr_assert(reads(lb, expected), "remain %zu, keep %zu", remain, keep);
            linkbuffer_destroy(lb);
            cr_assert_eq(calls, 1);
            cr_assert_eq(live_bytes(), before);
        }
    }
}

/* Both halves of a block that was split keep it, whoever lets go first. */
Test(direct, a_slice_of_split_memory_outlives_the_buffer)
{
    size_t before = live_bytes();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    static const uint8_t inserted[4096];
    struct linkbuffer_ref ref = {.data = inserted, .n = sizeof inserted};
    void *into;
    cr_assert_eq(linkbuffer_reserve(lb, 8192, &into), 0);
    pattern_fill(into, 8192, 0);
    cr_assert_eq(linkbuffer_write_direct(lb, 4096, &ref), 0);
    cr_assert_eq(linkbuffer_flush(lb), 8192 + 4096);
    cr_assert_eq(linkbuffer_slice(lb, 4096, &slice), 0);
    linkbuffer_destroy(lb);
    struct linkbuffer *others[8];
    for (size_t i = 0; i < 8; i++) {
        others[i] = make_buffer();
        put(others[i], 8192, 5000);
    }
    cr_assert(holds_unread(slice, 4096, 0));
    for (size_t i = 0; i < 8; i++)
        linkbuffer_destroy(others[i]);
    linkbuffer_destroy(slice);
    cr_assert_eq(live_bytes(), before);
}

Test(direct, many_inserts_come_in_order)
{
    enum {
        INSERTS = 20000
    };
    struct linkbuffer *lb = make_buffer();
    void *into;
    cr_assert_eq(linkbuffer_reserve(lb, INSERTS, &into), 0);
    memset(into, 'a', INSERTS);
    for (size_t i = INSERTS - 1; i > 0; i--)
        cr_assert_eq(direct(lb, i, "b"), 0);
    cr_assert_eq(linkbuffer_flush(lb), 2 * INSERTS - 1);
    for (size_t i = 0; i < 2 * INSERTS - 1; i++) {
        uint8_t byte;
        cr_assert_eq(linkbuffer_read_byte(lb, &byte), 0);
        cr_assert_eq(byte, i % 2 == 0 ? 'a' : 'b');
    }
    linkbuffer_destroy(lb);
}
