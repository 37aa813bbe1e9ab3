/* The state word: each row of its table, and turns that many threads claim. */
#include "../support/check.h"

#include "conn_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

TestSuite(conn_state, .timeout = 60);

static uint32_t turn_of(const struct np_conn_state *state)
{
    return np_state_read(state) & NP_TURN_MASK;
}

static uint32_t sender_of(const struct np_conn_state *state)
{
    return np_state_read(state) & NP_SENDER_MASK;
}

static uint32_t uses_of(const struct np_conn_state *state)
{
    return (uint32_t)((np_state_read(state) & NP_CONN_USE_MASK) / NP_CONN_USE_ONE);
}

Test(conn_state, a_turn_is_claimed_run_and_handed_back)
{
    struct np_conn_state state = {0};
    bool poke;
    cr_assert(np_state_claim_turn(&state, NP_TURN_SCHEDULED, NULL));
    cr_assert_not(np_state_claim_turn(&state, NP_TURN_SCHEDULED, NULL));
    cr_assert_eq(turn_of(&state), NP_TURN_SCHEDULED);
    np_state_begin_turn(&state);
    cr_assert_eq(turn_of(&state), NP_TURN_RUNNING);
    cr_assert_not(np_state_claim_turn(&state, NP_TURN_SCHEDULED, NULL));
    cr_assert_eq(turn_of(&state), NP_TURN_AGAIN);
    cr_assert_not(np_state_claim_turn(&state, NP_TURN_RUNNING, NULL));
    cr_assert_not(np_state_end_turn(&state, &poke), "something came meanwhile");
    cr_assert_eq(turn_of(&state), NP_TURN_RUNNING);
    cr_assert(np_state_end_turn(&state, &poke));
    cr_assert_not(poke);
    cr_assert_eq(turn_of(&state), NP_TURN_IDLE);
    cr_assert(np_state_claim_turn(&state, NP_TURN_RUNNING, NULL));
    np_state_requeue_turn(&state);
    cr_assert_eq(turn_of(&state), NP_TURN_SCHEDULED);
}

Test(conn_state, a_turn_that_ends_pokes_a_poller_that_waits_for_it)
{
    static const uint32_t bits[] = {NP_CONN_PEER_EOF, NP_CONN_CLOSING, NP_CONN_SHUTDOWN,
                                    NP_CONN_PAUSE_INPUT};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        struct np_conn_state state = {0};
        bool poke;
        cr_assert(np_state_claim_turn(&state, NP_TURN_RUNNING, NULL));
        np_state_set(&state, bits[i]);
        cr_assert(np_state_end_turn(&state, &poke));
        cr_assert(poke);
        cr_assert(np_state_claim_turn(&state, NP_TURN_RUNNING, NULL));
        cr_assert(np_state_end_turn(&state, &poke));
        cr_assert_not(poke, "it is on its way");
        cr_assert_neq(np_state_clear(&state, NP_CONN_POKED) & NP_CONN_POKED, 0);
    }
}

Test(conn_state, one_sender_at_a_time)
{
    struct np_conn_state state = {0};
    bool poke;
    cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_THREAD), 1);
    cr_assert_eq(uses_of(&state), 1);
    cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_POLLER), 0);
    cr_assert_eq(sender_of(&state), NP_SENDER_THREAD);
    cr_assert_not(np_state_release_sender(&state, &poke), "flushed meanwhile");
    cr_assert(np_state_release_sender(&state, &poke));
    cr_assert_not(poke);
    cr_assert_eq(np_state_read(&state), 0);
    cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_POLLER), 1);
    cr_assert_eq(uses_of(&state), 0);
    cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_THREAD), 0);
    cr_assert_not(np_state_release_sender(&state, &poke));
    cr_assert(np_state_release_sender(&state, &poke));
    cr_assert_eq(np_state_read(&state), 0);
}

Test(conn_state, a_thread_hands_the_rest_to_the_poller)
{
    struct np_conn_state state = {0};
    cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_THREAD), 1);
    cr_assert(np_state_hand_sender(&state));
    cr_assert_eq(sender_of(&state), NP_SENDER_POLLER);
    cr_assert_eq(uses_of(&state), 0);
    cr_assert_neq(np_state_read(&state) & NP_CONN_POKED, 0);
}

