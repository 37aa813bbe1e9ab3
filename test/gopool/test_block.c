/* Tasks that say that they block: who takes their place, and what holds when they come back. */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "support.h"

/* A task that says that it blocks, stays so until it is let go, and goes on until it is ended. */
struct visit {
    int status; /* of gopool_block_begin() */
    _Atomic int blocked;
    _Atomic int back;
    sem_t go;
    sem_t end;
};

static void visit(void *arg)
{
    struct visit *visit = arg;

    visit->status = gopool_block_begin();
    atomic_store(&visit->blocked, 1);
    while (sem_wait(&visit->go) != 0)
        continue;
    if (visit->status == 0)
        gopool_block_end();
    atomic_store(&visit->back, 1);
    while (sem_wait(&visit->end) != 0)
        continue;
}

static void submit_visit(struct gopool *pool, struct visit *visit_)
{
    *visit_ = (struct visit){0};
    sem_init(&visit_->go, 0, 0);
    sem_init(&visit_->end, 0, 0);
    cr_assert_eq(gopool_go(pool, visit, visit_), 0);
}

static void end_visit(struct visit *visit)
{
    sem_post(&visit->go);
    sem_post(&visit->end);
}

static void set(void *arg)
{
    atomic_store((_Atomic int *)arg, 1);
}

Test(block, another_worker_takes_the_place_of_a_blocked_one)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    struct visit one;
    _Atomic int ran = 0;

    submit_visit(pool, &one);
    WAIT_UNTIL(one.blocked);
    cr_assert_eq(one.status, 0);
    cr_assert_eq(stats_of(pool).blocked_workers, 1);
    cr_assert_eq(gopool_go(pool, set, &ran), 0);
    WAIT_UNTIL(ran);
    cr_assert_eq(stats_of(pool).workers, 2);
    end_visit(&one);
    gopool_destroy(pool);
}

Test(block, tasks_that_wait_already_are_taken_when_a_worker_blocks)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1, .max_blocked = 3});
    struct visit visits[3];
    _Atomic int ran = 0;

    for (size_t i = 0; i < 3; i++)
        submit_visit(pool, &visits[i]);
    cr_assert_eq(gopool_go(pool, set, &ran), 0);
    WAIT_UNTIL(ran);
    cr_assert_eq(stats_of(pool).blocked_workers, 3);
    for (size_t i = 0; i < 3; i++)
        end_visit(&visits[i]);
    gopool_destroy(pool);
}

Test(block, more_than_max_blocked_are_not_replaced)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1, .max_blocked = 1});
    struct visit one;
    struct visit two;
    _Atomic int ran = 0;

    submit_visit(pool, &one);
    WAIT_UNTIL(one.blocked);
    submit_visit(pool, &two);
    WAIT_UNTIL(two.blocked);
    cr_assert_eq(two.status, -EAGAIN);
    cr_assert_eq(gopool_go(pool, set, &ran), 0);
    cr_assert_eq(stats_of(pool).blocked_workers, 1);
    cr_assert_eq(stats_of(pool).workers, 2);
    end_visit(&two);
    WAIT_UNTIL(ran);
    end_visit(&one);
    gopool_destroy(pool);
}

Test(block, half_of_the_cap_may_block_by_default)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4});
    struct visit visits[3];

    for (size_t i = 0; i < 3; i++) {
        submit_visit(pool, &visits[i]);
        WAIT_UNTIL(visits[i].blocked);
        cr_assert_eq(visits[i].status, i < 2 ? 0 : -EAGAIN);
    }
    for (size_t i = 0; i < 3; i++)
        end_visit(&visits[i]);
    gopool_destroy(pool);
}

Test(block, the_cap_holds_again_when_a_worker_comes_back)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    struct visit one;
    struct visit two;
    _Atomic int ran = 0;

    submit_visit(pool, &one);
    WAIT_UNTIL(one.blocked);
    submit_visit(pool, &two); /* not blocked itself: one is all there may be */
    WAIT_UNTIL(two.blocked);
    cr_assert_eq(two.status, -EAGAIN);
    cr_assert_eq(gopool_go(pool, set, &ran), 0);
    end_visit(&one);
    WAIT_UNTIL(stats_of(pool).idle_workers == 1);
    cr_assert_eq(ran, 0);
    cr_assert_eq(stats_of(pool).queued, 1);
    end_visit(&two);
    WAIT_UNTIL(ran);
    WAIT_UNTIL(stats_of(pool).idle_workers == 2);
    gopool_destroy(pool);
}

