/* Workers: how many there are, who is woken, when they end, what a task may do to its thread. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <mcache/mcache.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"
#include "support.h"

/* A task that tells when it has started and then stays in its worker until it is let go. */
struct blocker {
    struct gopool_task task;
    sem_t go;
    _Atomic int running;
    _Atomic int thread;
};

static void block(void *arg)
{
    struct blocker *blocker = arg;

    atomic_store(&blocker->thread, gettid());
    atomic_store(&blocker->running, 1);
    while (sem_wait(&blocker->go) != 0)
        continue;
    atomic_store(&blocker->running, 0);
}

static void submit_blocker(struct gopool *pool, struct blocker *blocker)
{
    blocker->task = (struct gopool_task){.fn = block, .arg = blocker};
    atomic_store(&blocker->running, 0);
    sem_init(&blocker->go, 0, 0);
    cr_assert_eq(gopool_submit(pool, &blocker->task), 0);
}

static int running(struct blocker *blockers, size_t count)
{
    int sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += atomic_load(&blockers[i].running);
    return sum;
}

static void let_go(struct blocker *blockers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sem_post(&blockers[i].go);
}

static void store_thread(void *arg)
{
    atomic_store((_Atomic int *)arg, gettid());
}

static void wait_finished(struct gopool *pool, uint64_t count)
{
    WAIT_UNTIL(stats_of(pool).finished_count == count);
}

static int order[1000];
static _Atomic int order_length;

static void note_order(void *arg)
{
    order[atomic_fetch_add(&order_length, 1)] = (int)(intptr_t)arg;
}

Test(worker, one_worker_runs_tasks_in_the_order_of_submission)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});

    for (intptr_t i = 0; i < 1000; i++)
        cr_assert_eq(gopool_go(pool, note_order, (void *)i), 0);
    gopool_destroy(pool);
    cr_assert_eq(order_length, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(order[i], i);
}

Test(worker, cap_is_reached_and_never_exceeded)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 3});
    struct blocker blockers[8];
    size_t threads = thread_count();

    for (size_t i = 0; i < 8; i++)
        submit_blocker(pool, &blockers[i]);
    WAIT_UNTIL(running(blockers, 8) == 3);
    cr_assert_eq(stats_of(pool).workers, 3);
    cr_assert_eq(stats_of(pool).queued, 5);
    /* And the monitor. */
    cr_assert_leq(thread_count(), threads + 3 + 1);
    for (size_t i = 0; i < 8; i++) {
        WAIT_UNTIL(atomic_load(&blockers[i].running) == 1);
        cr_assert_leq(running(blockers, 8), 3);
        let_go(&blockers[i], 1);
    }
    wait_finished(pool, 8);
    cr_assert_eq(stats_of(pool).workers, 3);
    gopool_destroy(pool);
}

static void note_time(void *arg)
{
    clock_gettime(CLOCK_MONOTONIC, arg);
}

/* How long a task waits behind as many blocked workers as come at once. */
static int64_t wait_behind_blocked_ns(void)
{
    struct gopool *pool = pool_with(NULL);
    struct blocker blockers[2];
    struct timespec submitted;
    struct timespec ran = {0};

    pool->config.eager_workers = 2;
    for (size_t i = 0; i < 2; i++)
        submit_blocker(pool, &blockers[i]);
    WAIT_UNTIL(running(blockers, 2) == 2);
    note_time(&submitted);
    cr_assert_eq(gopool_go(pool, note_time, &ran), 0);
    wait_finished(pool, 1);
    cr_assert_eq(stats_of(pool).workers, 3);
    let_go(blockers, 2);
    gopool_destroy(pool);
    return (ran.tv_sec - submitted.tv_sec) * 1000000000 + ran.tv_nsec - submitted.tv_nsec;
}

Test(worker, one_more_than_the_eager_ones_comes_when_a_task_has_waited_a_millisecond)
{
    int64_t shortest_ns = INT64_MAX;

    /* The machine may hold up some of them. */
    for (int i = 0; i < 10; i++) {
        int64_t waited_ns = wait_behind_blocked_ns();

        cr_assert_geq(waited_ns, 1000000);
        if (waited_ns < shortest_ns)
            shortest_ns = waited_ns;
    }
    cr_assert_lt(shortest_ns, 20000000);
}

