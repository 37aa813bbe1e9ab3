/* The timing wheel of a poller. */
#include "timer.h"

#include <string.h>

#define SLOT_BITS 6U
/* Two million years: a time beyond is an error of the caller. */
#define EXPIRES_MAX ((UINT64_C(1) << 56) - 1)
#define SLOT_MASK   (NP_WHEEL_SLOTS - 1U)

void np_wheel_init(struct np_wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ms;
}

static uint64_t unit(uint64_t tick, unsigned level)
{
    return tick >> (SLOT_BITS * level);
}

static void place(struct np_wheel *wheel, struct np_timer *timer)
{
    unsigned level = 0;
    while (level < NP_WHEEL_LEVELS - 1 &&
           unit(timer->expires, level) - unit(wheel->tick, level) >= NP_WHEEL_SLOTS)
        level++;
    uint64_t index = unit(timer->expires, level);
    uint64_t last = unit(wheel->tick, level) + NP_WHEEL_SLOTS - 1;
    if (index > last)
        index = last; /* beyond the wheel's reach: placed anew when the slot comes up */
    unsigned slot = (unsigned)(index & SLOT_MASK);
    struct np_timer **head = &wheel->slots[level][slot];
    timer->level = level & 0xff;
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    *head = timer;
    wheel->used[level] |= UINT64_C(1) << slot;
}

static void unlink_timer(struct np_wheel *wheel, struct np_timer *timer)
{
    struct np_timer **link = timer->link;
    struct np_timer **slots = wheel->slots[timer->level];
    *link = timer->next;
    if (timer->next != NULL)
        timer->next->link = link;
    timer->link = NULL;
    if (*link == NULL && link >= slots && link < slots + NP_WHEEL_SLOTS)
        wheel->used[timer->level] &= ~(UINT64_C(1) << (link - slots));
}

void np_wheel_add(struct np_wheel *wheel, struct np_timer *timer, uint64_t at_ms)
{
    timer->expires = (at_ms > wheel->tick ? at_ms : wheel->tick + 1) & EXPIRES_MAX;
    wheel->count++;
    place(wheel, timer);
}

void np_wheel_remove(struct np_wheel *wheel, struct np_timer *timer)
{
    if (!np_timer_is_armed(timer))
        return;
    unlink_timer(wheel, timer);
    wheel->count--;
}

uint64_t np_wheel_next(const struct np_wheel *wheel)
{
    uint64_t next = UINT64_MAX;
    for (unsigned level = 0; level < NP_WHEEL_LEVELS; level++) {
        uint64_t used = wheel->used[level];
        if (used == 0)
            continue;
        /* The current slot is empty, unless np_wheel_advance() has left something in it. */
        uint64_t index = unit(wheel->tick, level);
        unsigned from = (unsigned)(index & SLOT_MASK);
        uint64_t ahead = used >> from | used << ((NP_WHEEL_SLOTS - from) & SLOT_MASK);
        uint64_t tick = (index + (unsigned)__builtin_ctzll(ahead)) << (SLOT_BITS * level);
        if (tick < next)
            next = tick;
    }
    return next;
}

/* Moves what the current slot of a level holds to lower ones. What is left of max. */
static uint32_t cascade(struct np_wheel *wheel, unsigned level, uint32_t max)
{
    struct np_timer **head = &wheel->slots[level][unit(wheel->tick, level) & SLOT_MASK];
    while (*head != NULL && max > 0) {
        struct np_timer *timer = *head;
        max--;
        unlink_timer(wheel, timer);
        place(wheel, timer);
    }
    return max;
}

/* Fires what is due in this tick. What is left of max. */
static uint32_t fire(struct np_wheel *wheel, uint32_t max)
{
    struct np_timer **head = &wheel->slots[0][wheel->tick & SLOT_MASK];
    while (*head != NULL && max > 0) {
        struct np_timer *timer = *head;
        max--;
        np_wheel_remove(wheel, timer);
        timer->fn(timer);
    }
    return max;
}

uint32_t np_wheel_advance(struct np_wheel *wheel, uint64_t now_ms, uint32_t max)
{
    uint64_t next = np_wheel_next(wheel);
    while (max > 0 && next <= now_ms) {
        wheel->tick = next;
        for (unsigned level = NP_WHEEL_LEVELS - 1; level > 0; level--)
            max = cascade(wheel, level, max);
        max = fire(wheel, max);
        next = np_wheel_next(wheel);
    }
    if (next > now_ms && wheel->tick < now_ms)
        wheel->tick = now_ms;
    return max;
}
