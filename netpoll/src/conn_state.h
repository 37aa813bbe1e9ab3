/*
 * The state word of a connection: whose turn it is, who sends, why input rests, how far the end
 * has come. One atomic word; every transition is a function of conn_state.c and nothing else
 * writes it. test/model/conn.pml checks the protocol.
 *
 * Turn: at most one handler runs.
 *   from        event                       to          who acts
 *   IDLE        something to look at        SCHEDULED   the caller hands the turn to its executor
 *   IDLE        the same, inline            RUNNING     the caller (poller) runs it
 *   SCHEDULED   the executor starts         RUNNING     the executor looks
 *   SCHEDULED   something to look at        SCHEDULED   nobody: the executor has not looked yet
 *   RUNNING     something to look at        AGAIN       nobody: the runner looks once more
 *   RUNNING     the runner hands back       IDLE        -
 *   AGAIN       the runner hands back       RUNNING     the runner looks once more
 *   RUNNING, AGAIN  its share is used up    SCHEDULED   the runner hands the turn to the executor
 *
 * Sender: at most one thread moves bytes from the output buffer to the socket.
 *   NONE        flush off the poller        THREAD + 1 use   the caller sends
 *   NONE        flush on the poller         POLLER           it sends when the turn ends
 *   THREAD, POLLER  flush                   + SEND_MORE      nobody: the sender looks once more
 *   THREAD      nothing left, no SEND_MORE  NONE - 1 use     -
 *   THREAD      SEND_MORE                   THREAD           the sender looks once more
 *   THREAD      the socket is full          POLLER - 1 use   poke: the poller sends the rest
 *   POLLER      nothing left, no SEND_MORE  NONE             -
 *
 * End: CLOSING (no new output, no new request), then on the poller: drain what was flushed unless
 * ABORTED, shutdown(2), leave the backend; then, with no use left and no poke on its way, ENDED
 * and close(2), and the last turn. A use is a system call on the descriptor, or a call that must
 * not meet the end half way, off the poller.
 *
 * Waits: a thread that waits for input (in its turn, or holding a connection without on_request)
 * or for the output to leave sets its bit and looks, then sleeps on the word. Whoever brings about
 * what it may wait for makes a transition first, finds the bit in the word it replaced, takes it
 * back and wakes. So one of the two sees the other.
 *
 * Poke: whatever the poller has to look at is a bit here; POKED says that the connection is on
 * its way to the poller, so that it is there at most once. The poller clears POKED first and then
 * looks at everything, so nothing that was set before is missed. Only the poller clears the pause
 * bits for input and output. A poke that was set keeps the connection alive until the poller has
 * taken it.
 *
 * Ordering: every transition is an acq_rel read-modify-write of the one word, so whatever a
 * thread wrote before its transition is visible to the thread that makes the next one.
 */
#ifndef NP_CONN_STATE_H
#define NP_CONN_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum np_conn_turn {
    NP_TURN_IDLE = 0,
    NP_TURN_SCHEDULED = 1,
    NP_TURN_RUNNING = 2,
    NP_TURN_AGAIN = 3,
    NP_TURN_MASK = 3,
};

enum np_conn_bits {
    NP_CONN_PEER_EOF = 1 << 2,     /* the peer sends nothing more */
    NP_CONN_RESET = 1 << 3,        /* with PEER_EOF: nor does it receive */
    NP_CONN_CLOSING = 1 << 4,      /* no new output, no new request */
    NP_CONN_ABORTED = 1 << 5,      /* with CLOSING: do not drain */
    NP_CONN_ENDED = 1 << 6,        /* no use can begin; the last turn is due or has begun */
    NP_CONN_SHUTDOWN = 1 << 7,     /* close as soon as idle */
    NP_CONN_PAUSE_INPUT = 1 << 8,  /* unread input stands above its bound */
    NP_CONN_PAUSE_OUTPUT = 1 << 9, /* queued output stands above its high mark */
    NP_CONN_POKED = 1 << 10,       /* on its way to the poller */
    NP_CONN_SEND_MORE = 1 << 11,   /* flushed since the sender last looked */
    NP_CONN_PAUSE_USER = 1 << 14,  /* netpoll_conn_pause() */
    NP_CONN_WAITS_INPUT = 1 << 15,
    NP_CONN_WAITS_OUTPUT = 1 << 16,
    NP_CONN_WRITE_CLOSED = 1 << 17, /* no new output; the peer sees the end when the rest is sent */
    NP_CONN_WRITABLE = 1 << 18,     /* on_writable is due */
    NP_CONN_DETACHED = 1 << 19,     /* with CLOSING: the descriptor goes to the user */
    NP_CONN_DEADLINE = 1 << 20,     /* a read deadline has been set: it is due when a turn ends */
    NP_CONN_ALARM = 1 << 21,        /* on_alarm is due */
    NP_CONN_WAITS = NP_CONN_WAITS_INPUT | NP_CONN_WAITS_OUTPUT,
    NP_CONN_PAUSED = NP_CONN_PAUSE_INPUT | NP_CONN_PAUSE_OUTPUT | NP_CONN_PAUSE_USER,
    /* What the poller can only go on with when the turn, or the sender, has come to rest. */
    NP_CONN_POLLER_WAITS_FOR_TURN = NP_CONN_PEER_EOF | NP_CONN_CLOSING | NP_CONN_SHUTDOWN |
                                    NP_CONN_PAUSE_INPUT | NP_CONN_DEADLINE,
    NP_CONN_POLLER_WAITS_FOR_HANDLES = NP_CONN_PEER_EOF | NP_CONN_SHUTDOWN,
    NP_CONN_POLLER_WAITS_FOR_SENDER =
        NP_CONN_CLOSING | NP_CONN_SHUTDOWN | NP_CONN_PAUSE_OUTPUT | NP_CONN_WRITE_CLOSED,
};

