/* The transitions of a connection's state word. Any thread. */
#include "conn_state.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One transition: pairs with every other one of the same word, see conn_state.h. */
static bool change(struct np_conn_state *state, uint64_t *from, uint64_t to)
{
    return atomic_compare_exchange_weak_explicit(&state->word, from, to, memory_order_acq_rel,
                                                 memory_order_acquire);
}

/* What the kernel compares and sleeps on: every bit, and no use, which come and go. */
static uint32_t *lower_half(struct np_conn_state *state)
{
    uint32_t *halves = (uint32_t *)(void *)&state->word;
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? &halves[0] : &halves[1];
}

uint64_t np_state_read(const struct np_conn_state *state)
{
    /* Acquire: pairs with the release half of change(). */
    return atomic_load_explicit(&state->word, memory_order_acquire);
}

static uint64_t with_turn(uint64_t word, enum np_conn_turn turn)
{
    return (word & ~(uint64_t)NP_TURN_MASK) | (uint64_t)turn;
}

static uint64_t with_sender(uint64_t word, enum np_conn_sender sender)
{
    return (word & ~(uint64_t)NP_SENDER_MASK) | (uint64_t)sender;
}

bool np_state_claim_turn(struct np_conn_state *state, enum np_conn_turn as, uint64_t *before)
{
    uint64_t word = np_state_read(state);
    for (;;) {
        uint64_t turn = word & NP_TURN_MASK;
        uint64_t to = word; /* a write all the same: who looks next must see what the caller did */
        if (turn == NP_TURN_IDLE)
            to = with_turn(word, as);
        else if (turn == NP_TURN_RUNNING)
            to = with_turn(word, NP_TURN_AGAIN);
        if (!change(state, &word, to))
            continue;
        if (before != NULL)
            *before = word;
        return turn == NP_TURN_IDLE;
    }
}

void np_state_begin_turn(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    while (!change(state, &word, with_turn(word, NP_TURN_RUNNING)))
        ;
}

bool np_state_end_turn(struct np_conn_state *state, bool *deliver_poke)
{
    uint64_t word = np_state_read(state);
    *deliver_poke = false;
    for (;;) {
        if ((word & NP_TURN_MASK) == NP_TURN_AGAIN) {
            if (change(state, &word, with_turn(word, NP_TURN_RUNNING)))
                return false;
            continue;
        }
        uint64_t to = with_turn(word, NP_TURN_IDLE);
        /* Not after the end: the poller claims the last turn itself, and nobody keeps the
         * connection alive for a poke that comes behind it. */
        if ((word & NP_CONN_POLLER_WAITS_FOR_TURN) != 0 && (word & NP_CONN_ENDED) == 0)
            to |= NP_CONN_POKED;
        if (change(state, &word, to)) {
            *deliver_poke = (to & ~word & NP_CONN_POKED) != 0;
            return true;
        }
    }
}

void np_state_requeue_turn(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    while (!change(state, &word, with_turn(word, NP_TURN_SCHEDULED)))
        ;
}

int np_state_claim_sender(struct np_conn_state *state, enum np_conn_sender as)
{
    uint64_t word = np_state_read(state);
    for (;;) {
        if ((word & NP_CONN_ENDED) != 0)
            return -ENOTCONN;
        bool is_free = (word & NP_SENDER_MASK) == NP_SENDER_NONE;
        uint64_t to = word | NP_CONN_SEND_MORE;
        if (is_free)
            to = with_sender(word, as) + (as == NP_SENDER_THREAD ? NP_CONN_USE_ONE : 0);
        if (change(state, &word, to))
            return is_free;
    }
}

bool np_state_release_sender(struct np_conn_state *state, bool *deliver_poke)
{
    uint64_t word = np_state_read(state);
    *deliver_poke = false;
    for (;;) {
        if ((word & NP_CONN_SEND_MORE) != 0) {
            if (change(state, &word, word & ~(uint64_t)NP_CONN_SEND_MORE))
                return false;
            continue;
        }
        bool is_thread = (word & NP_SENDER_MASK) == NP_SENDER_THREAD;
        uint64_t to = with_sender(word, NP_SENDER_NONE) - (is_thread ? NP_CONN_USE_ONE : 0);
        if (is_thread && (word & NP_CONN_POLLER_WAITS_FOR_SENDER) != 0)
            to |= NP_CONN_POKED;
        if (!change(state, &word, to))
            continue;
        *deliver_poke = (to & ~word & NP_CONN_POKED) != 0;
        if ((word & NP_CONN_WAITS_OUTPUT) != 0)
            np_state_wake(state, NP_CONN_WAITS_OUTPUT);
        return true;
    }
}

