/* model: connection state word
 * run: spin -a, gcc -O2 -DSAFETY -DCOLLAPSE, ./pan -m10000
 * flags: -O2 -DSAFETY -DCOLLAPSE
 * pan: -m10000
 * mutants: HANDBACK SENDMORE USES POKE PAUSE CLOSEIDLE TAILPOKE LATEPOKE ENDPOKED ENDPIN NEEDLOW
 */

/*
 * The word of netpoll/src/conn_state.h, one variable per field. A transition is one atomic step;
 * whatever happens between two transitions (a look at the buffers, a system call) is a step of its
 * own. Spin's memory is sequentially consistent: which orders the C code needs is not shown here.
 *
 * init chooses one of several small worlds; ONLY=n keeps the world n. A mutant takes one rule away
 * and must lead to an error:
 *   HANDBACK    handing the turn back looks at AGAIN
 *   SENDMORE    giving up the sender looks at SEND_MORE
 *   USES        ENDED waits for the last use
 *   POKE        the poller clears POKED before it looks
 *   PAUSE       the poller looks at the unread input again after it has set PAUSE_INPUT
 *   CLOSEIDLE   an idle connection is closed only while POKED is clear
 *   TAILPOKE    POKED is set by the transition that hands the turn back, not after it
 *   LATEPOKE    the transition that hands the turn back sets no POKED after ENDED
 *   ENDPOKED    ENDED waits for the poke on its way
 *   ENDPIN      the poller holds a reference of its own from ENDED until the last turn is due
 *   NEEDLOW     input below what the handler waits for is not paused
 */
mtype = { IDLE, SCHEDULED, RUNNING, AGAIN, NONE, THREAD, POLLER };
mtype turn = IDLE;
mtype sender = NONE;
bool peer_eof, reset, closing, aborted, ended, stopping, pause_input, pause_output, poked, more;
byte uses;

/* Shared beside the word. */
byte unread;            /* input that nobody has consumed */
byte need = 1;          /* unread input that is worth a turn; written by the turn's runner */
bool eof_seen;          /* a handler saw the end and left the rest: no turn is due for it */
byte posts;             /* accepted and not run */
byte queued;            /* published and not sent */
byte handles;           /* of the user; each keeps the memory, too */
bool inbox;             /* the poke has reached the poller */
bool due;               /* the turn has reached its executor */
bool lent;              /* inline: the poller's thread runs the turn */
bool gone;              /* the last turn has dropped the connection's own reference */
bool pinned;            /* the poller holds another one */

/* The descriptor and its peer. */
bool is_open = true, shut, dead, out_ready, reset_event;
byte space;             /* pieces that the socket still takes */

/* What may happen in this world. */
byte in_left, space_left, h_flush, f_flush, f_post;
bool fin_left, reset_left, deadline_left, h_close, f_close, f_stop, h_retain;
bool may_abort, may_requeue, is_inline, keeps_handle;

/* What has happened. */
byte running, sending, disconnects, posted, posts_run, flushed, sent;
byte owed;              /* flushed before CLOSING */
bool in_tail;           /* the first runner has handed back and still delivers its poke */

#define HIGH 2          /* unread input that pauses the input; it resumes at LOW */
#define LOW 1
#define OUT_HIGH 2      /* the same for queued output */
#define OUT_LOW 0

#define INPUT_WANTED (!peer_eof && !closing && !pause_input && !pause_output)
#define INPUT_LOW (unread <= LOW || (unread < need && !MUTANT(NEEDLOW)))
#define INPUT_HIGH (unread >= HIGH && unread >= need)
#define TURN_DUE(eof) (unread >= need || (eof && unread > 0 && !eof_seen))
#define TURN_AWAITED (pause_input || closing || peer_eof || stopping)
#define SENDER_AWAITED (closing || stopping || pause_output)
#define WORLD(n) (ONLY == 0 || ONLY == n)
#define WHEN(condition, steps) if :: condition -> steps :: else fi
#define TURN_OF_POLLER (is_inline -> RUNNING : SCHEDULED)
#define SENDER_OF_TURN (is_inline -> POLLER : THREAD)