Test(worker, default_cap_is_ten_per_cpu_and_64)
{
    enum {
        MORE = 3,
        MAX = 4096
    };
    static struct blocker blockers[MAX];
    struct gopool *pool = pool_with(NULL);
    cpu_set_t allowed;

    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    size_t cap = 10 * (size_t)CPU_COUNT(&allowed) + 64;
    cr_assert_leq(cap + MORE, MAX);
    for (size_t i = 0; i < cap + MORE; i++)
        submit_blocker(pool, &blockers[i]);
    WAIT_UNTIL(running(blockers, cap + MORE) == (int)cap);
    cr_assert_eq(stats_of(pool).workers, cap);
    cr_assert_eq(stats_of(pool).queued, MORE);
    let_go(blockers, cap + MORE);
    gopool_destroy(pool);
}

Test(worker, a_blocked_worker_does_not_hold_up_others_below_the_cap)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4});
    struct blocker blockers[3];
    _Atomic int thread = 0;

    for (size_t i = 0; i < 3; i++)
        submit_blocker(pool, &blockers[i]);
    cr_assert_eq(gopool_go(pool, store_thread, &thread), 0);
    WAIT_UNTIL(atomic_load(&thread) != 0);
    WAIT_UNTIL(running(blockers, 3) == 3);
    let_go(blockers, 3);
    gopool_destroy(pool);
}

Test(worker, a_batch_of_blocking_tasks_gets_a_worker_each)
{
    enum {
        COUNT = 16
    };
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = COUNT});
    struct blocker blockers[COUNT];

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            struct gopool_task *next = i + 1 < COUNT ? &blockers[i + 1].task : NULL;

            blockers[i].task = (struct gopool_task){.next = next, .fn = block, .arg = &blockers[i]};
            atomic_store(&blockers[i].running, 0);
            sem_init(&blockers[i].go, 0, 0);
        }
        cr_assert_eq(gopool_submit_batch(pool, &blockers[0].task), 0);
        WAIT_UNTIL(running(blockers, COUNT) == COUNT);
        let_go(blockers, COUNT);
        /* The second round finds all of them parked and wakes one after the other. */
        WAIT_UNTIL(stats_of(pool).idle_workers == COUNT);
    }
    gopool_destroy(pool);
}

Test(worker, the_warmest_idle_worker_is_woken)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 3});
    struct blocker blockers[3];

    for (size_t i = 0; i < 3; i++)
        submit_blocker(pool, &blockers[i]);
    WAIT_UNTIL(running(blockers, 3) == 3);
    for (size_t last = 0; last < 3; last++) {
        let_go(&blockers[last], 1);
        WAIT_UNTIL(stats_of(pool).idle_workers == last + 1);
    }
    for (uint64_t i = 0; i < 5; i++) {
        _Atomic int thread = 0;

        cr_assert_eq(gopool_go(pool, store_thread, &thread), 0);
        WAIT_UNTIL(stats_of(pool).idle_workers == 3 && stats_of(pool).finished_count == 4 + i);
        cr_assert_eq(thread, blockers[2].thread);
    }
    gopool_destroy(pool);
}

Test(worker, idle_workers_end_and_others_come_when_needed)
{
    size_t threads = thread_count();
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 5, .idle_timeout_ms = 30});
    struct blocker blockers[5];

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 5; i++)
            submit_blocker(pool, &blockers[i]);
        WAIT_UNTIL(running(blockers, 5) == 5);
        int64_t start = now_ms();
        let_go(blockers, 5);
        WAIT_UNTIL(stats_of(pool).workers == 0);
        cr_assert_geq(now_ms() - start, 30);
        /* The last one to leave may still be on its way out, and nobody else. */
        WAIT_UNTIL(thread_count() == threads);
    }
    gopool_destroy(pool);
}

Test(worker, a_busy_worker_outlives_the_idle_ones)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4, .idle_timeout_ms = 10});
    struct blocker blockers[4];
    _Atomic int thread = 0;

    for (size_t i = 0; i < 4; i++)
        submit_blocker(pool, &blockers[i]);
    WAIT_UNTIL(running(blockers, 4) == 4);
    let_go(blockers, 3);
    WAIT_UNTIL(stats_of(pool).workers == 1);
    cr_assert_eq(stats_of(pool).idle_workers, 0);
    cr_assert_eq(gopool_go(pool, store_thread, &thread), 0);
    WAIT_UNTIL(atomic_load(&thread) != 0);
    let_go(&blockers[3], 1);
    gopool_destroy(pool);
}

static void exit_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void try_exit(void *arg)
{
    if (gopool_try(exit_thread, arg, NULL) != 0)
        abort();
}

