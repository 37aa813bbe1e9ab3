/* model: workers of a pool: submit, summon, take, park, block, leave, stop
 * run: spin -a, gcc -O2 -DSAFETY, ./pan -m100000
 * pan: -m100000
 * mutants: LATE ONE PUSH COMPARE RING SPURIOUS ACQUIRE BUSY LEFT BOX CAP OVER BLOCK WATCH QUIET GIVE RETRY FIRST LEAVE SURPLUS TIMEOUT NEXT BACK ROOM DRAIN STOP ADMIT
 */

/*
 * gopool/src: pool.h (the two locks and what they guard), gopool.c, summon.c, worker.c, block.c,
 * parking.c and monitor.c. What is done under `lock` is one atomic step, for nothing can be seen of
 * it from outside; `take_lock` is a variable, for who holds it alone is not alone with the rest.
 * What a lock held does not order may be seen late where may_lag is set.
 *
 * A hang is an invalid end state: some tasks wait for others, and the pool may be drained before it
 * is stopped. So that nothing heals what has gone wrong, time-outs and failures have a budget. No
 * state comes back (-DNP, ./pan -l), so every run ends. The monitor's thread is there as long as
 * workers are (gp_monitor_ensure()).
 *
 * init chooses a world; ONLY=n keeps the world n. A mutant takes one rule away:
 *   LATE     who ends the search does so before it looks into the inbox for the last time
 *   ONE      nobody is summoned while somebody searches
 *   PUSH     who parks has not released the locks since it looked
 *   COMPARE  the futex is slept on only if its word is what it was
 *   RING     whoever is taken off the parking is rung
 *   SPURIOUS who is rung looks at its word again
 *   ACQUIRE  a worker that was woken as the searcher knows that it is
 *   BUSY     somebody is summoned though others are at work
 *   LEFT     who looks closely and leaves tasks summons the next one
 *   BOX      tasks in the outbox wait, too
 *   CAP      nobody is summoned when as many are at work as may
 *   OVER     who finds more at work than may parks, though tasks wait
 *   BLOCK    a worker that blocks summons another one
 *   WATCH    where nobody may be summoned yet the monitor is told
 *   QUIET    the monitor watches as long as tasks wait that another worker could take
 *   GIVE     a worker that could not be started searches no more
 *   RETRY    then the monitor is told, where nobody is parked
 *   FIRST    without a worker a submit is accepted only if one could be started
 *   LEAVE    a worker that leaves summons another one
 *   SURPLUS  a lower cap wakes those who have to leave
 *   TIMEOUT  who has been idle for too long looks again whether it was woken
 *   NEXT     when the coldest leaves the next one watches the clock
 *   BACK     a task that ends its thread leaves the others that were taken with it
 *   ROOM     the submitter that waits for room says so under both locks
 *   DRAIN    who waits for the pool to be idle says so when it looks
 *   STOP     a stop wakes all
 *   ADMIT    nothing is accepted after a stop
 */

#include "gopool_pool.inc"

inline tell_idle() {
    WHEN(idle_waiter && finished == accepted, idle_waiter = false)
}

inline take() {
    mine = LOWEST(outbox);
    outbox = outbox & ~mine;
    taken++;
    WHEN(share > 1 && (mine & batched) && (LOWEST(outbox) & batched),
         mine = mine | LOWEST(outbox); outbox = MANY(outbox); taken++);
    working++
}

/* is_called(); a worker that was woken has to know that it is the searcher. */
#define CALLED(knows) \
    (((knows) && searcher[me]) || outbox == 0 || attention_seen != 0)

#define IS_LATE (MUTANT(LATE) && !inbox && !outbox && !stopping && workers <= workers_max)

/* choose() */
#define IS_OVER (AT_WORK > cap && !MUTANT(OVER))

