/* model: word of a public timer
 * run: spin -a, gcc -O2 -DSAFETY, ./pan -m10000
 * pan: -m10000
 * mutants: TOOLATE LOOK POSTONCE TOGETHER RUNPOSTED HERE DISARM WAKE COMPARE LEFTOVER LASTLOOK EARLY
 */

/*
 * The word of netpoll/src/user_timer.c, one variable per bit. A transition is one atomic step; what
 * happens between two of them (a push into the inbox, a look at the wheel) is a step of its own.
 * Spin's memory is sequentially consistent: which orders the C code needs is not shown here.
 *
 * init chooses how the timer starts, whether it is periodic, and what two threads and the timer's
 * own function do with it. A mutant takes one rule away and must lead to an error:
 *   TOOLATE    a timer that runs for the last time cannot be cancelled
 *   LOOK       a run begins only while CANCELED is clear
 *   POSTONCE   who cancels posts only if nothing was on the way
 *   TOGETHER   CANCELED and POSTED are set by one transition
 *   RUNPOSTED  the end of a run leaves a timer whose work is on its way to that work
 *   HERE       cancelled by its own function, it is let go of only when that returns
 *   DISARM     the work of a cancelled timer takes it out of the wheel
 *   WAKE       who ends a run wakes who waits for it
 *   COMPARE    who waits sleeps only while the word is as it saw it
 *   LEFTOVER   the poller looks at its inbox once more at its end
 *   LASTLOOK   the poller ends when no code of users runs any more
 *   EARLY      the poller lets go of the timer after the transition to OVER, not before
 */
bool posted, running, canceled, over, awaited;
byte refs = 2;          /* the poller's and the handle */
bool freed;
bool inbox, in_wheel;
byte holders = 2;       /* threads that share the handle; the last one lets go of it */
byte busy = 2;          /* threads that may still make calls */
bool asleep[2];

bool is_periodic, cancels_itself;
byte ticks = 3;         /* how often its time may come */

/* What has happened. */
byte starts, taken, inside;
bool is_dropped;

#include "mutant.inc"

#define WHEN(condition, steps) if :: condition -> steps :: else fi

/* The word as a number, for who sleeps on it. */
#define WORD (posted + 2 * running + 4 * canceled + 8 * over + 16 * awaited)

inline unref() {
    atomic { assert(refs > 0 && !freed); refs--; freed = (refs == 0) }
}

inline wake() {
    WHEN(was_awaited && !MUTANT(WAKE),
         atomic { assert(!freed); asleep[0] = false; asleep[1] = false });
    was_awaited = false
}

inline finish() {
    WHEN(MUTANT(EARLY), unref());
    atomic {
        assert(!freed && !over && !in_wheel);
        was_awaited = running && awaited; running = false; over = true
    };
    wake();
    WHEN(!MUTANT(EARLY), unref())
}

/* The end of a transition that cancels, whoever made it. */
#define TAKE taken++; assert(taken == 1); assert(is_periodic || starts == 0)

proctype poller()
{
    bool was_awaited, stopping, was_posted, was_canceled;

look:
    if
    :: inbox -> goto work
    :: in_wheel && ticks > 0 -> ticks--; in_wheel = false; goto expire
    :: busy == 0 || MUTANT(LASTLOOK) -> stopping = true
    fi;
    WHEN(inbox && !MUTANT(LEFTOVER), goto work);

ended:
    WHEN(in_wheel, is_dropped = true; in_wheel = false; finish());
    goto done;

work:
    atomic {
        assert(!freed && posted);
        inbox = false; posted = false; was_canceled = canceled
    };
    if
    :: was_canceled ->
        WHEN(!MUTANT(DISARM), in_wheel = false);
        finish();
        goto next
    :: !was_canceled && !stopping -> goto expire
    :: else -> assert(!in_wheel); in_wheel = true; goto next
    :: !was_canceled -> assert(!in_wheel); in_wheel = true; goto next
    fi;

expire:
    atomic {
        assert(!freed);
        if
        :: canceled && !MUTANT(LOOK) -> goto next
        :: else -> running = true; starts++; inside++
        fi;
        assert(inside == 1);
        assert(is_periodic || taken == 0)
    };
    if
    :: cancels_itself && is_periodic -> atomic {
            if
            :: !canceled && !over -> canceled = true; TAKE; was_posted = posted
            :: else -> was_posted = true
            fi
        };
        WHEN(!was_posted, in_wheel = false; WHEN(MUTANT(HERE), finish()))
    :: else
    fi;
    inside--;
    WHEN(!is_periodic, finish(); goto next);
    atomic {
        assert(!freed);
        was_awaited = running && awaited; running = false;
        was_posted = posted; was_canceled = canceled
    };
    wake();
    if
    :: !was_canceled -> in_wheel = true
    :: was_canceled && (!was_posted || MUTANT(RUNPOSTED)) -> finish()
    :: else
    fi;

next:
    was_posted = false; was_canceled = false;
    if :: stopping -> goto ended :: else -> goto look fi;

done: skip
}

proctype user(byte me; bool cancels, waits)
{
    bool was_posted, is_mine;
    byte seen;

    if
    :: cancels || waits ->
        atomic {
            assert(!freed);
            if
            :: canceled || over || (running && !is_periodic && !MUTANT(TOOLATE))
            :: else ->
                canceled = true; is_mine = true; TAKE; was_posted = posted;
                WHEN(!MUTANT(TOGETHER), posted = true)
            fi
        };
        WHEN(is_mine && MUTANT(TOGETHER), atomic { was_posted = posted; posted = true });
        WHEN(is_mine && (!was_posted || MUTANT(POSTONCE)),
             atomic { assert(!inbox && !freed); inbox = true })
    :: else
    fi;
    if
    :: waits ->
        do
        :: atomic { !running -> assert(inside == 0 && !freed && !(in_wheel && over)); break }
        :: atomic { running -> awaited = true; seen = WORD };
            atomic { WHEN(WORD == seen || MUTANT(COMPARE), asleep[me] = true) };
            !asleep[me]
        od
    :: else
    fi;
    busy--;
    atomic { holders--; is_mine = (holders == 0) };
    WHEN(is_mine, unref())
}

init {
    bool first, second;
    atomic {
        PLANT;
        select(is_periodic : 0 .. 1);
        select(cancels_itself : 0 .. 1);
        if
        :: posted = true; inbox = true
        :: in_wheel = true
        fi;
        select(first : 0 .. 1);
        select(second : 0 .. 1);
        run poller();
        run user(0, true, first);
        run user(1, second, second)
    };
    (_nr_pr == 1);
    assert(freed && refs == 0 && inside == 0);
    assert(is_periodic || starts + taken + is_dropped == 1);
}
