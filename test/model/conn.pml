/* model: connection state word
 * run: spin -a, gcc -O2 -DSAFETY, ./pan -m10000
 * pan: -m10000
 * mutants: HANDBACK SENDMORE USES POKE PAUSE CLOSEIDLE TAILPOKE LATEPOKE ENDPOKED ENDPIN NEEDLOW CLOSEWAKE ENDWAKE SENTWAKE DROPPED EOFWAKE STOPWAKE LIMITWAKE TELL LOOKFIRST NEEDLATE NEEDKEPT WAITPOKE POLL POLLNEED NEEDBACK RESUME RESUMEPOKE HELD FINEARLY LENTPOKE FINLEFT ROOMLATE ROOMCLEAR DETACHLATE OUTEARLY HANDLEPOKE
 */

/*
 * The word of netpoll/src/conn_state.h, one variable per field. A transition is one atomic step;
 * whatever happens between two transitions (a look at the buffers, a system call) is a step of its
 * own. Spin's memory is sequentially consistent: which orders the C code needs is not shown here.
 * conn_word.inc has the word and the transitions of several threads, conn_poller.inc the poller.
 *
 * In it: turns on the pool and on the poller, also of several shares, posts, output of threads and
 * of the poller, pauses of both directions and by the user, waits for input and output with
 * deadlines that pass or change, reads without a turn, half-close, on_writable, detach, close,
 * abort, the peer's end and its reset, the idle timeout, shutdown, and the last turn; which
 * references keep the memory, and who gets the descriptor. Waking is one step with the transition
 * that finds who waits.
 *
 * Not in it: transforms and framers, on_connect and on_cancel, the wait for the peer's end behind
 * the last byte (linger), the other time limits and the wheel, a pool that takes no task, and the
 * backends beyond "input comes, room comes".
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
 * Waits:
 *   CLOSEWAKE   closing wakes who waits
 *   ENDWAKE     so does ENDED, for what the poller closes itself
 *   SENTWAKE    so does giving up the sender
 *   DROPPED     who waits for the output looks at the word behind the buffer
 *   EOFWAKE     so does the end of the input
 *   STOPWAKE    so does a shutdown
 *   LIMITWAKE   so does a change of a deadline
 *   TELL        who brings input makes its transition after it
 *   LOOKFIRST   who waits for the output sets its bit before it looks
 *   NEEDLATE    who waits for input says how much before it sets its bit
 *   NEEDKEPT    when it has come, need is what it was
 *   WAITPOKE    a wait for more than PAUSE_INPUT was set for pokes the poller
 *   POLL        who reads without a turn pokes the poller when the input may go on
 *   POLLNEED    also when it may go on because of what the reader asks for
 *   NEEDBACK    what it asks for and does not find is asked for until it comes
 * Pause, half-close, on_writable, detach:
 *   RESUME      resuming claims a turn
 *   RESUMEPOKE  resuming pokes
 *   HELD        no request starts while PAUSE_USER is set
 *   FINEARLY    the end of the output is sent when nothing is left before it
 *   LENTPOKE    a poller that gives up the sender between two looks looks again
 *   FINLEFT     a descriptor that leaves before the end of its output was sent takes it along
 *   ROOMLATE    WRITABLE is set before the turn is claimed
 *   ROOMCLEAR   WRITABLE is cleared before on_writable is called
 *   DETACHLATE  a connection that is closing already is not detached
 *   OUTEARLY    who gets the descriptor is decided after ENDED
 */
