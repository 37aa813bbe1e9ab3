/* Who is idle. One timer goes through the table of descriptors, a slice at a time, and counts how
 * often it found a connection quiet; input sets that to 0. Poller thread. */
#include "uring_idle.h"

#include "poller.h"

#include <stddef.h>

/* Looks in the time after which a connection is idle. One more is needed to be sure of it. */
#define LOOKS 4U
/* Slots at a time, so that the others are not held up. */
#define SLICE 1024U

static struct np_uring *state_of(struct np_timer *timer)
{
    return (struct np_uring *)(void *)((char *)timer - offsetof(struct np_uring, look));
}

/* Milliseconds in which the whole table is looked at once. */
static uint32_t pass_ms(const struct np_uring *state)
{
    uint32_t ms = state->poller->demote_idle_ms / LOOKS;
    return ms > 0 ? ms : 1;
}

static void look_at(struct np_uring *state, struct np_fd *fd)
{
    unsigned flags = fd->flags & (NP_FD_INPUT_ARMED | NP_FD_INPUT_CANCELED);
    if (fd->kind != NP_FD_STREAM || fd->mode != NP_URING_STAYING || flags != NP_FD_INPUT_ARMED)
        return;
    state->may_be_idle = true;
    if (++fd->quiet <= LOOKS)
        return;
    fd->mode = NP_URING_RESTING;
    np_uring_review(state, fd);
}

/* Slots that have to be looked at in a millisecond, or more. */
static uint32_t slice_slots(const struct np_uring *state)
{
    uint32_t least = state->poller->fds.count / pass_ms(state) + 1;
    return least > SLICE ? least : SLICE;
}

/* For the next slice: all of them together take a pass. */
static void arm(struct np_uring *state)
{
    struct np_poller *poller = state->poller;
    uint32_t slots = slice_slots(state);
    uint32_t slices = (poller->fds.count + slots - 1) / slots;
    uint32_t ms = (pass_ms(state) + slices - 1) / slices;
    np_wheel_add(&poller->wheel, &state->look, np_poller_now_ms(poller) + ms);
}

void np_uring_look(struct np_timer *timer)
{
    struct np_uring *state = state_of(timer);
    const struct np_fd_table *fds = &state->poller->fds;
    uint32_t slots = slice_slots(state);
    uint32_t end = fds->count - state->look_slot > slots ? state->look_slot + slots : fds->count;
    for (; state->look_slot < end; state->look_slot++) {
        struct np_fd *fd = np_fd_table_entry(fds, state->look_slot)->fd;
        if (fd != NULL)
            look_at(state, fd);
    }
    bool is_over = end == fds->count;
    /* With nobody to look at it ends, so that an idle poller sleeps. */
    if (!is_over || state->may_be_idle)
        arm(state);
    if (is_over) {
        state->look_slot = 0;
        state->may_be_idle = false;
    }
}

void np_uring_watch_idle(struct np_uring *state)
{
    if (state->poller->demote_idle_ms == 0)
        return;
    /* The pass that is under way may have gone by its slot. */
    if (np_timer_is_armed(&state->look))
        state->may_be_idle = true;
    else
        arm(state);
}
