/*
 * Timers, for ThreadSanitizer: threads start, cancel, await and let go of them in any order while
 * they expire; their functions do the same on both pollers; then the runtime ends with what is
 * left. Every run and every cancel is accounted for.
 */
#include "../support/pattern.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS     4
#define ROUNDS      40
#define OPERATIONS  2500U /* of a thread in a round */
#define ENTRIES_MAX ((size_t)2 * THREADS * OPERATIONS)
#define SHELF_SIZE  128U

/* A timer as threads and its function share it. */
struct entry {
    struct race *race;
    struct netpoll_timer *timer;
    int64_t period_ms; /* 0: once */
    /* The shelf, and who has it in hand; the last one lets go of the timer. */
    _Atomic int refs;
    /* Relaxed: that fn is alone is what is checked. */
    _Atomic int inside;
    _Atomic int runs;
    _Atomic int taken;      /* cancels that took a run away */
    _Atomic bool is_quiet;  /* a cancel_wait has returned */
    _Atomic bool is_marked; /* payload belongs to the thread that set this */
    unsigned payload;       /* of fn, until it is known that it will not run any more */
};

struct race {
    struct netpoll_runtime *runtime;
    struct entry *entries;
    _Atomic uint32_t entry_count;
    pthread_mutex_t mutex;
    struct entry *shelf[SHELF_SIZE];
    /* Relaxed: read at the end. */
    _Atomic uint64_t seeds, runs, cancels;
};

static _Thread_local uint64_t random_state;

static uint64_t roll(struct race *race, uint64_t bound)
{
    if (random_state == 0)
        random_state = 1 + atomic_fetch_add(&race->seeds, 1);
    return random_below(&random_state, bound);
}

static void drop(struct entry *entry)
{
    if (entry == NULL || atomic_fetch_sub(&entry->refs, 1) != 1)
        return;
    /* Periodic ones that nobody stops would become too many. */
    if (entry->period_ms != 0 && roll(entry->race, 64) != 0)
        (void)netpoll_timer_cancel(entry->timer);
    netpoll_timer_release(entry->timer);
}

static struct entry *borrow(struct race *race)
{
    size_t i = roll(race, SHELF_SIZE);
    pthread_mutex_lock(&race->mutex);
    struct entry *entry = race->shelf[i];
    if (entry != NULL)
        atomic_fetch_add(&entry->refs, 1);
    pthread_mutex_unlock(&race->mutex);
    return entry;
}

static void put(struct race *race, struct entry *entry)
{
    size_t i = roll(race, SHELF_SIZE);
    pthread_mutex_lock(&race->mutex);
    struct entry *other = race->shelf[i];
    race->shelf[i] = entry;
    pthread_mutex_unlock(&race->mutex);
    drop(other);
}

/* fn does not run, nor will it. */
static void mark(struct entry *entry)
{
    if (!atomic_exchange(&entry->is_marked, true))
        entry->payload++;
}

static void count_cancel(struct entry *entry, int status)
{
    CHECK(status == 0 || status == 1);
    if (status == 0)
        return;
    CHECK(atomic_fetch_add(&entry->taken, 1) == 0);
    atomic_fetch_add_explicit(&entry->race->cancels, 1, memory_order_relaxed);
    if (entry->period_ms == 0)
        mark(entry);
}

static void await(struct entry *entry, bool is_on_poller)
{
    int status = netpoll_timer_cancel_wait(entry->timer);
    if (status == -EDEADLK) {
        CHECK(is_on_poller);
        return;
    }
    /* On a poller only one that is over, and was not cancelled by this call. */
    CHECK(!is_on_poller || status == 0);
    count_cancel(entry, status);
    CHECK(atomic_load(&entry->inside) == 0);
    atomic_store(&entry->is_quiet, true);
    mark(entry);
}

static void meddle(struct race *race, bool is_on_poller);

