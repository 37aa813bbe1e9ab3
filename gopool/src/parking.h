/*
 * Where idle workers sleep: a stack, the warmest on top, each on a futex word of its own.
 *
 * Only the coldest worker sleeps with a time-out. It is woken last, so it is the one that has been
 * idle for longest; when it leaves, the next one up is told to watch the clock in its place. No
 * other thread cleans up, and when all have left nothing of the pool ever runs.
 */
#ifndef GP_PARKING_H
#define GP_PARKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum gp_spot_state {
    GP_SPOT_AWAKE = 0,   /* on no stack */
    GP_SPOT_PARKED = 1,  /* on the stack, sleeps until it is woken */
    GP_SPOT_COLDEST = 2, /* at the bottom of the stack, sleeps until its deadline */
};

/* A worker's place in the parking, part of the worker. */
struct gp_spot {
    struct gp_spot *colder;
    struct gp_spot *warmer;
    /*
     * The futex word. Stored under the pool's lock only; the sleeper loads it without the lock to
     * decide whether to sleep on.
     */
    _Atomic uint32_t state;
};

/* All zero is an empty parking. Guarded by the pool's lock. */
struct gp_parking {
    struct gp_spot *warmest;
    struct gp_spot *coldest;
    uint32_t count;
};

/* Puts an awake worker on top. The caller unlocks and calls gp_parking_sleep(). */
void gp_parking_push(struct gp_parking *parking, struct gp_spot *spot);

/* Takes the warmest off, NULL when there is none. The caller unlocks and calls gp_parking_ring().
 */
struct gp_spot *gp_parking_pop(struct gp_parking *parking);

/* Takes the coldest off for good and makes the next one up watch the clock. */
void gp_parking_leave(struct gp_parking *parking);

/*
 * Sleeps until the spot is taken off the stack. Not under the lock.
 *
 * Returns false when the spot was the coldest and timeout_ms have passed since the call. It may
 * have been taken off since: the caller looks at the state again under the lock.
 */
bool gp_parking_sleep(struct gp_spot *spot, uint32_t timeout_ms);

/* Makes a sleeper look at its state again. Harmless if its worker is long gone. */
void gp_parking_ring(struct gp_spot *spot);

#endif