/* A mutant is looked for in the world that shows it. */
#ifndef ONLY
#define ONLY \
    1 * (MUTANT(HANDBACK) + MUTANT(POKE) + MUTANT(PAUSE) + MUTANT(TAILPOKE) + \
          MUTANT(NEEDLOW)) + \
    2 * (MUTANT(SENDMORE) + MUTANT(LATEPOKE) + MUTANT(ENDPIN)) + \
    5 * (MUTANT(ENDPOKED)) + \
    7 * (MUTANT(CLOSEIDLE)) + \
    10 * (MUTANT(USES)) + \
    12 * (MUTANT(RESUME) + MUTANT(RESUMEPOKE) + MUTANT(HELD)) + \
    14 * (MUTANT(NEEDKEPT) + MUTANT(WAITPOKE)) + \
    15 * (MUTANT(CLOSEWAKE) + MUTANT(ENDWAKE) + MUTANT(EOFWAKE) + MUTANT(STOPWAKE) + \
          MUTANT(LIMITWAKE) + MUTANT(TELL) + MUTANT(NEEDLATE)) + \
    16 * (MUTANT(POLL) + MUTANT(POLLNEED) + MUTANT(NEEDBACK)) + \
    17 * (MUTANT(SENTWAKE) + MUTANT(DROPPED) + MUTANT(LOOKFIRST)) + \
    18 * (MUTANT(FINEARLY) + MUTANT(LENTPOKE) + MUTANT(FINLEFT)) + \
    19 * (MUTANT(ROOMLATE) + MUTANT(ROOMCLEAR)) + \
    20 * (MUTANT(DETACHLATE) + MUTANT(OUTEARLY))
#endif
#define WORLD(n) (ONLY == 0 || ONLY == n)

#include "conn_word.inc"
#include "conn_poller.inc"

inline run_post() {
    assert(disconnects == 0);
    posts_run++;
    if
    :: h_flush > 0 && !closing -> h_flush--; flush(SENDER_OF_TURN, ignored)
    :: atomic { h_retain -> h_retain = false; handles++; granted = true }
    :: true
    fi
}

inline pause() {
    atomic { WHEN(!ended, pause_user = true; SET_POKED) };
    deliver()
}

/* A worker of the pool; with inline handlers the turn's part of the poller's thread. */
proctype runner(bool second)
{
    bool p, saw_eof, saw_last, is_held_up, is_sender;
    bool saw_room, saw_closing, saw_end, saw_pause, is_over, found;
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
        is_held_up = closing || pause_output || (pause_user && !MUTANT(HELD));
        saw_eof = peer_eof;
        saw_room = writable && !closing
    };
    if :: atomic { posts > 0 -> posts-- }; run_post(); goto look :: else fi;
    if
    :: atomic { saw_room -> saw_room = false; goto room }
    :: saw_last -> goto finish
    :: !saw_room && !saw_last && is_held_up -> goto hand_back
    :: atomic { !saw_room && !saw_last && !is_held_up && TURN_DUE(saw_eof) ->
                seen = unread; need = 1; asked = 1;
                assert(disconnects == 0 && !handler_paused); WHEN(h_wait > 0, goto wait) }
    :: else -> goto hand_back
    fi;

request:
    /* on_request consumes all, or one and perhaps asks for more than is left, or nothing */
    if
    :: atomic { unread = unread - seen; seen = 0 }
    :: atomic { seen > 1 -> unread--; seen-- };
        if :: atomic { need = seen + 1; asked = need } :: true fi
    :: atomic { need = seen + 1; asked = need }; WHEN(saw_eof, eof_seen = true)
    fi;
    atomic { saw_eof = false; seen = 0; assert(!gone) };
    if
    :: atomic { h_retain -> h_retain = false; handles++; granted = true }
    :: h_flush > 0 -> h_flush--; flush(SENDER_OF_TURN, ignored)
    :: h_close -> h_close = false; close_conn(false, false)
    :: h_pause -> h_pause = false; atomic { handler_paused = !closing }; pause()
    :: true
    fi;
    if
    :: atomic { may_requeue -> may_requeue = false; turn = SCHEDULED; running--; lent = false;
                assert(!due); due = true };
        goto end_wait
    :: goto look
    fi;

wait:
    wait_for_input(h_wait);
    atomic { h_wait = 0; found = false; seen = unread; goto request };

room:
    assert(disconnects == 0);
    atomic { WHEN(!MUTANT(ROOMCLEAR), writable = false) };
    has_room = false;
    if :: h_flush > 0 -> h_flush--; flush(SENDER_OF_TURN, ignored) :: true fi;
    atomic { WHEN(MUTANT(ROOMCLEAR), writable = false) };
    goto look;

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
        disconnects++; assert(disconnects == 1 && posts == 0);
        WHEN(IS_HANDED_OUT, assert(is_open && !cut); handed_out = true);
        queued = 0; gone = true; running--; lent = false
    }
}