Test(block, a_stop_runs_what_waits_while_workers_come_back)
{
    enum {
        TASKS = 100
    };
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1, .max_blocked = 2});
    struct visit visits[2];
    size_t threads = thread_count();
    _Atomic int ran[TASKS] = {0};

    for (size_t i = 0; i < 2; i++) {
        submit_visit(pool, &visits[i]);
        WAIT_UNTIL(visits[i].blocked);
    }
    for (size_t i = 0; i < TASKS; i++)
        cr_assert_eq(gopool_go(pool, set, &ran[i]), 0);
    for (size_t i = 0; i < 2; i++)
        end_visit(&visits[i]);
    gopool_destroy(pool);
    for (size_t i = 0; i < TASKS; i++)
        cr_assert_eq(ran[i], 1);
    cr_assert_leq(thread_count(), threads);
}

static void block_twice(void *arg)
{
    struct gopool *pool = arg;

    cr_assert_eq(gopool_block_begin(), 0);
    cr_assert_eq(gopool_block_begin(), 0);
    cr_assert_eq(stats_of(pool).blocked_workers, 1);
    gopool_block_end();
    cr_assert_eq(stats_of(pool).blocked_workers, 1);
    gopool_block_end();
    cr_assert_eq(stats_of(pool).blocked_workers, 0);
}

Test(block, it_may_be_nested)
{
    struct gopool *pool = pool_with(NULL);

    cr_assert_eq(gopool_go(pool, block_twice, pool), 0);
    cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
    cr_assert_eq(stats_of(pool).panic_count, 0);
    gopool_destroy(pool);
}

static void begin_and_return(void *arg)
{
    (void)arg;
    cr_assert_eq(gopool_block_begin(), 0);
    cr_assert_eq(gopool_block_begin(), 0);
}

static void begin_and_panic(void *arg)
{
    begin_and_return(arg);
    gopool_panic("blocked");
}

static void begin_and_exit_task(void *arg)
{
    begin_and_return(arg);
    gopool_exit_task();
}

static void begin_and_exit_thread(void *arg)
{
    begin_and_return(arg);
    pthread_exit(NULL);
}

static void ignore_panic(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    (void)arg;
}

Test(block, a_task_that_ends_inside_is_at_its_end)
{
    gopool_fn *const ways[] = {begin_and_return, begin_and_panic, begin_and_exit_task,
                               begin_and_exit_thread};

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct gopool *pool =
            pool_with(&(struct gopool_options){.cap = 1, .panic_handler = ignore_panic});

        for (int round = 0; round < 3; round++) {
            cr_assert_eq(gopool_go(pool, ways[i], NULL), 0);
            cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
            cr_assert_eq(stats_of(pool).blocked_workers, 0);
            cr_assert_leq(stats_of(pool).workers, 1);
        }
        gopool_destroy(pool);
    }
}

static void end_only(void *arg)
{
    (void)arg;
    gopool_block_end();
}

Test(block, an_end_without_a_beginning_is_a_panic)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.panic_handler = ignore_panic});

    cr_assert_eq(gopool_try(end_only, NULL, NULL), -ECANCELED);
    cr_assert_eq(gopool_go(pool, end_only, NULL), 0);
    cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
    cr_assert_eq(stats_of(pool).panic_count, 1);
    gopool_destroy(pool);
}

Test(block, it_is_for_workers_only)
{
    cr_assert_eq(gopool_block_begin(), -EPERM);
}

static sem_t hold;

static void wait_for_hold(void *arg)
{
    (void)arg;
    while (sem_wait(&hold) != 0)
        continue;
}

static void wait_for_other_pool(void *arg)
{
    struct gopool_future future;

    cr_assert_eq(gopool_call(arg, &future, wait_for_hold, NULL, 0), 0);
    cr_assert_eq(gopool_wait(&future, DEADLINE_MS), 0);
}

static void drain_other_pool(void *arg)
{
    cr_assert_eq(gopool_go(arg, wait_for_hold, NULL), 0);
    cr_assert_eq(gopool_drain(arg, DEADLINE_MS), 0);
}

static void stop_other_pool(void *arg)
{
    cr_assert_eq(gopool_go(arg, wait_for_hold, NULL), 0);
    cr_assert_eq(gopool_stop(arg), 0);
}

static void fill_other_pool(void *arg)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(gopool_go(arg, wait_for_hold, NULL), 0);
}