Test(worker, pthread_exit_in_a_task_costs_no_slot)
{
    size_t threads = thread_count();
    struct mcache_stats before;
    struct mcache_stats after;

    mcache_stats_read(&before);
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 2});

    for (int round = 0; round < 100; round++) {
        cr_assert_eq(gopool_go(pool, round % 2 ? exit_thread : try_exit, NULL), 0);
        cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    }
    wait_finished(pool, 200);
    cr_assert_eq(order_length, 100);
    cr_assert_leq(stats_of(pool).workers, 2);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(stats_of(pool).workers, 0);
    gopool_destroy(pool);
    cr_assert_eq(thread_count(), threads);
    mcache_stats_read(&after);
    cr_assert_eq(after.live_bytes, before.live_bytes);
}

static void panic_at_thread_end(void *value)
{
    gopool_panic("with %d", *(int *)value);
}

static void exit_with_a_panicking_destructor(void *arg)
{
    static int value = 6;

    if (pthread_setspecific(*(pthread_key_t *)arg, &value) == 0)
        pthread_exit(NULL);
}

static void panic_after_exit(void *arg)
{
    struct gopool *pool = pool_with(NULL);
    pthread_key_t key;

    (void)arg;
    if (pthread_key_create(&key, panic_at_thread_end) != 0 ||
        gopool_go(pool, exit_with_a_panicking_destructor, &key) != 0)
        abort();
    gopool_destroy(pool);
}

Test(worker, after_pthread_exit_the_tasks_boundary_is_gone)
{
    char output[512];
    int status = run_in_child(panic_after_exit, NULL, output, sizeof output);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", (unsigned)status);
    cr_assert_not_null(strstr(output, "panic outside a task and gopool_try(): with 6"));
}

Test(worker, pthread_exit_passes_queued_tasks_on_though_no_thread_can_be_had)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    struct blocker blocker;

    submit_blocker(pool, &blocker);
    cr_assert_eq(gopool_go(pool, exit_thread, NULL), 0);
    cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    fail_thread_creation(3);
    let_go(&blocker, 1);
    wait_finished(pool, 3);
    cr_assert_eq(order_length, 1);
    gopool_destroy(pool);
}

Test(worker, without_any_thread_the_first_task_is_refused)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_task task = {.fn = note_order};
    struct mcache_stats before;
    struct mcache_stats after;

    mcache_stats_read(&before);
    fail_thread_creation(-1);
    cr_assert_eq(gopool_go(pool, note_order, NULL), -EAGAIN);
    cr_assert_eq(gopool_submit(pool, &task), -EAGAIN);
    cr_assert_eq(stats_of(pool).submitted_count, 0);
    cr_assert_eq(stats_of(pool).queued, 0);
    cr_assert_eq(stats_of(pool).workers, 0);
    mcache_stats_read(&after);
    cr_assert_eq(after.live_bytes, before.live_bytes);
    fail_thread_creation(0);
    cr_assert_eq(gopool_submit(pool, &task), 0);
    gopool_destroy(pool);
    cr_assert_eq(order_length, 1);
}

Test(worker, without_another_thread_tasks_wait_for_the_workers_there_are)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4});
    struct blocker blocker;

    submit_blocker(pool, &blocker);
    WAIT_UNTIL(running(&blocker, 1) == 1);
    fail_thread_creation(-1);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    /* One that is being started counts until it turns out that it cannot. */
    WAIT_UNTIL(stats_of(pool).workers == 1);
    cr_assert_eq(stats_of(pool).queued, 10);
    let_go(&blocker, 1);
    wait_finished(pool, 11);
    gopool_destroy(pool);
}

Test(worker, a_worker_that_could_not_be_started_is_tried_again_while_tasks_wait)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4});
    struct blocker blocker;

    pool->config.eager_workers = 2;
    submit_blocker(pool, &blocker);
    WAIT_UNTIL(running(&blocker, 1) == 1);
    fail_thread_creation(1);
    cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    wait_finished(pool, 1);
    let_go(&blocker, 1);
    gopool_destroy(pool);
}

struct thread_facts {
    char name[16];
    int policy;
    sigset_t blocked;
};

static void read_facts(void *arg)
{
    struct thread_facts *facts = arg;

    pthread_getname_np(pthread_self(), facts->name, sizeof facts->name);
    facts->policy = sched_getscheduler(0);
    pthread_sigmask(SIG_BLOCK, NULL, &facts->blocked);
}

static struct thread_facts facts_with(const struct gopool_options *options)
{
    struct gopool *pool = pool_with(options);
    struct thread_facts facts;

    cr_assert_eq(gopool_go(pool, read_facts, &facts), 0);
    gopool_destroy(pool);
    return facts;
}

Test(worker, threads_carry_the_name_of_their_pool_and_a_number)
{
    cr_assert_str_eq(facts_with(NULL).name, "gopool-1");
    cr_assert_str_eq(facts_with(&(struct gopool_options){.name = "ten_bytes_"}).name,
                     "ten_bytes_-1");
}

