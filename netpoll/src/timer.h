/*
 * A hierarchical timing wheel: 4 levels of 64 slots, one tick a millisecond.
 *
 * Adding and removing are O(1); a timer fires in the tick of its deadline or later, never before.
 * One thread.
 */
#ifndef NP_TIMER_H
#define NP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_WHEEL_LEVELS 4
#define NP_WHEEL_SLOTS  64

struct np_timer {
    struct np_timer *next;
    struct np_timer **link; /* what points here; NULL: not in a wheel */
    uint64_t expires : 56;  /* tick */
    uint64_t level : 8;
    void (*fn)(struct np_timer *timer);
};

struct np_wheel {
    uint64_t tick; /* everything before has fired, and what np_wheel_advance() has not left here */
    uint64_t count;
    uint64_t used[NP_WHEEL_LEVELS]; /* a bit for each slot that is not empty */
    struct np_timer *slots[NP_WHEEL_LEVELS][NP_WHEEL_SLOTS];
};

void np_wheel_init(struct np_wheel *wheel, uint64_t now_ms);
/* Fires fn in the tick at_ms, or in the next one if that has passed. Not armed before. */
void np_wheel_add(struct np_wheel *wheel, struct np_timer *timer, uint64_t at_ms);
/* Does nothing when it is not armed. */
void np_wheel_remove(struct np_wheel *wheel, struct np_timer *timer);
/*
 * Fires what is due up to now_ms. A timer that fires, or moves down a level, takes one of max; when
 * none is left and there is more to do, np_wheel_next() is not after now_ms.
 *
 * Returns what is left of max.
 */
uint32_t np_wheel_advance(struct np_wheel *wheel, uint64_t now_ms, uint32_t max);
/* The tick in which np_wheel_advance() has something to do; UINT64_MAX: no timer is armed. */
uint64_t np_wheel_next(const struct np_wheel *wheel);

static inline bool np_timer_is_armed(const struct np_timer *timer)
{
    return timer->link != NULL;
}

#endif