/* MUTANT(X) is 1 with -DMUTANT_X and 0 without, as the kernel's IS_ENABLED(). */
#define SECOND_OF(first, second, ...) second
#define COMMA_1 0,
#define MUTANT(name) EXPANDED(MUTANT_##name)
#define EXPANDED(value) IS_ONE(value)
#define IS_ONE(value) FOLLOWS(COMMA_##value)
#define FOLLOWS(comma) SECOND_OF(comma 1, 0)

#ifndef ONLY
#define ONLY 0
#endif

/* Part of a transition: POKED, and p when the caller has to deliver. */
#define SET_POKED WHEN(!poked, poked = true; p = true)

inline deliver() {
    WHEN(p, atomic { assert(!inbox && !gone); inbox = true; p = false })
}

inline claim_turn(as) {
    atomic {
        if
        :: turn == IDLE -> turn = as; assert(!due && running == 0); due = true
        :: turn == RUNNING -> turn = AGAIN
        :: else
        fi
    }
}

inline close_conn(abort) {
    atomic {
        WHEN(!ended,
             WHEN(!closing, closing = true; owed = flushed);
             aborted = aborted || abort;
             SET_POKED)
    };
    deliver()
}

/* One system call. result: 0 sent, 1 full, 2 failed. */
#define SEND_ONE \
    assert(is_open && sending == 1); \
    if \
    :: dead || shut -> result = 2 \
    :: !(dead || shut) && space > 0 -> space--; sent++; result = 0 \
    :: !(dead || shut) && space == 0 -> result = 1 \
    fi

inline send_as_thread() {
    do
    :: atomic { queued > 0 && result != 2 -> assert(uses > 0); SEND_ONE };
        if
        :: atomic { result == 0 -> queued-- }
        :: result == 2 -> close_conn(true)
        :: atomic { result == 1 -> sender = POLLER; sending--; uses--; SET_POKED;
                    is_sender = false; result = 0 };
            deliver(); break
        fi
    :: else ->
        atomic {
            result = 0;
            if
            :: more && !MUTANT(SENDMORE) -> more = false
            :: else ->
                sender = NONE; sending--; uses--; is_sender = false;
                WHEN(SENDER_AWAITED, SET_POKED)
            fi
        };
        WHEN(!is_sender, deliver(); break)
    od
}

inline flush(as) {
    if
    :: closing
    :: else ->
        atomic { queued++; flushed++; WHEN(!closing, owed = flushed) };
        atomic {
            if
            :: ended
            :: !ended && sender != NONE -> more = true
            :: !ended && sender == NONE ->
                sender = as;
                WHEN(as == THREAD, uses++; sending++; is_sender = true)
            fi
        };
        WHEN(is_sender, send_as_thread());
        WHEN(queued >= OUT_HIGH,
             atomic { WHEN(!ended, pause_output = true; SET_POKED) }; deliver())
    fi
}

inline run_post() {
    assert(disconnects == 0);
    posts_run++;
    if
    :: h_flush > 0 && !closing -> h_flush--; flush(SENDER_OF_TURN)
    :: atomic { h_retain -> h_retain = false; handles++ }
    :: true
    fi
}

