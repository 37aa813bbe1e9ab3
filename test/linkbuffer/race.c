/*
 * One writer and one reader at work on one buffer, a third thread with the slices; every byte tells
 * its position. Moves 1 GB, or what it gets done in 80 s; FULL=1: 10 GB. A plain program, for
 * ThreadSanitizer.
 */
#include "check.h"
#include "pattern.h"

#include <linkbuffer/file.h>
#include <linkbuffer/io.h>
#include <linkbuffer/linkbuffer.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HOT = 64 * 1024 - 64,
    PIECE_MAX = 60000,
    PERIOD = 1 << 20,
    UNREAD_MAX = 4 << 20,
    SLICES = 64,
    HELD = 16
};

struct slice {
    struct linkbuffer *lb;
    size_t n;
    size_t position;
};

struct race {
    struct linkbuffer *lb;
    uint64_t budget;      /* bytes */
    double deadline;      /* seconds of CLOCK_MONOTONIC */
    _Atomic size_t total; /* 0 until the writer has ended; relaxed, it carries no data */
    _Atomic size_t lent;  /* calls of write_ref less calls of release; relaxed, a counter */
    pthread_mutex_t lock; /* of slices, count and ended */
    pthread_cond_t changed;
    struct slice slices[SLICES];
    size_t count;
    bool ended;
};

static size_t random_below(uint64_t *state, size_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (size_t)(*state >> 11) % n;
}

static size_t random_size(uint64_t *state)
{
    static const size_t scales[] = {10, 100, 1000, PIECE_MAX};
    return 1 + random_below(state, scales[random_below(state, 4)]);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The pattern repeats after PERIOD bytes, so that a piece is a memcpy() and not a computation. */
static uint8_t pattern[PERIOD + PIECE_MAX];
static int pattern_fd; /* a file of the same */

static void put_pattern(void *into, size_t n, size_t position)
{
    memcpy(into, pattern + position % PERIOD, n);
}

static void check_pattern(const void *from, size_t n, size_t position)
{
    while (n > 0) {
        size_t step = n < PIECE_MAX ? n : PIECE_MAX;
        CHECK(memcmp(from, pattern + position % PERIOD, step) == 0);
        from = (const uint8_t *)from + step;
        position += step;
        n -= step;
    }
}

/* Consumes and checks everything in a buffer that nobody else uses. */
static void check_slice(struct slice slice)
{
    size_t step = slice.n / 3 + 1;
    while (slice.n > 0) {
        const void *out;
        step = step < slice.n ? step : slice.n;
        CHECK(linkbuffer_next(slice.lb, step, &out) == 0);
        check_pattern(out, step, slice.position);
        slice.position += step;
        slice.n -= step;
    }
    CHECK(linkbuffer_len(slice.lb) == 0);
    linkbuffer_destroy(slice.lb);
}

/* The third thread: slices outlive what they were cut from. */
static void *keep_slices(void *arg)
{
    struct race *race = arg;
    pthread_mutex_lock(&race->lock);
    for (;;) {
        while (race->count == 0 && !race->ended)
            pthread_cond_wait(&race->changed, &race->lock);
        if (race->count == 0)
            break;
        struct slice slice = race->slices[--race->count];
        pthread_mutex_unlock(&race->lock);
        check_slice(slice);
        pthread_mutex_lock(&race->lock);
    }
    pthread_mutex_unlock(&race->lock);
    return NULL;
}

static void hand_over(struct race *race, struct slice slice)
{
    pthread_mutex_lock(&race->lock);
    bool taken = race->count < SLICES;
    if (taken) {
        race->slices[race->count++] = slice;
        pthread_cond_signal(&race->changed);
    }
    pthread_mutex_unlock(&race->lock);
    if (!taken)
        check_slice(slice);
}

struct writer {
    struct race *race;
    uint64_t random;
    size_t written;
    struct linkbuffer_block *hot;
    size_t hot_used;
};

struct loan {
    struct race *race;
    uint8_t bytes[];
};

static void give_back(void *arg)
{
    struct loan *loan = arg;
    atomic_fetch_sub_explicit(&loan->race->lent, 1, memory_order_relaxed);
    free(loan);
}

static struct loan *lend(struct race *race, size_t n, size_t position)
{
    struct loan *loan = malloc(sizeof *loan + n);
    CHECK(loan != NULL);
    loan->race = race;
    put_pattern(loan->bytes, n, position);
    atomic_fetch_add_explicit(&race->lent, 1, memory_order_relaxed);
    return loan;
}

static void lend_piece(struct writer *w, size_t n)
{
    struct loan *loan = lend(w->race, n, w->written);
    CHECK(linkbuffer_write_ref(w->race->lb, loan->bytes, n, give_back, loan) == 0);
}

static void file_gone(void *arg)
{
    struct race *race = arg;
    atomic_fetch_sub_explicit(&race->lent, 1, memory_order_relaxed);
}

static void put_file(struct writer *w, size_t n)
{
    const struct linkbuffer_file file = {.fd = pattern_fd,
                                         .offset = (off_t)(w->written % PERIOD),
                                         .n = n,
                                         .release = file_gone,
                                         .arg = w->race};
    atomic_fetch_add_explicit(&w->race->lent, 1, memory_order_relaxed);
    CHECK(linkbuffer_write_file(w->race->lb, &file) == 0);
}

/* Reserves the two ends of the piece and lends what lies between them. */
static void insert_piece(struct writer *w, size_t n)
{
    struct linkbuffer *lb = w->race->lb;
    size_t head = n / 3;
    size_t tail = n / 4;
    size_t middle = n - head - tail;
    uint8_t *ends = NULL;
    void *into;
    CHECK(linkbuffer_reserve(lb, head + tail, &into) == 0);
    ends = into;
    struct loan *loan = lend(w->race, middle, w->written + head);
    struct linkbuffer_ref ref = {loan->bytes, middle, give_back, loan};
    CHECK(linkbuffer_write_direct(lb, tail, &ref) == 0);
    if (head > 0)
        put_pattern(ends, head, w->written);
    if (tail > 0)
        put_pattern(ends + head, tail, w->written + head + middle);
}

static void write_integers(struct writer *w)
{
    struct linkbuffer *lb = w->race->lb;
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++)
        value = value << 8 | pattern[(w->written + i) % PERIOD];
    CHECK(linkbuffer_write_u32_be(lb, value) == 0);
    CHECK(linkbuffer_write_byte(lb, pattern[(w->written + 4) % PERIOD]) == 0);
}

