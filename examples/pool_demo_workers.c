/* How many tasks wait, how many workers there are, and for how long a task runs. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_check.h"
#include "pool_demo.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define QUEUE_LIMIT 2
#define STUCK_MS    20

/* A task that says where it has run. */
struct visit {
    bool came;
    pthread_t thread;
};

static void visit(void *arg)
{
    struct visit *visit = arg;
    visit->came = true;
    visit->thread = pthread_self();
}

/* A pool whose only worker is at the gate, with a queue of QUEUE_LIMIT tasks behind it. */
static struct gopool *make_full_pool(struct gate *gate, enum gopool_when_full when_full)
{
    static struct visit visits[QUEUE_LIMIT];
    struct gopool *pool = make_pool(
        &(struct gopool_options){.cap = 1, .queue_limit = QUEUE_LIMIT, .when_full = when_full});
    gate_shut(gate);
    gate_occupy(gate, pool, 1);
    for (size_t i = 0; i < QUEUE_LIMIT; i++)
        must(gopool_go(pool, visit, &visits[i]));
    check(stats_of(pool).queued == QUEUE_LIMIT, "the queue is full");
    return pool;
}

/* The worker may go on; the pool must have run so many tasks in the end. */
static void finish_full_pool(struct gopool *pool, uint64_t tasks)
{
    settle(pool);
    check(stats_of(pool).finished_count == tasks, "what was accepted has run, once");
    check(stats_of(pool).full_count == 1, "one submit found the queue full");
    gopool_destroy(pool);
}

static void show_reject(void)
{
    struct gate gate;
    struct visit refused = {0};
    struct gopool *pool = make_full_pool(&gate, GOPOOL_WHEN_FULL_REJECT);
    const char *result = expect(gopool_go(pool, visit, &refused), -EAGAIN, "gopool_go()");
    gate_open(&gate, 1);
    finish_full_pool(pool, 1 + QUEUE_LIMIT);
    check(!refused.came, "a refused task does not run");
    printf("reject:    behind %d tasks that wait gopool_go() returns %s; the task never ran\n",
           QUEUE_LIMIT, result);
}

static bool was_full(const struct gopool_stats *stats)
{
    return stats->full_count != 0;
}

struct submission {
    struct gopool *full;
    struct visit visit;
    int status;
};

static void submit(void *arg)
{
    struct submission *submission = arg;
    submission->status = gopool_go(submission->full, visit, &submission->visit);
}

static void show_block(struct gopool *other)
{
    struct gate gate;
    struct gopool *pool = make_full_pool(&gate, GOPOOL_WHEN_FULL_BLOCK);
    struct submission submission = {.full = pool};
    struct gopool_future future;
    must(gopool_call(other, &future, submit, &submission, 0));
    wait_for_figures(pool, was_full);
    (void)expect(gopool_wait(&future, 0), -ETIMEDOUT, "a submit to a full queue");
    gate_open(&gate, 1);
    must(gopool_wait(&future, DEADLINE_MS));
    must(submission.status);
    finish_full_pool(pool, 2 + QUEUE_LIMIT);
    check(submission.visit.came, "it was accepted");
    printf("block:     gopool_go() returned when the worker had gone on; the task ran\n");
}

static void show_caller_runs(void)
{
    struct gate gate;
    struct visit here = {0};
    struct gopool *pool = make_full_pool(&gate, GOPOOL_WHEN_FULL_CALLER_RUNS);
    must(gopool_go(pool, visit, &here));
    check(here.came && pthread_equal(here.thread, pthread_self()), "the submitter runs the task");
    gate_open(&gate, 1);
    finish_full_pool(pool, 2 + QUEUE_LIMIT);
    printf("caller:    gopool_go() returned when it had run the task, on the submitting thread\n");
}

void show_full_queue(struct gopool *other)
{
    show_reject();
    show_block(other);
    show_caller_runs();
}

/* A task that waits for the one behind it. */
struct dialogue {
    struct gopool *pool;
    sem_t answer;
    struct gopool_stats meanwhile;
    int one_more;
};

static void ask(void *arg)
{
    struct dialogue *dialogue = arg;
    must(gopool_block_begin());
    wait_for_post(&dialogue->answer);
    gopool_block_end();
}

static void answer(void *arg)
{
    struct dialogue *dialogue = arg;
    dialogue->one_more = gopool_block_begin();
    dialogue->meanwhile = stats_of(dialogue->pool);
    sem_post(&dialogue->answer);
}

