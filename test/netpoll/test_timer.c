/* The timing wheel against a plain table of timers. */
#include "../support/pattern.h"

#include "timer.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>

TestSuite(timer, .timeout = 60);

#define TIMERS 300
#define OPS    250000

struct model {
    struct np_timer timer; /* first: what fn gets */
    uint64_t expires;      /* 0: not armed */
    bool fired;
};

static struct np_wheel wheel;
static struct model models[TIMERS];
static uint64_t advanced_to;
static uint32_t fired_count;

static void fire(struct np_timer *timer)
{
    struct model *model = (struct model *)timer;
    cr_assert_not(np_timer_is_armed(timer));
    cr_assert_neq(model->expires, 0, "it was not armed");
    cr_assert_eq(wheel.tick, model->expires, "due %lu, fired %lu", (unsigned long)model->expires,
                 (unsigned long)wheel.tick);
    model->expires = 0;
    model->fired = true;
    fired_count++;
}

static void start(uint64_t now)
{
    np_wheel_init(&wheel, now);
    advanced_to = now;
    for (unsigned i = 0; i < TIMERS; i++)
        models[i] = (struct model){.timer.fn = fire};
}

static void add(struct model *model, uint64_t at)
{
    model->expires = at > wheel.tick ? at : wheel.tick + 1;
    np_wheel_add(&wheel, &model->timer, at);
    cr_assert(np_timer_is_armed(&model->timer));
}

/* Delays of every magnitude up to 34 years, most of them beyond the wheel's reach. */
static uint64_t random_delay(uint64_t *random)
{
    return random_size(random, (size_t)1 << random_below(random, 41)) - 1;
}

/* is_behind: not all that is due has fired. */
static void check_all(bool is_behind)
{
    uint64_t first = UINT64_MAX;
    uint64_t count = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        uint64_t expires = models[i].expires;
        cr_assert_eq(np_timer_is_armed(&models[i].timer), expires != 0);
        cr_assert(is_behind || expires == 0 || expires > advanced_to, "it is overdue");
        count += expires != 0;
        if (expires != 0 && expires < first)
            first = expires;
    }
    cr_assert_eq(wheel.count, count);
    /* It may wake up early to look at a level, never late. */
    cr_assert_leq(np_wheel_next(&wheel), first);
    cr_assert_eq(np_wheel_next(&wheel) == UINT64_MAX, count == 0);
}

/* True: it is behind. */
static bool advance_by(uint64_t delay, uint32_t max)
{
    advanced_to += delay;
    fired_count = 0;
    uint32_t left = np_wheel_advance(&wheel, advanced_to, max);
    cr_assert_leq(fired_count, max - left);
    bool is_behind = np_wheel_next(&wheel) <= advanced_to;
    cr_assert(!is_behind || left == 0, "it has stopped half way");
    cr_assert(is_behind || wheel.tick == advanced_to);
    return is_behind;
}

static uint64_t until_next(void)
{
    uint64_t next = np_wheel_next(&wheel);
    return next == UINT64_MAX || next < advanced_to ? 0 : next - advanced_to;
}

static void run_random(uint64_t seed, uint64_t now)
{
    uint64_t random = seed;
    bool is_behind = false;
    start(now);
    for (unsigned i = 0; i < OPS; i++) {
        struct model *model = &models[random_below(&random, TIMERS)];
        uint64_t what = random_below(&random, 8);
        uint32_t max =
            random_below(&random, 2) == 0 ? 1 + (uint32_t)random_below(&random, 20) : UINT32_MAX;
        if (what < 5 && model->expires == 0) {
            add(model, wheel.tick + random_delay(&random));
        } else if (what < 6) {
            np_wheel_remove(&wheel, &model->timer);
            model->expires = 0;
        } else {
            is_behind = advance_by(what == 6 ? random_delay(&random) : until_next(), max);
        }
        if (i % 16 == 0)
            check_all(is_behind);
    }
}

Test(timer, agrees_with_a_plain_table)
{
    run_random(1, 0);
    run_random(2, 123456789);
    run_random(3, (UINT64_C(1) << 32) - 100);
    run_random(4, (UINT64_C(1) << 42) - 1);
}