proctype worker(byte me)
{
    unsigned mine : 4;
    unsigned task : 2;
    unsigned ended : 2;
    unsigned attention_seen : 2;
    unsigned wake : 2;
    unsigned i : 2;
    unsigned seen : 3;
    unsigned seen_spot : 2;
    bool start_worker, is_blocked;

end_gone: /* no thread, until one is started on this slot */
    alive[me];
look: /* look() */
    atomic {
        !take_lock ->
        take_lock = true;
        finished = finished + ended;
        ended = 0;
        if
        :: attention_seen = attention
        :: may_lag && attention_heard != attention -> attention_seen = attention_heard
        fi
    };
    if
    :: atomic { !CALLED(!MUTANT(ACQUIRE)) -> attention_seen = 0; take(); take_lock = false; goto run_task }
    :: CALLED(true)
    fi;
    /* look_closely() */
    atomic {
        attention_seen = 0;
        WHEN(searcher[me] && !IS_LATE, searcher[me] = false; searching = false; searchers--);
        tell_idle();
        WHEN(outbox == 0,
             outbox = inbox;
             inbox = 0;
             share = ((workers == 1 && outbox) || MANY(outbox) -> 2 : 1));
        if
        :: workers - leaving > workers_max -> goto leave
        :: else
        fi;
        if
        :: outbox != 0 && !IS_OVER -> take(); assert(working <= cap)
        :: !(outbox != 0 && !IS_OVER) && stopping -> goto leave
        :: else -> WHEN(!MUTANT(PUSH), push(me))
        fi;
        update_attention();
        WHEN(accepted - taken < limit, room_sleepers = 0);
        WHEN(!MUTANT(LEFT), summon(taken));
        CHECK_BOTH();
        take_lock = false
    };
    WHEN(MUTANT(LATE),
         atomic { WHEN(searcher[me], searcher[me] = false; searching = false; searchers--) });
    WHEN(MUTANT(PUSH), atomic { WHEN(mine == 0, push(me); update_attention()) });
    answer();
    if
    :: mine != 0 -> goto run_task
    :: else
    fi;
    /* sleep_parked(), gp_parking_sleep() */
    do
    :: spot[me] == AWAKE -> goto look
    :: atomic { spot[me] != AWAKE -> seen_spot = spot[me]; asleep[me] = !MUTANT(COMPARE) };
        WHEN(MUTANT(COMPARE), asleep[me] = true);
        if
        :: atomic { !asleep[me] -> seen_spot = AWAKE; WHEN(MUTANT(SPURIOUS), goto look) }
        :: atomic {
                asleep[me] && spurious > 0 ->
                spurious--;
                asleep[me] = false;
                seen_spot = AWAKE;
                WHEN(MUTANT(SPURIOUS), goto look)
            }
        :: atomic {
                asleep[me] && timeouts > 0 && seen_spot == COLDEST ->
                timeouts--;
                asleep[me] = false;
                seen_spot = AWAKE;
                break
            }
        fi
    od;
    atomic {
        !take_lock ->
        if
        :: spot[me] == AWAKE && !MUTANT(TIMEOUT) -> goto look
        :: else
        fi;
        leave_parking(me);
        if
        :: accepted != taken -> CHECK_BOTH(); goto look
        :: else
        fi;
leave: /* with both locks, which it releases */
        assert(!searcher[me]);
        leaving++;
        WHEN(!MUTANT(LEAVE), summon(taken));
        CHECK_BOTH();
        take_lock = false
    };
    answer();
    /* wait_for_leaver(), which waits for nobody who waits for this one */
    atomic {
        !take_lock ->
        take_lock = true;
        leaving--;
        if
        :: workers <= workers_max && accepted != taken && !searching && AT_WORK <= cap ->
            searching = true;
            searchers++;
            start_worker = true
        :: else ->
            workers--;
            update_attention();
            WHEN(!MUTANT(LEAVE), summon(taken))
        fi;
        alive[me] = false;
        CHECK_BOTH();
        take_lock = false
    };
    answer();
    goto end_gone;

run_task: /* run_taken() */
    atomic {
        task = ((mine & 3) -> ((mine & 1) -> 0 : 1) : ((mine & 4) -> 2 : 3));
        mine = MANY(mine);
        assert(!(ran & BIT(task)) && !is_stopped);
        if
        :: blocks & BIT(task) -> goto block
        :: else
        fi;
        MAY_GO_ON(task);
done:
        ran = ran | BIT(task);
        ended++;
        if
        :: exits & BIT(task) -> task = 0; goto exit
        :: !(exits & BIT(task)) && mine != 0 -> task = 0; goto run_task
        :: else -> task = 0; working--; goto look
        fi
    };
block: /* gopool_block_begin(), gopool_block_end() */
    atomic {
        see_taken();
        WHEN(blocked < MAX_BLOCKED,
             blocked++;
             working--;
             is_blocked = true;
             WHEN(!MUTANT(BLOCK), summon(seen)));
        seen = 0;
        CHECK()
    };
    answer();
    atomic {
        MAY_GO_ON(task) ->
        WHEN(is_blocked, is_blocked = false; blocked--; working++; update_attention());
        CHECK();
        goto done
    };
exit: /* leave_by_exit() */
    atomic {
        !take_lock ->
        take_lock = true;
        working--;
        finished = finished + ended;
        ended = 0;
        WHEN(!MUTANT(BACK),
             taken = taken - (mine != 0) - (MANY(mine) != 0);
             outbox = outbox | mine);
        mine = 0;
        tell_idle();
        goto leave
    }
}