Test(conn_state, a_sender_that_ends_pokes_a_poller_that_waits_for_it)
{
    static const uint32_t bits[] = {NP_CONN_CLOSING, NP_CONN_SHUTDOWN, NP_CONN_PAUSE_OUTPUT};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        struct np_conn_state state = {0};
        bool poke;
        cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_THREAD), 1);
        np_state_set(&state, bits[i]);
        cr_assert(np_state_release_sender(&state, &poke));
        cr_assert(poke);
    }
}

Test(conn_state, closing_is_first_once_and_aborting_adds_to_it)
{
    struct np_conn_state state = {0};
    bool poke;
    cr_assert(np_state_close(&state, 0, &poke));
    cr_assert(poke);
    cr_assert_not(np_state_close(&state, NP_CONN_ABORTED, &poke));
    cr_assert_not(poke, "it is on its way");
    cr_assert_neq(np_state_read(&state) & NP_CONN_ABORTED, 0);
    cr_assert_not(np_state_close_idle(&state, 0));
}

Test(conn_state, only_an_idle_connection_is_closed_for_being_idle)
{
    struct np_conn_state state = {0};
    bool poke;
    cr_assert(np_state_claim_turn(&state, NP_TURN_RUNNING, NULL));
    cr_assert_not(np_state_close_idle(&state, 0));
    cr_assert(np_state_end_turn(&state, &poke));
    cr_assert(np_state_close_idle(&state, NP_CONN_ABORTED));
    cr_assert_eq(np_state_read(&state), NP_CONN_CLOSING | NP_CONN_ABORTED);
}

Test(conn_state, the_end_waits_for_uses_and_pokes)
{
    struct np_conn_state state = {0};
    bool poke;
    cr_assert_eq(np_state_begin_use(&state), 0);
    cr_assert_eq(np_state_begin_use(&state), 0);
    cr_assert(np_state_close(&state, 0, &poke));
    cr_assert_not(np_state_end(&state), "poked");
    np_state_clear(&state, NP_CONN_POKED);
    cr_assert_not(np_state_end(&state), "in use");
    cr_assert_not(np_state_end_use(&state));
    cr_assert(np_state_end_use(&state), "the last use tells the poller");
    np_state_clear(&state, NP_CONN_POKED);
    cr_assert(np_state_end(&state));
    cr_assert_eq(np_state_begin_use(&state), -ENOTCONN);
    cr_assert_eq(np_state_claim_sender(&state, NP_SENDER_THREAD), -ENOTCONN);
    cr_assert_not(np_state_poke(&state, NP_CONN_PAUSE_OUTPUT));
    cr_assert_not(np_state_close(&state, 0, &poke));
    cr_assert_not(poke);
    cr_assert_eq(np_state_read(&state), NP_CONN_CLOSING | NP_CONN_ENDED);
}

/* Threads that bring work and whoever gets the turn: all work is done, never by two. */
#define BRINGERS  4
#define WORK_EACH 50000

struct work {
    struct np_conn_state state;
    _Atomic unsigned brought; /* release by the bringer, acquire by the runner, by the word */
    unsigned done;            /* by whoever has the turn */
    _Atomic int inside;
};

static void run_turn(struct work *work)
{
    bool poke;
    CHECK(atomic_fetch_add(&work->inside, 1) == 0);
    do {
        work->done = atomic_load_explicit(&work->brought, memory_order_relaxed);
        CHECK(atomic_fetch_sub(&work->inside, 1) == 1);
        if (np_state_end_turn(&work->state, &poke))
            return;
        CHECK(atomic_fetch_add(&work->inside, 1) == 0);
    } while (true);
}

static void *bring(void *arg)
{
    struct work *work = arg;
    for (unsigned i = 0; i < WORK_EACH; i++) {
        atomic_fetch_add_explicit(&work->brought, 1, memory_order_relaxed);
        if (!np_state_claim_turn(&work->state, NP_TURN_SCHEDULED, NULL))
            continue;
        np_state_begin_turn(&work->state);
        run_turn(work);
    }
    return NULL;
}

Test(conn_state, no_work_is_lost_and_no_two_run)
{
    static struct work work;
    pthread_t threads[BRINGERS];
    for (unsigned i = 0; i < BRINGERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, bring, &work), 0);
    for (unsigned i = 0; i < BRINGERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(work.done, BRINGERS * WORK_EACH);
    cr_assert_eq(turn_of(&work.state), NP_TURN_IDLE);
}