/* A worker of the pool; with inline handlers the turn's part of the poller's thread. */
proctype runner(bool second)
{
    bool p, saw_eof, saw_last, is_held_up, is_sender;
    byte seen, result;

end_wait:
    atomic {
        due && (!second || in_tail) && (!is_inline || lent) ->
        due = false; running++; assert(running == 1)
    };
    if :: atomic { turn == SCHEDULED -> turn = RUNNING } :: else -> assert(is_inline) fi;

look:
    atomic {
        assert(!gone);
        saw_last = ended;
        is_held_up = closing || pause_output;
        saw_eof = peer_eof
    };
    if :: atomic { posts > 0 -> posts-- }; run_post(); goto look :: else fi;
    if
    :: saw_last -> goto finish
    :: !saw_last && is_held_up -> goto hand_back
    :: atomic { !saw_last && !is_held_up && TURN_DUE(saw_eof) -> seen = unread; need = 1 }
    :: else -> goto hand_back
    fi;

    /* on_request consumes all, or one and perhaps asks for more than is left, or nothing */
    assert(disconnects == 0);
    if
    :: atomic { unread = unread - seen; seen = 0 }
    :: atomic { seen > 1 -> unread--; seen-- };
        if :: need = seen + 1 :: true fi
    :: need = seen + 1; WHEN(saw_eof, eof_seen = true)
    fi;
    atomic { saw_eof = false; seen = 0; assert(!gone) };
    if
    :: atomic { h_retain -> h_retain = false; handles++ }
    :: h_flush > 0 -> h_flush--; flush(SENDER_OF_TURN)
    :: h_close -> h_close = false; close_conn(false)
    :: true
    fi;
    if
    :: atomic { may_requeue -> may_requeue = false; turn = SCHEDULED; running--; lent = false;
                assert(!due); due = true };
        goto end_wait
    :: goto look
    fi;

hand_back:
    atomic {
        saw_eof = false; is_held_up = false;
        if
        :: turn == AGAIN && !MUTANT(HANDBACK) -> turn = RUNNING; goto look
        :: else ->
            turn = IDLE; running--; lent = false; in_tail = !second;
            saw_eof = (TURN_AWAITED && MUTANT(TAILPOKE));
            WHEN(TURN_AWAITED && !MUTANT(TAILPOKE) && (!ended || MUTANT(LATEPOKE)), SET_POKED)
        fi
    };
    WHEN(saw_eof, saw_eof = false; atomic { assert(!gone); WHEN(!ended, SET_POKED) });
    deliver();
    atomic { WHEN(!second, in_tail = false); goto end_wait };

finish:
    atomic {
        disconnects++; assert(disconnects == 1 && posts == 0); gone = true; running--; lent = false
    }
}

/* A thread of the user, once it holds a handle. */
proctype other()
{
    bool p, is_sender;
    byte result;

end_wait:
    handles > 0;
    do
    :: f_post > 0 -> f_post--;
        if
        :: atomic { !ended -> uses++ };
            atomic { posts++; posted++ };
            claim_turn(SCHEDULED);
            atomic { uses--; WHEN(uses == 0 && closing, SET_POKED) }; deliver()
        :: else
        fi
    :: f_flush > 0 -> f_flush--; flush(THREAD)
    :: f_close -> f_close = false;
        if :: close_conn(false) :: may_abort -> close_conn(true) fi
    :: f_stop -> f_stop = false; atomic { WHEN(!ended, stopping = true; SET_POKED) }; deliver()
    :: true -> break
    od;
    WHEN(!keeps_handle, handles--; atomic { WHEN(!ended, SET_POKED) }; deliver())
}

proctype peer()
{
    do
    :: atomic { space_left > 0 -> space_left--; space++; out_ready = true }
    :: atomic { reset_left -> reset_left = false; dead = true; reset_event = true;
                out_ready = true }
    :: else -> break
    od
}

/* Nothing can move: whatever is left must wait for the world and not for a lost wake-up. */
inline check_quiet() {
    atomic {
        assert(!inbox && !poked && !due && sender != THREAD && uses == 0);
        assert(posts == 0 && posted == posts_run);
        if
        :: ended -> assert(gone && disconnects == 1 && !is_open)
        :: else ->
            assert(turn == IDLE && disconnects == 0);
            assert(queued == 0 || (sender == POLLER && space == 0 && !dead));
            if
            :: closing -> assert(is_open && !shut && queued > 0 && !aborted && !reset)
            :: else ->
                assert(!TURN_DUE(peer_eof) || pause_output);
                assert(!pause_output || queued > OUT_LOW);
                assert(!pause_input || (unread > LOW && unread >= need));
                assert(!INPUT_WANTED || reading);
                assert(!peer_eof || (handles > 0 && !reset) || pause_output);
                assert(!stopping || queued > 0 || handles > 0)
            fi
        fi
    }
}

