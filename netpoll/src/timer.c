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

/* Slots from the current one to the next used one of a level; 0: none is used. */
static unsigned distance(const struct np_wheel *wheel, unsigned level)
{
    uint64_t used = wheel->used[level];
    if (used == 0)
        return 0;
    unsigned from = (unsigned)((unit(wheel->tick, level) + 1) & SLOT_MASK);
    uint64_t ahead = from == 0 ? used : used >> from | used << (NP_WHEEL_SLOTS - from);
    return 1 + (unsigned)__builtin_ctzll(ahead);
}

uint64_t np_wheel_next(const struct np_wheel *wheel)
{
    uint64_t next = UINT64_MAX;
    if ((wheel->used[0] & UINT64_C(1) << (wheel->tick & SLOT_MASK)) != 0)
        return wheel->tick;
    for (unsigned level = 0; level < NP_WHEEL_LEVELS; level++) {
        unsigned slots = distance(wheel, level);
        if (slots == 0)
            continue;
        uint64_t tick = (unit(wheel->tick, level) + slots) << (SLOT_BITS * level);
        if (tick < next)
            next = tick;
    }
    return next;
}

static void cascade(struct np_wheel *wheel, unsigned level)
{
    struct np_timer **head = &wheel->slots[level][unit(wheel->tick, level) & SLOT_MASK];
    struct np_timer *timer = *head;
    *head = NULL;
    wheel->used[level] &= ~(UINT64_C(1) << (unit(wheel->tick, level) & SLOT_MASK));
    while (timer != NULL) {
        struct np_timer *next = timer->next;
        place(wheel, timer);
        timer = next;
    }
}

/* Fires what is due in this tick, at most so many. What is left of them. */
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

void np_wheel_advance(struct np_wheel *wheel, uint64_t now_ms, uint32_t max)
{
    /* What the last call has left of its tick. */
    max = fire(wheel, max);
    while (wheel->tick < now_ms && max > 0) {
        uint64_t next = np_wheel_next(wheel);
        if (next > now_ms) {
            wheel->tick = now_ms;
            return;
        }
        wheel->tick = next;
        for (unsigned level = NP_WHEEL_LEVELS - 1; level > 0; level--) {
            if ((next & ((UINT64_C(1) << (SLOT_BITS * level)) - 1)) == 0)
                cascade(wheel, level);
        }
        max = fire(wheel, max);
    }
}