Test(block, a_worker_that_waits_for_another_pool_is_replaced)
{
    gopool_fn *const ways[] = {wait_for_other_pool, drain_other_pool, fill_other_pool,
                               stop_other_pool};

    sem_init(&hold, 0, 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
        struct gopool *other = pool_with(&(struct gopool_options){
            .cap = 1, .queue_limit = 1, .when_full = GOPOOL_WHEN_FULL_BLOCK});
        _Atomic int ran = 0;

        cr_assert_eq(gopool_go(pool, ways[i], other), 0);
        WAIT_UNTIL(stats_of(pool).blocked_workers == 1);
        cr_assert_eq(gopool_go(pool, set, &ran), 0);
        WAIT_UNTIL(ran);
        for (int task = 0; task < 3; task++)
            sem_post(&hold);
        cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
        cr_assert_eq(stats_of(pool).blocked_workers, 0);
        gopool_destroy(pool);
        gopool_destroy(other);
        while (sem_trywait(&hold) == 0)
            continue;
    }
}

Test(block, a_cap_that_is_lowered_counts_the_blocked_out)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4});
    struct visit visits[2];
    _Atomic int ran = 0;

    for (size_t i = 0; i < 2; i++) {
        submit_visit(pool, &visits[i]);
        WAIT_UNTIL(visits[i].blocked);
    }
    cr_assert_eq(gopool_set_cap(pool, 1), 0);
    cr_assert_eq(gopool_go(pool, set, &ran), 0);
    WAIT_UNTIL(ran);
    cr_assert_leq(stats_of(pool).workers, 3);
    for (size_t i = 0; i < 2; i++)
        end_visit(&visits[i]);
    cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
    cr_assert_eq(stats_of(pool).blocked_workers, 0);
    gopool_destroy(pool);
}

static void begin_only(void *arg)
{
    (void)arg;
    cr_assert_eq(gopool_block_begin(), 0);
}

static void begin_in_task_of_another_pool(void *arg)
{
    cr_assert_eq(gopool_go(arg, begin_only, NULL), 0);
}

static void begin_in_task_of_its_own(void *arg)
{
    (void)arg;
    cr_assert_eq(gopool_try_task(begin_only, NULL, NULL), 0);
}

static void run_and_see(void *arg)
{
    struct {
        struct gopool *pool;
        gopool_fn *fn;
        void *arg;
    } *what = arg;

    what->fn(what->arg);
    cr_assert_eq(stats_of(what->pool).blocked_workers, 0);
}

Test(block, what_a_task_within_a_task_begins_ends_with_it)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    struct gopool *other = pool_with(&(struct gopool_options){
        .cap = 1, .queue_limit = 1, .when_full = GOPOOL_WHEN_FULL_CALLER_RUNS});
    struct {
        struct gopool *pool;
        gopool_fn *fn;
        void *arg;
    } what[] = {{pool, begin_in_task_of_another_pool, other},
                {pool, begin_in_task_of_its_own, NULL}};

    sem_init(&hold, 0, 0);
    cr_assert_eq(gopool_go(other, wait_for_hold, NULL), 0);
    WAIT_UNTIL(stats_of(other).queued == 0);
    cr_assert_eq(gopool_go(other, wait_for_hold, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        struct gopool_future future;

        cr_assert_eq(gopool_call(pool, &future, run_and_see, &what[i], 0), 0);
        cr_assert_eq(gopool_wait(&future, DEADLINE_MS), 0);
    }
    sem_post(&hold);
    sem_post(&hold);
    gopool_destroy(pool);
    gopool_destroy(other);
}

static pthread_key_t key;
static _Atomic int status_after_the_end;

static void begin_after_the_end(void *arg)
{
    atomic_store(&status_after_the_end, gopool_block_begin());
    sem_post(arg);
}

static void set_key(void *arg)
{
    cr_assert_eq(pthread_setspecific(key, arg), 0);
}

Test(block, a_worker_that_has_left_its_pool_cannot_block)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1, .idle_timeout_ms = 1});
    _Atomic int ran = 0;
    sem_t ended;

    sem_init(&ended, 0, 0);
    cr_assert_eq(pthread_key_create(&key, begin_after_the_end), 0);
    cr_assert_eq(gopool_go(pool, set_key, &ended), 0);
    while (sem_wait(&ended) != 0)
        continue;
    cr_assert_eq(status_after_the_end, -EPERM);
    cr_assert_eq(stats_of(pool).blocked_workers, 0);
    cr_assert_eq(gopool_go(pool, set, &ran), 0);
    WAIT_UNTIL(ran);
    gopool_destroy(pool);
}