/* As a receiver does it, in as many turns as it takes. */
static void receive_piece(struct writer *w, size_t n)
{
    struct linkbuffer *lb = w->race->lb;
    for (size_t came = 0; came < n;) {
        void *into;
        size_t room;
        CHECK(linkbuffer_reserve_input(lb, PIECE_MAX, &into, &room) == 0);
        size_t step = room < n - came ? room : n - came;
        put_pattern(into, step, w->written + came);
        CHECK(linkbuffer_commit(lb, linkbuffer_reserved_len(lb) - room + step) == 0);
        CHECK(linkbuffer_flush(lb) > 0);
        came += step;
    }
}

/* As a receiver does it: fills the block on, or from the start once nobody shows it. */
static void adopt_piece(struct writer *w, size_t n)
{
    if (w->hot != NULL && !linkbuffer_block_is_shared(w->hot))
        w->hot_used = 0;
    if (w->hot == NULL || w->hot_used + n > HOT) {
        linkbuffer_block_release(w->hot);
        w->hot = linkbuffer_block_create(HOT);
        w->hot_used = 0;
        CHECK(w->hot != NULL);
    }
    uint8_t *data = (uint8_t *)linkbuffer_block_data(w->hot) + w->hot_used;
    put_pattern(data, n, w->written);
    CHECK(linkbuffer_adopt(w->race->lb, w->hot, data, n) == 0);
    w->hot_used += n;
}

static void write_piece(struct writer *w)
{
    struct linkbuffer *lb = w->race->lb;
    size_t n = random_size(&w->random);
    size_t spare = random_below(&w->random, 500);
    void *into;
    switch (random_below(&w->random, 8)) {
    case 0:
        CHECK(linkbuffer_write(lb, pattern + w->written % PERIOD, n) == 0);
        break;
    case 1:
        CHECK(linkbuffer_reserve(lb, n + spare, &into) == 0);
        put_pattern(into, n, w->written);
        CHECK(linkbuffer_commit(lb, linkbuffer_reserved_len(lb) - spare) == 0);
        break;
    case 2:
        lend_piece(w, n);
        break;
    case 3:
        insert_piece(w, n);
        break;
    case 4:
        write_integers(w);
        n = 5;
        break;
    case 5:
        receive_piece(w, n);
        break;
    case 6:
        put_file(w, n);
        break;
    default:
        adopt_piece(w, n);
        break;
    }
    w->written += n;
}

static void *write_all(void *arg)
{
    struct race *race = arg;
    struct writer w = {.race = race, .random = 0x1234567};
    while (w.written < race->budget && now() < race->deadline) {
        for (size_t pieces = 1 + random_below(&w.random, 4); pieces > 0; pieces--)
            write_piece(&w);
        linkbuffer_flush(race->lb);
        CHECK(linkbuffer_reserved_len(race->lb) == 0);
        while (linkbuffer_unread(race->lb) > UNREAD_MAX)
            sched_yield();
    }
    linkbuffer_block_release(w.hot);
    atomic_store_explicit(&race->total, w.written, memory_order_relaxed);
    return NULL;
}

struct reader {
    struct race *race;
    uint64_t random;
    size_t read;
    struct slice held[HELD]; /* lb unused: n bytes shown at out[i], which begin at position */
    const void *out[HELD];
    size_t held_count;
};

static void hold(struct reader *r, const void *out, size_t n)
{
    check_pattern(out, n, r->read);
    if (r->held_count == HELD)
        return;
    r->held[r->held_count] = (struct slice){.n = n, .position = r->read};
    r->out[r->held_count++] = out;
}

