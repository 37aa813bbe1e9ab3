/* The watchdog's rounds: which task has been seen running for too long, where it is, who is told.
 */
#include "watchdog.h"

#include <time.h>
#include <unistd.h>

#include "backtrace.h"
#include "deadline.h"
#include "interrogation.h"
#include "panic_internal.h"
#include "report.h"
#include "text.h"
#include "thread.h"
#include "worker.h"

/* Rounds in the time after which a task is told of. */
#define ROUNDS 4

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether the worker's task is to be told of now. Under lock. */
static bool is_newly_stuck(struct gp_worker *worker, struct gopool_stuck *stuck, int64_t now)
{
    const struct gopool *pool = worker->thread.pool;
    struct gp_watched *watched = &worker->watched;
    struct gp_running_task task;
    bool runs = gp_running_read(&worker->running, &task);

    if (!runs || worker->is_blocked || task.number != watched->number) {
        *watched = (struct gp_watched){.number = runs ? task.number : 0, .since_ms = now};
        return false;
    }
    if (watched->is_told || now - watched->since_ms < pool->config.stuck_after_ms)
        return false;
    watched->is_told = true;
    *stuck = (struct gopool_stuck){
        .pool = pool->config.name,
        .worker = worker->thread.number,
        .running_ms = (uint32_t)(now - watched->since_ms),
        .task_fn = task.fn,
        .task_arg = task.arg,
    };
    return true;
}

static struct gp_worker *find_stuck(struct gopool *pool, struct gopool_stuck *stuck)
{
    int64_t now = now_ms();

    for (struct gp_worker *worker = pool->all; worker != NULL; worker = worker->next)
        if (is_newly_stuck(worker, stuck, now))
            return worker;
    return NULL;
}

/* Whether the worker exists and is in that task still. Under lock. */
static bool is_still_there(const struct gopool *pool, const struct gp_worker *worker,
                           uint32_t number)
{
    struct gp_running_task task;
    const struct gp_worker *one = pool->all;

    while (one != NULL && one != worker)
        one = one->next;
    return one != NULL && gp_running_read(&one->running, &task) && task.number == number;
}

/* Under no lock. */
static uint32_t ask(struct gopool *pool, const struct gp_worker *worker, uint32_t number,
                    void **frames)
{
    uint32_t count = 0;

    gp_interrogation_begin();
    pthread_mutex_lock(&pool->lock);
    bool sent = is_still_there(pool, worker, number) && gp_interrogation_send(worker->thread.id);
    pthread_mutex_unlock(&pool->lock);
    if (sent)
        count = gp_interrogation_wait(frames, GOPOOL_PANIC_FRAMES);
    gp_interrogation_end();
    return count;
}

static void print(const struct gopool_stuck *stuck)
{
    struct gp_text text;

    gp_text_begin(&text, STDERR_FILENO);
    gp_text_add(&text, "gopool: %s-%u: the task ", stuck->pool, stuck->worker);
    gp_backtrace_write_function(&text, (const void *)stuck->task_fn);
    gp_text_add(&text, " (argument %p) has been running for %u ms\n", stuck->task_arg,
                stuck->running_ms);
    gp_backtrace_write(&text, stuck->frames, stuck->frame_count);
    gp_text_end(&text);
}

struct stuck_call {
    const struct gp_config *config;
    const struct gopool_stuck *stuck;
};

static NETPOLL_DISPATCH void call_handler(void *arg)
{
    const struct stuck_call *call = arg;

    call->config->stuck_handler(call->stuck, call->config->stuck_handler_arg);
}

static void tell(const struct gp_config *config, const struct gopool_stuck *stuck)
{
    struct stuck_call call = {config, stuck};
    struct gopool_panic panic;

    if (config->stuck_handler == NULL)
        print(stuck);
    else if (gp_panic_try_task(call_handler, &call, &panic) != 0)
        gp_report_of_handler("panic in the handler of stuck tasks", &panic);
}

/* Under lock, which it releases in between. */
static void make_round(struct gopool *pool)
{
    struct gopool_stuck stuck;
    const struct gp_worker *worker;

    while ((worker = find_stuck(pool, &stuck)) != NULL) {
        uint32_t number = worker->watched.number;
        void *frames[GOPOOL_PANIC_FRAMES];

        pool->watchdog.stuck_count++;
        pthread_mutex_unlock(&pool->lock);
        stuck.frames = frames;
        stuck.frame_count = ask(pool, worker, number, frames);
        tell(&pool->config, &stuck);
        pthread_mutex_lock(&pool->lock);
    }
}

/* Under lock, which it releases in between. */
static void make_rounds(struct gopool *pool)
{
    uint32_t round_ms = pool->config.stuck_after_ms / ROUNDS;

    while (pool->workers > 0) {
        const struct timespec deadline = gp_deadline_after(round_ms > 0 ? round_ms : 1);

        while (pool->workers > 0 &&
               pthread_cond_timedwait(&pool->ended, &pool->lock, &deadline) == 0)
            continue;
        make_round(pool);
    }
}

static void watchdog_main(struct gp_thread *thread);

void gp_watchdog_ensure(struct gopool *pool)
{
    if (pool->config.stuck_after_ms != 0 && !pool->watchdog.exists)
        pool->watchdog.exists = gp_thread_start_helper(pool, watchdog_main) == 0;
}

/* The handler has ended the thread by pthread_exit(): another one takes over. */
static void pass_on(void *arg)
{
    struct gp_thread *thread = arg;
    struct gopool *pool = thread->pool;

    gp_panic_forget();
    pthread_mutex_lock(&pool->lock);
    bool is_passed_on = pool->workers > 0 && gp_thread_start_helper(pool, watchdog_main) == 0;
    gp_thread_end_helper(thread, &pool->watchdog.exists, is_passed_on);
}

static void watchdog_main(struct gp_thread *thread)
{
    struct gopool *pool = thread->pool;

    pthread_mutex_lock(&pool->lock);
    pthread_cleanup_push(pass_on, thread);
    make_rounds(pool);
    pthread_cleanup_pop(0);
    gp_thread_end_helper(thread, &pool->watchdog.exists, false);
}
