/* Timers of the public kind, as users start, cancel and await them. */
#include "rig.h"

#include <criterion/criterion.h>
#include <gopool/panic.h>

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

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

struct alarm {
    struct event runs;
    uint64_t started_us;
    _Atomic uint64_t waited_us;
};

static void ring(struct netpoll_timer *timer, void *arg)
{
    struct alarm *alarm = arg;
    (void)timer;
    atomic_store(&alarm->waited_us, now_us() - alarm->started_us);
    event_add(&alarm->runs);
}

Test(user_timer, runs_once_and_not_before_its_time)
{
    struct rig rig = {0};
    start_rig(&rig);
    for (int64_t ms = 0; ms < 40; ms += 3) {
        struct alarm alarm = {.runs = EVENT_INIT, .started_us = now_us()};
        struct netpoll_timer *timer;
        cr_assert_eq(netpoll_timer_after(rig.runtime, ms, ring, &alarm, &timer), 0);
        event_wait(&alarm.runs, 1);
        cr_assert_geq(atomic_load(&alarm.waited_us), (uint64_t)ms * 1000);
        cr_assert_leq(atomic_load(&alarm.waited_us), (uint64_t)(ms + 2) * 1000 + 200000);
        cr_assert_eq(netpoll_timer_cancel_wait(timer), 0, "it has run");
        netpoll_timer_release(timer);
        cr_assert_eq(event_count(&alarm.runs), 1);
    }
    rig_finish(&rig);
}

Test(user_timer, cancelled_in_time_does_not_run)
{
    struct rig rig = {0};
    struct alarm alarm = {.runs = EVENT_INIT};
    struct alarm later = {.runs = EVENT_INIT};
    struct netpoll_timer *timer;
    struct netpoll_timer *behind;
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 20, ring, &alarm, &timer), 0);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 60, ring, &later, &behind), 0);
    cr_assert_eq(netpoll_timer_cancel(timer), 1);
    cr_assert_eq(netpoll_timer_cancel(timer), 0, "a second time takes nothing away");
    event_wait(&later.runs, 1);
    cr_assert_eq(event_count(&alarm.runs), 0);
    netpoll_timer_release(timer);
    netpoll_timer_release(behind);
    rig_finish(&rig);
}

struct metronome {
    struct event runs;
    uint64_t until; /* runs after which it stops itself; 0: never */
    _Atomic int cancel_status;
    _Atomic int ran_after;
};

static void tick(struct netpoll_timer *timer, void *arg)
{
    struct metronome *metronome = arg;
    if (atomic_load(&metronome->cancel_status) == 1)
        atomic_fetch_add(&metronome->ran_after, 1);
    event_add(&metronome->runs);
    if (metronome->until != 0 && event_count(&metronome->runs) == metronome->until)
        atomic_store(&metronome->cancel_status, netpoll_timer_cancel(timer));
}

Test(user_timer, runs_every_period_until_it_cancels_itself)
{
    struct rig rig = {0};
    struct metronome metronome = {.runs = EVENT_INIT, .until = 5};
    struct alarm later = {.runs = EVENT_INIT};
    struct netpoll_timer *timer;
    struct netpoll_timer *behind;
    uint64_t since = now_us();
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_every(rig.runtime, 5, tick, &metronome, &timer), 0);
    event_wait(&metronome.runs, 5);
    cr_assert_geq(now_us() - since, 25000U);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 30, ring, &later, &behind), 0);
    event_wait(&later.runs, 1);
    cr_assert_eq(atomic_load(&metronome.cancel_status), 1);
    cr_assert_eq(atomic_load(&metronome.ran_after), 0);
    netpoll_timer_release(timer);
    netpoll_timer_release(behind);
    rig_finish(&rig);
}

struct slow {
    struct event begun;
    struct event gate;
    _Atomic bool has_ended;
};

static void run_slowly(struct netpoll_timer *timer, void *arg)
{
    struct slow *slow = arg;
    (void)timer;
    event_add(&slow->begun);
    event_wait(&slow->gate, 1);
    atomic_store(&slow->has_ended, true);
}

static void *open_gate(void *arg)
{
    struct slow *slow = arg;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    event_add(&slow->gate);
    return NULL;
}

Test(user_timer, cancel_wait_waits_for_a_run_that_has_begun)
{
    struct rig rig = {0};
    struct slow slow = {.begun = EVENT_INIT, .gate = EVENT_INIT};
    struct netpoll_timer *timer;
    pthread_t thread;
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 0, run_slowly, &slow, &timer), 0);
    event_wait(&slow.begun, 1);
    CHECK(pthread_create(&thread, NULL, open_gate, &slow) == 0);
    cr_assert_eq(netpoll_timer_cancel_wait(timer), 0, "it runs for the last time");
    cr_assert(atomic_load(&slow.has_ended));
    pthread_join(thread, NULL);
    netpoll_timer_release(timer);
    rig_finish(&rig);
}

static void wait_for_itself(struct netpoll_timer *timer, void *arg)
{
    struct metronome *metronome = arg;
    atomic_store(&metronome->cancel_status, netpoll_timer_cancel_wait(timer));
    event_add(&metronome->runs);
}