static void end_held(struct reader *r)
{
    for (size_t i = 0; i < r->held_count; i++)
        check_pattern(r->out[i], r->held[i].n, r->held[i].position);
    r->held_count = 0;
}

static void read_line(struct reader *r, size_t n)
{
    const void *out;
    uint8_t delimiter = pattern[(r->read + n - 1) % PERIOD];
    size_t got;
    CHECK(linkbuffer_until(r->race->lb, delimiter, &out, &got) == 0);
    CHECK(got <= n);
    hold(r, out, got);
    r->read += got;
}

static void read_copy(struct reader *r, size_t n)
{
    static uint8_t into[PIECE_MAX];
    CHECK(linkbuffer_read(r->race->lb, into, n) == n);
    check_pattern(into, n, r->read);
    r->read += n;
}

static void read_integer(struct reader *r)
{
    uint32_t peeked = 0;
    uint32_t value = 0;
    CHECK(linkbuffer_peek_u32_le(r->race->lb, &peeked) == 0);
    CHECK(linkbuffer_read_u32_le(r->race->lb, &value) == 0);
    CHECK(value == peeked);
    for (size_t i = 0; i < 4; i++)
        CHECK((value >> (8 * i) & 0xFF) == pattern[(r->read + i) % PERIOD]);
    r->read += 4;
}

static void cut_slice(struct reader *r, size_t n)
{
    struct slice slice = {.n = n, .position = r->read};
    CHECK(linkbuffer_slice(r->race->lb, n, &slice.lb) == 0);
    hand_over(r->race, slice);
    r->read += n;
}

static void read_piece(struct reader *r, size_t n)
{
    struct linkbuffer *lb = r->race->lb;
    const void *out;
    switch (random_below(&r->random, 8)) {
    case 0:
        CHECK(linkbuffer_next(lb, n, &out) == 0);
        hold(r, out, n);
        r->read += n;
        break;
    case 1:
        CHECK(linkbuffer_peek(lb, n, &out) == 0);
        hold(r, out, n);
        break;
    case 2:
        read_line(r, n);
        break;
    case 3:
        read_copy(r, n);
        break;
    case 4:
        CHECK(linkbuffer_skip(lb, n) == 0);
        r->read += n;
        break;
    case 5:
        if (n >= 4)
            read_integer(r);
        break;
    case 6:
        linkbuffer_need(lb, 3 * n); /* met sooner or later, or replaced */
        break;
    default:
        cut_slice(r, n);
        break;
    }
}

static void end_turn(struct reader *r)
{
    size_t dice = random_below(&r->random, 8);
    if (dice >= 3)
        return;
    end_held(r);
    if (dice == 0)
        linkbuffer_settle(r->race->lb, random_below(&r->random, 2000));
    else
        linkbuffer_release(r->race->lb);
}

static void *read_all(void *arg)
{
    struct race *race = arg;
    struct reader r = {.race = race, .random = 0x7654321};
    size_t total = 0;
    while (total == 0 || r.read < total) {
        total = atomic_load_explicit(&race->total, memory_order_relaxed);
        size_t len = linkbuffer_len(race->lb);
        if (len == 0) {
            sched_yield();
            continue;
        }
        size_t n = random_size(&r.random);
        read_piece(&r, n < len ? n : len);
        end_turn(&r);
    }
    end_held(&r);
    return NULL;
}

static void run_race(uint64_t budget, double seconds)
{
    struct race race = {.budget = budget, .deadline = now() + seconds};
    pthread_t threads[3];
    CHECK(linkbuffer_create(&race.lb) == 0);
    pthread_mutex_init(&race.lock, NULL);
    pthread_cond_init(&race.changed, NULL);
    CHECK(pthread_create(&threads[0], NULL, write_all, &race) == 0);
    CHECK(pthread_create(&threads[1], NULL, read_all, &race) == 0);
    CHECK(pthread_create(&threads[2], NULL, keep_slices, &race) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK(pthread_join(threads[1], NULL) == 0);
    pthread_mutex_lock(&race.lock);
    race.ended = true;
    pthread_cond_signal(&race.changed);
    pthread_mutex_unlock(&race.lock);
    CHECK(pthread_join(threads[2], NULL) == 0);
    CHECK(linkbuffer_unread(race.lb) == 0);
    linkbuffer_destroy(race.lb);
    CHECK(race.lent == 0);
    printf("%zu bytes\n", race.total);
    pthread_cond_destroy(&race.changed);
    pthread_mutex_destroy(&race.lock);
}

int main(void)
{
    bool full = getenv("FULL") != NULL;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = pattern_at(i % PERIOD);
    char name[] = "/tmp/linkbuffer-XXXXXX";
    pattern_fd = mkstemp(name);
    CHECK(pattern_fd >= 0 && unlink(name) == 0);
    CHECK(write(pattern_fd, pattern, sizeof pattern) == (ssize_t)sizeof pattern);
    run_race(full ? 10000000000U : 1000000000U, full ? 500 : 80);
    close(pattern_fd);
    return 0;
}