enum np_conn_sender {
    NP_SENDER_NONE = 0,
    NP_SENDER_THREAD = 1 << 12,
    NP_SENDER_POLLER = 2 << 12,
    NP_SENDER_MASK = 3 << 12,
};

#define NP_CONN_USE_ONE  (UINT64_C(1) << 32)
#define NP_CONN_USE_MASK UINT64_C(0xffffffff00000000)

struct np_conn_state {
    _Atomic uint64_t word; /* its lower half is what waiting threads sleep on */
};

struct timespec;

/* The word as it stands; for decisions that a later transition confirms. */
uint64_t np_state_read(const struct np_conn_state *state);

/*
 * Something to look at. True: the turn was idle and is now `as` (SCHEDULED or RUNNING).
 *
 * before: the word that was replaced; NULL: the caller does not ask
 */
bool np_state_claim_turn(struct np_conn_state *state, enum np_conn_turn as, uint64_t *before);
/* The executor starts. */
void np_state_begin_turn(struct np_conn_state *state);
/*
 * True: handed back, with a poke if the poller waits for that. False: something came, look once
 * more. Unless a poke is to be delivered, the connection may be gone when it returns true.
 */
bool np_state_end_turn(struct np_conn_state *state, bool *deliver_poke);
/* The share is used up: back to SCHEDULED. */
void np_state_requeue_turn(struct np_conn_state *state);

/*
 * Asks to be the sender. 1: it is (THREAD comes with a use). 0: another one is and will look once
 * more. -ENOTCONN: the connection has ended.
 */
int np_state_claim_sender(struct np_conn_state *state, enum np_conn_sender as);
/* True: given up (THREAD with its use, and a poke if the poller waits), and who waits for it is
 * woken. False: look once more. */
bool np_state_release_sender(struct np_conn_state *state, bool *deliver_poke);
/* THREAD gives its place and its use to the poller. True: the caller must deliver the poke. */
bool np_state_hand_sender(struct np_conn_state *state);

/* Sets bits and POKED, unless ENDED. True: the caller must deliver the poke. */
bool np_state_poke(struct np_conn_state *state, uint32_t bits);
/* POKED, unless ENDED, if one of these bits is set. True: the caller must deliver the poke. */
bool np_state_poke_if(struct np_conn_state *state, uint32_t bits);
/* Sets bits; the word as it was. Poller, or whoever has the turn. */
uint64_t np_state_set(struct np_conn_state *state, uint32_t bits);
/* Clears bits; the word as it was. Poller, or whoever has the turn. */
uint64_t np_state_clear(struct np_conn_state *state, uint32_t bits);
/* Takes PAUSE_USER back, with POKED, unless ENDED. True: the caller must deliver the poke. */
bool np_state_resume(struct np_conn_state *state);
/* CLOSING and other bits, unless ENDED; DETACHED only if it was not closing. Who waits is woken.
 * True: it was not closing before. */
bool np_state_close(struct np_conn_state *state, uint32_t bits, bool *deliver_poke);
/* CLOSING if the turn is idle, no poke is on its way and it was not closing; otherwise nothing
 * changes. Poller only. */
bool np_state_close_idle(struct np_conn_state *state, uint32_t bits);

/* 0, or -ENOTCONN once ENDED. */
int np_state_begin_use(struct np_conn_state *state);
/* True: it was the last one and the poller waits for it; the caller must deliver the poke. */
bool np_state_end_use(struct np_conn_state *state);
/* Says that the caller waits (one of the WAITS bits); the word with it. */
uint64_t np_state_begin_wait(struct np_conn_state *state, uint32_t bit);
/* Sleeps while the lower half of the word is as given, at most until a time of CLOCK_MONOTONIC;
 * NULL: for ever. May return for no reason. */
void np_state_sleep(struct np_conn_state *state, uint64_t word, const struct timespec *until);
/* Takes these WAITS bits back and wakes who had set them. Any thread that keeps it alive. */
void np_state_wake(struct np_conn_state *state, uint32_t bits);

/* ENDED, if no use is left and no poke is on its way; who still waits is woken, for the poller may
 * have closed it by itself. Poller only. */
bool np_state_end(struct np_conn_state *state);

#endif
