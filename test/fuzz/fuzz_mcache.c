/*
 * Sequences of mcache's calls on two threads, against a table of what is live. Every block is
 * filled to its capacity, so a block that overlaps another or is handed out twice shows. Linked
 * with --wrap=clock_gettime, so that time is part of the input, and --wrap=mmap, so that refusals
 * of the system are.
 */
#include "input.h"
#include "second_thread.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    SLOTS = 40,
    FILLED_WHOLE = 2048, /* larger blocks are filled at both ends and here and there between */
    STEP = 62467,
    OPERATIONS_MAX = 400,
    ERRNO_BEFORE = 12345
};

struct slot {
    uint8_t *data; /* NULL: no block */
    size_t capacity;
    uint64_t seed;
    bool is_large; /* served by the system */
};

static struct slot slots[SLOTS];
static struct mcache_stats before;
static uint64_t last_seed;
static uint64_t clock_ms = 1000000;
static bool refuses_mmap;
static bool has_refused;

/* NOLINTBEGIN(readability-identifier-naming): names that the linker gives. */
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
void *__real_mmap(void *where, size_t bytes, int access, int flags, int fd, off_t offset);
void *__wrap_mmap(void *where, size_t bytes, int access, int flags, int fd, off_t offset);

/* mcache is the only one to use the coarse clock. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC_COARSE)
        return __real_clock_gettime(clock, now);
    now->tv_sec = (time_t)(clock_ms / 1000);
    now->tv_nsec = (long)(clock_ms % 1000) * 1000000;
    return 0;
}

void *__wrap_mmap(void *where, size_t bytes, int access, int flags, int fd, off_t offset)
{
    if (!refuses_mmap)
        return __real_mmap(where, bytes, access, flags, fd, offset);
    has_refused = true;
    errno = ENOMEM;
    return MAP_FAILED;
}
/* NOLINTEND(readability-identifier-naming) */

/* The positions of a block that are filled: 0, then next() of each. */
FUZZ_UNTRACED static size_t next(const struct slot *slot, size_t i)
{
    if (slot->capacity <= FILLED_WHOLE || i < FILLED_WHOLE / 4 ||
        i >= slot->capacity - FILLED_WHOLE / 4)
        return i + 1;
    size_t tail = slot->capacity - FILLED_WHOLE / 4;
    return i + STEP < tail ? i + STEP : tail;
}

FUZZ_UNTRACED static void fill(struct slot *slot)
{
    slot->seed = last_seed += 1000003;
    for (size_t i = 0; i < slot->capacity; i = next(slot, i))
        slot->data[i] = fuzz_content(slot->seed, i);
}

/* Whether the first n bytes of what fill() has put into old are at data. */
FUZZ_UNTRACED static bool holds(const uint8_t *data, const struct slot *old, size_t n)
{
    for (size_t i = 0; i < n; i = next(old, i)) {
        if (data[i] != fuzz_content(old->seed, i))
            return false;
    }
    return true;
}

FUZZ_UNTRACED static bool overlaps_another(const struct slot *slot)
{
    for (const struct slot *other = slots; other < slots + SLOTS; other++) {
        if (other != slot && other->data != NULL && slot->data < other->data + other->capacity &&
            other->data < slot->data + slot->capacity)
            return true;
    }
    return false;
}

/* The class of a request, or 0. */
static size_t class_size(size_t size)
{
    size_t cls = MCACHE_CLASS_MIN;
    while (cls < size && cls < MCACHE_CLASS_MAX)
        cls *= 2;
    return cls < size ? 0 : cls;
}

static bool is_aligned(const void *data, size_t alignment)
{
    return ((uintptr_t)data & (alignment - 1)) == 0;
}

/* The slot has got a block: what is promised of every one. */
static void check_block(struct slot *slot, size_t size)
{
    slot->capacity = mcache_capacity(slot->data);
    FUZZ_CHECK(slot->capacity >= size);
    FUZZ_CHECK(is_aligned(slot->data, slot->capacity >= 4096 ? 64 : 16));
    FUZZ_CHECK(!overlaps_another(slot));
}

/* No alignment was asked for: the block is of the class of its size. */
static void check_class(struct slot *slot, size_t size)
{
    slot->is_large = size > MCACHE_CLASS_MAX;
    FUZZ_CHECK(slot->is_large || slot->capacity == class_size(size));
}

/* An allocating call has returned data: fails only when it may. */
static bool is_granted(const void *data, size_t size)
{
    FUZZ_CHECK(data != NULL || has_refused || size > PTRDIFF_MAX);
    FUZZ_CHECK(data == NULL || size <= PTRDIFF_MAX);
    FUZZ_CHECK(errno == (data == NULL ? ENOMEM : ERRNO_BEFORE));
    return data != NULL;
}