Test(timer, a_deadline_that_has_passed_fires_in_the_next_tick)
{
    start(1000);
    add(&models[0], 0);
    add(&models[1], 1000);
    np_wheel_advance(&wheel, 1000, UINT32_MAX);
    cr_assert_not(models[0].fired);
    np_wheel_advance(&wheel, 1001, UINT32_MAX);
    cr_assert(models[0].fired);
    cr_assert(models[1].fired);
    cr_assert_eq(np_wheel_next(&wheel), UINT64_MAX);
}

Test(timer, a_clock_that_goes_back_does_nothing)
{
    start(1000);
    add(&models[0], 1010);
    np_wheel_advance(&wheel, 500, UINT32_MAX);
    cr_assert_eq(wheel.tick, 1000);
    np_wheel_advance(&wheel, 1010, UINT32_MAX);
    cr_assert(models[0].fired);
}

/* Fires again and again, and takes others away, from inside. */
static unsigned chain_count;

static void chain(struct np_timer *timer)
{
    if (++chain_count < 100)
        np_wheel_add(&wheel, timer, wheel.tick);
    np_wheel_remove(&wheel, &models[1].timer);
}

Test(timer, timers_may_be_added_and_removed_by_one_that_fires)
{
    start(5);
    models[0].timer.fn = chain;
    np_wheel_add(&wheel, &models[0].timer, 10);
    np_wheel_add(&wheel, &models[1].timer, 11);
    np_wheel_advance(&wheel, 10, UINT32_MAX);
    np_wheel_remove(&wheel, &models[1].timer);
    cr_assert_eq(chain_count, 1);
    np_wheel_advance(&wheel, 1000, UINT32_MAX);
    cr_assert_eq(chain_count, 100, "one a tick");
    cr_assert_eq(wheel.count, 0);
}

static unsigned count_fired(unsigned n)
{
    unsigned fired = 0;
    for (unsigned i = 0; i < n; i++)
        fired += models[i].fired;
    return fired;
}

Test(timer, a_crowd_fires_in_parts)
{
    start(5);
    for (unsigned i = 0; i < 10; i++)
        add(&models[i], i < 6 ? 10 : 11);
    np_wheel_advance(&wheel, 100, 4);
    cr_assert_eq(count_fired(10), 4);
    cr_assert_eq(np_wheel_next(&wheel), 10, "some of that tick are left");
    np_wheel_advance(&wheel, 100, 4);
    cr_assert_eq(count_fired(10), 8);
    cr_assert_eq(np_wheel_next(&wheel), 11);
    np_wheel_advance(&wheel, 100, 4);
    cr_assert_eq(count_fired(10), 10);
    cr_assert_eq(wheel.count, 0);
    cr_assert_eq(np_wheel_next(&wheel), UINT64_MAX);
}

Test(timer, a_crowd_from_far_away_moves_in_parts)
{
    uint64_t due = UINT64_C(1) << 18; /* the highest level keeps them until then */
    unsigned calls = 0;
    start(7);
    for (unsigned i = 0; i < TIMERS; i++)
        add(&models[i], due);
    while (count_fired(TIMERS) < TIMERS) {
        unsigned before = count_fired(TIMERS);
        uint32_t left = np_wheel_advance(&wheel, due, 64);
        cr_assert_leq(count_fired(TIMERS) - before, 64U - left);
        cr_assert(left == 0 || count_fired(TIMERS) == TIMERS);
        calls++;
    }
    cr_assert_geq(calls, 2 * TIMERS / 64, "a step down, and a step to fire");
    cr_assert_eq(np_wheel_next(&wheel), UINT64_MAX);
    cr_assert_eq(np_wheel_advance(&wheel, due + 1, 64), 64, "nothing is left to do");
}

/* Those at the other end of their slots, where an index that wraps would put them elsewhere. */
Test(timer, slots_come_round)
{
    for (uint64_t now = 0; now < 5000; now += 7) {
        static const uint64_t delays[] = {1, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 262145};
        start(now);
        for (unsigned i = 0; i < sizeof delays / sizeof delays[0]; i++) {
            add(&models[i], now + delays[i]);
            cr_assert_leq(np_wheel_next(&wheel), now + delays[0]);
        }
        np_wheel_advance(&wheel, now + 262144, UINT32_MAX);
        cr_assert_eq(count_fired(TIMERS), sizeof delays / sizeof delays[0] - 1);
        np_wheel_advance(&wheel, now + 262145, UINT32_MAX);
        cr_assert_eq(wheel.count, 0);
    }
}
