/* The stack of parked workers: who is woken first, who watches the clock. */
#include "parking.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

#include "support.h"

static uint32_t state_of(struct gp_spot *spot)
{
    return atomic_load(&spot->state);
}

Test(parking, the_warmest_is_taken_first)
{
    struct gp_parking parking = {0};
    struct gp_spot spots[3] = {0};

    for (int i = 0; i < 3; i++)
        gp_parking_push(&parking, &spots[i]);
    cr_assert_eq(parking.count, 3);
    for (int i = 2; i >= 0; i--)
        cr_assert_eq(gp_parking_pop(&parking), &spots[i]);
    cr_assert_null(gp_parking_pop(&parking));
    cr_assert_eq(parking.count, 0);
}

Test(parking, only_the_coldest_watches_the_clock)
{
    struct gp_parking parking = {0};
    struct gp_spot spots[3] = {0};

    for (int i = 0; i < 3; i++)
        gp_parking_push(&parking, &spots[i]);
    cr_assert_eq(state_of(&spots[0]), GP_SPOT_COLDEST);
    cr_assert_eq(state_of(&spots[1]), GP_SPOT_PARKED);
    cr_assert_eq(state_of(&spots[2]), GP_SPOT_PARKED);
}

Test(parking, the_next_coldest_takes_the_clock_over)
{
    struct gp_parking parking = {0};
    struct gp_spot spots[3] = {0};

    for (int i = 0; i < 3; i++)
        gp_parking_push(&parking, &spots[i]);
    gp_parking_leave(&parking);
    cr_assert_eq(state_of(&spots[0]), GP_SPOT_AWAKE);
    cr_assert_eq(state_of(&spots[1]), GP_SPOT_COLDEST);
    cr_assert_eq(state_of(&spots[2]), GP_SPOT_PARKED);
    gp_parking_leave(&parking);
    gp_parking_leave(&parking);
    cr_assert_eq(parking.count, 0);
    cr_assert_null(gp_parking_pop(&parking));
}

Test(parking, the_coldest_wakes_by_itself_after_the_timeout)
{
    struct gp_parking parking = {0};
    struct gp_spot spot = {0};

    gp_parking_push(&parking, &spot);
    int64_t start = now_ms();
    cr_assert_not(gp_parking_sleep(&spot, 30));
    cr_assert_geq(now_ms() - start, 29);
}

static void *sleep_in(void *arg)
{
    return gp_parking_sleep(arg, DEADLINE_MS) ? arg : NULL;
}

Test(parking, a_popped_sleeper_wakes)
{
    struct gp_parking parking = {0};
    struct gp_spot spot = {0};
    pthread_t thread;
    void *woken;

    gp_parking_push(&parking, &spot);
    cr_assert_eq(pthread_create(&thread, NULL, sleep_in, &spot), 0);
    gp_parking_ring(gp_parking_pop(&parking));
    pthread_join(thread, &woken);
    cr_assert_eq(woken, &spot);
}

static void *sleep_a_little_in(void *arg)
{
    return gp_parking_sleep(arg, 1) ? NULL : arg;
}

Test(parking, a_sleeper_that_becomes_the_coldest_starts_to_watch)
{
    struct gp_parking parking = {0};
    struct gp_spot cold = {0};
    struct gp_spot warm = {0};
    pthread_t thread;
    void *timed_out;

    gp_parking_push(&parking, &cold);
    gp_parking_push(&parking, &warm);
    cr_assert_eq(pthread_create(&thread, NULL, sleep_a_little_in, &warm), 0);
    gp_parking_leave(&parking);
    pthread_join(thread, &timed_out);
    cr_assert_eq(timed_out, &warm);
}