void show_blocking(void)
{
    struct gopool *pool = make_pool(&(struct gopool_options){.cap = 1, .max_blocked = 1});
    struct dialogue dialogue = {.pool = pool};
    const struct gopool_stats *figures = &dialogue.meanwhile;
    sem_init(&dialogue.answer, 0, 0);
    must(gopool_go(pool, ask, &dialogue));
    must(gopool_go(pool, answer, &dialogue));
    settle(pool);
    const char *one_more = expect(dialogue.one_more, -EAGAIN, "the second gopool_block_begin()");
    check(figures->workers == 2 && figures->blocked_workers == 1, "another worker took over");
    check(stats_of(pool).blocked_workers == 0, "nobody is blocked any more");
    printf("blocking:  cap %" PRIu32 ", a task waits for the next one, which another worker runs: "
           "%" PRIu32 " workers, %" PRIu32 " of them blocked; a second gopool_block_begin() %s\n",
           figures->cap, figures->workers, figures->blocked_workers, one_more);
    gopool_destroy(pool);
}

static struct timespec now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

/* A task that says when it has begun. */
struct late {
    struct gate *gate;
    struct timespec began;
};

static void begin_late(void *arg)
{
    struct late *late = arg;
    late->began = now();
    gate_pass(late->gate);
}

/* With so many workers busy, a further one comes when a task has waited for a millisecond. */
static void show_growth(struct gopool *pool, struct gate *gate, unsigned eager)
{
    struct late late = {.gate = gate};
    gate_occupy(gate, pool, eager);
    check(stats_of(pool).workers == eager, "a worker for each task");
    struct timespec submitted = now();
    must(gopool_go(pool, begin_late, &late));
    wait_for_post(&gate->arrived);
    double waited_ms = (double)(late.began.tv_sec - submitted.tv_sec) * 1e3 +
                       (double)(late.began.tv_nsec - submitted.tv_nsec) / 1e6;
    check(waited_ms >= 1, "the task has waited for a millisecond");
    check(stats_of(pool).workers == eager + 1, "one worker more");
    printf("growth:    %u workers at once, for as many tasks; one task more had waited for %.1f ms "
           "when one worker more took it\n",
           eager, waited_ms);
}

static bool has_one_worker(const struct gopool_stats *stats)
{
    return stats->workers == 1;
}

static void show_set_cap(struct gopool *pool, struct gate *gate, unsigned busy)
{
    must(gopool_go(pool, gate_pass, gate));
    check(stats_of(pool).workers == busy && stats_of(pool).queued == 1, "the cap is kept");
    must(gopool_set_cap(pool, busy + 1));
    wait_for_post(&gate->arrived);
    check(stats_of(pool).workers == busy + 1, "a higher cap lets a worker come");
    must(gopool_set_cap(pool, 1));
    gate_open(gate, busy + 1);
    settle(pool);
    wait_for_figures(pool, has_one_worker);
    printf("set_cap:   workers as many as the cap, a task waits; one higher: one worker more takes "
           "it; %" PRIu32 ": all end with their tasks but %" PRIu32 "\n",
           stats_of(pool).cap, stats_of(pool).workers);
}

void show_worker_counts(void)
{
    cpu_set_t allowed;
    struct gate gate;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        fail("CPUs: ", strerror(errno));
    unsigned eager = GOPOOL_EAGER_WORKERS_PER_CPU * (unsigned)CPU_COUNT(&allowed);
    /* No worker ends because it is idle: only the cap ends them. */
    struct gopool *pool =
        make_pool(&(struct gopool_options){.cap = eager + 1, .idle_timeout_ms = 10 * DEADLINE_MS});
    gate_shut(&gate);
    show_growth(pool, &gate, eager);
    show_set_cap(pool, &gate, eager + 1);
    gopool_destroy(pool);
}

/* What the watchdog has told, and who waits for it. */
struct alarm {
    sem_t raised;
    char pool[16];
    struct gopool_stuck stuck;
};

static void raise_alarm(const struct gopool_stuck *stuck, void *arg)
{
    struct alarm *alarm = arg;
    alarm->stuck = *stuck;
    (void)snprintf(alarm->pool, sizeof alarm->pool, "%s", stuck->pool);
    sem_post(&alarm->raised);
}

/* Runs until it has been told of. */
static void take_long(void *arg)
{
    struct alarm *alarm = arg;
    wait_for_post(&alarm->raised);
}

void show_watchdog(void)
{
    struct alarm alarm;
    const struct gopool_stuck *stuck = &alarm.stuck;
    struct gopool *pool = make_pool(&(struct gopool_options){.name = "watched",
                                                             .stuck_after_ms = STUCK_MS,
                                                             .stuck_handler = raise_alarm,
                                                             .stuck_handler_arg = &alarm});
    sem_init(&alarm.raised, 0, 0);
    must(gopool_go(pool, take_long, &alarm));
    settle(pool);
    check(stuck->task_fn == take_long && stuck->running_ms >= STUCK_MS, "it is that task");
    check(stats_of(pool).stuck_count == 1, "it is counted");
    printf("watchdog:  %s-%" PRIu32 " has been running a task for %" PRIu32 " ms (limit %d), now "
           "%" PRIu32 " frames deep\n",
           alarm.pool, stuck->worker, stuck->running_ms, STUCK_MS, stuck->frame_count);
    gopool_destroy(pool);
}