Test(user_timer, cancel_wait_on_a_poller_is_a_deadlock)
{
    struct rig rig = {0};
    struct metronome metronome = {.runs = EVENT_INIT};
    struct netpoll_timer *timer;
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 1, wait_for_itself, &metronome, &timer), 0);
    event_wait(&metronome.runs, 1);
    cr_assert_eq(atomic_load(&metronome.cancel_status), -EDEADLK);
    netpoll_timer_release(timer);
    rig_finish(&rig);
}

static void panic_each_time(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    event_add(arg);
    gopool_panic("late");
}

Test(user_timer, a_panic_is_logged_and_a_periodic_timer_goes_on)
{
    struct rig rig = {.expected_logs = 3};
    struct event runs = EVENT_INIT;
    struct netpoll_timer *timer;
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_every(rig.runtime, 40, panic_each_time, &runs, &timer), 0);
    event_wait(&runs, 3);
    cr_assert_eq(netpoll_timer_cancel_wait(timer), 1);
    netpoll_timer_release(timer);
    rig_finish(&rig);
}

Test(user_timer, bad_times_and_a_missing_function_are_refused)
{
    struct rig rig = {0};
    struct netpoll_timer *timer = (struct netpoll_timer *)&rig;
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, -1, ring, NULL, &timer), -EINVAL);
    cr_assert_null(timer);
    cr_assert_eq(netpoll_timer_after(rig.runtime, (int64_t)INT32_MAX + 1, ring, NULL, &timer),
                 -EINVAL);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 1, NULL, NULL, &timer), -EINVAL);
    cr_assert_eq(netpoll_timer_every(rig.runtime, 0, ring, NULL, &timer), -EINVAL);
    cr_assert_eq(netpoll_timer_every(rig.runtime, INT64_MAX, ring, NULL, &timer), -EINVAL);
    rig_finish(&rig);
}

Test(user_timer, what_has_not_run_is_dropped_with_the_runtime)
{
    struct netpoll_runtime *runtime;
    struct alarm alarm = {.runs = EVENT_INIT};
    struct netpoll_timer *timers[100];
    struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 2};
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(netpoll_timer_after(runtime, 100000, ring, &alarm, &timers[i]), 0);
    cr_assert_eq(netpoll_timer_cancel(timers[7]), 1);
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
    for (size_t i = 0; i < 100; i++) {
        cr_assert_eq(netpoll_timer_cancel(timers[i]), 0);
        netpoll_timer_release(timers[i]);
    }
    cr_assert_eq(event_count(&alarm.runs), 0);
}

/* A quarter of a million for each of four threads; every other one is cancelled. */
#define CROWD    1000000U
#define STARTERS 4U

struct crowd {
    struct netpoll_runtime *runtime;
    struct netpoll_timer **timers;
    _Atomic uint32_t ran;
    _Atomic uint32_t early;
    uint64_t due_us;
    struct event done;
    uint32_t expected;
};

static void count_run(struct netpoll_timer *timer, void *arg)
{
    struct crowd *crowd = *(struct crowd **)arg;
    (void)timer;
    if (now_us() < crowd->due_us)
        atomic_fetch_add(&crowd->early, 1);
    if (atomic_fetch_add(&crowd->ran, 1) + 1 == crowd->expected)
        event_add(&crowd->done);
}

struct starter {
    struct crowd *crowd;
    uint32_t first;
};

static void *start_many(void *arg)
{
    struct starter *starter = arg;
    struct crowd *crowd = starter->crowd;
    for (uint32_t i = starter->first; i < CROWD; i += STARTERS)
        CHECK(netpoll_timer_after(crowd->runtime, 3000 + i % 1000, count_run, &starter->crowd,
                                  &crowd->timers[i]) == 0);
    for (uint32_t i = starter->first; i < CROWD; i += 2 * STARTERS)
        CHECK(netpoll_timer_cancel(crowd->timers[i]) == 1);
    return NULL;
}

Test(user_timer, a_million, .timeout = 120)
{
    struct rig rig = {0};
    struct crowd crowd = {.done = EVENT_INIT, .expected = CROWD / 2};
    struct starter starters[STARTERS];
    pthread_t threads[STARTERS];
    start_rig(&rig);
    crowd.runtime = rig.runtime;
    crowd.timers = calloc(CROWD, sizeof *crowd.timers);
    crowd.due_us = now_us() + 3000000;
    for (uint32_t i = 0; i < STARTERS; i++) {
        starters[i] = (struct starter){.crowd = &crowd, .first = i};
        CHECK(pthread_create(&threads[i], NULL, start_many, &starters[i]) == 0);
    }
    for (uint32_t i = 0; i < STARTERS; i++)
        pthread_join(threads[i], NULL);
    event_wait(&crowd.done, 1);
    for (uint32_t i = 0; i < CROWD; i++) {
        cr_assert_eq(netpoll_timer_cancel(crowd.timers[i]), 0);
        netpoll_timer_release(crowd.timers[i]);
    }
    cr_assert_eq(atomic_load(&crowd.ran), CROWD / 2);
    cr_assert_eq(atomic_load(&crowd.early), 0);
    free(crowd.timers);
    rig_finish(&rig);
}