Test(worker, batch_scheduling_is_asked_for_unless_disabled)
{
    struct gopool_options options = {.disable_batch_scheduling = true};

    cr_assert_eq(facts_with(NULL).policy, SCHED_BATCH);
    cr_assert_eq(facts_with(&options).policy, SCHED_OTHER);
}

Test(worker, asynchronous_signals_are_blocked_and_the_submitters_mask_is_kept)
{
    sigset_t before;
    sigset_t after;
    struct thread_facts facts;

    pthread_sigmask(SIG_BLOCK, NULL, &before);
    facts = facts_with(NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    cr_assert(sigismember(&facts.blocked, SIGTERM) && sigismember(&facts.blocked, SIGPIPE));
    cr_assert_not(sigismember(&facts.blocked, SIGSEGV));
    cr_assert_eq(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

static void raise_panic(void *arg)
{
    gopool_panic("task %d", *(int *)arg);
}

struct handled {
    _Atomic int count;
    char message[GOPOOL_PANIC_MESSAGE_BYTES];
};

static void keep_panic(const struct gopool_panic *panic, void *arg)
{
    struct handled *handled = arg;

    memcpy(handled->message, panic->message, sizeof handled->message);
    atomic_fetch_add(&handled->count, 1);
}

Test(worker, a_panic_ends_its_task_tells_the_handler_and_keeps_the_worker)
{
    static struct handled handled;
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 1, .panic_handler = keep_panic, .panic_handler_arg = &handled});
    _Atomic int before = 0;
    _Atomic int after = 0;
    int number = 5;

    cr_assert_eq(gopool_go(pool, store_thread, &before), 0);
    cr_assert_eq(gopool_go(pool, raise_panic, &number), 0);
    cr_assert_eq(gopool_go(pool, store_thread, &after), 0);
    wait_finished(pool, 3);
    cr_assert_eq(stats_of(pool).panic_count, 1);
    gopool_destroy(pool);
    cr_assert_eq(handled.count, 1);
    cr_assert_str_eq(handled.message, "task 5");
    cr_assert_neq(before, 0);
    cr_assert_eq(before, after);
}

static void panic_again(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    gopool_panic("handler after %s", panic->message);
}

static void run_two_panics(void *arg)
{
    struct gopool *pool = pool_with(arg);
    int number = 8;

    for (int i = 0; i < 2; i++) {
        if (gopool_go(pool, raise_panic, &number) != 0)
            abort();
    }
    gopool_destroy(pool);
}

Test(worker, a_panic_in_the_handler_is_contained_and_logged)
{
    struct gopool_options options = {.cap = 1, .panic_handler = panic_again};
    char output[1024];

    cr_assert_eq(run_in_child(run_two_panics, &options, output, sizeof output), 0);
    char *second = strstr(output, "panic in the panic handler: handler after task 8");
    cr_assert_not_null(second);
    cr_assert_not_null(strstr(second + 1, "panic in the panic handler: handler after task 8"));
}

Test(worker, without_a_handler_a_panic_is_printed_with_the_pools_name)
{
    struct gopool_options options = {.cap = 1, .name = "billing"};
    char output[1024];

    cr_assert_eq(run_in_child(run_two_panics, &options, output, sizeof output), 0);
    cr_assert_eq(strncmp(output, "gopool: billing: task 8 (raise_panic, ", 38), 0);
}

static _Atomic int released;

static void release(void *arg)
{
    mcache_free(arg);
    atomic_fetch_add(&released, 1);
}

static void panic_with_block(void *arg)
{
    struct gopool_defer defer;

    (void)arg;
    gopool_defer_push(&defer, release, mcache_alloc(100));
    gopool_panic("one of many");
}

static void ignore_panic(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    (void)arg;
}

Test(worker, a_hundred_thousand_panics_leak_nothing)
{
    enum {
        COUNT = 100000
    };
    size_t threads = thread_count();
    struct mcache_stats before;
    struct mcache_stats after;

    mcache_stats_read(&before);
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 4, .when_full = GOPOOL_WHEN_FULL_BLOCK, .panic_handler = ignore_panic});
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(gopool_go(pool, panic_with_block, NULL), 0);
    wait_finished(pool, COUNT);
    cr_assert_eq(stats_of(pool).panic_count, COUNT);
    cr_assert_leq(stats_of(pool).workers, 4);
    gopool_destroy(pool);
    cr_assert_eq(released, COUNT);
    cr_assert_eq(thread_count(), threads);
    mcache_stats_read(&after);
    cr_assert_eq(after.live_bytes, before.live_bytes);
}