/* The poller is the sender and the backend does not wait for room. */
inline send_rest() {
    do
    :: atomic { queued > 0 && result != 2 -> sending++; SEND_ONE; sending-- };
        if
        :: atomic { result == 0 -> queued-- }
        :: result == 1 -> started = true; break
        :: result == 2 -> close_conn(true)
        fi
    :: else ->
        result = 0;
        if
        :: atomic { more && !MUTANT(SENDMORE) -> more = false }
        :: atomic { !more || MUTANT(SENDMORE) -> sender = NONE }; started = false; break
        fi
    od;
    result = 0
}

inline run_inline() {
    if
    :: atomic { is_inline && due -> lent = true };
        !lent;
        WHEN(!ended && sender == POLLER && !started, send_rest())
    :: else
    fi
}

proctype poller()
{
    bool p, reading = true, started, by_poke, saw_pause_output, saw_pause_input;
    byte result;

again:
    if
    :: atomic { inbox -> assert(!gone); inbox = false };
        atomic { poked = (poked && MUTANT(POKE)); by_poke = MUTANT(POKE) };
        goto look
    :: is_inline && due -> run_inline(); goto again
    :: !shut && reading && in_left > 0 && !dead -> goto input
    :: atomic { !shut && reading && in_left == 0 && fin_left && !dead -> fin_left = false };
        peer_eof = true; goto eof
    :: atomic { !shut && reset_event -> reset_event = false; peer_eof = true; reset = true };
        goto eof
    :: atomic { !shut && out_ready -> out_ready = false };
        WHEN(!started, goto again);
        send_rest();
        atomic { WHEN(!ended && (!started || (pause_output && queued <= OUT_LOW)), SET_POKED) };
        deliver(); goto again
    :: atomic { closing && !shut && deadline_left -> deadline_left = false };
        close_conn(true); goto again
    :: timeout -> check_quiet(); goto done
    fi;

input:
    in_left--;
    WHEN(closing, goto again);
    unread++;
    if
    :: TURN_DUE(peer_eof) -> claim_turn(TURN_OF_POLLER); run_inline()
    :: else -> /* the poller takes the turn for a moment, to copy what waits */
        atomic {
            if
            :: turn == IDLE -> turn = RUNNING; running++; assert(running == 1)
            :: turn == RUNNING -> turn = AGAIN; goto bound
            :: else -> goto bound
            fi
        };
        atomic {
            running--;
            if
            :: TURN_DUE(peer_eof) || turn == AGAIN -> turn = SCHEDULED; due = true
            :: else -> turn = IDLE; WHEN(TURN_AWAITED && !ended, SET_POKED)
            fi
        };
        deliver()
    fi;

bound:
    WHEN(!INPUT_HIGH, goto again);
    atomic { pause_input = true; WHEN(MUTANT(PAUSE), reading = false; goto again) };
    goto look;

eof:
    WHEN(turn != IDLE || TURN_DUE(true), claim_turn(SCHEDULED));

look:
    assert(!gone);
    atomic {
        saw_pause_output = pause_output; saw_pause_input = pause_input;
        WHEN(sender != POLLER || started || shut, goto sent_rest)
    };
    send_rest();

sent_rest:
    if
    :: atomic { saw_pause_output && queued <= OUT_LOW -> saw_pause_output = false };
        pause_output = false;
        claim_turn(SCHEDULED)
    :: atomic { else -> saw_pause_output = false }
    fi;
    if
    :: atomic { saw_pause_input && INPUT_LOW -> saw_pause_input = false }; pause_input = false
    :: atomic { else -> saw_pause_input = false }
    fi;

    /* What is looked at here cannot change unnoticed: a turn that ends sets POKED as it ends. */
    atomic { WHEN((!peer_eof && !stopping) || closing || turn != IDLE, goto looked) };
    WHEN(TURN_DUE(peer_eof) && !(reset && pause_output), goto looked);
    if
    :: reset || (peer_eof && handles == 0) || (stopping && handles == 0 && queued == 0) ->
        atomic {
            if
            :: turn == IDLE && !closing && (!poked || MUTANT(CLOSEIDLE)) ->
                assert(reset || (!TURN_DUE(peer_eof) && handles == 0));
                closing = true;
                aborted = aborted || reset;
                owed = flushed
            :: else
            fi
        }
    :: else
    fi;

looked:
    atomic {
        reading = INPUT_WANTED && !shut;
        if
        :: !closing || ended -> goto rest
        :: closing && !ended && shut -> goto end
        :: closing && !shut && aborted -> goto leave
        :: else -> WHEN(sender != NONE, goto rest)
        fi
    };
    WHEN(queued > 0, goto rest);

leave:
    atomic { assert(is_open && (aborted || sent >= owed)); reading = false; shut = true };

end:
    if
    :: atomic { (uses == 0 || MUTANT(USES)) && (!poked || MUTANT(ENDPOKED)) ->
                ended = true; pinned = !MUTANT(ENDPIN) };
        atomic { assert(is_open && uses == 0 && (!gone || pinned)); is_open = false };
        atomic { assert(!gone || pinned); claim_turn(SCHEDULED) };
        pinned = false
    :: else
    fi;

rest:
    atomic { WHEN(by_poke, poked = false; by_poke = false); goto again };

done: skip
}

