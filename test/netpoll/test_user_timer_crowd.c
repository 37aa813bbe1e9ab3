/* Timers of the public kind by the thousand. */
#include "rig.h"

#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void ignore(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
}

static void start_rig(struct rig *rig)
{
    static const struct netpoll_conn_options options = {.on_request = ignore};
    rig_start(rig, &options);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* More than a poller runs in one round. */
#define MANY      20000U
#define SHARE_MAX 4096U

struct throng {
    struct netpoll_runtime *runtime;
    struct netpoll_timer *timers[MANY];
    int64_t after_ms;
    int signal;            /* an eventfd that the first one writes to */
    unsigned ran;          /* poller */
    unsigned ran_at_event; /* when the poller came to look at the descriptor */
    struct event done;
};

static void count_one(struct netpoll_timer *timer, void *arg)
{
    struct throng *throng = arg;
    uint64_t one = 1;
    (void)timer;
    if (throng->ran++ == 0)
        CHECK(write(throng->signal, &one, sizeof one) == sizeof one);
    if (throng->ran == MANY)
        event_add(&throng->done);
}

static void see_event(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct throng *throng = arg;
    (void)events;
    throng->ran_at_event = throng->ran;
    CHECK(netpoll_watch_set(watch, 0) == 0);
    event_add(&throng->done);
}

/* All of them are due when it ends. */
static void start_throng(struct netpoll_timer *timer, void *arg)
{
    struct throng *throng = arg;
    netpoll_timer_release(timer);
    for (unsigned i = 0; i < MANY; i++)
        CHECK(netpoll_timer_after(throng->runtime, throng->after_ms, count_one, throng,
                                  &throng->timers[i]) == 0);
    uint64_t since = now_us();
    while (now_us() < since + 5000)
        ;
}

static void run_throng(int64_t after_ms)
{
    static struct throng throng;
    struct rig rig = {.pollers = 1};
    struct netpoll_watch *watch;
    struct netpoll_timer *first;
    throng = (struct throng){
        .after_ms = after_ms, .done = EVENT_INIT, .signal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    start_rig(&rig);
    throng.runtime = rig.runtime;
    cr_assert_eq(netpoll_watch_open(rig.runtime, throng.signal, NETPOLL_WATCH_READABLE, see_event,
                                    &throng, &watch),
                 0);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 0, start_throng, &throng, &first), 0);
    event_wait(&throng.done, 2);
    cr_assert_leq(throng.ran_at_event, 2 * SHARE_MAX);
    for (unsigned i = 0; i < MANY; i++)
        netpoll_timer_release(throng.timers[i]);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(throng.signal);
}

Test(user_timer_crowd, descriptors_are_looked_at_while_a_crowd_runs)
{
    run_throng(1);
    run_throng(0);
}

/* A quarter of a million for each of four threads; every other one is cancelled, unless it was
 * faster. */
#define CROWD    1000000U
#define STARTERS 4U

struct crowd {
    struct netpoll_runtime *runtime;
    struct member *members;
    _Atomic uint32_t settled; /* ran or cancelled */
    struct event done;
};

struct member {
    struct crowd *crowd;
    struct netpoll_timer *timer;
    uint64_t due_us;
    _Atomic uint8_t runs;
    bool ran_early;
    bool is_cancelled;
};

static void settle(struct crowd *crowd)
{
    if (atomic_fetch_add(&crowd->settled, 1) + 1 == CROWD)
        event_add(&crowd->done);
}

static void count_run(struct netpoll_timer *timer, void *arg)
{
    struct member *member = arg;
    (void)timer;
    member->ran_early = now_us() < member->due_us;
    atomic_fetch_add(&member->runs, 1);
    settle(member->crowd);
}

struct starter {
    struct crowd *crowd;
    uint32_t first;
};

static void *start_many(void *arg)
{
    struct starter *starter = arg;
    struct crowd *crowd = starter->crowd;
    for (uint32_t i = starter->first; i < CROWD; i += STARTERS) {
        struct member *member = &crowd->members[i];
        member->crowd = crowd;
        member->due_us = now_us() + (uint64_t)(3000 + i % 1000) * 1000;
        CHECK(netpoll_timer_after(crowd->runtime, 3000 + i % 1000, count_run, member,
                                  &member->timer) == 0);
    }
    for (uint32_t i = starter->first; i < CROWD; i += 2 * STARTERS) {
        struct member *member = &crowd->members[i];
        member->is_cancelled = netpoll_timer_cancel(member->timer) == 1;
        if (member->is_cancelled)
            settle(crowd);
    }
    return NULL;
}

static void start_crowd(struct crowd *crowd)
{
    struct starter starters[STARTERS];
    pthread_t threads[STARTERS];
    for (uint32_t i = 0; i < STARTERS; i++) {
        starters[i] = (struct starter){.crowd = crowd, .first = i};
        CHECK(pthread_create(&threads[i], NULL, start_many, &starters[i]) == 0);
    }
    for (uint32_t i = 0; i < STARTERS; i++)
        pthread_join(threads[i], NULL);
}

Test(user_timer_crowd, a_million, .timeout = 60)
{
    struct rig rig = {0};
    struct crowd crowd = {.done = EVENT_INIT};
    start_rig(&rig);
    crowd.runtime = rig.runtime;
    crowd.members = calloc(CROWD, sizeof *crowd.members);
    cr_assert_not_null(crowd.members);
    start_crowd(&crowd);
    event_wait(&crowd.done, 1);
    for (uint32_t i = 0; i < CROWD; i++) {
        const struct member *member = &crowd.members[i];
        cr_assert_eq(netpoll_timer_cancel(member->timer), 0);
        cr_assert_eq(atomic_load(&member->runs) + member->is_cancelled, 1);
        cr_assert_not(member->ran_early);
        netpoll_timer_release(member->timer);
    }
    free(crowd.members);
    rig_finish(&rig);
}
