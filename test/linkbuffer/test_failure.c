/*
 * Every call with its first, second, ... allocation failing: an error, nothing changed, nothing
 * lost, and the same call done once more succeeds.
 */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linkbuffer/io.h>
#include <unistd.h>

struct fixture {
    struct linkbuffer *lb;    /* 5 windows of 100 bytes, 30 consumed, 20 shown; 50 unflushed */
    struct linkbuffer *other; /* 3 windows of 40 bytes, the first shown */
    const void *shown;
    const void *other_shown;
    struct linkbuffer_block *block;
    struct linkbuffer *made;
    int calls;
    int ends[2]; /* a pipe with 700 bytes of what follows in other */
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
    cr_assert_eq(pipe(f->ends), 0);
    send_pattern(f->ends[1], 700, 670);
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
}

static void tear_down(struct fixture *f)
{
    linkbuffer_destroy(f->made);
    linkbuffer_destroy(f->lb);
    linkbuffer_destroy(f->other);
    linkbuffer_block_release(f->block);
    close(f->ends[0]);
    close(f->ends[1]);
}

typedef int call_fn(struct fixture *f);

struct scenario {
    const char *name;
    call_fn *call; /* checks by itself what it got when it succeeds */
    size_t allocs; /* at least */
    bool goes_on;  /* of its failures the first is an error, the others cost a little memory */
};

/* One run of the call, in which the nth allocation fails; false: it has not got so many. */
static bool fails(const struct scenario *scenario, size_t nth)
{
    struct fixture f;
    size_t before = live_bytes();
    build(&f);
    alloc_fail_at(nth);
    int status = scenario->call(&f);
    bool failed = alloc_failed();
    if (failed && (status != 0 || !scenario->goes_on)) {
        cr_assert_eq(status, -ENOMEM, "%s, allocation %zu", scenario->name, nth);
        check_unchanged(&f);
        status = scenario->call(&f);
    }
    cr_assert_eq(status, 0, "%s, allocation %zu", scenario->name, nth);
    if (linkbuffer_reserved_len(f.lb) > 0)
        linkbuffer_flush(f.lb);
    tear_down(&f);
    cr_assert_eq(live_bytes(), before, "%s, allocation %zu", scenario->name, nth);
    return failed;
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

static int call_slice_of_whole_windows(struct fixture *f)
{
    return linkbuffer_slice(f->lb, 470, &f->made);
}

static int call_slice_within_a_window(struct fixture *f)
{
    return linkbuffer_slice(f->lb, 10, &f->made);
}

static int call_slice_of_nothing(struct fixture *f)
{
    return linkbuffer_slice(f->lb, 0, &f->made);
}

static int call_write_byte(struct fixture *f)
{
    return linkbuffer_write_byte(f->other, 7);
}

static int call_write_u64(struct fixture *f)
{
    return linkbuffer_write_u64_le(f->other, 7);
}

static int insert(struct fixture *f, size_t remain)
{
    struct linkbuffer_ref ref = {memory, 700, count_call, &f->calls};
    int status = linkbuffer_write_direct(f->lb, remain, &ref);
    cr_assert_eq(f->calls, 0);
    cr_assert(status != 0 || linkbuffer_reserved_len(f->lb) == 750);
    return status;
}

static int call_direct_behind(struct fixture *f)
{
    return insert(f, 0);
}

static int call_direct_within(struct fixture *f)
{
    return insert(f, 20);
}

static int call_direct_in_front(struct fixture *f)
{
    return insert(f, 50);
}

static int call_next_of_all(struct fixture *f)
{
    const void *out = NULL;
    int status = linkbuffer_next(f->lb, 470, &out);
    cr_assert(status == 0 ? pattern_holds(out, 470, 30) : out == NULL);
    return status;
}

static int call_reserve_input(struct fixture *f)
{
    void *into = NULL;
    size_t n = 0;
    int status = linkbuffer_reserve_input(f->other, 5000, &into, &n);
    cr_assert_eq(status == 0, into != NULL && n > 0);
    return status;
}

static int call_reserve_input_for_a_demand(struct fixture *f)
{
    linkbuffer_need(f->other, 100000);
    return call_reserve_input(f);
}

static int fill(struct fixture *f)
{
    ssize_t n = linkbuffer_fill_fd(f->other, f->ends[0], 50000);
    cr_assert(n == -ENOMEM || (n > 0 && n <= 700));
    if (n > 0)
        cr_assert(holds_unread(f->other, 120 + (size_t)n, 550));
    return n > 0 ? 0 : (int)n;
}

static int call_fill(struct fixture *f)
{
    return fill(f);
}

static int call_fill_for_a_demand(struct fixture *f)
{
    linkbuffer_need(f->other, 100000);
    return fill(f);
}

/* Four windows on 200 bytes of large blocks, or no memory for them. */
static int make_wasteful(struct linkbuffer **out)
{
    int status = linkbuffer_create(out);
    for (size_t i = 0; status == 0 && i < 4; i++) {
        struct linkbuffer_block *block = linkbuffer_block_create(4000);
        if (block == NULL)
            return -ENOMEM;
        pattern_fill(linkbuffer_block_data(block), 200, i * 200);
        status = linkbuffer_adopt(*out, block, linkbuffer_block_data(block), 200);
        linkbuffer_block_release(block);
        linkbuffer_flush(*out);
    }
    return status;
}

static int call_settle(struct fixture *f)
{
    struct linkbuffer *lb;
    int status = make_wasteful(&lb);
    if (status == 0) {
        linkbuffer_settle(lb, 1024);
        cr_assert(holds_unread(lb, 800, 0));
    }
    linkbuffer_destroy(lb);
    (void)f;
    return status;
}

/* Calls that never need memory: that there is none is nothing to them. */
static int call_the_rest(struct fixture *f)
{
    uint64_t value;
    uint8_t bytes[100];
    linkbuffer_need(f->other, 1000);
    cr_assert_eq(linkbuffer_skip(f->other, 36), 0);
    cr_assert_eq(linkbuffer_peek_u64_be(f->other, &value), 0);
    cr_assert_eq(linkbuffer_read_u64_be(f->other, &value), 0);
    cr_assert_eq(linkbuffer_read(f->other, bytes, 50), 50);
    cr_assert_eq(linkbuffer_drain_fd(f->other, f->ends[1], 100), 26);
    linkbuffer_release(f->other);
    cr_assert_eq(linkbuffer_commit(f->lb, 20), 0);
    cr_assert_eq(linkbuffer_flush(f->lb), 20);
    return 0;
}

static const struct scenario scenarios[] = {
    {"create", call_create, 1, false},
    {"reserve", call_reserve, 1, false},
    {"write", call_write, 1, false},
    {"write_byte", call_write_byte, 1, false},
    {"write_u64", call_write_u64, 1, false},
    {"write_ref", call_write_ref, 1, false},
    {"write_direct behind", call_direct_behind, 1, false},
    {"write_direct within", call_direct_within, 2 - HOSTILE, false},
    {"write_direct in front", call_direct_in_front, 1, false},
    {"adopt", call_adopt, 1, false},
    {"append", call_append, 1 - HOSTILE, false},
    {"next", call_next, 1, false},
    {"next of all", call_next_of_all, 1, false},
    {"peek", call_peek, 1, false},
    {"until", call_until, 1, false},
    {"slice", call_slice, 3 - HOSTILE, false},
    {"slice of whole windows", call_slice_of_whole_windows, 2 - HOSTILE, false},
    {"slice within a window", call_slice_within_a_window, 2, false},
    {"slice of nothing", call_slice_of_nothing, 1, false},
    {"reserve_input", call_reserve_input, 1, false},
    {"reserve_input for a demand", call_reserve_input_for_a_demand, 1, false},
    {"fill_fd", call_fill, 2 - HOSTILE, true},
    {"fill_fd for a demand", call_fill_for_a_demand, 2 - HOSTILE, true},
    {"settle", call_settle, 10, true},
    {"calls without memory", call_the_rest, 0, false},
};

Test(failure, of_every_allocation_of_every_call_is_an_error_and_nothing_else)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        size_t nth = 1;
        while (fails(&scenarios[i], nth))
            nth++;
        cr_assert_gt(nth, scenarios[i].allocs, "%s: %zu allocations", scenarios[i].name, nth - 1);
        if (scenarios[i].allocs == 0)
            cr_assert_eq(nth, 1, "%s", scenarios[i].name);
    }
}

