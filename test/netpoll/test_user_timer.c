/* Timers of the public kind, as users start, cancel and await them. */
#include "rig.h"

#include <criterion/criterion.h>
#include <gopool/panic.h>

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
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

/* Runs fn as a timer of its own and waits for it. */
struct on_poller {
    struct event done;
    void (*fn)(void *arg);
    void *arg;
};

static void call_it(struct netpoll_timer *timer, void *arg)
{
    struct on_poller *call = arg;
    (void)timer;
    call->fn(call->arg);
    event_add(&call->done);
}

static void run_on_poller(struct netpoll_runtime *runtime, void (*fn)(void *arg), void *arg)
{
    struct on_poller call = {.done = EVENT_INIT, .fn = fn, .arg = arg};
    struct netpoll_timer *timer;
    CHECK(netpoll_timer_after(runtime, 0, call_it, &call, &timer) == 0);
    event_wait(&call.done, 1);
    netpoll_timer_release(timer);
}

struct chain {
    struct netpoll_runtime *runtime;
    struct event ends;
    pthread_t thread;
    unsigned left;
    bool is_inside;
};

/* Lets go of itself and starts the next one. */
static void next_link(struct netpoll_timer *timer, void *arg)
{
    struct chain *chain = arg;
    struct netpoll_timer *next;
    CHECK(!chain->is_inside);
    chain->is_inside = true;
    CHECK(chain->thread == 0 || pthread_equal(chain->thread, pthread_self()));
    chain->thread = pthread_self();
    if (chain->left-- == 0)
        event_add(&chain->ends);
    else
        CHECK(netpoll_timer_after(chain->runtime, chain->left % 3, next_link, chain, &next) == 0);
    netpoll_timer_release(timer);
    chain->is_inside = false;
}

Test(user_timer, may_start_others_which_stay_on_its_poller)
{
    struct rig rig = {.pollers = 2};
    struct chain chain = {.ends = EVENT_INIT, .left = 30};
    struct netpoll_timer *timer;
    start_rig(&rig);
    chain.runtime = rig.runtime;
    cr_assert_eq(netpoll_timer_after(rig.runtime, 1, next_link, &chain, &timer), 0);
    event_wait(&chain.ends, 1);
    rig_finish(&rig);
}

struct visit {
    struct event done;
    pthread_t thread;
};

static void note_thread(struct netpoll_timer *timer, void *arg)
{
    struct visit *visit = arg;
    (void)timer;
    visit->thread = pthread_self();
    event_add(&visit->done);
}

Test(user_timer, takes_the_pollers_in_turn)
{
    struct rig rig = {.pollers = 2};
    struct visit visits[4];
    struct netpoll_timer *timer;
    start_rig(&rig);
    for (int i = 0; i < 4; i++) {
        visits[i] = (struct visit){.done = EVENT_INIT};
        cr_assert_eq(netpoll_timer_after(rig.runtime, 0, note_thread, &visits[i], &timer), 0);
        event_wait(&visits[i].done, 1);
        netpoll_timer_release(timer);
    }
    rig_finish(&rig);
    cr_assert(pthread_equal(visits[0].thread, visits[2].thread));
    cr_assert(pthread_equal(visits[1].thread, visits[3].thread));
    cr_assert_not(pthread_equal(visits[0].thread, visits[1].thread));
}

static void cancel_before_they_run(void *arg)
{
    struct netpoll_runtime *runtime = arg;
    struct netpoll_timer *timer;
    for (int64_t ms = 0; ms < 3; ms++) {
        CHECK(netpoll_timer_after(runtime, ms, ring, NULL, &timer) == 0);
        CHECK(netpoll_timer_cancel(timer) == 1);
        CHECK(netpoll_timer_cancel(timer) == 0);
        netpoll_timer_release(timer);
    }
    CHECK(netpoll_timer_every(runtime, 1, ring, NULL, &timer) == 0);
    CHECK(netpoll_timer_cancel(timer) == 1);
    netpoll_timer_release(timer);
}

Test(user_timer, may_be_cancelled_on_its_poller)
{
    struct rig rig = {0};
    struct alarm later = {.runs = EVENT_INIT};
    struct netpoll_timer *behind;
    start_rig(&rig);
    run_on_poller(rig.runtime, cancel_before_they_run, rig.runtime);
    /* Any of them would have run without a place for what it counts. */
    cr_assert_eq(netpoll_timer_after(rig.runtime, 20, ring, &later, &behind), 0);
    event_wait(&later.runs, 1);
    netpoll_timer_release(behind);
    rig_finish(&rig);
}

#define PERIOD_MS UINT64_C(20)

struct late {
    struct event runs;
    uint64_t third_us;
};

/* The first time it takes ten periods. */
static void run_late(struct netpoll_timer *timer, void *arg)
{
    struct late *late = arg;
    uint64_t count = event_count(&late->runs) + 1;
    uint64_t since = now_us();
    while (count == 1 && now_us() < since + 10 * PERIOD_MS * 1000)
        sched_yield();
    if (count == 3) {
        late->third_us = now_us();
        CHECK(netpoll_timer_cancel(timer) == 1);
    }
    event_add(&late->runs);
}