static size_t choose_size(struct fuzz_input *in)
{
    uint8_t choice = fuzz_byte(in);
    size_t low = choice & 31;
    size_t cls = MCACHE_CLASS_MIN << low % MCACHE_CLASS_COUNT;

    switch (choice >> 5) {
    case 0:
        return low * 2;
    case 1:
        return cls;
    case 2:
        return cls + 1;
    case 3:
        return cls - 1;
    case 4:
        return fuzz_u16(in);
    case 5:
        return low * 1024 + 1;
    case 6:
        return low < 16 ? fuzz_u16(in) * 16 : MCACHE_CLASS_MAX + low * 100000;
    default:
        return low < 24 ? low * 64 : SIZE_MAX - fuzz_u16(in) * (low < 28 ? 1 : 1 << 20);
    }
}

static struct slot *choose_slot(struct fuzz_input *in)
{
    return &slots[fuzz_byte(in) % SLOTS];
}

static void free_slot(struct slot *slot)
{
    if (slot->data != NULL) {
        FUZZ_CHECK(mcache_capacity(slot->data) == slot->capacity);
        FUZZ_CHECK(holds(slot->data, slot, slot->capacity));
    }
    mcache_free(slot->data);
    FUZZ_CHECK(errno == ERRNO_BEFORE);
    slot->data = NULL;
}

static void do_free(struct fuzz_input *in)
{
    free_slot(choose_slot(in));
}

static void do_alloc(struct fuzz_input *in)
{
    struct slot *slot = choose_slot(in);
    size_t size = choose_size(in);

    free_slot(slot);
    slot->data = mcache_alloc(size);
    if (!is_granted(slot->data, size))
        return;
    check_block(slot, size);
    check_class(slot, size);
    fill(slot);
}

static void do_alloc_capacity(struct fuzz_input *in)
{
    struct slot *slot = choose_slot(in);
    size_t size = choose_size(in);
    size_t capacity = choose_size(in);
    size_t larger = size < capacity ? capacity : size;

    free_slot(slot);
    slot->data = mcache_alloc_capacity(size, capacity);
    if (!is_granted(slot->data, larger))
        return;
    check_block(slot, larger);
    check_class(slot, larger);
    fill(slot);
}

static void do_calloc(struct fuzz_input *in)
{
    struct slot *slot = choose_slot(in);
    size_t size = choose_size(in);
    size_t count = fuzz_byte(in) % 8;
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    free_slot(slot);
    slot->data = mcache_calloc(count, size);
    if (!is_granted(slot->data, bytes))
        return;
    check_block(slot, bytes);
    check_class(slot, bytes);
    for (size_t i = 0; i < bytes; i = next(slot, i))
        FUZZ_CHECK(slot->data[i] == 0);
    fill(slot);
}

static void do_aligned_alloc(struct fuzz_input *in)
{
    static const size_t refused[] = {0, 3, 24, 2 * MCACHE_ALIGNMENT_MAX, SIZE_MAX};
    struct slot *slot = choose_slot(in);
    uint8_t choice = fuzz_byte(in);
    size_t size = choose_size(in);

    free_slot(slot);
    if (choice > 250) {
        slot->data = mcache_aligned_alloc(refused[choice - 251], size);
        FUZZ_CHECK(slot->data == NULL && errno == EINVAL);
        return;
    }
    size_t alignment = (size_t)1 << choice % 22;
    slot->data = mcache_aligned_alloc(alignment, size);
    if (!is_granted(slot->data, size))
        return;
    check_block(slot, size);
    FUZZ_CHECK(is_aligned(slot->data, alignment));
    slot->is_large = size > MCACHE_CLASS_MAX || alignment > MCACHE_CLASS_MAX;
    fill(slot);
}

static void do_expand(struct fuzz_input *in)
{
    struct slot *slot = choose_slot(in);
    size_t size = choose_size(in);

    if (slot->data == NULL)
        return;
    struct slot old = *slot;
    bool expanded = mcache_expand(slot->data, size);
    FUZZ_CHECK(errno == ERRNO_BEFORE);
    FUZZ_CHECK(expanded || size > old.capacity);
    FUZZ_CHECK(!expanded || size <= old.capacity || old.is_large);
    check_block(slot, expanded ? size : old.capacity);
    FUZZ_CHECK(expanded || slot->capacity == old.capacity);
    FUZZ_CHECK(holds(slot->data, &old, old.capacity));
    fill(slot);
}

static void do_realloc(struct fuzz_input *in)
{
    struct slot *slot = choose_slot(in);
    size_t size = choose_size(in);
    struct slot old = *slot;
    uint8_t *data = mcache_realloc(slot->data, size);

    if (!is_granted(data, size)) {
        if (old.data == NULL)
            return;
        data = old.data;
        size = old.capacity;
    }
    slot->data = data;
    check_block(slot, size);
    if (data != old.data)
        check_class(slot, size);
    if (old.data != NULL) {
        size_t kept = size < old.capacity ? size : old.capacity;
        FUZZ_CHECK(holds(data, &old, kept));
        FUZZ_CHECK(size > old.capacity || size < old.capacity / 4 || data == old.data);
        FUZZ_CHECK(size >= old.capacity / 4 || slot->capacity < old.capacity ||
                   old.capacity == MCACHE_CLASS_MIN);
    }
    fill(slot);
}