/* Waits for input and consumes it. */
inline read_input(n) {
    wait_for_input(n);
    atomic { WHEN(found, unread = unread - (n); found = false) }
}

/* A read that does not wait, of so much, or 0: of what is there; or a wait without time. */
inline poll_for_input(n) {
    atomic { saw_closing = closing; saw_end = peer_eof; saw_pause = pause_input };
    WHEN(saw_pause && INPUT_LOW && !MUTANT(POLL), poke());
    want(n);
    WHEN(saw_pause && !is_over && INPUT_LOW && !MUTANT(POLLNEED), poke());
    atomic {
        WHEN(!is_over && MUTANT(NEEDBACK), need = 1);
        WHEN(found, unread = (n > 0 -> unread - (n) : 0); asked = 0);
        found = false; is_over = false; saw_closing = false; saw_end = false; saw_pause = false
    }
}

/* netpoll_conn_resume() */
inline resume() {
    if
    :: atomic { !ended -> uses++ };
        atomic { pause_user = false; handler_paused = false;
                 WHEN(!ended && !MUTANT(RESUMEPOKE), SET_POKED); deliver() };
        WHEN(!MUTANT(RESUME), claim_turn(SCHEDULED));
        atomic { end_use() }
    :: else
    fi
}

/* netpoll_conn_set_deadline(): it has passed, or there is none. */
inline set_deadline() {
    if
    :: atomic { !ended -> uses++ };
        late = !late;
        atomic { poke() };
        atomic { WHEN(!MUTANT(LIMITWAKE), WAKE_ALL) };
        atomic { end_use() }
    :: else
    fi
}

/* netpoll_conn_release() */
inline release() {
    if
    :: keeps_handle
    :: atomic { !keeps_handle && handles > 1 -> handles-- }
    :: atomic { !keeps_handle && handles == 1 -> handles-- };
        atomic { WHEN(HANDLES_AWAITED && !MUTANT(HANDLEPOKE), WHEN(!ended, SET_POKED)) };
        deliver()
    fi
}

/* A thread of the user, once it holds a handle. */
proctype other()
{
    bool p, is_sender, saw_closing, saw_end, saw_pause, is_over, found, none_left;
    byte result;

end_wait:
    granted;
    do
    :: f_post > 0 -> f_post--;
        if
        :: atomic { !ended -> uses++ };
            atomic { posts++; posted++ };
            claim_turn(SCHEDULED);
            end_use()
        :: else
        fi
    :: f_flush > 0 -> f_flush--; flush(THREAD, is_over);
        WHEN(flush_waits && !is_over, wait_for_output());
        is_over = false
    :: f_read > 0 -> f_read--; read_input((1 + 2 * f_read))
    :: f_half -> f_half = false;
        WHEN(!closing, atomic { WHEN(!ended, write_closed = true; SET_POKED) }; deliver())
    :: f_close -> f_close = false;
        if :: close_conn(false, false) :: may_abort -> close_conn(true, false) fi
    :: f_detach -> f_detach = false; close_conn(false, true)
    :: true -> break
    od;
end_polls:
    do
    :: poll_now ->
        atomic { select(result : 0 .. (f_poll >= LAST_POLLS -> 3 : 0)) };
        poll_for_input(result);
        atomic { result = 0; poll_now = false }
    :: f_poll == 0 && !poll_now -> break
    od;
    release()
}