Test(user_timer, missed_times_are_not_made_up_for)
{
    struct rig rig = {0};
    struct late late = {.runs = EVENT_INIT};
    struct netpoll_timer *timer;
    start_rig(&rig);
    uint64_t since = now_us();
    cr_assert_eq(netpoll_timer_every(rig.runtime, PERIOD_MS, run_late, &late, &timer), 0);
    event_wait(&late.runs, 3);
    /* The second is late; ten times have passed, the eleventh is to come. */
    cr_assert_geq(late.third_us, since + 12 * PERIOD_MS * 1000);
    cr_assert_eq(netpoll_timer_cancel_wait(timer), 0);
    netpoll_timer_release(timer);
    rig_finish(&rig);
}

static void panic_once(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    event_add(arg);
    gopool_panic("only once");
}

Test(user_timer, a_panic_does_not_hurt_others)
{
    struct rig rig = {.expected_logs = 1, .pollers = 1};
    struct event runs = EVENT_INIT;
    struct alarm alarm = {.runs = EVENT_INIT};
    struct netpoll_timer *timers[2];
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 5, panic_once, &runs, &timers[0]), 0);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 5, ring, &alarm, &timers[1]), 0);
    event_wait(&alarm.runs, 1);
    event_wait(&runs, 1);
    cr_assert_eq(netpoll_timer_cancel_wait(timers[0]), 0);
    netpoll_timer_release(timers[0]);
    netpoll_timer_release(timers[1]);
    rig_finish(&rig);
}

static bool child_is_refused(struct netpoll_runtime *runtime, struct netpoll_timer *timer)
{
    struct netpoll_timer *mine = NULL;
    return netpoll_timer_after(runtime, 1, ring, NULL, &mine) == -EPERM && mine == NULL &&
           netpoll_timer_every(runtime, 1, ring, NULL, &mine) == -EPERM &&
           netpoll_timer_cancel(timer) == -EPERM && netpoll_timer_cancel_wait(timer) == -EPERM;
}

Test(user_timer, a_child_of_fork_is_refused)
{
    struct rig rig = {0};
    struct alarm alarm = {.runs = EVENT_INIT};
    struct netpoll_timer *timer;
    int status;
    start_rig(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 100000, ring, &alarm, &timer), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(child_is_refused(rig.runtime, timer) ? 0 : 1);
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(netpoll_timer_cancel(timer), 1);
    netpoll_timer_release(timer);
    rig_finish(&rig);
}

/* As many states as there are: armed, on its way, cancelled a moment ago, running again and again,
 * let go of. */
Test(user_timer, a_runtime_ends_with_timers_in_every_state)
{
    size_t before = live_bytes();
    for (unsigned round = 0; round < 50; round++) {
        struct netpoll_runtime *runtime;
        struct metronome metronome = {.runs = EVENT_INIT};
        struct netpoll_timer *timers[5];
        struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 2};
        cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
        cr_assert_eq(netpoll_timer_every(runtime, 1, tick, &metronome, &timers[0]), 0);
        event_wait(&metronome.runs, round % 3);
        for (unsigned i = 1; i < 5; i++)
            cr_assert_eq(netpoll_timer_after(runtime, i % 3, tick, &metronome, &timers[i]), 0);
        (void)netpoll_timer_cancel(timers[1]);
        (void)netpoll_timer_cancel(timers[2]);
        netpoll_timer_release(timers[3]);
        cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
        uint64_t count = event_count(&metronome.runs);
        for (unsigned i = 0; i < 5; i++) {
            if (i == 3)
                continue;
            cr_assert_eq(netpoll_timer_cancel_wait(timers[i]), 0);
            netpoll_timer_release(timers[i]);
        }
        cr_assert_eq(event_count(&metronome.runs), count);
    }
    cr_assert_eq(live_bytes(), before);
}

struct endless {
    struct netpoll_runtime *runtime;
    struct netpoll_timer *last;
    struct event runs;
};

static void start_again(struct netpoll_timer *timer, void *arg)
{
    struct endless *endless = arg;
    CHECK(netpoll_timer_after(endless->runtime, 0, start_again, endless, &endless->last) == 0);
    netpoll_timer_release(timer);
    event_add(&endless->runs);
}

Test(user_timer, one_that_never_ends_is_dropped_with_the_runtime)
{
    size_t before = live_bytes();
    for (unsigned round = 0; round < 50; round++) {
        struct endless endless = {.runs = EVENT_INIT};
        struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 1};
        cr_assert_eq(netpoll_runtime_create(&options, &endless.runtime), 0);
        struct netpoll_timer *first;
        cr_assert_eq(netpoll_timer_after(endless.runtime, 0, start_again, &endless, &first), 0);
        event_wait(&endless.runs, 3);
        cr_assert_eq(netpoll_runtime_destroy(endless.runtime), 0);
        netpoll_timer_release(endless.last);
    }
    cr_assert_eq(live_bytes(), before);
}
