/* Every allocating call with its first, second, ... allocation failing: it changes nothing. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>

struct fixture {
    struct linkbuffer *lb;    /* 5 windows of 100 bytes, 30 consumed, 20 shown; 50 unflushed */
    struct linkbuffer *other; /* 3 windows of 40 bytes, the first shown */
    const void *shown;
    const void *other_shown;
    struct linkbuffer_block *block;
    struct linkbuffer *made;
    int calls;
};

static uint8_t memory[5000];

static void build(struct fixture *f)
{
    const void *out;
    *f = (struct fixture){.lb = make_buffer(), .other = make_buffer()};
    pattern_fill(memory, sizeof memory, 500);
    f->block = linkbuffer_block_create(1000);
    cr_assert_not_null(f->block);
    pattern_fill(linkbuffer_block_data(f->block), 1000, 500);
    put_pieces(f->lb, 100, 5, 0);
    cr_assert_eq(linkbuffer_next(f->lb, 30, &out), 0);
    cr_assert_eq(linkbuffer_peek(f->lb, 20, &f->shown), 0);
    cr_assert_eq(linkbuffer_write(f->lb, memory, 50), 0);
    put_pieces(f->other, 40, 3, 550);
    cr_assert_eq(linkbuffer_peek(f->other, 40, &f->other_shown), 0);
}

static void check_unchanged(struct fixture *f)
{
    cr_assert(pattern_holds(f->shown, 20, 30));
    cr_assert(pattern_holds(f->other_shown, 40, 550));
    cr_assert(holds_unread(f->lb, 470, 30));
    cr_assert_eq(linkbuffer_unread(f->lb), 470);
    cr_assert(holds_unread(f->other, 120, 550));
    cr_assert_eq(linkbuffer_reserved_len(f->lb), 50);
    cr_assert_eq(linkbuffer_reserved_len(f->other), 0);
    cr_assert_not(linkbuffer_block_is_shared(f->block));
    cr_assert_null(f->made);
    cr_assert_eq(f->calls, 0);
    cr_assert_eq(linkbuffer_flush(f->lb), 50);
    cr_assert(holds_unread(f->lb, 520, 30));
}

static void tear_down(struct fixture *f)
{
    linkbuffer_destroy(f->made);
    linkbuffer_destroy(f->lb);
    linkbuffer_destroy(f->other);
    linkbuffer_block_release(f->block);
}

typedef int call_fn(struct fixture *f);

/* The call makes `least` allocations or more; each of them failing is -ENOMEM and nothing else. */
static void check_failures(call_fn *call, size_t least)
{
    size_t before = live_bytes();
    for (size_t nth = 1;; nth++) {
        struct fixture f;
        build(&f);
        alloc_fail_at(nth);
        int status = call(&f);
        bool failed = alloc_failed();
        if (failed) {
            cr_assert_eq(status, -ENOMEM, "allocation %zu", nth);
            check_unchanged(&f);
        }
        tear_down(&f);
        cr_assert_eq(live_bytes(), before, "allocation %zu", nth);
        if (!failed) {
            cr_assert_eq(status, 0);
            cr_assert_gt(nth, least);
            return;
        }
    }
}

static int call_create(struct fixture *f)
{
    return linkbuffer_create(&f->made);
}

static int call_reserve(struct fixture *f)
{
    void *into = NULL;
    int status = linkbuffer_reserve(f->lb, 3000, &into);
    cr_assert_eq(status == 0, into != NULL);
    return status;
}

static int call_write(struct fixture *f)
{
    return linkbuffer_write(f->lb, memory + 50, 3000);
}

static int call_write_ref(struct fixture *f)
{
    int status = linkbuffer_write_ref(f->lb, memory + 50, 3000, count_call, &f->calls);
    cr_assert_eq(f->calls, 0);
    return status;
}

static int call_adopt(struct fixture *f)
{
    return linkbuffer_adopt(f->lb, f->block, linkbuffer_block_data(f->block), 1000);
}

static int call_append(struct fixture *f)
{
    return linkbuffer_append(f->lb, f->other);
}

static int call_next(struct fixture *f)
{
    const void *out = NULL;
    int status = linkbuffer_next(f->lb, 300, &out);
    cr_assert(status == 0 ? pattern_holds(out, 300, 30) : out == NULL);
    return status;
}

static int call_peek(struct fixture *f)
{
    const void *out = NULL;
    int status = linkbuffer_peek(f->lb, 300, &out);
    cr_assert(status == 0 ? pattern_holds(out, 300, 30) : out == NULL);
    return status;
}

static size_t first_from(size_t position, uint8_t byte)
{
    while (pattern_at(position) != byte)
        position++;
    return position;
}

static int call_until(struct fixture *f)
{
    const void *out = NULL;
    size_t n = 0;
    /* A byte that comes late, behind what fits into the first block. */
    size_t late = 499;
    for (size_t at = 499; at >= 300; at--)
        late = first_from(30, pattern_at(at)) == at ? at : late;
    int status = linkbuffer_until(f->lb, pattern_at(late), &out, &n);
    cr_assert(status == 0 ? n == late - 29 && pattern_holds(out, n, 30) : out == NULL && n == 0);
    return status;
}

static int call_slice(struct fixture *f)
{
    return linkbuffer_slice(f->lb, 300, &f->made);
}

Test(failure, create)
{
    check_failures(call_create, 1);
}

Test(failure, reserve)
{
    check_failures(call_reserve, 1);
}

Test(failure, write)
{
    check_failures(call_write, 1);
}

Test(failure, write_ref)
{
    check_failures(call_write_ref, 1);
}

Test(failure, adopt)
{
    check_failures(call_adopt, 1);
}

Test(failure, append)
{
    check_failures(call_append, 1);
}

Test(failure, next)
{
    check_failures(call_next, 1);
}

Test(failure, peek)
{
    check_failures(call_peek, 1);
}

Test(failure, until)
{
    check_failures(call_until, 1);
}

Test(failure, slice)
{
    check_failures(call_slice, 3);
}

Test(failure, block_create)
{
    size_t before = live_bytes();
    alloc_fail_at(1);
    cr_assert_null(linkbuffer_block_create(100));
    cr_assert(alloc_failed());
    cr_assert_eq(live_bytes(), before);
}

Test(failure, settle_leaves_pieces_where_they_are)
{
    for (size_t nth = 1;; nth++) {
        struct linkbuffer *lb = make_buffer();
        for (size_t i = 0; i < 4; i++)
            put_rest_of_block(lb, 200, i * 200);
        alloc_fail_at(nth);
        linkbuffer_settle(lb, 1024);
        bool failed = alloc_failed();
        cr_assert(holds_unread(lb, 800, 0));
        linkbuffer_destroy(lb);
        if (!failed) {
            cr_assert_gt(nth, 1);
            return;
        }
    }
}