init {
    atomic {
        if
        :: WORLD(1) -> /* input in pieces, the end, a share that is used up */
            select(in_left : 0 .. 3); select(fin_left : 0 .. 1); select(may_requeue : 0 .. 1)
        :: WORLD(2) -> /* output, then close or abort, with and without a deadline */
            handles = 1; f_flush = 2; f_close = true; may_abort = true;
            select(space_left : 0 .. 2); select(deadline_left : 0 .. 1)
        :: WORLD(3) -> /* handlers on the poller */
            is_inline = true; select(in_left : 1 .. 2); select(fin_left : 0 .. 1); h_flush = 2;
            select(space_left : 0 .. 2)
        :: WORLD(4) -> /* handlers on the poller, another thread posts and flushes */
            is_inline = true; handles = 1; in_left = 1; h_flush = 1; f_post = 1; f_flush = 1;
            select(space_left : 0 .. 1)
        :: WORLD(5) -> /* a stop */
            handles = 1; select(in_left : 0 .. 1); h_flush = 1; f_stop = true;
            select(space_left : 0 .. 1)
        :: WORLD(6) -> /* a reset while output is paused */
            handles = 1; f_flush = 2; reset_left = true; select(in_left : 0 .. 1)
        :: WORLD(7) -> /* posts beside requests, and a close */
            handles = 1; select(in_left : 0 .. 1); select(fin_left : 0 .. 1); f_post = 1;
            h_retain = fin_left; select(f_close : 0 .. 1)
        :: WORLD(8) -> /* an answer from another thread after the end of the input */
            in_left = 1; fin_left = true; h_retain = true; f_flush = 1; f_post = 1; space = 1
        :: WORLD(9) -> /* output of two threads */
            handles = 1; keeps_handle = true; in_left = 1; h_flush = 1; f_flush = 2;
            select(space_left : 0 .. 2)
        :: WORLD(10) -> /* a handler answers and closes while another thread closes */
            handles = 1; in_left = 1; h_flush = 1; h_close = true; f_close = true;
            select(space_left : 0 .. 1)
        :: WORLD(11) -> /* a reset beside requests and posts */
            handles = 1; in_left = 1; reset_left = true; space = 1; select(f_post : 0 .. 1);
            h_flush = 1 - f_post
        fi;
        run poller(); run runner(false); run runner(true); run other(); run peer()
    }
}