static void expect_running(struct blocker *blockers, size_t count, int expected)
{
    WAIT_UNTIL(running(blockers, count) == expected);
}

Test(worker, a_raised_cap_serves_the_tasks_that_wait)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    struct blocker blockers[4];

    for (int i = 0; i < 4; i++)
        submit_blocker(pool, &blockers[i]);
    expect_running(blockers, 4, 1);
    cr_assert_eq(gopool_set_cap(pool, 3), 0);
    expect_running(blockers, 4, 3);
    cr_assert_eq(stats_of(pool).workers, 3);
    cr_assert_eq(stats_of(pool).cap, 3);
    let_go(blockers, 4);
    gopool_destroy(pool);
}

Test(worker, a_lowered_cap_ends_idle_workers_at_once_and_others_with_their_tasks)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 6, .idle_timeout_ms = 3600000});
    struct blocker blockers[6];

    for (int i = 0; i < 6; i++)
        submit_blocker(pool, &blockers[i]);
    expect_running(blockers, 6, 6);
    let_go(blockers, 2);
    WAIT_UNTIL(stats_of(pool).idle_workers == 2);
    cr_assert_eq(gopool_set_cap(pool, 2), 0);
    WAIT_UNTIL(stats_of(pool).workers == 4);
    let_go(&blockers[2], 4);
    WAIT_UNTIL(stats_of(pool).workers == 2);
    cr_assert_eq(gopool_set_cap(pool, (uint32_t)-1), -EINVAL);
    cr_assert_eq(stats_of(pool).cap, 2);
    cr_assert_eq(gopool_set_cap(pool, 0), 0);
    cr_assert_gt(stats_of(pool).cap, 64);
    cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    wait_finished(pool, 7);
    gopool_destroy(pool);
}

static _Atomic int at_work;
static _Atomic int most_at_work;
static _Atomic bool cap_is_low;

static void note_how_many_are_at_work(void *arg)
{
    int now = atomic_fetch_add(&at_work, 1) + 1;

    (void)arg;
    if (atomic_load(&cap_is_low) && now > atomic_load(&most_at_work))
        atomic_store(&most_at_work, now);
    usleep(200);
    atomic_fetch_sub(&at_work, 1);
}

/* Workers that find tasks waiting each time they look see it, too. */
Test(worker, a_lowered_cap_holds_under_a_backlog)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 4});

    for (int i = 0; i < 2000; i++)
        cr_assert_eq(gopool_go(pool, note_how_many_are_at_work, NULL), 0);
    WAIT_UNTIL(stats_of(pool).workers == 4);
    cr_assert_eq(gopool_set_cap(pool, 1), 0);
    uint64_t begun = stats_of(pool).finished_count;
    /* What the four were at is done by then. */
    WAIT_UNTIL(stats_of(pool).finished_count >= begun + 8);
    cr_assert_gt(stats_of(pool).queued, 0);
    atomic_store(&cap_is_low, true);
    wait_finished(pool, 2000);
    cr_assert_eq(most_at_work, 1);
    gopool_destroy(pool);
}

Test(worker, without_a_thread_for_the_monitor_the_first_task_is_refused)
{
    struct gopool *pool = pool_with(NULL);

    fail_thread_creation(1);
    cr_assert_eq(gopool_go(pool, note_order, NULL), -EAGAIN);
    cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    gopool_destroy(pool);
    cr_assert_eq(order_length, 1);
}

Test(worker, a_refused_first_task_leaves_no_thread)
{
    size_t threads = thread_count();
    struct gopool *pool = pool_with(NULL);

    /* The monitor is started before the first worker. */
    fail_thread_creation_after(1, 1);
    cr_assert_eq(gopool_go(pool, note_order, NULL), -EAGAIN);
    WAIT_UNTIL(thread_count() == threads);
    cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    gopool_destroy(pool);
    cr_assert_eq(order_length, 1);
}

Test(worker, a_stop_does_not_wait_for_time_outs)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.idle_timeout_ms = 3600000});
    int64_t end_ms = now_ms() + DEADLINE_MS;

    cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
    WAIT_UNTIL(stats_of(pool).idle_workers == 1);
    gopool_destroy(pool);
    cr_assert_lt(now_ms(), end_ms);
}

Test(worker, a_lowered_cap_loses_no_task)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 8});

    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(gopool_go(pool, note_order, NULL), 0);
        cr_assert_eq(gopool_set_cap(pool, (uint32_t)(i % 8 + 1)), 0);
    }
    wait_finished(pool, 1000);
    cr_assert_eq(order_length, 1000);
    gopool_destroy(pool);
}