static ssize_t give_hundred(void *arg, void *into, size_t n)
{
    size_t *given = arg;
    n = n < 100 ? n : 100;
    pattern_fill(into, n, *given);
    *given += n;
    return (ssize_t)n;
}

/* A pull has to do with many blocks: what came before the failure stays, and it goes on there. */
Test(failure, of_a_pull_keeps_what_came)
{
    bool failed = true;
    for (size_t nth = 1; failed; nth++) {
        size_t before = live_bytes();
        size_t given = 0;
        struct linkbuffer *lb = make_buffer();
        alloc_fail_at(nth);
        ssize_t len = linkbuffer_pull(lb, 20000, give_hundred, &given);
        failed = alloc_failed();
        cr_assert(len >= 20000 || (failed && len == -ENOMEM));
        cr_assert(holds_unread(lb, given, 0));
        cr_assert_geq(linkbuffer_pull(lb, 20000, give_hundred, &given), 20000);
        cr_assert(holds_unread(lb, given, 0));
        linkbuffer_destroy(lb);
        cr_assert_eq(live_bytes(), before);
        cr_assert(failed || nth > 3);
    }
}

Test(failure, block_create)
{
    size_t before = live_bytes();
    alloc_fail_at(1);
    cr_assert_null(linkbuffer_block_create(100));
    cr_assert(alloc_failed());
    cr_assert_eq(live_bytes(), before);
}