/* Another thread of the user, with a handle of its own; it delivers its pokes at once. */
proctype second()
{
    bool p;

    do
    :: atomic { s_close -> s_close = false; close_conn(false, false) }
    :: atomic { s_detach -> s_detach = false; close_conn(false, true) }
    :: s_deadline > 0 -> s_deadline--; set_deadline()
    :: s_pause -> s_pause = false; WHEN(!closing, atomic { pause() })
    :: atomic { s_resume && (pause_user || !h_pause) -> s_resume = false }; resume()
    :: else -> break
    od;
    atomic { release() }
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

init {
    atomic {
        PLANT;
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
            handles = 1; select(in_left : 0 .. 1); h_flush = 1; stop_left = true;
            select(space_left : 0 .. 1)
        :: WORLD(6) -> /* a reset while output is paused */
            is_narrow = true; handles = 1; f_flush = 2; reset_left = true; select(in_left : 0 .. 1)
        :: WORLD(7) -> /* posts beside requests, and a close */
            handles = 1; select(in_left : 0 .. 1); select(fin_left : 0 .. 1); f_post = 1;
            h_retain = fin_left; select(f_close : 0 .. 1)
        :: WORLD(8) -> /* an answer from another thread after the end of the input */
            in_left = 1; fin_left = true; h_retain = true; f_flush = 1; f_post = 1; space = 1
        :: WORLD(9) -> /* output of two threads */
            is_narrow = true; handles = 1; keeps_handle = true; in_left = 1; h_flush = 1; f_flush = 2;
            select(space_left : 0 .. 1); space_left = 2 * space_left
        :: WORLD(10) -> /* a handler answers and closes while another thread closes */
            handles = 1; in_left = 1; h_flush = 1; h_close = true; f_close = true;
            select(space_left : 0 .. 1)
        :: WORLD(11) -> /* a reset beside requests and posts */
            handles = 1; in_left = 1; reset_left = true; space = 1; select(f_post : 0 .. 1);
            h_flush = 1 - f_post
        :: WORLD(12) -> /* a handler pauses, another thread resumes */
            is_narrow = true; h_pause = true; s_resume = true; in_left = 2;
            if :: fin_left = true :: keeps_handle = true :: s_close = true fi
        :: WORLD(13) -> /* pause and resume by another thread beside input and a reset */
            is_narrow = true; s_pause = true; s_resume = true; select(in_left : 1 .. 2);
            reset_left = (in_left == 1)
        :: WORLD(14) -> /* a handler waits for more than pauses its input */
            is_narrow = true; h_wait = 3; in_left = 3;
            if
            :: fin_left = true; select(in_left : 1 .. 3)
            :: s_close = true :: s_deadline = 1 :: stop_left = true :: reset_left = true
            fi
        :: WORLD(15) -> /* a reader without a turn */
            is_narrow = true; has_reader = true; handles = 1; f_read = 2;
            select(in_left : 0 .. 3);
            if
            :: fin_left = true :: reset_left = true :: idle_left = true :: stop_left = true
            :: f_flush = 1; s_close = true :: s_deadline = 1 :: s_deadline = 2
            fi
        :: WORLD(16) -> /* a reader that does not wait */
            has_reader = true; handles = 1; keeps_handle = true; in_left = 3;
            polls = true; f_poll = 3 + LAST_POLLS
        :: WORLD(17) -> /* a wait for the output */
            is_narrow = true; handles = 1; flush_waits = true; f_flush = 1;
            if
            :: reset_left = true :: s_close = true; deadline_left = true :: s_detach = true
            :: s_deadline = 1; f_flush = 2 :: f_flush = 2
            fi;
            select(space_left : 0 .. f_flush)
        :: WORLD(18) -> /* half-close, then perhaps more */
            is_narrow = true; handles = 1; f_half = true; select(f_flush : 1 .. 2);
            select(space_left : 0 .. f_flush);
            if :: f_close = true :: f_detach = true :: fin_left = true :: keeps_handle = true fi
        :: WORLD(19) -> /* on_writable, which pauses the output again */
            is_narrow = true; has_writable = true; handles = 1; keeps_handle = true;
            out_high = 1; f_flush = 1; h_flush = 1; select(space_left : 1 .. 2)
        :: WORLD(20) -> /* detach beside everything else that ends it */
            is_narrow = true; s_detach = true;
            if
            :: in_left = 1; h_close = true
            :: in_left = 1; reset_left = true
            :: in_left = 1; fin_left = true
            :: handles = 1; f_close = true; may_abort = true
            :: handles = 1; f_flush = 1; deadline_left = true; select(space_left : 0 .. 1)
            fi
        fi;
        granted = handles > 0;
        run poller(); run runner(false); run other();
        WHEN(!is_narrow, run runner(true));
        WHEN(space_left > 0 || reset_left, run peer());
        WHEN(s_close || s_detach || s_deadline > 0 || s_pause || s_resume,
             handles++; run second())
    }
}