static void do_check_one(struct fuzz_input *in)
{
    const struct slot *slot = choose_slot(in);

    if (slot->data != NULL)
        FUZZ_CHECK(holds(slot->data, slot, slot->capacity));
    FUZZ_CHECK(mcache_capacity(NULL) == 0);
}

/* What the table holds is what the figures say. */
static void check_stats(void)
{
    struct mcache_stats now;
    size_t live = before.live_bytes;
    size_t large = before.system_bytes;
    uint64_t counts[MCACHE_CLASS_COUNT] = {0};

    mcache_stats_read(&now);
    for (const struct slot *slot = slots; slot < slots + SLOTS; slot++) {
        if (slot->data != NULL && !slot->is_large) {
            live += slot->capacity;
            counts[__builtin_ctzll(slot->capacity) - __builtin_ctzll(MCACHE_CLASS_MIN)]++;
        } else if (slot->data != NULL) {
            large += slot->capacity;
        }
    }
    FUZZ_CHECK(now.live_bytes == live);
    FUZZ_CHECK(now.system_bytes == large);
    FUZZ_CHECK(now.bad_free_count == before.bad_free_count);
    FUZZ_CHECK(now.segment_bytes + now.system_retained_bytes >=
               now.live_bytes + now.retained_bytes);
    for (size_t i = 0; i < MCACHE_CLASS_COUNT; i++) {
        const struct mcache_class_stats *then = &before.classes[i];
        FUZZ_CHECK(now.classes[i].alloc_count - then->alloc_count ==
                   now.classes[i].free_count - then->free_count + counts[i]);
    }
}

static void do_stats(struct fuzz_input *in)
{
    (void)in;
    check_stats();
}

static void do_flush(struct fuzz_input *in)
{
    (void)in;
    mcache_flush();
}

static void do_trim(struct fuzz_input *in)
{
    struct mcache_stats then;
    struct mcache_stats now;

    (void)in;
    mcache_stats_read(&then);
    size_t returned = mcache_trim();
    mcache_stats_read(&now);
    FUZZ_CHECK(now.retained_bytes == 0);
    FUZZ_CHECK(now.returned_bytes - then.returned_bytes == returned);
    FUZZ_CHECK(errno == ERRNO_BEFORE);
}

static void do_tick(struct fuzz_input *in)
{
    clock_ms += fuzz_byte(in);
    (void)mcache_tick();
    FUZZ_CHECK(errno == ERRNO_BEFORE);
}

/* Nothing is asked for during two ages: everything that is retained goes back. */
static void do_decay(struct fuzz_input *in)
{
    struct mcache_stats now;

    (void)in;
    mcache_configure(&(struct mcache_options){.decay_ms = 50});
    for (size_t i = 0; i < 1000 && mcache_tick() != 0; i++)
        clock_ms += 10;
    mcache_stats_read(&now);
    FUZZ_CHECK(mcache_tick() == 0 && now.retained_bytes == 0);
}

static void do_configure(struct fuzz_input *in)
{
    uint8_t limit = fuzz_byte(in);
    uint8_t age = fuzz_byte(in);
    struct mcache_options options = {.retain_limit = limit > 250 ? 0 : (size_t)limit * limit * 999,
                                     .decay_ms = age};
    struct mcache_stats now;

    mcache_configure(limit == 255 ? NULL : &options);
    mcache_stats_read(&now);
    FUZZ_CHECK(now.retain_limit ==
               (options.retain_limit == 0 ? MCACHE_RETAIN_LIMIT_DEFAULT : options.retain_limit));
}

typedef void operation_fn(struct fuzz_input *in);

static operation_fn *const operations[] = {
    do_alloc,     do_alloc,   do_alloc,   do_alloc,     do_alloc_capacity, do_calloc, do_calloc,
    do_realloc,   do_realloc, do_realloc, do_expand,    do_aligned_alloc,  do_free,   do_free,
    do_free,      do_free,    do_free,    do_check_one, do_flush,          do_tick,   do_tick,
    do_configure, do_decay,   do_trim,    do_stats,
};

struct step {
    struct fuzz_input *in;
    operation_fn *operation;
    bool refuses_mmap;
};

static void run_step(void *arg)
{
    struct step *step = arg;

    errno = ERRNO_BEFORE;
    has_refused = false;
    refuses_mmap = step->refuses_mmap;
    step->operation(step->in);
    refuses_mmap = false;
}

/* A step on one of the threads, now and then while the system has no memory. */
static void do_step(struct fuzz_input *in)
{
    uint8_t how = fuzz_byte(in);
    operation_fn *operation = operations[fuzz_byte(in) % (sizeof operations / sizeof *operations)];
    struct step step = {in, operation, how % 16 == 15};

    fuzz_count();
    if (how > 250)
        second_thread_end();
    else if (how >= 200)
        second_thread_run(run_step, &step);
    else
        run_step(&step);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};

    mcache_configure(NULL);
    mcache_stats_read(&before);
    for (size_t i = 0; i < OPERATIONS_MAX && in.left > 0; i++)
        do_step(&in);
    check_stats();
    errno = ERRNO_BEFORE;
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        free_slot(slot);
    check_stats();
    return 0;
}
