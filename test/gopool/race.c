/*
 * Race check for ThreadSanitizer: many submitters against stop, panics, pthread_exit, embedded
 * tasks that submit themselves, tasks that say that they block, a cap that changes, a queue that
 * gets full, a watchdog and workers that time out, over and over on fresh pools.
 */
#include <gopool/gopool.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SUBMITTERS       4
#define TASKS_PER_THREAD 400
#define SECONDS          2
#define MAX_BLOCKED      2

/* Plain fields: if a task ran twice or unordered with its submitter, they would race. */
struct job {
    struct gopool_task task;
    struct gopool *pool;
    int runs_left;
    int kind;
};

struct submitter {
    pthread_t thread;
    struct gopool *pool;
    uint64_t accepted;
    struct job jobs[TASKS_PER_THREAD];
};

/* Counts of one round. Relaxed: read after gopool_stop(), which joins every worker. */
static _Atomic uint64_t ran;
static _Atomic uint64_t deferred;
static _Atomic uint64_t resubmitted;
static _Atomic uint64_t handled;
static _Atomic uint64_t stuck_tasks;

static atomic_bool submitters_are_done;

static void add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void count_deferred(void *arg)
{
    add(arg);
}

static void run_job(void *arg)
{
    struct job *job = arg;
    struct gopool_defer defer;

    add(&ran);
    switch (job->kind) {
    case 0:
        gopool_defer_push(&defer, count_deferred, &deferred);
        gopool_panic("job %d", job->runs_left);
    case 1:
        if (job->runs_left-- > 0 && gopool_submit(job->pool, &job->task) == 0)
            add(&resubmitted);
        break;
    case 2:
        pthread_exit(NULL);
    case 4:
        if (gopool_block_begin() == 0) {
            sched_yield();
            if (job->runs_left % 2 == 0)
                gopool_block_end();
        }
        break;
    default:
        break;
    }
}

static void count_panic(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    if (panic->line > 0)
        add(&handled);
}

static int submit(struct submitter *self, size_t i)
{
    if (i % 4 == 3)
        return gopool_submit_batch(self->pool, &self->jobs[i].task);
    if (i % 4 == 2)
        return gopool_go(self->pool, run_job, &self->jobs[i]);
    return gopool_submit(self->pool, &self->jobs[i].task);
}

static void *submit_all(void *arg)
{
    struct submitter *self = arg;

    for (size_t i = 0; i < TASKS_PER_THREAD; i++) {
        struct job *job = &self->jobs[i];

        *job = (struct job){.task = {.fn = run_job, .arg = job}, .pool = self->pool};
        job->kind = i % 64 == 0 ? 2 : i % 8 == 0 ? 0 : i % 8 == 1 ? 1 : i % 8 == 5 ? 4 : 3;
        job->runs_left = i % 16 < 8 ? 3 : 4;
        if (i % 8 >= 4)
            job->task.flags = GOPOOL_TASK_NONBLOCKING;
        /* Before, because a task that ends its thread may run on this one. */
        self->accepted++;
        int status = submit(self, i);
        if (status == -ESHUTDOWN) {
            self->accepted--;
            break;
        }
        if (status != 0) {
            fprintf(stderr, "submit: %d\n", status);
            exit(1);
        }
    }
    return NULL;
}

static void *stop(void *arg)
{
    if (gopool_stop(arg) != 0)
        exit(1);
    return NULL;
}

/* Calls that others make while the pool is at work. */
static void *meddle(void *arg)
{
    struct gopool *pool = arg;
    struct gopool_stats stats;
    uint32_t cap = 0;

    do {
        (void)!gopool_set_cap(pool, 1 + cap++ % 5);
        gopool_set_panic_handler(pool, count_panic, NULL);
        (void)!gopool_drain(pool, cap % 2 == 0 ? 0 : 1);
        gopool_stats_read(pool, &stats);
        /* Above both the cap and those that may be blocked there is nothing but a moment. */
        if (stats.blocked_workers > MAX_BLOCKED || stats.workers > 5 + MAX_BLOCKED) {
            fprintf(stderr, "%u workers, %u blocked\n", stats.workers, stats.blocked_workers);
            exit(1);
        }
    } while (!atomic_load(&submitters_are_done));
    return NULL;
}

static void count_stuck(const struct gopool_stuck *stuck, void *arg)
{
    if (stuck->task_fn == run_job)
        add(arg);
}

static bool figures_agree(struct gopool *pool, uint64_t accepted)
{
    struct gopool_stats stats;

    gopool_stats_read(pool, &stats);
    accepted += resubmitted;
    if (stats.submitted_count == accepted && stats.finished_count == accepted && ran == accepted &&
        stats.panic_count == handled && deferred == handled && stats.workers == 0 &&
        stats.queued == 0)
        return true;
    fprintf(stderr, "accepted %ju, submitted %ju, finished %ju, ran %ju, panics %ju, handled %ju\n",
            (uintmax_t)accepted, (uintmax_t)stats.submitted_count, (uintmax_t)stats.finished_count,
            (uintmax_t)ran, (uintmax_t)stats.panic_count, (uintmax_t)handled);
    return false;
}

/* One pool's life. Odd rounds stop it while the submitters are at it, by two threads at once. */
static bool round_passes(unsigned number)
{
    static struct submitter submitters[SUBMITTERS];
    struct gopool *pool;
    pthread_t stopper;
    pthread_t meddler;
    uint64_t accepted = 0;
    const struct gopool_options options = {
        .cap = 1 + number % 5,
        .idle_timeout_ms = 1,
        .panic_handler = count_panic,
        .max_blocked = MAX_BLOCKED,
        .queue_limit = number % 3 == 0 ? 8 : 0,
        .when_full = number % 2 == 0 ? GOPOOL_WHEN_FULL_BLOCK : GOPOOL_WHEN_FULL_CALLER_RUNS,
        .stuck_after_ms = number % 4 == 0 ? 1 : 0,
        .stuck_handler = count_stuck,
        .stuck_handler_arg = &stuck_tasks,
    };

    atomic_store(&submitters_are_done, false);
    ran = deferred = resubmitted = handled = 0;
    if (gopool_create(&options, &pool) != 0)
        return false;
    for (size_t i = 0; i < SUBMITTERS; i++) {
        submitters[i].pool = pool;
        submitters[i].accepted = 0;
        pthread_create(&submitters[i].thread, NULL, submit_all, &submitters[i]);
    }
    pthread_create(&meddler, NULL, meddle, pool);
    if (number % 2 != 0) {
        pthread_create(&stopper, NULL, stop, pool);
        stop(pool);
        pthread_join(stopper, NULL);
    }
    for (size_t i = 0; i < SUBMITTERS; i++) {
        pthread_join(submitters[i].thread, NULL);
        accepted += submitters[i].accepted;
    }
    atomic_store(&submitters_are_done, true);
    pthread_join(meddler, NULL);
    stop(pool);
    bool passed = figures_agree(pool, accepted);
    gopool_destroy(pool);
    return passed;
}

int main(void)
{
    const time_t end = time(NULL) + SECONDS;
    unsigned rounds = 0;

    do {
        if (!round_passes(rounds++))
            return 1;
    } while (time(NULL) < end);
    printf("%u rounds, %ju stuck\n", rounds, (uintmax_t)stuck_tasks);
    return 0;
}