#define IS_FULL(taken_seen) (!stopping && accepted - taken_seen >= limit)

#define IS_REFUSED (stopping && !MUTANT(ADMIT))

/* accept_tasks() */
proctype submitter(byte me; byte count)
{
    unsigned wake : 2;
    unsigned i : 2;
    unsigned seen : 3;
    bool start_worker;

next:
    if
    :: count == 0 -> submitters--; goto end
    :: atomic {
            count > 0 ->
            see_taken();
            if
            :: IS_FULL(seen) -> seen = 0; goto wait_for_room
            :: else
            fi;
admit:
            if
            :: IS_REFUSED
            :: !IS_REFUSED && workers == 0 && failures > 0 ->
                failures--;
                WHEN(MUTANT(FIRST), inbox = inbox | BIT(accepted); accepted++)
            :: !IS_REFUSED ->
                WHEN(workers == 0, count_slot(); create_worker());
                inbox = inbox | BIT(accepted);
                accepted++;
                summon(seen)
            fi;
            seen = 0;
            count--;
            CHECK()
        };
        answer();
        goto next
    fi;
wait_for_room:
    atomic {
        !take_lock || MUTANT(ROOM) ->
        room_waiters++;
        update_attention();
        CHECK();
        WHEN(may_lag && !MUTANT(ROOM), taken_heard = taken; attention_heard = attention)
    };
    do
    :: atomic {
            see_taken();
            if
            :: IS_FULL(seen) -> seen = 0; room_sleepers = room_sleepers | BIT(me)
            :: else -> room_waiters--; update_attention(); goto admit
            fi
        };
        !(room_sleepers & BIT(me))
    od;
end:
    skip
}

/* The first tick without tasks may be the last one: more of them change nothing. */
proctype monitor()
{
    unsigned wake : 2;
    unsigned i : 2;
    unsigned seen : 3;
    unsigned before : 3;
    bool start_worker;

end_idle:
    /* watch() */
    atomic { watching -> before = accepted };
    do
    :: atomic {
            /* tick(). One that changes nothing is left out, so that a pool that hangs is seen. */
            aged != before || before != accepted || taken == accepted || AT_WORK >= cap ||
            (!searching && AT_WORK < cap) ->
            aged = before;
            before = accepted;
            see_taken();
            summon(seen);
            seen = 0;
            CHECK()
        };
        answer();
        atomic {
            if
            :: accepted == taken || AT_WORK >= cap || MUTANT(QUIET) ->
                watching = false;
                before = 0;
                CHECK();
                break
            :: else
            fi
        }
    od;
    goto end_idle
}