bool np_state_hand_sender(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    for (;;) {
        uint64_t to = (with_sender(word, NP_SENDER_POLLER) - NP_CONN_USE_ONE) | NP_CONN_POKED;
        if (change(state, &word, to))
            return (word & NP_CONN_POKED) == 0;
    }
}

bool np_state_poke(struct np_conn_state *state, uint32_t bits)
{
    uint64_t word = np_state_read(state);
    do {
        if ((word & NP_CONN_ENDED) != 0)
            return false;
    } while (!change(state, &word, word | bits | NP_CONN_POKED));
    return (word & NP_CONN_POKED) == 0;
}

bool np_state_poke_if(struct np_conn_state *state, uint32_t bits)
{
    uint64_t word = np_state_read(state);
    uint64_t to;
    do {
        if ((word & NP_CONN_ENDED) != 0)
            return false;
        /* A write all the same: a poller that comes to wait for it sees what the caller did. */
        to = word;
        if ((word & bits) != 0)
            to |= NP_CONN_POKED;
    } while (!change(state, &word, to));
    return (to & ~word & NP_CONN_POKED) != 0;
}

uint64_t np_state_set(struct np_conn_state *state, uint32_t bits)
{
    /* Pairs with every other transition of the word. */
    return atomic_fetch_or_explicit(&state->word, bits, memory_order_acq_rel);
}

uint64_t np_state_clear(struct np_conn_state *state, uint32_t bits)
{
    /* Pairs with every other transition of the word. */
    return atomic_fetch_and_explicit(&state->word, ~(uint64_t)bits, memory_order_acq_rel);
}

bool np_state_resume(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    do {
        if ((word & NP_CONN_ENDED) != 0)
            return false;
    } while (!change(state, &word, (word & ~(uint64_t)NP_CONN_PAUSE_USER) | NP_CONN_POKED));
    return (word & NP_CONN_POKED) == 0;
}

bool np_state_close(struct np_conn_state *state, uint32_t bits, bool *deliver_poke)
{
    uint64_t word = np_state_read(state);
    *deliver_poke = false;
    do {
        bool is_too_late = (bits & NP_CONN_DETACHED) != 0 && (word & NP_CONN_CLOSING) != 0;
        if ((word & NP_CONN_ENDED) != 0 || is_too_late)
            return false;
    } while (!change(state, &word, word | bits | NP_CONN_CLOSING | NP_CONN_POKED));
    *deliver_poke = (word & NP_CONN_POKED) == 0;
    if ((word & NP_CONN_WAITS) != 0)
        np_state_wake(state, NP_CONN_WAITS);
    return (word & NP_CONN_CLOSING) == 0;
}

bool np_state_close_idle(struct np_conn_state *state, uint32_t bits)
{
    uint64_t word = np_state_read(state);
    do {
        /* A turn that came and went since the poller looked has left a poke. */
        if ((word & NP_TURN_MASK) != NP_TURN_IDLE ||
            (word & (NP_CONN_CLOSING | NP_CONN_POKED)) != 0)
            return false;
    } while (!change(state, &word, word | bits | NP_CONN_CLOSING));
    return true;
}

int np_state_begin_use(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    do {
        if ((word & NP_CONN_ENDED) != 0)
            return -ENOTCONN;
    } while (!change(state, &word, word + NP_CONN_USE_ONE));
    return 0;
}

bool np_state_end_use(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    for (;;) {
        uint64_t to = word - NP_CONN_USE_ONE;
        if ((to & NP_CONN_USE_MASK) == 0 && (word & NP_CONN_CLOSING) != 0)
            to |= NP_CONN_POKED;
        if (change(state, &word, to))
            return (to & ~word & NP_CONN_POKED) != 0;
    }
}

bool np_state_end(struct np_conn_state *state)
{
    uint64_t word = np_state_read(state);
    do {
        if ((word & (NP_CONN_USE_MASK | NP_CONN_POKED)) != 0)
            return false;
    } while (!change(state, &word, word | NP_CONN_ENDED));
    if ((word & NP_CONN_WAITS) != 0)
        np_state_wake(state, NP_CONN_WAITS);
    return true;
}

uint64_t np_state_begin_wait(struct np_conn_state *state, uint32_t bit)
{
    return np_state_set(state, bit) | bit;
}

void np_state_sleep(struct np_conn_state *state, uint64_t word, const struct timespec *until)
{
    /* A deadline makes it absolute: FUTEX_WAIT_BITSET, futex(2). What changed the word meanwhile is
     * seen by the caller, who looks again whatever this returns. */
    (void)syscall(SYS_futex, lower_half(state), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                  (uint32_t)word, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void np_state_wake(struct np_conn_state *state, uint32_t bits)
{
    if ((np_state_clear(state, bits) & bits) != 0)
        (void)syscall(SYS_futex, lower_half(state), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL,
                      NULL, 0);
}
