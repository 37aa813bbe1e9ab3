/* The stack of parked workers: push and sleep on the worker's thread, pop and ring on any. */
#include "parking.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "deadline.h"

static void set_state(struct gp_spot *spot, enum gp_spot_state state)
{
    /* Release: pairs with the load in gp_parking_sleep(), for what whoever wakes a worker has told
     * it before. */
    atomic_store_explicit(&spot->state, (uint32_t)state, memory_order_release);
}

void gp_parking_push(struct gp_parking *parking, struct gp_spot *spot)
{
    spot->colder = parking->warmest;
    spot->warmer = NULL;
    if (parking->warmest != NULL)
        parking->warmest->warmer = spot;
    else
        parking->coldest = spot;
    parking->warmest = spot;
    parking->count++;
    set_state(spot, parking->coldest == spot ? GP_SPOT_COLDEST : GP_SPOT_PARKED);
}

struct gp_spot *gp_parking_pop(struct gp_parking *parking)
{
    struct gp_spot *spot = parking->warmest;

    if (spot == NULL)
        return NULL;
    parking->warmest = spot->colder;
    if (parking->warmest != NULL)
        parking->warmest->warmer = NULL;
    else
        parking->coldest = NULL;
    parking->count--;
    set_state(spot, GP_SPOT_AWAKE);
    return spot;
}

void gp_parking_leave(struct gp_parking *parking)
{
    struct gp_spot *spot = parking->coldest;

    parking->coldest = spot->warmer;
    if (parking->coldest != NULL) {
        parking->coldest->colder = NULL;
        set_state(parking->coldest, GP_SPOT_COLDEST);
        gp_parking_ring(parking->coldest);
    } else {
        parking->warmest = NULL;
    }
    parking->count--;
    set_state(spot, GP_SPOT_AWAKE);
}

bool gp_parking_sleep(struct gp_spot *spot, uint32_t timeout_ms)
{
    const struct timespec deadline = gp_deadline_after(timeout_ms);

    for (;;) {
        /* Acquire: pairs with the store in set_state(). */
        uint32_t state = atomic_load_explicit(&spot->state, memory_order_acquire);

        if (state == GP_SPOT_AWAKE)
            return true;
        /* The kernel compares the word again, so a change in between is not slept over. */
        if (syscall(SYS_futex, &spot->state, FUTEX_WAIT_BITSET_PRIVATE, state,
                    state == GP_SPOT_COLDEST ? &deadline : NULL, NULL,
                    FUTEX_BITSET_MATCH_ANY) != 0 &&
            errno == ETIMEDOUT)
            return false;
    }
}

void gp_parking_ring(struct gp_spot *spot)
{
    syscall(SYS_futex, &spot->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