/* gopool_set_cap(), gopool_drain(), gopool_stop() */
proctype user()
{
    unsigned wake : 2;
    unsigned i : 2;
    unsigned seen : 3;
    bool start_worker, is_busy;

    if
    :: next_cap != 0 ->
        atomic {
            see_taken();
            cap = next_cap;
            workers_max = cap + blocked;
            i = (workers > workers_max && !MUTANT(SURPLUS) -> workers - workers_max : 0);
            do
            :: i > 0 && parked > 0 -> pop(wake); ring(wake); i--
            :: else -> i = 0; wake = 0; break
            od;
            update_attention();
            summon(seen);
            seen = 0;
            CHECK()
        };
        answer()
    :: else
    fi;
    if
    :: true ->
        atomic {
            submitters == 0 && !take_lock ->
            is_busy = (finished != accepted);
            idle_waiter = is_busy && !MUTANT(DRAIN)
        };
        WHEN(MUTANT(DRAIN), idle_waiter = is_busy);
        atomic { !idle_waiter -> is_busy = false; assert(finished == accepted) };
        workers <= workers_max
    :: true
    fi;
    atomic {
        stopping = true;
        do
        :: parked > 0 -> pop(wake); ring(wake); WHEN(MUTANT(STOP), break)
        :: else -> break
        od;
        wake = 0;
        room_sleepers = 0;
        CHECK()
    };
    atomic {
        workers == 0 ->
        assert(inbox == 0 && outbox == 0 && accepted == taken && finished == accepted);
        is_stopped = true;
        assert(ran == BIT(accepted) - 1 && blocked == 0 && working == 0)
    }
}

/* The world in which each mutant shows. */
#define FIRST_WORLD \
    (MUTANT(LATE) + MUTANT(ONE) + MUTANT(PUSH) + MUTANT(COMPARE) + MUTANT(RING) + MUTANT(SPURIOUS) + \
     MUTANT(LEFT) + MUTANT(CAP) + MUTANT(DRAIN) + MUTANT(STOP) + MUTANT(ADMIT))
#define SHOWS_IN \
    (FIRST_WORLD + \
     2 * (MUTANT(BUSY) + MUTANT(NEXT)) + \
     3 * (MUTANT(OVER) + MUTANT(BLOCK) + MUTANT(BOX)) + \
     4 * (MUTANT(WATCH) + MUTANT(QUIET)) + \
     5 * (MUTANT(GIVE) + MUTANT(RETRY) + MUTANT(FIRST)) + \
     6 * (MUTANT(LEAVE) + MUTANT(SURPLUS) + MUTANT(TIMEOUT)) + \
     8 * (MUTANT(BACK)) + \
     9 * (MUTANT(ROOM)) + \
     10 * (MUTANT(ACQUIRE)))

#ifndef ONLY
#define ONLY SHOWS_IN
#endif
#define WORLD(n) (ONLY == 0 || ONLY == n)

init {
    atomic {
        PLANT;
        byte a = 2, b = 2;
        if
        :: WORLD(1) -> spurious = 1; may_lag = true
        :: WORLD(2) -> waits = 1; needed = 1; timeouts = 1
        :: WORLD(3) -> cap = 1; blocks = 1; needed = 1; may_lag = true
        :: WORLD(4) -> cpus = 1; waits = 2; needed = 2
        :: WORLD(5) -> b = 1; waits = 1; needed = 1; failures = 1
        :: WORLD(6) -> next_cap = 1; waits = 2; needed = 0; timeouts = 1
        :: WORLD(7) -> cap = 1; next_cap = 2; waits = 1; needed = 1; may_lag = true
        :: WORLD(8) -> exits = 5; batched = 3; may_lag = true
        :: WORLD(9) -> limit = 2; cap = 1; hopes = 2; needed = 3; may_lag = true
        :: WORLD(10) -> waits = 2; needed = 2; may_lag = true
        :: WORLD(11) -> b = 1; next_cap = 1; blocks = 1; needed = 1; timeouts = 1
        :: WORLD(12) -> b = 1; cpus = 1; cap = 1; blocks = 1; needed = 1; failures = 1
        :: WORLD(13) -> cpus = 2; exits = 1; waits = 2; needed = 2; failures = 1
        :: WORLD(14) -> cap = 3; waits = 2; needed = 3; may_lag = true
        fi;
        submitters = 2;
        run submitter(0, a);
        run submitter(1, b);
        run worker(0);
        run worker(1);
        run worker(2);
        run monitor();
        run user()
    }
}