static void on_time(struct netpoll_timer *timer, void *arg)
{
    struct entry *entry = arg;
    CHECK(atomic_fetch_add_explicit(&entry->inside, 1, memory_order_relaxed) == 0);
    CHECK(!atomic_load(&entry->is_quiet));
    entry->payload++;
    int runs = atomic_fetch_add(&entry->runs, 1) + 1;
    CHECK(entry->period_ms != 0 || (runs == 1 && atomic_load(&entry->taken) == 0));
    atomic_fetch_add_explicit(&entry->race->runs, 1, memory_order_relaxed);
    uint64_t what = roll(entry->race, 8);
    if (what < 4)
        meddle(entry->race, true);
    else if (what == 4)
        count_cancel(entry, netpoll_timer_cancel(timer));
    else if (what == 5)
        sched_yield();
    CHECK(atomic_fetch_sub_explicit(&entry->inside, 1, memory_order_relaxed) == 1);
}

static void start(struct race *race)
{
    uint32_t i = atomic_fetch_add(&race->entry_count, 1);
    if (i >= ENTRIES_MAX)
        return;
    struct entry *entry = &race->entries[i];
    int64_t ms = (int64_t)roll(race, 3);
    entry->race = race;
    entry->period_ms = roll(race, 3) == 0 ? ms : 0;
    atomic_store(&entry->refs, 1);
    if (entry->period_ms != 0)
        CHECK(netpoll_timer_every(race->runtime, ms, on_time, entry, &entry->timer) == 0);
    else
        CHECK(netpoll_timer_after(race->runtime, ms, on_time, entry, &entry->timer) == 0);
    put(race, entry);
}

static void meddle(struct race *race, bool is_on_poller)
{
    uint64_t what = roll(race, 8);
    if (what < 3) {
        start(race);
        return;
    }
    struct entry *entry = borrow(race);
    if (entry == NULL)
        return;
    if (what < 6)
        count_cancel(entry, netpoll_timer_cancel(entry->timer));
    else
        await(entry, is_on_poller);
    drop(entry);
}

static void *meddle_often(void *arg)
{
    for (unsigned i = 0; i < OPERATIONS; i++)
        meddle(arg, false);
    return NULL;
}

/* Handles outlive their runtime. */
static void clear_shelf(struct race *race)
{
    for (size_t i = 0; i < SHELF_SIZE; i++) {
        struct entry *entry = race->shelf[i];
        if (entry == NULL)
            continue;
        CHECK(netpoll_timer_cancel(entry->timer) == 0);
        await(entry, false);
        drop(entry);
    }
}

static void check_entries(const struct race *race)
{
    for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
        const struct entry *entry = &race->entries[i];
        unsigned runs = (unsigned)atomic_load(&entry->runs);
        CHECK(atomic_load(&entry->refs) == 0);
        CHECK(entry->period_ms != 0 || runs + (unsigned)atomic_load(&entry->taken) <= 1);
        CHECK(entry->payload == runs + atomic_load(&entry->is_marked));
    }
}

static void run_round(struct race *race)
{
    struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 2};
    pthread_t threads[THREADS];
    atomic_store(&race->entry_count, 0);
    memset(race->entries, 0, ENTRIES_MAX * sizeof *race->entries);
    memset(race->shelf, 0, sizeof race->shelf);
    size_t before = live_bytes();
    CHECK(netpoll_runtime_create(&options, &race->runtime) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, meddle_often, race) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(netpoll_runtime_destroy(race->runtime) == 0);
    clear_shelf(race);
    check_entries(race);
    CHECK(live_bytes() == before);
}

int main(void)
{
    struct race race = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    if (backend_refusal() != 0)
        return STATUS_SKIPPED;
    race.entries = calloc(ENTRIES_MAX, sizeof *race.entries);
    CHECK(race.entries != NULL);
    for (unsigned round = 0; round < ROUNDS; round++)
        run_round(&race);
    printf("%llu runs, %llu cancels\n", (unsigned long long)race.runs,
           (unsigned long long)race.cancels);
    CHECK(race.runs > 100 && race.cancels > 100);
    free(race.entries);
    return 0;
}
