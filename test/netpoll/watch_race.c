/*
 * Watches, for ThreadSanitizer: threads open them, bring about events, change what is told and end
 * them in every way, while their functions do the same. What is told after the end, or twice at the
 * same time, fails.
 */
#include "../support/pattern.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS 4
#define WATCHES 1500U /* of a thread, one after the other */
#define STEPS   12U

struct race {
    struct netpoll_runtime *runtime;
    struct event ends;
    _Atomic uint64_t calls; /* relaxed: read at the end */
};

/* One watch, by one thread and its own function. */
struct seat {
    struct race *race;
    int fd;
    _Atomic int inside; /* relaxed: that fn is alone is what is checked */
    _Atomic bool is_over;
    _Atomic bool ends_itself; /* its function closes it, nobody else */
    unsigned payload;         /* of fn, and after the end of who waited for it */
    struct event ended;
};

static void note_end(void *arg)
{
    struct seat *seat = arg;
    CHECK(!atomic_exchange(&seat->is_over, true));
    seat->payload++;
    event_add(&seat->race->ends);
    event_add(&seat->ended);
}

static void on_event(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct seat *seat = arg;
    uint64_t value;
    CHECK(atomic_fetch_add_explicit(&seat->inside, 1, memory_order_relaxed) == 0);
    CHECK(!atomic_load(&seat->is_over));
    CHECK(events != 0 &&
          (events & ~(uint32_t)(NETPOLL_WATCH_READABLE | NETPOLL_WATCH_WRITABLE)) == 0);
    seat->payload++;
    atomic_fetch_add_explicit(&seat->race->calls, 1, memory_order_relaxed);
    if ((events & NETPOLL_WATCH_READABLE) != 0)
        CHECK(read(seat->fd, &value, sizeof value) == sizeof value || errno == EAGAIN);
    if ((events & NETPOLL_WATCH_WRITABLE) != 0)
        CHECK(netpoll_watch_set(watch, NETPOLL_WATCH_READABLE) == 0);
    CHECK(atomic_fetch_sub_explicit(&seat->inside, 1, memory_order_relaxed) == 1);
    if (atomic_load(&seat->ends_itself))
        netpoll_watch_close(watch, note_end, seat);
}

static void meddle(struct netpoll_watch *watch, const struct seat *seat, uint64_t *random)
{
    uint64_t one = 1;
    uint64_t what = random_below(random, 9);
    if (what > 5)
        sched_yield();
    else if (what < 3)
        CHECK(write(seat->fd, &one, sizeof one) == sizeof one);
    else
        CHECK(netpoll_watch_set(watch, (uint32_t)(what - 3) * NETPOLL_WATCH_READABLE) == 0);
}

static void end(struct netpoll_watch *watch, struct seat *seat, uint64_t *random)
{
    uint64_t what = random_below(random, 3);
    if (what == 0) {
        CHECK(netpoll_watch_close_wait(watch) == 0);
        CHECK(!atomic_exchange(&seat->is_over, true));
        seat->payload++;
        event_add(&seat->race->ends);
        return;
    }
    if (what == 1) {
        netpoll_watch_close(watch, note_end, seat);
    } else {
        CHECK(netpoll_watch_set(watch, NETPOLL_WATCH_WRITABLE) == 0);
        /* From here on the watch may be gone. */
        atomic_store(&seat->ends_itself, true);
        uint64_t one = 1;
        CHECK(write(seat->fd, &one, sizeof one) == sizeof one);
    }
    event_wait(&seat->ended, 1);
}

static void *live(void *arg)
{
    struct race *race = arg;
    static _Atomic uint64_t seeds = 1;
    uint64_t random = atomic_fetch_add(&seeds, 1);
    for (unsigned i = 0; i < WATCHES; i++) {
        struct seat seat = {.race = race, .ended = EVENT_INIT};
        struct netpoll_watch *watch;
        seat.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        CHECK(seat.fd >= 0);
        CHECK(netpoll_watch_open(race->runtime, seat.fd, (uint32_t)random_below(&random, 4),
                                 on_event, &seat, &watch) == 0);
        for (uint64_t left = random_below(&random, STEPS); left > 0; left--)
            meddle(watch, &seat, &random);
        end(watch, &seat, &random);
        CHECK(seat.payload > 0);
        close(seat.fd);
    }
    return NULL;
}

int main(void)
{
    struct race race = {.ends = EVENT_INIT};
    struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 2};
    pthread_t threads[THREADS];
    if (backend_refusal() != 0)
        return STATUS_SKIPPED;
    size_t before = live_bytes();
    CHECK(netpoll_runtime_create(&options, &race.runtime) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, live, &race) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(event_count(&race.ends) == (uint64_t)THREADS * WATCHES);
    CHECK(netpoll_runtime_destroy(race.runtime) == 0);
    CHECK(live_bytes() == before);
    printf("%llu calls of %u watches\n", (unsigned long long)race.calls, THREADS * WATCHES);
    CHECK(race.calls > 100);
    return 0;
}
